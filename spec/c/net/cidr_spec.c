// SPDX-License-Identifier: Apache-2.0
// Units for net/cidr: who is in a set of networks, and what is no address.
#include "net/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "unit.h"

static struct cidr_set *set_of(const char *one, const char *other) {
  struct cidr_set *set = cidr_set_new();
  const char *why;
  CHECK(cidr_set_add(set, str_of(one), &why) && cidr_set_add(set, str_of(other), &why));
  cidr_set_seal(set);
  return set;
}

IT("finds addresses with and without a port, in both families") {
  struct cidr_set *set = set_of("10.0.0.0/8", "2001:db8::/32");
  static const char *const inside[] = {"10.0.0.0",           "10.255.255.255:1", "10.1.2.3:65535",
                                       "::ffff:10.1.2.3",    "2001:db8::1",      "[2001:db8::1]:80",
                                       "[::ffff:10.1.2.3]:1"};
  static const char *const outside[] = {"9.255.255.255",      "11.0.0.0:80", "2001:db9::",     "[::1]:80",
                                        "unix:/run/10.0.0.1", "0.0.0.0",     "255.255.255.255"};
  for (unsigned i = 0; i < sizeof inside / sizeof *inside; i++)
    CHECK(cidr_set_contains(set, str_of(inside[i])) == CIDR_INSIDE);
  for (unsigned i = 0; i < sizeof outside / sizeof *outside; i++)
    CHECK(cidr_set_contains(set, str_of(outside[i])) == CIDR_OUTSIDE);
  cidr_set_free(set);
}

IT("takes nothing else for an address") {
  struct cidr_set *set = set_of("0.0.0.0/0", "::/0");
  static const char *const nonsense[] = {"",
                                         "10",
                                         "10.0.0",
                                         "10.0.0.",
                                         "10.0.0.1.",
                                         "10.0.0.256",
                                         "10.0.0.01",
                                         "010.0.0.1",
                                         "10.0.0.1x",
                                         "10.0.0.1:",
                                         "10.0.0.1:x",
                                         "10.0.0.1:65536",
                                         "10.0.0.1:1x",
                                         " 10.0.0.1",
                                         "10..0.1",
                                         "10.0.0.1234",
                                         "10.0.0.1:99999999999999999999",
                                         "+1.0.0.1",
                                         "1.2.3.4;80",
                                         "[10.0.0.1]x",
                                         "[::1",
                                         "::1]:80",
                                         "a.b.c.d",
                                         "10,0,0,1",
                                         "-1.0.0.1",
                                         "0x1.0.0.1",
                                         "1.2.3.4:80:80",
                                         ":80",
                                         "unix"};
  for (unsigned i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
    bool is_none = cidr_set_contains(set, str_of(nonsense[i])) == CIDR_NO_ADDRESS;
    if (!is_none) fprintf(stderr, "'%s' is taken\n", nonsense[i]);
    CHECK(is_none);
  }
  CHECK(cidr_set_contains(set, (struct str){"10.0.0.1\0", 9}) == CIDR_NO_ADDRESS);
  cidr_set_free(set);
}

IT("takes the same IPv4 addresses as the system's reader") {
  static const char bytes[] = "0123456789012345678925.";
  struct cidr_set *set = set_of("0.0.0.0/0", "::/0");
  uint64_t dice = 7;
  unsigned taken = 0;
  for (unsigned i = 0; i < 200000; i++) {
    char text[17], parts[4][4];
    struct in_addr address;
    if (i % 2) {
      size_t length = random_below(&dice, 16);
      for (size_t at = 0; at < length; at++) text[at] = bytes[random_below(&dice, sizeof bytes - 1)];
      text[length] = '\0';
    } else {
      for (unsigned part = 0; part < 4; part++)
        snprintf(parts[part], sizeof parts[part], "%u", (unsigned)random_below(&dice, 270));
      snprintf(text, sizeof text, "%s.%s.%s.%s", parts[0], parts[1], parts[2], parts[3]);
    }
    bool is_address = inet_pton(AF_INET, text, &address) == 1;
    taken += is_address;
    CHECK((cidr_set_contains(set, str_of(text)) == CIDR_INSIDE) == is_address);
  }
  CHECK(taken > 1000);
  cidr_set_free(set);
}
