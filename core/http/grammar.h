// SPDX-License-Identifier: Apache-2.0
// grammar: the small pieces of HTTP's grammar that several files need: character classes, lists, and the
// search for control characters, which is the inner loop of reading a head.
#ifndef PERILUNE_HTTP_GRAMMAR_H
#define PERILUNE_HTTP_GRAMMAR_H

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <endian.h>
#endif

#include "base/str.h"

enum grammar_class {
  CLASS_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
  CLASS_TARGET = 2, /* what a request target may hold: visible ASCII but '#' (a fragment is never sent) */
  CLASS_HOST = 4, /* of a reg-name: unreserved, sub-delims but the comma (RFC 3986 section 3.2.2); not '%' */
  CLASS_HEX = 8
};

extern const unsigned char grammar_classes[256];

static inline bool grammar_is(char c, enum grammar_class class) {
  return (grammar_classes[(unsigned char)c] & class) != 0;
}
static inline bool grammar_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool grammar_is_space(char c) { return c == ' ' || c == '\t'; }

/* Is every byte of the class, and is there at least one? */
bool grammar_is_all(struct str s, enum grammar_class class);

/* Blocks of bytes are looked at at once, sixteen where the processor can (all x86-64 do). Which of a block are control
 * characters (tab and DEL included), or, where `ascii_only`, not ASCII: GRAMMAR_BITS bits stand for each byte, the
 * highest of which is set. */
#ifdef __SSE2__
enum { GRAMMAR_BLOCK = 16, GRAMMAR_BITS = 1 };

static inline uint64_t grammar_controls_in(const char *bytes, bool ascii_only) {
  __m128i block = _mm_loadu_si128((const __m128i *)bytes);
  __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
  int found = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f))));
  return (uint64_t)(unsigned)(ascii_only ? found | _mm_movemask_epi8(block) : found);
}
#else
enum { GRAMMAR_BLOCK = 8, GRAMMAR_BITS = 8 };

static inline uint64_t grammar_controls_in(const char *bytes, bool ascii_only) {
  const uint64_t each = UINT64_C(0x0101010101010101);
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  word = le64toh(word);
  /* Sums of seven bits: no byte carries into the next. */
  uint64_t not_low = ((word & each * 0x7f) + each * 0x60) | word;
  uint64_t other = word ^ each * 0x7f, not_delete = ((other & each * 0x7f) + each * 0x7f) | other;
  return (~(not_low & not_delete) | (ascii_only ? word : 0)) & each * 0x80;
}
#endif
static inline size_t grammar_first_of(uint64_t found) {
  return (size_t)__builtin_ctzll(found) / GRAMMAR_BITS;
}

/* Position of the first byte in [from, to) that is a control character (tab and DEL included), or, where
 * `ascii_only`, not ASCII; `to` where there is none. */
size_t grammar_find_control(const char *bytes, size_t from, size_t to, bool ascii_only);

/* Are there exactly so many control characters but tabs (DEL is none)? */
bool grammar_has_controls(const char *bytes, size_t count, size_t wanted);
/* Copies, and counts control characters in passing, tabs among them (DEL is none). */
size_t grammar_copy(char *to, struct str text);
/* The same where there should be none: are there any? */
bool grammar_copy_finds(char *to, struct str text);

/* No control character but tab: what field values, reasons and quoted text may hold. May be empty. */
bool grammar_is_text(struct str s);

/* Takes the next member off a comma-separated list (RFC 9110 section 5.6.1), without surrounding white space.
 * Empty members are skipped, as recipients must. Start with rest = the value; false at the end. Knows no
 * quoted strings. */
bool grammar_list_next(struct str *rest, struct str *member);

#endif
