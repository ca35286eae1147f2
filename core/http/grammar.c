// SPDX-License-Identifier: Apache-2.0
// grammar: the table of character classes, and the functions that use it.
#include "http/grammar.h"

#define WORD     (CLASS_TOKEN | CLASS_TARGET | CLASS_HOST)
#define HEX_WORD (WORD | CLASS_HEX)
#define TOKEN    (CLASS_TOKEN | CLASS_TARGET)
#define DELIM    (CLASS_HOST | CLASS_TARGET)

const unsigned char grammar_classes[256] = {
    ['!'] = WORD,         ['"'] = CLASS_TARGET, ['#'] = CLASS_TOKEN,   ['$'] = WORD,
    ['%'] = TOKEN,        ['&'] = WORD,         ['\''] = WORD,         ['('] = DELIM,
    [')'] = DELIM,        ['*'] = WORD,         ['+'] = WORD,          [','] = CLASS_TARGET,
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

static size_t count_controls(const char *bytes, size_t count, bool with_tabs) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++)
    found += (unsigned char)bytes[i] < 0x20 && (with_tabs || bytes[i] != '\t');
  return found;
}

bool grammar_has_controls(const char *bytes, size_t count, size_t wanted) {
  return count_controls(bytes, count, false) == wanted;
}

#ifdef __SSE2__
/* 16 bytes, of ones where a control character is. */
static inline __m128i low_in(__m128i block) {
  return _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
}

static inline __m128i copy_block(char *to, const char *from) {
  __m128i block = _mm_loadu_si128((const __m128i *)from);
  _mm_storeu_si128((__m128i *)to, block);
  return block;
}

/* The same as low_in of the last `rest` bytes, fewer than all: what is before them does not count. */
static inline __m128i low_in_rest(__m128i block, size_t rest) {
  static const char masks[2 * GRAMMAR_BLOCK] = {[GRAMMAR_BLOCK... 2 * GRAMMAR_BLOCK - 1] = -1};
  return _mm_and_si128(low_in(block), _mm_loadu_si128((const __m128i *)(masks + rest)));
}

static inline size_t sum_of(__m128i bytes) {
  __m128i sums = _mm_sad_epu8(bytes, _mm_setzero_si128());
  return (size_t)_mm_cvtsi128_si64(sums) + (size_t)_mm_extract_epi16(sums, 4);
}

/* Two words, which may overlap, of 1 to 8 bytes each. True: there is a control character. */
static inline __attribute__((always_inline)) bool copy_words(char *to, struct str text, size_t bytes) {
  uint64_t first = 0, last = 0;
  memcpy(&first, text.ptr, bytes);
  memcpy(&last, text.ptr + text.len - bytes, bytes);
  memcpy(to, &first, bytes);
  memcpy(to + text.len - bytes, &last, bytes);
  int found = _mm_movemask_epi8(low_in(_mm_set_epi64x((long long)last, (long long)first)));
  return (found & ((1 << bytes) - 1) * 0x101) != 0;
}

/* Of all blocks together the smallest bytes are kept. The last block may overlap the one before it. */
static inline bool copy_blocks(char *to, struct str text) {
  size_t last = text.len - GRAMMAR_BLOCK;
  __m128i least = copy_block(to + last, text.ptr + last);
  for (size_t at = 0; at < last; at += GRAMMAR_BLOCK)
    least = _mm_min_epu8(least, copy_block(to + at, text.ptr + at));
  return _mm_movemask_epi8(low_in(least));
}

bool grammar_copy_finds(char *to, struct str text) {
  if (text.len >= GRAMMAR_BLOCK) return copy_blocks(to, text);
  if (text.len >= 8) return copy_words(to, text, 8);
  if (text.len >= 4) return copy_words(to, text, 4);
  if (text.len >= 2) return copy_words(to, text, 2);
  return text.len && copy_words(to, text, 1);
}

/* Blocks: each byte of a sum counts to 255, and the rest behind them is one more. */
enum { SUM_MOST = 254 };

/* Sixteen bytes at a time; the last block may overlap the one before it. */
size_t grammar_copy(char *to, struct str text) {
  size_t found = 0, at = 0, rest = text.len % GRAMMAR_BLOCK, whole = text.len - rest;
  if (text.len < GRAMMAR_BLOCK)
    return grammar_copy_finds(to, text) ? count_controls(text.ptr, text.len, true) : 0;
  __m128i sum = _mm_setzero_si128();
  for (;;) {
    size_t most = (size_t)SUM_MOST * GRAMMAR_BLOCK, stop = whole - at > most ? at + most : whole;
    for (; at < stop; at += GRAMMAR_BLOCK)
      sum = _mm_sub_epi8(sum, low_in(copy_block(to + at, text.ptr + at)));
    if (at == whole) break;
    found += sum_of(sum);
    sum = _mm_setzero_si128();
  }
  at = text.len - GRAMMAR_BLOCK;
  if (rest) sum = _mm_sub_epi8(sum, low_in_rest(copy_block(to + at, text.ptr + at), rest));
  return found + sum_of(sum);
}
#else
size_t grammar_copy(char *to, struct str text) {
  if (text.len) memcpy(to, text.ptr, text.len);
  return count_controls(text.ptr, text.len, true);
}

bool grammar_copy_finds(char *to, struct str text) { return grammar_copy(to, text) != 0; }
#endif

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
