// SPDX-License-Identifier: Apache-2.0
// members: the members of a list field, over all its lines (RFC 9110 sections 5.3 and 5.6.1). A comma in a
// quoted string does not separate members. It owns nothing: members are slices of the fields' values.
#ifndef PERILUNE_HTTP_MEMBERS_H
#define PERILUNE_HTTP_MEMBERS_H

#include "http/headers.h"

struct members {
  const struct headers *headers; /* borrowed */
  struct str name, rest;
  unsigned at;
};

struct members members_of(const struct headers *h, struct str name);
/* The next member, without surrounding white space; empty ones are skipped. False at the end. */
bool members_next(struct members *m, struct str *member);

/* Position of the first of the bytes in `stops` that is in no quoted string, or s.len. An open quote ends with `s`. */
size_t member_find(struct str s, const char *stops);

/* The token at the front; empty where there is none. */
struct str member_token(struct str s);
/* A quoted string that is whole: its inside, with escapes as they are. Else `s`. */
struct str member_unquoted(struct str s);

/* How many lines of the field there are, at most two: what must stand alone is in doubt with two. */
unsigned field_lines(const struct headers *h, struct str name);
/* The value of the field where it has exactly one line, else empty. */
struct str field_alone(const struct headers *h, struct str name);
/* All lines as one value, joined with ", " (RFC 9110 section 5.3); in arena memory where there are several. Empty:
 * there is none. */
struct str field_joined(const struct headers *h, struct str name, struct arena *arena);

#endif
