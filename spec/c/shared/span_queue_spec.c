// SPDX-License-Identifier: Apache-2.0
// Units for shared/span_queue: what goes in comes out, in order and once; a batch that is out stays until it is
// settled.
#include "shared/span_queue.h"

#include <stdatomic.h>
#include <string.h>

#include "threads.h"
#include "unit.h"

static char room[1 << 20];

static struct span_queue *new_queue(void) {
  return span_queue_kind.make(&(struct span_queue_config){SPAN_QUEUE_LEAST});
}

static void put(struct span_queue *q, unsigned worker, const char *text) {
  span_lane_put(span_queue_lane(q, worker), text, strlen(text));
}

static bool takes(struct span_queue *q, unsigned reader, size_t most, const char *wanted) {
  unsigned spans;
  size_t bytes = span_queue_take(q, reader, room, most, &spans);
  return bytes == strlen(wanted) && memcmp(room, wanted, bytes) == 0;
}

IT("gives spans of all lanes, as many as there is room for") {
  struct span_queue *q = new_queue();
  unsigned reader = span_queue_enter(q);
  CHECK(takes(q, reader, 100, ""));
  put(q, 0, "aa");
  put(q, 0, "bb");
  put(q, 3, "cc");
  CHECK(span_queue_waiting(q) == 18);
  CHECK(takes(q, reader, 5, "aabb"));
  span_queue_settle(q, reader, false);
  CHECK(takes(q, reader, 5, "cc"));
  span_queue_settle(q, reader, false);
  CHECK(takes(q, reader, 100, "") && span_queue_waiting(q) == 0);
  span_queue_kind.free(q);
}

/* A span of `length` times that letter, where there is room in the ring itself, else by a copy. */
static bool writes_in_place(struct span_lane *lane, char letter, size_t length) {
  char copy[SPAN_BYTES_MOST], *to = span_lane_room(lane);
  memset(to ? to : copy, letter, length);
  if (to)
    span_lane_commit(lane, length);
  else
    span_lane_put(lane, copy, length);
  return to != NULL;
}

IT("gives room in the ring itself, and none where its end is near or it is full") {
  struct span_queue *q = new_queue();
  struct span_lane *lane = span_queue_lane(q, 0);
  unsigned reader = span_queue_enter(q), spans, in_place = 0, copied = 0;
  enum { LENGTH = 5000, COUNT = 100 };
  for (unsigned i = 0; i < COUNT; i++) {
    bool is_in_place = writes_in_place(lane, (char)('a' + i % 26), LENGTH);
    in_place += is_in_place;
    copied += !is_in_place;
    CHECK(span_queue_take(q, reader, room, sizeof room, &spans) == LENGTH && spans == 1);
    for (size_t at = 0; at < LENGTH; at++) CHECK(room[at] == (char)('a' + i % 26));
    span_queue_settle(q, reader, false);
  }
  CHECK(in_place > COUNT * 3 / 4 && copied > 0); /* some of them went round the end */
  while (span_queue_figures(q).dropped == 0) writes_in_place(lane, 'z', LENGTH);
  CHECK(!span_lane_room(lane) && span_queue_figures(q).recorded == COUNT + SPAN_QUEUE_LEAST / (LENGTH + 4));
  span_queue_kind.free(q);
}

IT("begins a batch behind the lane that the last one began with: one that is always full keeps none out") {
  struct span_queue *q = new_queue();
  unsigned reader = span_queue_enter(q);
  put(q, 0, "aa");
  put(q, 3, "cc");
  CHECK(takes(q, reader, 2, "aa"));
  span_queue_settle(q, reader, false);
  put(q, 0, "bb");
  CHECK(takes(q, reader, 2, "cc"));
  span_queue_settle(q, reader, false);
  CHECK(takes(q, reader, 100, "bb"));
  span_queue_settle(q, reader, false);
  span_queue_kind.free(q);
}

IT("keeps a batch until it is settled, for another try or for another reader") {
  struct span_queue *q = new_queue();
  unsigned old = span_queue_enter(q);
  put(q, 0, "a");
  CHECK(takes(q, old, 100, "a"));
  put(q, 0, "b");
  CHECK(takes(q, old, 100, ""));
  span_queue_settle(q, old, true);
  CHECK(takes(q, old, 100, "ab"));
  unsigned newer = span_queue_enter(q);
  CHECK(!span_queue_is_newest(q, old) && span_queue_is_newest(q, newer));
  CHECK(takes(q, newer, 100, ""));
  span_queue_leave(q, newer);
  CHECK(takes(q, newer, 100, ""));
  span_queue_leave(q, old);
  CHECK(takes(q, newer, 100, "ab"));
  span_queue_settle(q, newer, false);
  CHECK(span_queue_waiting(q) == 0);
  span_queue_kind.free(q);
}

IT("drops what there is no room for, and counts it") {
  struct span_queue *q = new_queue();
  struct span_lane *lane = span_queue_lane(q, 0);
  unsigned reader = span_queue_enter(q), spans, all = 0;
  for (int i = 0; i < 100; i++) span_lane_put(lane, room, 1000);
  struct span_figures f = span_queue_figures(q);
  CHECK(f.recorded == SPAN_QUEUE_LEAST / 1004 && f.recorded + f.dropped == 100);
  CHECK(span_queue_take(q, reader, room, sizeof room, &spans) == 1000 * f.recorded && spans == f.recorded);
  span_lane_put(lane, room, 1000);
  CHECK(span_queue_figures(q).dropped == f.dropped + 1);
  span_queue_settle(q, reader, false);
  for (int i = 0; i < 1000; i++) { /* round the end */
    span_lane_put(lane, room, 997);
    span_queue_take(q, reader, room, sizeof room, &spans);
    all += spans;
    span_queue_settle(q, reader, false);
  }
  CHECK(all == 1000 && span_queue_figures(q).dropped == f.dropped + 1);
  span_queue_kind.free(q);
}

IT("counts what came of sending, with the reason of the last failure") {
  struct span_queue *q = new_queue();
  span_queue_note(q, 0, 0, STR("refused"));
  CHECK(span_queue_figures(q).is_down && strcmp(span_queue_figures(q).why, "refused") == 0);
  span_queue_note(q, 5, 2, STR(""));
  struct span_figures f = span_queue_figures(q);
  CHECK(!f.is_down && f.exported == 5 && f.refused == 2 && f.batches == 1 && f.failures == 1);
  char why[1000];
  memset(why, 'x', sizeof why);
  span_queue_note(q, 0, 1, (struct str){why, sizeof why});
  CHECK(strlen(span_queue_figures(q).why) == SPAN_WHY_BYTES - 1);
  span_queue_kind.free(q);
}

IT("knows whether somebody may still put spans in") {
  struct span_queue *q = new_queue();
  span_queue_add_user(q);
  span_queue_add_user(q);
  span_queue_remove_user(q);
  CHECK(span_queue_users(q) == 1);
  span_queue_remove_user(q);
  CHECK(span_queue_users(q) == 0);
  span_queue_kind.free(q);
}
