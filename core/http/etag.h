// SPDX-License-Identifier: Apache-2.0
// etag: entity tags and how they compare (RFC 9110 section 8.8.3).
#ifndef PERILUNE_HTTP_ETAG_H
#define PERILUNE_HTTP_ETAG_H

#include "http/headers.h"

struct etag {
  struct str opaque; /* with its quotes; empty: there is none */
  bool is_weak;
};

/* Takes one off the front of `rest`. False: there is none. */
bool etag_take(struct str *rest, struct etag *tag);
/* The ETag of a response, empty where it has none, several, or what is none. */
struct etag etag_of(const struct headers *h);
/* Strong comparison: both are strong; weak: it does not matter. Nothing equals an empty one. */
bool etag_equal(struct etag a, struct etag b, bool is_strong);
/* Is it in the list of all lines of the field, or is that "*"? Members that are no tags match nothing. */
bool etag_is_listed(const struct headers *h, struct str name, struct etag tag, bool is_strong);

#endif
