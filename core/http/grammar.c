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
