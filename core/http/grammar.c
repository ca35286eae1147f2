// SPDX-License-Identifier: Apache-2.0
// grammar: the table of character classes and what is built on it.
#include "http/grammar.h"

#include <endian.h>

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

bool grammar_is_all(struct str s, enum grammar_class class) {
  for (size_t i = 0; i < s.len; i++)
    if (!grammar_is(s.ptr[i], class)) return false;
  return s.len > 0;
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

#ifndef __SSE2__
/* A high bit for each of the eight bytes that is below 0x20 or is DEL. The lowest bit is exact; above it a
 * borrow may have set others. */
static inline uint64_t controls_in(uint64_t word) {
  uint64_t low = (word - EACH_BYTE(0x20)) & ~word;
  uint64_t delete = word ^ EACH_BYTE(0x7f);
  delete = (delete - EACH_BYTE(0x01)) & ~delete;
  return (low | delete) & EACH_BYTE(0x80);
}
#endif

static inline bool is_control(unsigned char c, bool ascii_only) {
  return c < 0x20 || c == 0x7f || (ascii_only && c >= 0x80);
}

/* Sixteen bytes at once where the processor can (all x86-64 do): this is the inner loop of reading a head.
 * Bit i stands for byte i. */
#ifdef __SSE2__
#include <emmintrin.h>
enum { BLOCK = 16, BITS_PER_BYTE = 1 };

static inline uint64_t found_in(const char *bytes, bool ascii_only) {
  __m128i block = _mm_loadu_si128((const __m128i *)bytes);
  __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
  int found = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f))));
  return (uint64_t)(unsigned)(ascii_only ? found | _mm_movemask_epi8(block) : found);
}

/* 8 to 15 bytes: their first and their last 8, which may overlap. */
static inline size_t find_in_short(const char *bytes, size_t count, bool ascii_only) {
  char halves[BLOCK];
  memcpy(halves, bytes, BLOCK / 2);
  memcpy(halves + BLOCK / 2, bytes + count - BLOCK / 2, BLOCK / 2);
  uint64_t found = found_in(halves, ascii_only);
  if (!found) return count;
  size_t first = (size_t)__builtin_ctzll(found);
  return first < BLOCK / 2 ? first : count - BLOCK + first;
}
#else
enum { BLOCK = 8, BITS_PER_BYTE = 8 };

static inline uint64_t found_in(const char *bytes, bool ascii_only) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  word = le64toh(word);
  return controls_in(word) | (ascii_only ? word & EACH_BYTE(0x80) : 0);
}
#endif

static inline size_t first_of(uint64_t found) { return (size_t)__builtin_ctzll(found) / BITS_PER_BYTE; }

size_t grammar_find_control(const char *bytes, size_t from, size_t to, bool ascii_only) {
  size_t begin = from;
#ifdef __SSE2__
  if (to - from >= BLOCK / 2 && to - from < BLOCK)
    return from + find_in_short(bytes + from, to - from, ascii_only);
#endif
  for (; to - from >= BLOCK; from += BLOCK) {
    uint64_t found = found_in(bytes + from, ascii_only);
    if (found) return from + first_of(found);
  }
  if (from < to && to - begin >= BLOCK) { /* the last block may overlap what is known to be fine */
    uint64_t found = found_in(bytes + to - BLOCK, ascii_only);
    return found ? to - BLOCK + first_of(found) : to;
  }
  while (from < to && !is_control((unsigned char)bytes[from], ascii_only)) from++;
  return from;
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
