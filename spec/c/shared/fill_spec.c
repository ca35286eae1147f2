// SPDX-License-Identifier: Apache-2.0
// Units for shared/fill and shared/cache: readers of what still comes, its window, and what was purged meanwhile.
#include "shared/fill.h"

#include <stdlib.h>
#include <string.h>

#include "shared/cache.h"
#include "unit.h"

static unsigned told;
static void tell(struct fill_seat *seat) {
  (void)seat;
  told++;
}

static struct cache *new_cache(void) {
  const char *why;
  struct cache *c = cache_new(&(struct cache_config){.bytes = 1 << 20}, &why);
  CHECK(c);
  return c;
}

static void run(struct fill *f, uint64_t length) {
  struct fill_head head = {STR("key"), STR("head"), {0}, length};
  CHECK(fill_run(f, &head) && fill_state(f) == FILL_RUNS);
}

/* All that there is for the seat; the last answer. */
static enum fill_io read_all(struct fill *f, struct fill_seat *seat, struct buf *copy, char *text) {
  struct str slice;
  enum fill_io io;
  while ((io = fill_read(f, seat, &slice, copy)) == FILL_READ) {
    memcpy(text + seat->at, slice.ptr, slice.len);
    fill_read_on(f, seat, slice.len);
  }
  text[seat->at] = '\0';
  return io;
}

IT("gives all who wait one fill, which the first of them has to feed") {
  struct cache *c = new_cache();
  struct fill_seat one = {.tell = tell}, two = {.tell = tell};
  struct fill *first, *second;
  CHECK(cache_join(c, STR("key"), &one, &first) == CACHE_FILLS && cache_is_filling(c, STR("key")));
  CHECK(cache_join(c, STR("key"), &two, &second) == CACHE_WAITS && first == second);
  cache_unlist(c, first);
  cache_unlist(c, first);
  CHECK(!cache_is_filling(c, STR("key")) && cache_fills(c) == 0);
  fill_leave(first, &one);
  fill_leave(first, &two);
  fill_release(first);
  fill_release(second);
  cache_release(c);
}

IT("is read as far as it has come, to its end, and found in the store then") {
  struct cache *c = new_cache();
  struct fill_seat seat = {.tell = tell};
  struct buf copy = {0};
  struct store_lease lease;
  char text[64];
  struct fill *f = cache_fill_alone(c, STR("key"), &seat);
  CHECK(read_all(f, &seat, &copy, text) == FILL_WAITS);
  told = 0;
  run(f, 8);
  CHECK(told == 1 && fill_begin_reading(f, &seat));
  CHECK(fill_write(f, STR("body")) && told == 2);
  CHECK(read_all(f, &seat, &copy, text) == FILL_WAITS && strcmp(text, "body") == 0);
  CHECK(!store_find(cache_store(c), STR("key"), &lease));
  CHECK(fill_write(f, STR("tail")) && fill_finish(f, true) && fill_state(f) == FILL_WHOLE);
  CHECK(read_all(f, &seat, &copy, text) == FILL_END && strcmp(text, "bodytail") == 0);
  CHECK(store_find(cache_store(c), STR("key"), &lease) && lease.length == 8);
  store_release(cache_store(c), &lease);
  fill_leave(f, &seat);
  fill_release(f);
  cache_release(c);
}

IT("is broken where it ends early, or was not what was announced, and then found by nobody") {
  struct cache *c = new_cache();
  struct store_lease lease;
  for (int ends = 0; ends < 2; ends++) {
    struct fill_seat seat = {.tell = tell};
    struct buf copy = {0};
    char text[64];
    struct fill *f = cache_fill_alone(c, STR("key"), &seat);
    run(f, 8);
    CHECK(fill_write(f, STR("body")));
    if (ends)
      fill_end(f, FILL_FAILED);
    else
      CHECK(!fill_finish(f, true));
    CHECK(fill_state(f) == FILL_FAILED && read_all(f, &seat, &copy, text) == FILL_BROKE);
    CHECK(!store_find(cache_store(c), STR("key"), &lease));
    fill_leave(f, &seat);
    fill_release(f);
  }
  cache_release(c);
}

/* Of no length that is known, and more than an object may have. */
IT("goes on in a window where the store has no room, at the pace of the slowest reader") {
  enum { PART = 16384, PARTS = 40 };
  struct cache *c = new_cache();
  struct fill_seat seat = {.tell = tell}, filler = {.tell = tell};
  struct buf copy = {0};
  static char part[PART], text[PART * PARTS + 1];
  struct fill *f = cache_fill_alone(c, STR("key"), &seat);
  fill_sit(f, &filler);
  fill_set_filler(f, &filler);
  run(f, STORE_LENGTH_UNKNOWN);
  CHECK(fill_begin_reading(f, &seat));
  unsigned written = 0;
  bool was_full = false;
  for (; written < PARTS; written++) {
    memset(part, 'a' + (int)(written % 26), PART);
    if (fill_write(f, (struct str){part, PART})) continue;
    CHECK(f->overflows);
    told = 0;
    CHECK(read_all(f, &seat, &copy, text) == FILL_WAITS && told > 0);
    CHECK(fill_write(f, (struct str){part, PART}));
    CHECK(buf_len(&f->window) <= FILL_WINDOW);
    was_full = true;
  }
  CHECK(was_full);
  CHECK(f->overflows && fill_finish(f, true));
  CHECK(read_all(f, &seat, &copy, text) == FILL_END && seat.at == (uint64_t)PART * PARTS);
  for (unsigned i = 0; i < PARTS; i++)
    CHECK(text[i * PART] == 'a' + (int)(i % 26) && text[i * PART + PART - 1] == text[i * PART]);
  fill_leave(f, &seat);
  CHECK(fill_is_vain(f));
  fill_leave(f, &filler);
  buf_release(&copy);
  fill_release(f);
  cache_release(c);
}

IT("forgets a refusal when it is told to") {
  struct cache *c = new_cache();
  cache_remember_refusal(c, STR("key"), 60000);
  CHECK(cache_remembers_refusal(c, STR("key")) && !cache_remembers_refusal(c, STR("other")));
  cache_forget_refusal(c, STR("key"));
  CHECK(!cache_remembers_refusal(c, STR("key")));
  cache_release(c);
}
