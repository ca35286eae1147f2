// SPDX-License-Identifier: Apache-2.0
// grammar: the small pieces of HTTP's grammar that several files need: character classes, lists, and the
// search for control characters, which is the inner loop of reading a head.
#ifndef PERILUNE_HTTP_GRAMMAR_H
#define PERILUNE_HTTP_GRAMMAR_H

#include "base/str.h"

enum grammar_class {
  CLASS_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
  CLASS_TARGET = 2, /* what a request target may hold: visible ASCII but '#' (a fragment is never sent) */
  CLASS_HOST = 4, /* unreserved and sub-delims of a reg-name, RFC 3986 section 3.2.2; '%' is checked apart */
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

/* Position of the first byte in [from, to) that is a control character (tab and DEL included), or, where
 * `ascii_only`, not ASCII; `to` where there is none. Looks at eight bytes at a time. */
size_t grammar_find_control(const char *bytes, size_t from, size_t to, bool ascii_only);

/* No control character but tab: what field values, reasons and quoted text may hold. May be empty. */
bool grammar_is_text(struct str s);

/* Takes the next member off a comma-separated list (RFC 9110 section 5.6.1), without surrounding white space.
 * Empty members are skipped, as recipients must. Start with rest = the value; false at the end. Knows no
 * quoted strings. */
bool grammar_list_next(struct str *rest, struct str *member);

#endif
