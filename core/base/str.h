// SPDX-License-Identifier: Apache-2.0
// str: a slice of text, {ptr, len}. It owns nothing, is not terminated, and lives as long as the bytes it
// points into. All HTTP text in this program is handled as slices.
#ifndef PERILUNE_BASE_STR_H
#define PERILUNE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
  const char *ptr;
  size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                                    \
  { "" literal, sizeof(literal) - 1 }
/* For printf: printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *text) { return (struct str){text, text ? strlen(text) : 0}; }
static inline bool str_is_empty(struct str s) { return s.len == 0; }

/* For "%u worker%s": the ending of the word behind a count. */
static inline const char *plural(uint64_t count) { return count == 1 ? "" : "s"; }

static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static inline bool str_equal(struct str a, struct str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Copies to a C text. False: it does not fit, or has a NUL, behind which C would not look. */
bool str_to_text(struct str s, char *text, size_t room);

/* Less than, equal to or greater than 0, by bytes: a text comes before all that it begins. */
int str_compare(struct str a, struct str b);

/* Of str_equal_nocase, for texts of one length. */
bool str_same_nocase(const char *a, const char *b, size_t length);
/* Equal without regard to the case of ASCII letters; what field names, schemes and host names want. */
static inline bool str_equal_nocase(struct str a, struct str b) {
  return a.len == b.len && str_same_nocase(a.ptr, b.ptr, a.len);
}
bool str_starts_with(struct str s, struct str prefix);
bool str_starts_with_nocase(struct str s, struct str prefix);
/* Takes the prefix off the front of `rest`; false where it is not there. */
bool str_take_nocase(struct str *rest, struct str prefix);
/* Position of `c`, or s.len where there is none. */
size_t str_find(struct str s, char c);
/* Without leading and trailing space and tab (OWS, RFC 9110 section 5.6.3). */
struct str str_trim(struct str s);
/* The part from `from` (at most s.len) on. */
struct str str_from(struct str s, size_t from);
/* Takes the text up to `separator` off the front of `rest`; false once `rest` is used up.
 * "a,,b" gives "a", "", "b". Start with rest.ptr != NULL. */
bool str_split(struct str *rest, char separator, struct str *part);
/* Unsigned decimal, digits only, no sign, no space; false for anything else and on overflow. */
bool str_to_u64(struct str s, uint64_t *value);
/* A malloc'd, terminated copy; free it with free(). */
char *str_to_cstring(struct str s);
/* The same as a text. */
static inline struct str str_own(struct str s) { return (struct str){str_to_cstring(s), s.len}; }
/* Copies `s` into `room` of `size` bytes (at least 8), and terminates it. If it does not fit it is cut and ends with
 * "...": behind a whole word where one ends near, never inside a character of UTF-8. `s` may lie in `room`. */
void str_fit(char *room, size_t size, struct str s);

#endif
