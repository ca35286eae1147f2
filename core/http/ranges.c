// SPDX-License-Identifier: Apache-2.0
// ranges: reads and writes byte ranges. No number overflows: a number of more than 64 bits is beyond any end.
#include "http/ranges.h"

#include "base/check.h"
#include "base/random.h"
#include "base/ticks.h"
#include "http/grammar.h"

#include <inttypes.h>
#include <stdio.h>

static bool parse_spec(struct str spec, uint64_t length, struct range *range, bool *is_inside);
static void add(struct ranges *ranges, struct range range);

enum ranges_result ranges_parse(struct str value, uint64_t length, struct ranges *ranges) {
  struct str spec;
  unsigned asked = 0;
  ranges->count = 0;
  if (!str_take_nocase(&value, STR("bytes="))) return RANGES_WHOLE;
  while (grammar_list_next(&value, &spec)) {
    struct range range;
    bool is_inside;
    if (++asked > RANGES_MOST || !parse_spec(spec, length, &range, &is_inside)) return RANGES_WHOLE;
    if (is_inside) add(ranges, range);
  }
  if (!asked) return RANGES_WHOLE;
  return ranges->count ? RANGES_SOME : RANGES_OUTSIDE;
}

/* Digits alone; a number that does not fit is the largest. False: it is none. */
static bool parse_number(struct str text, uint64_t *number) {
  if (str_to_u64(text, number)) return true;
  for (size_t i = 0; i < text.len; i++)
    if (!grammar_is_digit(text.ptr[i])) return false;
  *number = UINT64_MAX;
  return text.len > 0;
}

/* "first-last", "first-" or "-length from the end" (section 14.1.2). */
static bool parse_spec(struct str spec, uint64_t length, struct range *range, bool *is_inside) {
  size_t dash = str_find(spec, '-');
  struct str before = {spec.ptr, dash}, behind = str_from(spec, dash + 1);
  uint64_t first, last = UINT64_MAX;
  if (dash == spec.len) return false;
  if (!before.len) {
    if (!parse_number(behind, &last)) return false;
    *is_inside = last > 0 && length > 0;
    *range = (struct range){last < length ? length - last : 0, length - 1};
    return true;
  }
  if (!parse_number(before, &first) || (behind.len && !parse_number(behind, &last)) || last < first)
    return false;
  *is_inside = first < length;
  *range = (struct range){first, last < length ? last : length - 1};
  return true;
}

/* Is the gap between them too small to be worth a part of its own? Both are inside, so no sum overflows. */
static bool are_close(const struct range *a, const struct range *b) {
  const struct range *low = a->first <= b->first ? a : b, *high = low == a ? b : a;
  return high->first <= low->last || high->first - low->last <= RANGE_GAP;
}

/* One that is close to another becomes one with it, in the place of the earlier, and the result may be close to
 * more. */
static void add(struct ranges *ranges, struct range range) {
  unsigned at = ranges->count;
  for (unsigned i = 0; i < ranges->count;) {
    struct range *other = &ranges->items[i];
    if (i == at || !are_close(other, &range)) {
      i++;
      continue;
    }
    if (other->first < range.first) range.first = other->first;
    if (other->last > range.last) range.last = other->last;
    if (at == ranges->count) {
      at = i;
    } else {
      memmove(&ranges->items[i], &ranges->items[i + 1], (ranges->count - i - 1) * sizeof *ranges->items);
      ranges->count--;
      if (i < at) at--;
    }
    i = 0;
  }
  if (at == ranges->count) ranges->count++;
  CHECK(ranges->count <= RANGES_MOST);
  ranges->items[at] = range;
}

struct str range_field(const struct range *range, uint64_t length, struct arena *arena) {
  return arena_printf(arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first, range->last, length);
}

struct str range_field_outside(uint64_t length, struct arena *arena) {
  return arena_printf(arena, "bytes */%" PRIu64, length);
}

struct str ranges_boundary(uint64_t *dice, struct arena *arena) {
  unsigned high = random_below(dice, 1 << 30), low = random_below(dice, 1 << 30);
  return arena_printf(arena, "perilune_%08x%08x%08x", high, low, (unsigned)ticks_now());
}

struct str ranges_content_type(struct str boundary, struct arena *arena) {
  return arena_printf(arena, "multipart/byteranges; boundary=%.*s", STR_ARG(boundary));
}

#define PART_TYPE  "\r\nContent-Type: "
#define PART_RANGE "\r\nContent-Range: "

struct str ranges_part_head(const struct range *range, uint64_t length, struct str boundary,
                            struct str content_type, struct arena *arena) {
  CHECK(boundary.len <= RANGES_BOUNDARY);
  struct str field = range_field(range, length, arena);
  return arena_printf(arena, "\r\n--%.*s%s%.*s" PART_RANGE "%.*s\r\n\r\n", STR_ARG(boundary),
                      content_type.len ? PART_TYPE : "", STR_ARG(content_type), STR_ARG(field));
}

struct str ranges_end(struct str boundary, struct arena *arena) {
  return arena_printf(arena, "\r\n--%.*s--\r\n", STR_ARG(boundary));
}

static uint64_t digits_of(uint64_t number) {
  uint64_t digits = 1;
  for (; number > 9; number /= 10) digits++;
  return digits;
}

uint64_t ranges_body_length(const struct ranges *ranges, uint64_t length, struct str boundary,
                            struct str content_type) {
  uint64_t sum = strlen("\r\n--") + boundary.len + strlen("--\r\n");
  for (unsigned i = 0; i < ranges->count; i++) {
    const struct range *range = &ranges->items[i];
    sum += strlen("\r\n--") + boundary.len + (content_type.len ? strlen(PART_TYPE) + content_type.len : 0);
    sum += strlen(PART_RANGE "bytes -/\r\n\r\n");
    sum += digits_of(range->first) + digits_of(range->last) + digits_of(length) + range_length(range);
  }
  return sum;
}
