// SPDX-License-Identifier: Apache-2.0
// coded: what the units of http/coding share: bodies, and whole streams cut into pieces.
#ifndef PERILUNE_SPEC_CODED_H
#define PERILUNE_SPEC_CODED_H

#include "http/coding.h"

/* How a stream is fed: so many bytes in at a time and at most so many out; 0: random ones, which `seed` begins. */
struct cuts {
  size_t in, out;
  unsigned seed;
};
static const struct cuts one_piece = {CODING_STEP + 1000, 1 << 16, 0};

/* The pool of all units: most 8, idle 4. */
struct coding_pool *coded_pool(void);
/* Frees it and all results. */
void coded_free(void);

/* JSON-like text, noise, and zeros; they live until coded_free. */
enum coded_kind { CODED_TEXT, CODED_NOISE, CODED_ZEROS, CODED_KINDS };
struct str coded_body(enum coded_kind kind, size_t bytes);

/* The whole stream; *fault says how it ended. The result lives until coded_free. */
struct str coded_run(struct coding_wish wish, struct str body, struct cuts cuts, enum coding_fault *fault);
struct str coded_encode(enum coding coding, struct str body, struct cuts cuts);
struct str coded_decode(enum coding coding, struct str body, struct cuts cuts, enum coding_fault *fault);
/* The most memory that the coder of such a stream has at a time. */
size_t coded_memory(struct coding_wish wish, struct str body);
/* Both behind one another. */
struct str coded_join(struct str a, struct str b);

#endif
