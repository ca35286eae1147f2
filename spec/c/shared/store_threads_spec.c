// SPDX-License-Identifier: Apache-2.0
// Units for shared/store that need more than one thread, or the kernel: many readers, writers and one that empties, and
// pages that a socket still has.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/store.h"
#include "shared/store_file.h"
#include "threads.h"
#include "unit.h"

enum { MIB = 1 << 20, KEYS = 200, ROUNDS = 1200, BODY_MOST = 30000 };

static struct store *new_store(size_t bytes) {
  struct store_settings settings = {.bytes = bytes, .segment_bytes = 0};
  const char *why;
  struct store *s = store_new(&settings, &why);
  CHECK(s);
  return s;
}

static struct str key_of(char text[32], unsigned number) {
  return (struct str){text, (size_t)sprintf(text, "key %u", number)};
}

/* A body says itself what it must be: its first byte is all of its bytes. */
static void put(struct store *s, unsigned number, unsigned seed) {
  char key[32], body[BODY_MOST];
  size_t bytes = 1 + seed % BODY_MOST;
  memset(body, (char)seed, bytes);
  struct store_writer *w =
      store_begin(s, key_of(key, number), STR("h"), seed % 2 ? bytes : STORE_LENGTH_UNKNOWN);
  if (!w) return;
  bool is_fine = true;
  for (size_t at = 0; is_fine && at < bytes; at += 4000)
    is_fine = store_write(w, (struct str){body + at, bytes - at < 4000 ? bytes - at : 4000});
  if (is_fine && seed % 7)
    store_finish(w);
  else
    store_drop(w);
}

static bool is_of_one_byte(const struct store *s, const struct store_lease *lease) {
  off_t place;
  struct str part = store_lease_at(s, lease, 0, &place);
  char wanted = part.len ? part.ptr[0] : 0;
  uint64_t at = 0;
  for (; (part = store_lease_at(s, lease, at, &place)).len; at += part.len)
    if (part.ptr[0] != wanted || memcmp(part.ptr, part.ptr + 1, part.len - 1) != 0) return false;
  return at == lease->length;
}

static void work(void *argument, unsigned index) {
  struct store *s = argument;
  unsigned seed = index + 1;
  char key[32];
  for (unsigned round = 0; round < ROUNDS; round++) {
    seed = seed * 1103515245u + 12345u;
    struct store_lease lease;
    unsigned number = seed >> 16 & 1 ? seed >> 8 & 15 : (seed >> 8) % KEYS;
    bool is_found = store_find(s, key_of(key, number), &lease);
    if (is_found) {
      if (!CHECK(is_of_one_byte(s, &lease))) return;
      if (round % 5 == 0) put(s, (seed >> 9) % KEYS, seed >> 3);
      if (!CHECK(store_lease_is_sound(&lease) && is_of_one_byte(s, &lease))) return;
      store_release(s, &lease);
    } else {
      put(s, number, seed >> 3);
    }
    if (round % 50 == 0) store_remove(s, key_of(key, (seed >> 7) % KEYS));
    if (index == 0 || round % 10 == 0) store_maintain(s, 20000);
  }
}

IT("gives each reader whole and unchanged bytes, while others store, remove and make room") {
  struct store *s = new_store(MIB);
  struct store_counts counts;
  threads_run(work, s);
  store_count(s, &counts);
  CHECK(counts.stored > 500 && counts.emptied > 30 && counts.moved > 0);
  store_free(s);
}

/* Two ends of a TCP connection. */
static void connect_pair(int ends[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(ends[0], (struct sockaddr *)&address, length) == 0);
  ends[1] = accept(listener, NULL, NULL);
  CHECK(ends[1] >= 0);
  close(listener);
}

/* Sends as much of the body as the sockets take while nobody reads. */
static size_t send_some(struct store *s, const struct store_lease *lease, int to) {
  size_t sent = 0;
  off_t place;
  for (struct str part; (part = store_lease_at(s, lease, sent, &place)).len;) {
    ssize_t count = sendfile(to, store_descriptor_to_send(s), &place, part.len);
    if (count <= 0) break;
    sent += (size_t)count;
  }
  return sent;
}

static void put_filled(struct store *s, unsigned number, char byte, size_t bytes) {
  static char body[3 * MIB];
  char key[32];
  memset(body, byte, bytes);
  struct store_writer *w = store_begin(s, key_of(key, number), STR("h"), bytes);
  CHECK(w && store_write(w, (struct str){body, bytes}) && store_finish(w));
}

/* Where the kernel can: the huge page that these bytes are in. */
static bool make_huge(const char *bytes) {
  enum { COLLAPSE = 25 }; /* MADV_COLLAPSE, of Linux 6.1 */
  char *page = (char *)((uintptr_t)bytes / STORE_PAGE_MOST * STORE_PAGE_MOST);
  return madvise(page, STORE_PAGE_MOST, COLLAPSE) == 0;
}

static void check_stalled(int ends[2], bool is_huge) {
  struct store *s = new_store(64 * MIB);
  struct store_lease lease;
  static char got[4096];
  char key[32];
  int flags = MSG_DONTWAIT;
  put_filled(s, 1, 'a', 200000);
  CHECK(store_find(s, key_of(key, 1), &lease));
  if (is_huge && !make_huge(lease.pieces[0].bytes)) printf("(without huge pages) ");
  struct timeval soon = {0, 20000};
  setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
  size_t sent = send_some(s, &lease, ends[0]), read_bytes = 0;
  CHECK(sent > 4096);
  store_release(s, &lease);
  /* The same memory is filled several times over. */
  for (unsigned i = 2; i < 50; i++) put_filled(s, i, 'b', 3 * MIB);
  CHECK(!store_find(s, key_of(key, 1), &lease));
  while (read_bytes < sent) {
    ssize_t count = recv(ends[1], got, sizeof got, flags);
    flags = 0;
    if (!CHECK(count > 0)) break;
    CHECK(got[0] == 'a' && memcmp(got, got + 1, (size_t)count - 1) == 0);
    read_bytes += (size_t)count;
  }
  store_free(s);
}

IT("leaves alone the bytes that a stalled reader's socket still has, after its lease has ended and all was "
   "stored over") {
  for (int is_huge = 0; is_huge < 2; is_huge++) {
    int ends[2];
    connect_pair(ends);
    check_stalled(ends, is_huge);
    close(ends[0]);
    close(ends[1]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    check_stalled(ends, is_huge);
    close(ends[0]);
    close(ends[1]);
  }
}

IT("gives no file to send from where a page may be part of two segments") {
  struct store *s = new_store(32 * MIB);
  CHECK(store_descriptor(s) >= 0 && store_descriptor_to_send(s) < 0);
  store_free(s);
}
