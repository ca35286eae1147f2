// SPDX-License-Identifier: Apache-2.0
// h2_walk: where the frames of one direction begin and end (RFC 9113 section 4.1), and nothing else of them. nghttp2
// shows only the frames that it does not ignore, but what is ignored costs time, too, and some of it breaks a rule: so
// each frame is looked at before nghttp2 gets it. Frames of a few bytes are shown whole.
#ifndef PERILUNE_HTTP_H2_WALK_H
#define PERILUNE_HTTP_H2_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  H2_FRAME_HEADER = 9,
  H2_SMALL_PAYLOAD = 8 /* PRIORITY, RST_STREAM, PING, WINDOW_UPDATE have no more */
};

struct h2_frame_head {
  uint32_t length;
  uint8_t type, flags;
  int32_t id;             /* without the reserved bit */
  const uint8_t *payload; /* whole, where it is small and the type is one of those; else NULL */
};

/* Zero is the start. */
struct h2_walk {
  size_t left;     /* of the payload of the frame under way */
  unsigned length; /* of `kept` */
  uint8_t kept[H2_FRAME_HEADER + H2_SMALL_PAYLOAD];
};

/* A piece of the input. */
struct h2_piece {
  const uint8_t *bytes; /* in the input, or in the walk until its next step */
  size_t count;         /* of them; 0: the input was too short, and is kept */
  bool begins;          /* a frame, whose head is known */
  struct h2_frame_head head;
};

/* Takes the next piece off the input: a frame from its start on, as far as it is there, or more of the one before. */
struct h2_piece h2_walk_step(struct h2_walk *walk, const uint8_t **bytes, size_t *count);
/* A frame has begun, and is not whole. */
static inline bool h2_walk_is_inside(const struct h2_walk *walk) { return walk->left || walk->length; }

#endif
