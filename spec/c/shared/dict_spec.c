// SPDX-License-Identifier: Apache-2.0
// Units for shared/dict, on a clock that stands still.
#include "shared/dict.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "threads.h"
#include "unit.h"

enum { SMALL = 65536 }; /* one shard */

static struct clock_fake now;

static struct dict *new_dict(size_t bytes) {
  clock_fake_init(&now, 1000);
  return dict_new(bytes, &now.clock);
}

static struct dict_value string(struct str s) {
  return (struct dict_value){.type = DICT_STRING, .string = s};
}
static struct dict_value number(double n) { return (struct dict_value){.type = DICT_NUMBER, .number = n}; }
static struct dict_value boolean(bool b) { return (struct dict_value){.type = DICT_BOOLEAN, .boolean = b}; }

static enum dict_result set(struct dict *d, struct str key, struct dict_value value, uint64_t ttl_ms) {
  struct dict_put how = {.ttl_ms = ttl_ms};
  return dict_put(d, key, &value, &how);
}
static enum dict_result add(struct dict *d, struct str key, struct dict_value value, uint64_t ttl_ms) {
  struct dict_put how = {.ttl_ms = ttl_ms, .when = DICT_IF_ABSENT};
  return dict_put(d, key, &value, &how);
}

static bool has(struct dict *d, struct str key) {
  struct dict_value value;
  struct buf text = {0};
  bool found = dict_get(d, key, &value, &text) == DICT_OK;
  buf_release(&text);
  return found;
}

static void check_string(struct dict *d, struct str key, const char *wanted) {
  struct dict_value value;
  struct buf text = {0};
  buf_append_str(&text, STR("what was there"));
  if (CHECK(dict_get(d, key, &value, &text) == DICT_OK && value.type == DICT_STRING))
    CHECK_STR(value.string, wanted);
  buf_release(&text);
}

static void check_number(struct dict *d, struct str key, double wanted) {
  struct dict_value value;
  struct buf text = {0};
  CHECK(dict_get(d, key, &value, &text) == DICT_OK && value.type == DICT_NUMBER && value.number == wanted);
  buf_release(&text);
}

IT("keeps strings, numbers and booleans") {
  struct dict *d = new_dict(SMALL);
  struct dict_value value;
  struct buf text = {0};
  CHECK(set(d, STR("s"), string(STR("text")), 0) == DICT_OK);
  CHECK(set(d, STR("e"), string(STR("")), 0) == DICT_OK);
  CHECK(set(d, STR("n"), number(-1.5), 0) == DICT_OK);
  CHECK(set(d, STR("b"), boolean(true), 0) == DICT_OK);
  check_string(d, STR("s"), "text");
  check_string(d, STR("e"), "");
  check_number(d, STR("n"), -1.5);
  CHECK(dict_get(d, STR("b"), &value, &text) == DICT_OK && value.type == DICT_BOOLEAN && value.boolean);
  CHECK(dict_get(d, STR("x"), &value, &text) == DICT_ABSENT);
  dict_free(d);
}

IT("takes any bytes as a key, also none") {
  struct dict *d = new_dict(SMALL);
  set(d, STR("a\0b"), number(1), 0);
  set(d, STR("a\0c"), number(2), 0);
  set(d, (struct str){NULL, 0}, number(3), 0);
  check_number(d, STR("a\0b"), 1);
  check_number(d, STR("a\0c"), 2);
  check_number(d, STR(""), 3);
  CHECK(!has(d, STR("a")));
  dict_free(d);
}

IT("replaces a value by one of any type and size, and takes no more memory for that") {
  struct dict *d = new_dict(SMALL);
  size_t empty = dict_used_bytes(d);
  set(d, STR("k"), number(1), 0);
  size_t one = dict_used_bytes(d);
  set(d, STR("k"), string(STR("a longer text than a number")), 0);
  check_string(d, STR("k"), "a longer text than a number");
  CHECK(dict_used_bytes(d) > one);
  set(d, STR("k"), number(2), 0);
  check_number(d, STR("k"), 2);
  CHECK(dict_used_bytes(d) == one && one > empty);
  CHECK(dict_delete(d, STR("k")) && !dict_delete(d, STR("k")));
  CHECK(dict_used_bytes(d) == empty);
  dict_free(d);
}

IT("adds only where there is none") {
  struct dict *d = new_dict(SMALL);
  CHECK(add(d, STR("k"), number(1), 10) == DICT_OK);
  CHECK(add(d, STR("k"), number(2), 0) == DICT_EXISTS);
  check_number(d, STR("k"), 1);
  now.ms += 10;
  CHECK(add(d, STR("k"), number(3), 0) == DICT_OK);
  check_number(d, STR("k"), 3);
  dict_free(d);
}

IT("lets an entry live for its time to the millisecond") {
  struct dict *d = new_dict(SMALL);
  uint64_t left;
  set(d, STR("k"), number(1), 500);
  now.ms += 499;
  CHECK(dict_ttl(d, STR("k"), &left) == DICT_OK && left == 1 && has(d, STR("k")));
  now.ms += 1;
  CHECK(!has(d, STR("k")) && dict_ttl(d, STR("k"), &left) == DICT_ABSENT);
  CHECK(!dict_delete(d, STR("k")));
  set(d, STR("k"), number(1), 0);
  CHECK(dict_ttl(d, STR("k"), &left) == DICT_OK && left == 0);
  set(d, STR("k"), number(1), UINT64_MAX);
  CHECK(dict_ttl(d, STR("k"), &left) == DICT_OK && left > 1000000);
  dict_free(d);
}

IT("adds up, keeps the time to live, and starts absent keys only when told from where") {
  struct dict *d = new_dict(SMALL);
  double sum = 0;
  uint64_t left;
  const struct dict_start start = {10, 100};
  CHECK(dict_incr(d, STR("k"), 1, NULL, &sum) == DICT_ABSENT && !has(d, STR("k")));
  CHECK(dict_incr(d, STR("k"), 1, &start, &sum) == DICT_OK && sum == 11);
  now.ms += 40;
  CHECK(dict_incr(d, STR("k"), -3, &start, &sum) == DICT_OK && sum == 8);
  CHECK(dict_ttl(d, STR("k"), &left) == DICT_OK && left == 60);
  now.ms += 60;
  CHECK(dict_incr(d, STR("k"), 0.5, &start, &sum) == DICT_OK && sum == 10.5);
  set(d, STR("s"), string(STR("1")), 0);
  CHECK(dict_incr(d, STR("s"), 1, &start, &sum) == DICT_NOT_A_NUMBER);
  check_string(d, STR("s"), "1");
  dict_free(d);
}

/* --- memory ------------------------------------------------------------------------------------------ */

static struct str key_of(unsigned i, char text[16]) {
  return (struct str){text, (size_t)snprintf(text, 16, "key %u", i)};
}

IT("makes room by dropping what was not used for longest") {
  struct dict *d = new_dict(SMALL);
  char value[1000] = {0}, text[16];
  for (unsigned i = 0; i < 200; i++) {
    CHECK(set(d, key_of(i, text), string((struct str){value, sizeof value}), 0) == DICT_OK);
    CHECK(has(d, STR("key 0"))); /* always in use */
    CHECK(dict_used_bytes(d) <= SMALL);
  }
  CHECK(!has(d, STR("key 1")) && !has(d, STR("key 100")));
  CHECK(has(d, STR("key 199")) && has(d, STR("key 160")));
  dict_free(d);
}

IT("refuses an entry too large for it, and keeps what the key had") {
  struct dict *d = new_dict(SMALL);
  size_t max = dict_entry_bytes_max(d);
  char *big = memory_zalloc(SMALL);
  CHECK(max > SMALL / 2);
  set(d, STR("k"), number(1), 0);
  set(d, STR("l"), number(2), 0);
  CHECK(set(d, STR("k"), string((struct str){big, SMALL}), 0) == DICT_TOO_LARGE);
  CHECK(add(d, STR("m"), string((struct str){big, SMALL}), 0) == DICT_TOO_LARGE);
  CHECK(dict_incr(d, (struct str){big, SMALL}, 1, &(struct dict_start){0, 0}, &(double){0}) ==
        DICT_TOO_LARGE);
  check_number(d, STR("k"), 1);
  check_number(d, STR("l"), 2);
  CHECK(set(d, STR("k"), string((struct str){big, max - 1}), 0) == DICT_OK); /* fits, alone */
  CHECK(has(d, STR("k")) && !has(d, STR("l")) && dict_used_bytes(d) <= SMALL);
  free(big);
  dict_free(d);
}

IT("lets the expired go as others come, before it drops what lives") {
  struct dict *d = new_dict(SMALL);
  char text[16];
  for (unsigned i = 0; i < 100; i++) set(d, key_of(i, text), number(i), 10);
  size_t full = dict_used_bytes(d);
  now.ms += 10;
  for (unsigned i = 100; i < 150; i++) set(d, key_of(i, text), number(i), 0);
  CHECK(dict_used_bytes(d) < full);
  for (unsigned i = 100; i < 150; i++) CHECK(has(d, key_of(i, text)));
  dict_free(d);
}

IT("is never smaller than 64 KiB, and never larger than it was told") {
  struct dict *d = new_dict(1);
  CHECK(dict_bytes(d) == SMALL && dict_used_bytes(d) <= SMALL);
  dict_free(d);
  d = new_dict(100 << 20);
  CHECK(dict_bytes(d) == 100 << 20 && dict_used_bytes(d) <= 100 << 20 && dict_entry_bytes_max(d) > 5 << 20);
  dict_free(d);
  dict_free(NULL);
}

IT("lists keys that live, up to the wanted number, and empties itself") {
  struct dict *d = new_dict(4 << 20); /* several shards */
  char text[16];
  unsigned count, found = 0;
  size_t empty = dict_used_bytes(d);
  set(d, STR("dead"), number(0), 1);
  now.ms += 1;
  for (unsigned i = 0; i < 50; i++) set(d, key_of(i, text), number(i), 0);
  struct str *keys = dict_keys(d, 10, &count);
  CHECK(count == 10);
  free(keys);
  keys = dict_keys(d, 1000, &count);
  CHECK(count == 50);
  for (unsigned i = 0; i < count; i++) found += str_starts_with(keys[i], STR("key ")) && has(d, keys[i]);
  CHECK(found == 50);
  free(keys);
  dict_flush(d);
  free(dict_keys(d, 1000, &count));
  CHECK(count == 0 && dict_used_bytes(d) == empty);
  dict_free(d);
}

/* --- threads ----------------------------------------------------------------------------------------- */

static void count_up(void *argument, unsigned index) {
  const struct dict_start start = {0, 0};
  double sum;
  (void)index;
  for (int i = 0; i < 10000; i++) CHECK(dict_incr(argument, STR("sum"), 1, &start, &sum) == DICT_OK);
}

IT("loses no addition between threads") {
  struct dict *d = new_dict(SMALL);
  threads_run(count_up, d);
  check_number(d, STR("sum"), THREADS * 10000);
  dict_free(d);
}

/* The value says which key it belongs to; the text is long enough for entries to crowd each other out. */
static void use(struct dict *d, unsigned i) {
  char name[16], value[300];
  struct dict_value got;
  struct buf text = {0};
  struct str key = key_of(i % 500, name);
  memset(value, 'a' + (int)(i % 500 % 26), sizeof value);
  if (i % 3) CHECK(set(d, key, string((struct str){value, i % 300}), i % 5 ? 0 : 1) == DICT_OK);
  if (dict_get(d, key, &got, &text) == DICT_OK)
    CHECK(got.string.len <= 300 && memcmp(got.string.ptr, value, got.string.len) == 0);
  if (i % 7 == 0) dict_delete(d, key);
  buf_release(&text);
}

static void use_many(void *argument, unsigned index) {
  for (unsigned i = 0; i < 5000; i++) use(argument, i * 31 + index);
  if (index == 0) dict_flush(argument);
}

IT("gives whole values only, within its bytes, while threads set, drop and delete") {
  struct dict *d = dict_new(SMALL, &clock_system);
  unsigned count;
  threads_run(use_many, d);
  CHECK(dict_used_bytes(d) <= SMALL);
  free(dict_keys(d, 1000, &count));
  CHECK(count < 500);
  dict_free(d);
}

IT("replaces only what is there, and gives what has expired as stale until its room is needed") {
  struct dict *d = new_dict(SMALL);
  struct dict_value value = number(1);
  struct dict_put how = {.when = DICT_IF_PRESENT};
  struct buf text = {0};
  bool is_stale = true;
  value.flags = 7;
  CHECK(dict_put(d, STR("k"), &value, &how) == DICT_ABSENT && !has(d, STR("k")));
  set(d, STR("k"), value, 10);
  CHECK(dict_get_stale(d, STR("k"), &value, &text, &is_stale) == DICT_OK && !is_stale && value.flags == 7);
  now.ms += 10;
  CHECK(dict_get(d, STR("k"), &value, &text) == DICT_ABSENT);
  CHECK(dict_get_stale(d, STR("k"), &value, &text, &is_stale) == DICT_OK && is_stale && value.number == 1);
  CHECK(dict_put(d, STR("k"), &value, &how) == DICT_ABSENT);
  CHECK(dict_expire(d, STR("k"), 5) == DICT_ABSENT);
  CHECK(add(d, STR("k"), number(2), 10) == DICT_OK);
  CHECK(dict_expire(d, STR("k"), 0) == DICT_OK);
  now.ms += 1000;
  check_number(d, STR("k"), 2);
  dict_expire_all(d);
  CHECK(!has(d, STR("k")) && dict_flush_expired(d, 10) == 1);
  CHECK(dict_get_stale(d, STR("k"), &value, &text, &is_stale) == DICT_ABSENT);
  buf_release(&text);
  dict_free(d);
}

IT("says when something that lived made room, and spares it where it is told so") {
  struct dict *d = new_dict(SMALL);
  char text[16];
  struct dict_value value = number(1);
  struct dict_put sparing = {.spares = true}, plain = {0};
  unsigned count = 0;
  while (dict_put(d, key_of(count, text), &value, &sparing) == DICT_OK) count++;
  CHECK(count > 100);
  for (unsigned i = 0; i < count; i++) CHECK(has(d, key_of(i, text)));
  CHECK(dict_put(d, STR("one more"), &value, &sparing) == DICT_FULL);
  CHECK(dict_put(d, key_of(3, text), &value, &sparing) == DICT_OK); /* in its own place */
  CHECK(dict_put(d, STR("one more"), &value, &plain) == DICT_OK && plain.removed);
  set(d, STR("one more"), number(1), 1);
  now.ms += 1;
  CHECK(dict_put(d, STR("another"), &value, &sparing) == DICT_OK || dict_flush_expired(d, 0) == 0);
  CHECK(dict_used_bytes(d) <= SMALL);
  dict_free(d);
}

IT("keeps lists that grow and shrink at both ends, and removes nothing that lives for them") {
  struct dict *d = new_dict(SMALL);
  struct dict_value value = string(STR("b")), popped;
  struct buf text = {0};
  unsigned count;
  size_t empty = dict_used_bytes(d);
  CHECK(dict_push(d, STR("l"), &value, DICT_BACK, &count) == DICT_OK && count == 1);
  value = number(3);
  CHECK(dict_push(d, STR("l"), &value, DICT_BACK, &count) == DICT_OK && count == 2);
  value = string(STR("a"));
  CHECK(dict_push(d, STR("l"), &value, DICT_FRONT, &count) == DICT_OK && count == 3);
  CHECK(dict_get(d, STR("l"), &popped, &text) == DICT_IS_A_LIST);
  CHECK(dict_length(d, STR("l"), &count) == DICT_OK && count == 3);
  CHECK(dict_pop(d, STR("l"), DICT_BACK, &popped, &text) == DICT_OK && popped.number == 3);
  CHECK(dict_pop(d, STR("l"), DICT_FRONT, &popped, &text) == DICT_OK);
  CHECK_STR(popped.string, "a");
  CHECK(dict_pop(d, STR("l"), DICT_FRONT, &popped, &text) == DICT_OK);
  CHECK_STR(popped.string, "b");
  CHECK(dict_pop(d, STR("l"), DICT_FRONT, &popped, &text) == DICT_ABSENT && dict_used_bytes(d) == empty);
  set(d, STR("n"), number(1), 0);
  CHECK(dict_push(d, STR("n"), &value, DICT_BACK, &count) == DICT_NOT_A_LIST);
  CHECK(dict_pop(d, STR("n"), DICT_BACK, &popped, &text) == DICT_NOT_A_LIST);
  CHECK(dict_length(d, STR("n"), &count) == DICT_NOT_A_LIST);
  while (dict_push(d, STR("l"), &value, DICT_BACK, &count) == DICT_OK) continue;
  CHECK(dict_push(d, STR("l"), &value, DICT_BACK, &count) == DICT_FULL && count > 100 && has(d, STR("n")));
  CHECK(set(d, STR("l"), number(1), 0) == DICT_OK); /* the items go with it */
  CHECK(dict_used_bytes(d) < SMALL / 2);
  buf_release(&text);
  dict_free(d);
}
