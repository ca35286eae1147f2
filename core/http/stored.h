// SPDX-License-Identifier: Apache-2.0
// stored: a response head as a cache keeps it: one row of bytes, made once, and read without copying its text. It has
// what a hit needs to know beside the fields: since when it is kept, how fresh it is, and what it was chosen by.
//
// Where a response varies, there is a row of the other kind under the key of its target: it names the fields whose
// values are part of the key of the response itself, and has the hashes of the keys that are there, so that they can be
// bounded.
#ifndef PERILUNE_HTTP_STORED_H
#define PERILUNE_HTTP_STORED_H

#include "http/freshness.h"
#include "http/vary.h"

enum { STORED_VARIANTS = 64, STORED_TAGS = 64 };

struct stored_facts {
  struct freshness freshness;
  uint64_t since_ms; /* monotonic, when its head came */
  int64_t wall_ms;   /* the same by the clock on the wall */
  uint64_t number;   /* of the purges, when its peer was asked; another one's business, as the tags are */
  uint32_t tag_count;
  bool has_more_tags; /* than these */
  uint64_t tags[STORED_TAGS];
};

/* malloc'd. */
struct str stored_write(const struct response *response, const struct stored_facts *facts);
/* Text of the response is borrowed from the row, its array is of the arena. False: it is none, or of the other kind. */
bool stored_read(struct str row, struct response *response, struct stored_facts *facts, struct arena *arena);

struct stored_vary {
  uint64_t number; /* of the purges: responses from before that are not its variants */
  unsigned count;
  uint64_t variants[STORED_VARIANTS]; /* oldest first */
  struct vary vary;                   /* names are borrowed from the row */
};

bool stored_is_vary(struct str row);
/* malloc'd. */
struct str stored_write_vary(const struct stored_vary *stored);
bool stored_read_vary(struct str row, struct stored_vary *stored);

#endif
