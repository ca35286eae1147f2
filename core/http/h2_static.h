// SPDX-License-Identifier: Apache-2.0
// h2_static: the static table of HPACK (RFC 7541 appendix A), which both sides know.
#ifndef PERILUNE_HTTP_H2_STATIC_H
#define PERILUNE_HTTP_H2_STATIC_H

#include "base/str.h"

enum { H2_STATIC_COUNT = 61 };

struct h2_pair {
  struct str name, value;
};
/* From 1 on; [0] is none. Entries of one name stand behind each other, those of pseudo-fields before all others. */
extern const struct h2_pair h2_static[H2_STATIC_COUNT + 1];

/* The first entry of a name in lower case; 0: there is none. */
unsigned h2_static_name(struct str name);
/* The entry of name and value, where `first` is the name's first; 0: there is none. */
unsigned h2_static_pair(unsigned first, struct str value);

#endif
