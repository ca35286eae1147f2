// SPDX-License-Identifier: Apache-2.0
// h2_walk: frames in pieces of any size.
#include "http/h2_walk.h"

#include "unit.h"

/* PING, DATA of 3 octets with the reserved bit, an unknown frame without payload, a PRIORITY that is too long. */
static const uint8_t FRAMES[] = {0, 0, 8, 6,  1, 0,    0, 0, 0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', /* */
                                 0, 0, 3, 0,  1, 0x80, 0, 0, 5, 'x', 'y', 'z',                          /* */
                                 0, 0, 0, 99, 7, 0,    0, 0, 9,                                         /* */
                                 0, 0, 9, 2,  0, 0,    0, 0, 1, '1', '2', '3', '4', '5', '6', '7', '8', '9'};

struct seen {
  unsigned frames;
  uint8_t bytes[sizeof FRAMES];
  size_t count;
  struct h2_frame_head heads[4];
};

static void walk(struct h2_walk *walk, const uint8_t *bytes, size_t count, struct seen *seen) {
  while (count) {
    struct h2_piece piece = h2_walk_step(walk, &bytes, &count);
    if (!piece.count) return;
    memcpy(seen->bytes + seen->count, piece.bytes, piece.count);
    seen->count += piece.count;
    if (!piece.begins) continue;
    if (piece.head.payload) CHECK(memcmp(piece.head.payload, "abcdefgh", 8) == 0);
    seen->heads[seen->frames++] = piece.head;
  }
}

static void check(const struct seen *seen) {
  const struct h2_frame_head *heads = seen->heads;
  if (!CHECK(seen->frames == 4 && seen->count == sizeof FRAMES)) return;
  CHECK(memcmp(seen->bytes, FRAMES, sizeof FRAMES) == 0);
  CHECK(heads[0].type == 6 && heads[0].length == 8 && heads[0].id == 0 && heads[0].payload);
  CHECK(heads[1].type == 0 && heads[1].length == 3 && heads[1].id == 5 && !heads[1].payload);
  CHECK(heads[2].type == 99 && heads[2].length == 0 && heads[2].flags == 7 && heads[2].id == 9);
  CHECK(heads[3].type == 2 && heads[3].length == 9 && !heads[3].payload);
}

IT("shows each frame once, and passes on each byte, however they come") {
  for (size_t size = 1; size <= sizeof FRAMES; size++) {
    struct h2_walk state = {0};
    struct seen seen = {0};
    for (size_t at = 0; at < sizeof FRAMES; at += size)
      walk(&state, FRAMES + at, size < sizeof FRAMES - at ? size : sizeof FRAMES - at, &seen);
    check(&seen);
    CHECK(!h2_walk_is_inside(&state));
  }
}

IT("is inside of a frame from its first byte to its last") {
  struct h2_walk state = {0};
  struct seen seen = {0};
  walk(&state, FRAMES, 1, &seen);
  CHECK(h2_walk_is_inside(&state) && !seen.frames);
  walk(&state, FRAMES + 1, 17 + 10, &seen);
  CHECK(h2_walk_is_inside(&state) && seen.frames == 2);
  walk(&state, FRAMES + 28, 1, &seen);
  CHECK(!h2_walk_is_inside(&state));
}
