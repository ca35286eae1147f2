// SPDX-License-Identifier: Apache-2.0
// ranges: byte ranges of a representation whose length is known (RFC 9110 section 14), and the framing of an answer
// with several of them (section 14.6). Bounded: a request for many or for overlapping ranges costs no more than the
// whole.
#ifndef PERILUNE_HTTP_RANGES_H
#define PERILUNE_HTTP_RANGES_H

#include "http/headers.h"

/* More in one request are not served: it is answered as if it had not asked (section 14.2 allows that). Gaps
 * smaller than what a part costs are sent with the ranges on both sides of them (section 15.3.7.2). */
enum { RANGES_MOST = 16, RANGE_GAP = 80 };

struct range {
  uint64_t first, last; /* both are sent */
};

struct ranges {
  unsigned count;
  struct range items[RANGES_MOST]; /* as asked for; none overlaps or touches another */
};

enum ranges_result {
  RANGES_WHOLE,  /* no Range, or none that counts: 200 */
  RANGES_SOME,   /* 206 */
  RANGES_OUTSIDE /* 416: well-formed, and all beyond the end */
};

/* `value`: of the Range field; empty: there is none. */
enum ranges_result ranges_parse(struct str value, uint64_t length, struct ranges *ranges);

static inline uint64_t range_length(const struct range *range) { return range->last - range->first + 1; }

/* Content-Range of one range, and of a 416. In arena memory. */
struct str range_field(const struct range *range, uint64_t length, struct arena *arena);
struct str range_field_outside(uint64_t length, struct arena *arena);

/* multipart/byteranges. `boundary` is at most RANGES_BOUNDARY bytes, and in none of the parts. The head of each part
 * stands before its bytes; the end is behind the last one. In arena memory. */
enum { RANGES_BOUNDARY = 70 };
/* A new one; `dice` is of random_below. */
struct str ranges_boundary(uint64_t *dice, struct arena *arena);
struct str ranges_content_type(struct str boundary, struct arena *arena);
struct str ranges_part_head(const struct range *range, uint64_t length, struct str boundary,
                            struct str content_type, struct arena *arena);
struct str ranges_end(struct str boundary, struct arena *arena);
/* How many bytes all of it has. */
uint64_t ranges_body_length(const struct ranges *ranges, uint64_t length, struct str boundary,
                            struct str content_type);

#endif
