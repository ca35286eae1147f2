// SPDX-License-Identifier: Apache-2.0
// grammar: the table of character classes and what is built on it.
#include "http/grammar.h"

#define WORD     (CLASS_TOKEN | CLASS_TARGET | CLASS_HOST)
#define HEX_WORD (WORD | CLASS_HEX)
#define TOKEN    (CLASS_TOKEN | CLASS_TARGET)
#define DELIM    (CLASS_HOST | CLASS_TARGET)

const unsigned char grammar_classes[256] = {
    ['!'] = WORD,         ['"'] = CLASS_TARGET, ['#'] = CLASS_TOKEN,   ['$'] = WORD,
    ['%'] = TOKEN,        ['&'] = WORD,         ['\''] = WORD,         ['('] = DELIM,
    [')'] = DELIM,        ['*'] = WORD,         ['+'] = WORD,          [','] = DELIM,
    ['-'] = WORD,         ['.'] = WORD,         ['/'] = CLASS_TARGET,  ['0' ... '9'] = HEX_WORD,
    [':'] = CLASS_TARGET, [';'] = DELIM,        ['<'] = CLASS_TARGET,  ['='] = DELIM,
    ['>'] = CLASS_TARGET, ['?'] = CLASS_TARGET, ['@'] = CLASS_TARGET,  ['A' ... 'F'] = HEX_WORD,
    ['G' ... 'Z'] = WORD, ['['] = CLASS_TARGET, ['\\'] = CLASS_TARGET, [']'] = CLASS_TARGET,
    ['^'] = TOKEN,        ['_'] = WORD,         ['`'] = TOKEN,         ['a' ... 'f'] = HEX_WORD,
    ['g' ... 'z'] = WORD, ['{'] = CLASS_TARGET, ['|'] = TOKEN,         ['}'] = CLASS_TARGET,
    ['~'] = WORD,
};

/* Four bytes at a time, and no early end: what is not of the class is rare. */
bool grammar_is_all(struct str s, enum grammar_class class) {
  unsigned all = class;
  const unsigned char *at = (const unsigned char *)s.ptr, *end = at + s.len;
  for (; end - at >= 4; at += 4)
    all &= grammar_classes[at[0]] & grammar_classes[at[1]] & grammar_classes[at[2]] & grammar_classes[at[3]];
  for (; at < end; at++) all &= grammar_classes[*at];
  return s.len > 0 && all;
}

static inline bool is_control(unsigned char c, bool ascii_only) {
  return c < 0x20 || c == 0x7f || (ascii_only && c >= 0x80);
}

#ifdef __SSE2__
/* 8 to 15 bytes: their first and their last 8, which may overlap. */
static inline size_t find_in_short(const char *bytes, size_t count, bool ascii_only) {
  char halves[GRAMMAR_BLOCK];
  memcpy(halves, bytes, GRAMMAR_BLOCK / 2);
  memcpy(halves + GRAMMAR_BLOCK / 2, bytes + count - GRAMMAR_BLOCK / 2, GRAMMAR_BLOCK / 2);
  uint64_t found = grammar_controls_in(halves, ascii_only);
  if (!found) return count;
  size_t first = (size_t)__builtin_ctzll(found);
  return first < GRAMMAR_BLOCK / 2 ? first : count - GRAMMAR_BLOCK + first;
}
#endif

size_t grammar_find_control(const char *bytes, size_t from, size_t to, bool ascii_only) {
  size_t begin = from;
#ifdef __SSE2__
  if (to - from >= GRAMMAR_BLOCK / 2 && to - from < GRAMMAR_BLOCK)
    return from + find_in_short(bytes + from, to - from, ascii_only);
#endif
  for (; to - from >= GRAMMAR_BLOCK; from += GRAMMAR_BLOCK) {
    uint64_t found = grammar_controls_in(bytes + from, ascii_only);
    if (found) return from + grammar_first_of(found);
  }
  if (from < to && to - begin >= GRAMMAR_BLOCK) { /* the last block may overlap what is known to be fine */
    uint64_t found = grammar_controls_in(bytes + to - GRAMMAR_BLOCK, ascii_only);
    return found ? to - GRAMMAR_BLOCK + grammar_first_of(found) : to;
  }
  while (from < to && !is_control((unsigned char)bytes[from], ascii_only)) from++;
  return from;
}

static size_t count_in_bytes(const char *bytes, size_t count, bool with_tabs) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++)
    found += (unsigned char)bytes[i] < 0x20 && (with_tabs || bytes[i] != '\t');
  return found;
}

#ifdef __SSE2__
/* 16 bytes, of ones where a control character is. */
static inline __m128i low_in(const char *bytes) {
  __m128i block = _mm_loadu_si128((const __m128i *)bytes);
  return _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
}

/* The same of the last `rest` bytes before `end`, fewer than a block: what is before them in the block does
 * not count. */
static inline __m128i low_in_rest(const char *end, size_t rest) {
  static const char masks[2 * GRAMMAR_BLOCK] = {[GRAMMAR_BLOCK... 2 * GRAMMAR_BLOCK - 1] = -1};
  return _mm_and_si128(low_in(end - GRAMMAR_BLOCK), _mm_loadu_si128((const __m128i *)(masks + rest)));
}

static inline size_t sum_of(__m128i bytes) {
  __m128i sums = _mm_sad_epu8(bytes, _mm_setzero_si128());
  return (size_t)_mm_cvtsi128_si64(sums) + (size_t)_mm_extract_epi16(sums, 4);
}

/* Tabs included. Each byte of a sum counts up to 255; two blocks at a time. */
static size_t count_low(const char *bytes, size_t count) {
  const char *end = bytes + count;
  size_t found = 0;
  if (count < GRAMMAR_BLOCK) return count_in_bytes(bytes, count, true);
  for (;;) {
    __m128i sum = _mm_setzero_si128();
    size_t pairs = (size_t)(end - bytes) / 32;
    for (const char *stop = bytes + (pairs < 126 ? pairs : 126) * 32; bytes < stop; bytes += 32)
      sum = _mm_sub_epi8(_mm_sub_epi8(sum, low_in(bytes)), low_in(bytes + GRAMMAR_BLOCK));
    if (end - bytes >= 32) {
      found += sum_of(sum);
      continue;
    }
    if (end - bytes >= GRAMMAR_BLOCK) sum = _mm_sub_epi8(sum, low_in(bytes));
    return found + sum_of(_mm_sub_epi8(sum, low_in_rest(end, (size_t)(end - bytes) % GRAMMAR_BLOCK)));
  }
}
#else
static size_t count_low(const char *bytes, size_t count) { return count_in_bytes(bytes, count, true); }
#endif

/* Tabs are rare: they are told from the others only where something was found that was not expected. */
bool grammar_has_controls(const char *bytes, size_t count, size_t wanted) {
  return count_low(bytes, count) == wanted || count_in_bytes(bytes, count, false) == wanted;
}

bool grammar_is_text(struct str s) {
  for (size_t at = 0; at < s.len; at++) {
    at = grammar_find_control(s.ptr, at, s.len, false);
    if (at < s.len && s.ptr[at] != '\t') return false;
  }
  return true;
}

bool grammar_list_next(struct str *rest, struct str *member) {
  while (str_split(rest, ',', member)) {
    *member = str_trim(*member);
    if (member->len) return true;
  }
  return false;
}
