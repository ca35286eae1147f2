// SPDX-License-Identifier: Apache-2.0
// Units for shared/census.
#include "shared/census.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>

#include "unit.h"

static struct census_client client_of(const char *text, unsigned bits) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  struct sockaddr_in four = {.sin_family = AF_INET};
  struct census_client client;
  bool is_four = inet_pton(AF_INET, text, &four.sin_addr) == 1;
  if (!is_four) inet_pton(AF_INET6, text, &six.sin6_addr);
  const void *address = is_four ? (const void *)&four : (const void *)&six;
  census_client_of(address, bits, &client);
  return client;
}

static bool are_same(const char *a, const char *b, unsigned bits) {
  struct census_client one = client_of(a, bits), other = client_of(b, bits);
  return memcmp(&one, &other, sizeof one) == 0;
}

IT("takes the first bits of an IPv6 address for the client, and the whole of an IPv4 address") {
  CHECK(are_same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", 64));
  CHECK(!are_same("2001:db8:0:1::1", "2001:db8:0:2::1", 64));
  CHECK(!are_same("2001:db8:0:1::1", "2001:db8:0:1::2", 128));
  CHECK(are_same("2001:db8:0:1::1", "2001:db8:0:2::1", 60));
  CHECK(!are_same("2001:db8:0:1::1", "2001:db8:0:11::1", 60));
  CHECK(!are_same("1.2.3.4", "1.2.3.5", 64));
  CHECK(are_same("1.2.3.4", "::ffff:1.2.3.4", 64));
  struct sockaddr local = {.sa_family = AF_UNIX};
  struct census_client client;
  CHECK(!census_client_of(&local, 64, &client));
}

IT("admits as many connections of a client as it may have, and forgets it with the last one") {
  struct census *census = census_new();
  struct census_client a = client_of("1.2.3.4", 64), b = client_of("1.2.3.5", 64);
  CHECK(census_admit(census, &a, 2) && census_admit(census, &a, 2) && !census_admit(census, &a, 2));
  CHECK(census_admit(census, &b, 2) && census_clients(census) == 2);
  census_dismiss(census, &a);
  CHECK(census_admit(census, &a, 2));
  census_dismiss(census, &a);
  census_dismiss(census, &a);
  census_dismiss(census, &b);
  CHECK(census_clients(census) == 0);
  census_free(census);
}

enum { THREADS = 4, TIMES = 20000, MOST = 3 };

static _Atomic unsigned inside, beyond;

static void *come_and_go(void *argument) {
  struct census *census = argument;
  struct census_client client = client_of("::1", 64);
  for (int i = 0; i < TIMES; i++) {
    if (census_enter(census, MOST)) {
      if (++inside > MOST) beyond++;
      inside--;
      census_leave(census);
    }
    if (census_admit(census, &client, MOST)) census_dismiss(census, &client);
  }
  return NULL;
}

IT("never lets in more than it may, from several threads at once") {
  pthread_t threads[THREADS];
  struct census *census = census_new();
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, come_and_go, census);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  CHECK(beyond == 0 && census_count(census) == 0 && census_clients(census) == 0);
  census_free(census);
}
