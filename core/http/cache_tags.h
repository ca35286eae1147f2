// SPDX-License-Identifier: Apache-2.0
// cache_tags: the names by which a response can be purged: Surrogate-Key (words), Cache-Tag (a list), and Cache-Groups
// (RFC 9875: strings, which hold among responses of the same origin); and the groups that an answer to an unsafe
// request invalidates.
#ifndef PERILUNE_HTTP_CACHE_TAGS_H
#define PERILUNE_HTTP_CACHE_TAGS_H

#include "http/headers.h"

struct tag_walk {
  const struct headers *headers;
  unsigned at;            /* of the field */
  struct str rest;        /* of its value */
  unsigned char kind;     /* of the field */
  bool only_invalidation; /* walks over Cache-Group-Invalidation; else over the others */
};

void tag_walk_begin(struct tag_walk *w, const struct headers *h);
void tag_walk_begin_invalidation(struct tag_walk *w, const struct headers *h);
/* False: there is none left. *is_group: it holds for its origin. Borrowed from the headers; a string of Cache-Groups is
 * as it stands between its quotes. */
bool tag_walk_next(struct tag_walk *w, struct str *name, bool *is_group);

#endif
