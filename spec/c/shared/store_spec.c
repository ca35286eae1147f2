// SPDX-License-Identifier: Apache-2.0
// Units for shared/store: objects, pieces, leases, and what makes room.
#include "shared/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/store_parts.h"
#include "unit.h"

enum { MIB = 1 << 20 };

static struct store *new_store(size_t bytes, size_t segment_bytes) {
  struct store_settings settings = {.bytes = bytes, .segment_bytes = segment_bytes};
  const char *why;
  struct store *s = store_new(&settings, &why);
  CHECK(s);
  return s;
}

/* Bytes that are of this number alone. */
static char *pattern(unsigned number, size_t bytes) {
  char *made = memory_alloc(bytes + 1);
  for (size_t i = 0; i < bytes; i++) made[i] = (char)(number * 31 + i * 7 + i / 251);
  return made;
}

static struct str key_of(unsigned number) {
  static _Thread_local char text[32];
  return (struct str){text, (size_t)sprintf(text, "http://a/%u", number)};
}

/* Written in parts of `part` bytes. */
static bool put(struct store *s, unsigned number, size_t bytes, uint64_t announced, size_t part) {
  struct store_writer *w = store_begin(s, key_of(number), key_of(number), announced);
  char *body = pattern(number, bytes);
  bool is_fine = w != NULL;
  for (size_t at = 0; is_fine && at < bytes; at += part)
    is_fine = store_write(w, (struct str){body + at, bytes - at < part ? bytes - at : part});
  free(body);
  if (!is_fine && w) store_drop(w);
  return is_fine && store_finish(w);
}
static bool put_known(struct store *s, unsigned number, size_t bytes) {
  return put(s, number, bytes, bytes, 10000);
}

/* Is what is leased the body of this number? */
static bool is_body(struct store *s, const struct store_lease *lease, unsigned number, size_t bytes) {
  char *body = pattern(number, bytes);
  uint64_t at = 0;
  off_t place;
  bool is_same = lease->length == bytes && store_lease_is_sound(lease);
  for (struct str part; is_same && (part = store_lease_at(s, lease, at, &place)).len; at += part.len) {
    is_same = memcmp(part.ptr, body + at, part.len) == 0 && place + (off_t)part.len <= (off_t)(64 * MIB);
    char first;
    is_same = is_same && pread(store_descriptor(s), &first, 1, place) == 1 && first == body[at];
  }
  free(body);
  return is_same && at == bytes;
}

static bool has(struct store *s, unsigned number, size_t bytes) {
  struct store_lease lease;
  if (!store_find(s, key_of(number), &lease)) return false;
  CHECK(is_body(s, &lease, number, bytes) && str_equal(lease.head, key_of(number)));
  store_release(s, &lease);
  return true;
}

IT("finds what was stored, of each size, and nothing else") {
  struct store *s = new_store(16 * MIB, 0);
  static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 32767, 32768, 32769, 100000, 262144, 900000};
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    CHECK(!has(s, i, sizes[i]));
    CHECK(put_known(s, i, sizes[i]) && has(s, i, sizes[i]));
    CHECK(put(s, i + 100, sizes[i], STORE_LENGTH_UNKNOWN, 3000) && has(s, i + 100, sizes[i]));
  }
  CHECK(!store_remove(s, STR("none")) && store_remove(s, key_of(3)) && !has(s, 3, 64) &&
        !store_remove(s, key_of(3)));
  store_free(s);
}

IT("replaces an object of the same key, while who reads the older one goes on") {
  struct store *s = new_store(4 * MIB, 0);
  struct store_lease older;
  CHECK(put_known(s, 1, 5000) && store_find(s, key_of(1), &older));
  CHECK(put_known(s, 1, 7000) && has(s, 1, 7000));
  CHECK(is_body(s, &older, 1, 5000));
  CHECK(store_remove(s, key_of(1)) && is_body(s, &older, 1, 5000) && !has(s, 1, 7000));
  store_release(s, &older);
  store_free(s);
}

IT("finds an object only once it is whole") {
  struct store *s = new_store(4 * MIB, 0);
  struct store_writer *w = store_begin(s, key_of(1), STR("head"), 10);
  CHECK(store_write(w, STR("12345")) && !has(s, 1, 10));
  CHECK(!store_finish(w) && !has(s, 1, 10));
  w = store_begin(s, key_of(1), STR("head"), 4);
  CHECK(!store_write(w, STR("12345")) && !store_finish(w) && !has(s, 1, 4));
  w = store_begin(s, key_of(1), STR("head"), STORE_LENGTH_UNKNOWN);
  CHECK(store_write(w, STR("12345")));
  store_drop(w);
  CHECK(!has(s, 1, 5));
  store_free(s);
}

IT("refuses what is too large, and too small a store") {
  struct store *s = new_store(MIB, 0);
  struct store_settings small = {.bytes = MIB - 1};
  const char *why = NULL;
  CHECK(store_object_most(s) == MIB / 16);
  CHECK(!put_known(s, 1, MIB / 16) && put_known(s, 1, MIB / 16 - 1000) && has(s, 1, MIB / 16 - 1000));
  CHECK(!put(s, 2, MIB / 16, STORE_LENGTH_UNKNOWN, 1000));
  CHECK(!store_new(&small, &why));
  CHECK_STR(str_of(why), "a store has at least 1 MiB");
  small.bytes = (size_t)1 << 46;
  CHECK(!store_new(&small, &why));
  CHECK_STR(str_of(why), "it is larger than the memory of this machine");
  store_free(s);
}

IT("stays within its memory, whatever is stored") {
  struct store *s = new_store(2 * MIB, 0);
  struct store_counts counts;
  for (unsigned i = 0; i < 3000; i++) {
    CHECK(put(s, i, i * 37 % 20000, i % 3 ? i * 37 % 20000 : STORE_LENGTH_UNKNOWN, 5000));
    CHECK(has(s, i, i * 37 % 20000));
    if (i % 2) store_maintain(s, 65536);
  }
  store_count(s, &counts);
  CHECK(counts.stored == 3000 && counts.refused == 0 && counts.emptied > 300);
  store_free(s);
}

IT("never changes what is leased: it makes room elsewhere, and refuses where there is none") {
  struct store *s = new_store(MIB, 0);
  struct store_lease leases[100];
  unsigned held = 0, number = 0;
  struct store_counts counts;
  while (put_known(s, number, 30000)) {
    CHECK(store_find(s, key_of(number), &leases[held++]));
    number++;
  }
  CHECK(held > 20 && held < 40);
  for (unsigned i = 0; i < held; i++) CHECK(is_body(s, &leases[i], i, 30000));
  store_count(s, &counts);
  CHECK(counts.refused == 1);
  /* With one segment let go there is room again. */
  for (unsigned i = 0; i < 8; i++) store_release(s, &leases[i]);
  CHECK(put_known(s, 1000, 30000) && has(s, 1000, 30000));
  for (unsigned i = 8; i < held; i++) CHECK(is_body(s, &leases[i], i, 30000));
  for (unsigned i = 8; i < held; i++) store_release(s, &leases[i]);
  store_free(s);
}

IT("keeps what is used, and lets go of what is used once, when a scan goes through (S3-FIFO)") {
  struct store *s = new_store(8 * MIB, 0);
  unsigned kept = 0;
  struct store_counts counts;
  for (unsigned i = 0; i < 100; i++) {
    CHECK(put_known(s, i, 10000));
    for (unsigned use = 0; use < 3; use++) CHECK(has(s, i, 10000));
  }
  for (unsigned i = 1000; i < 3000; i++) {
    CHECK(put_known(s, i, 10000));
    while (store_maintain(s, 1 << 20)) continue;
    if (i % 20 == 0)
      for (unsigned j = 0; j < 100; j++) has(s, j, 10000);
  }
  for (unsigned i = 0; i < 100; i++) kept += has(s, i, 10000);
  store_count(s, &counts);
  CHECK(kept == 100 && counts.moved >= 100);
  store_free(s);
}

IT("stores in the main log at once what was evicted of late, and comes again") {
  struct store *s = new_store(4 * MIB, 0);
  unsigned remembered = 0, found = 0;
  for (unsigned i = 0; i < 600; i++) {
    CHECK(put_known(s, i, 10000));
    while (store_maintain(s, 1 << 20)) continue;
  }
  CHECK(!index_remembers(&s->index, store_hash(key_of(100000))));
  for (unsigned i = 100; i < 200; i++) {
    CHECK(!has(s, i, 10000));
    if (!index_remembers(&s->index, store_hash(key_of(i)))) continue;
    remembered++;
    CHECK(put_known(s, i, 10000));
  }
  CHECK(remembered > 70);
  /* New ones go through the small log, and do not push them out. */
  for (unsigned i = 1000; i < 1500; i++) {
    CHECK(put_known(s, i, 10000));
    while (store_maintain(s, 1 << 20)) continue;
  }
  for (unsigned i = 100; i < 200; i++) found += has(s, i, 10000);
  CHECK(found == remembered);
  store_free(s);
}

IT("gains a quarter of each segment of the main log that it empties, also where all in it was used") {
  struct store *s = new_store(4 * MIB, 0);
  struct store_counts before, after;
  for (unsigned i = 0; i < 1000; i++) {
    index_remember(&s->index, store_hash(key_of(i)));
    CHECK(put_known(s, i, 5000) && has(s, i, 5000) && has(s, i, 5000));
    store_count(s, &before);
    while (store_maintain(s, 1 << 20)) continue;
    store_count(s, &after);
    uint64_t emptied = after.emptied - before.emptied;
    CHECK(after.moved_bytes - before.moved_bytes <= emptied * s->segments.bytes / 4 * 3);
  }
  CHECK(after.moved > 0 && after.emptied > 0 && after.emptied_small == 0);
  store_free(s);
}

IT("tells a body whose bytes have changed") {
  struct store *s = new_store(4 * MIB, 0);
  struct store_lease lease;
  off_t place;
  CHECK(put_known(s, 1, 5000) && store_find(s, key_of(1), &lease));
  struct str part = store_lease_at(s, &lease, 0, &place);
  char *body = (char *)(uintptr_t)part.ptr;
  body[77] ^= 1;
  CHECK(!store_lease_is_sound(&lease));
  body[77] ^= 1;
  CHECK(store_lease_is_sound(&lease));
  store_release(s, &lease);
  store_free(s);
}

IT("does not bring back what was removed or replaced while it was being moved") {
  struct store *s = new_store(4 * MIB, 0);
  struct store_place place;
  bool is_unchecked;
  struct store_writer *w;
  CHECK(put_known(s, 1, 100));
  CHECK(index_find(s, store_hash(key_of(1)), key_of(1), &place, &is_unchecked));
  segments_unpin(&s->segments, place.segment);
  w = store_begin_in(s, STORE_MAIN, key_of(1), key_of(1), 3);
  CHECK(store_write(w, STR("old")) && store_remove(s, key_of(1)) && !store_finish_move(w, place, 0) &&
        !has(s, 1, 3));
  CHECK(put_known(s, 1, 200));
  w = store_begin_in(s, STORE_MAIN, key_of(1), key_of(1), 3);
  CHECK(store_write(w, STR("old")) && !store_finish_move(w, place, 0) && has(s, 1, 200));
  store_free(s);
}

IT("tells keys of one hash bucket apart, and keeps those that are used when a bucket is full") {
  struct store *s = new_store(MIB, 0);
  unsigned found = 0;
  for (unsigned i = 0; i < 2000; i++) CHECK(put_known(s, i, 10) && has(s, i, 10));
  for (unsigned i = 0; i < 2000; i++) found += has(s, i, 10);
  CHECK(found > 300);
  store_free(s);
}
