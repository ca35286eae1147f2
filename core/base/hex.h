// SPDX-License-Identifier: Apache-2.0
// hex: hexadecimal digits, and what is written with them.
#ifndef PERILUNE_BASE_HEX_H
#define PERILUNE_BASE_HEX_H

#include "base/str.h"

static const char hex_lower[] = "0123456789abcdef", hex_upper[] = "0123456789ABCDEF";

/* Of a digit in lower case, where nothing else is allowed; -1: it is none. */
static inline int hex_lower_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}
/* -1: it is no digit. */
static inline int hex_value(char digit) { return hex_lower_value(ascii_lower(digit)); }

/* The byte of two digits; -1: they are none. */
static inline int hex_byte_of(const char *digits) {
  int high = hex_value(digits[0]), low = high < 0 ? -1 : hex_value(digits[1]);
  return low < 0 ? -1 : high << 4 | low;
}

/* The two digits of a byte, in one of the alphabets above. */
static inline void hex_put(char *to, char byte, const char *digits) {
  to[0] = digits[(unsigned char)byte >> 4];
  to[1] = digits[(unsigned char)byte & 15];
}

/* Those of all bytes, in lower case: twice as many characters. */
static inline void hex_put_text(char *to, struct str bytes) {
  for (size_t i = 0; i < bytes.len; i++) hex_put(to + 2 * i, bytes.ptr[i], hex_lower);
}

enum { HEX_PERCENT_BYTES = 3 };
/* "%2F" (RFC 3986 section 2.1). How long that is. */
static inline size_t hex_put_percent(char *to, char byte) {
  to[0] = '%';
  hex_put(to + 1, byte, hex_upper);
  return HEX_PERCENT_BYTES;
}

#endif
