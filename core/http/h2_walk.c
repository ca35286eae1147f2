// SPDX-License-Identifier: Apache-2.0
// h2_walk: mostly the head of a frame is in the input as a whole, and is looked at there. Else its bytes are kept.
#include "http/h2_walk.h"

#include <string.h>

#include "base/big_endian.h"

enum { PRIORITY = 2, RST_STREAM = 3, PING = 6, WINDOW_UPDATE = 8 };

static struct h2_frame_head head_of(const uint8_t *at) {
  return (struct h2_frame_head){
      .length = big_endian_24(at),
      .type = at[3],
      .flags = at[4],
      .id = (int32_t)(big_endian_32(at + 5) & 0x7fffffff),
  };
}

static bool is_small(const struct h2_frame_head *head) {
  bool is_fixed =
      head->type == PRIORITY || head->type == RST_STREAM || head->type == PING || head->type == WINDOW_UPDATE;
  return is_fixed && head->length <= H2_SMALL_PAYLOAD;
}

static void keep(struct h2_walk *walk, const uint8_t **bytes, size_t *count, size_t wanted) {
  size_t taken = wanted - walk->length < *count ? wanted - walk->length : *count;
  memcpy(walk->kept + walk->length, *bytes, taken);
  walk->length += (unsigned)taken;
  *bytes += taken;
  *count -= taken;
}

/* How many bytes must be there before the frame is shown. */
static size_t wanted(const uint8_t *at, size_t count) {
  if (count < H2_FRAME_HEADER) return H2_FRAME_HEADER;
  struct h2_frame_head head = head_of(at);
  return H2_FRAME_HEADER + (is_small(&head) ? head.length : 0);
}

static struct h2_piece begin(struct h2_walk *walk, const uint8_t *at, size_t count) {
  struct h2_piece piece = {.bytes = at, .count = count, .begins = true, .head = head_of(at)};
  if (is_small(&piece.head)) piece.head.payload = at + H2_FRAME_HEADER;
  walk->left = piece.head.length + H2_FRAME_HEADER - count;
  walk->length = 0;
  return piece;
}

/* The rest of a payload, or all of a frame that is in the input. */
static size_t take(const uint8_t **bytes, size_t *count, size_t most) {
  size_t taken = most < *count ? most : *count;
  *bytes += taken;
  *count -= taken;
  return taken;
}

struct h2_piece h2_walk_step(struct h2_walk *walk, const uint8_t **bytes, size_t *count) {
  const uint8_t *start = *bytes;
  if (walk->left) {
    size_t taken = take(bytes, count, walk->left);
    walk->left -= taken;
    return (struct h2_piece){.bytes = start, .count = taken};
  }
  if (!walk->length && *count >= wanted(start, *count)) {
    size_t whole = (size_t)head_of(start).length + H2_FRAME_HEADER;
    return begin(walk, start, take(bytes, count, whole));
  }
  for (size_t most; (most = wanted(walk->kept, walk->length)) > walk->length;) {
    if (!*count) return (struct h2_piece){0};
    keep(walk, bytes, count, most);
  }
  return begin(walk, walk->kept, walk->length);
}
