// SPDX-License-Identifier: Apache-2.0
// stacks: sums of time by call stack, in bounded memory. A stack is a text, its outermost frame first, with ';' between
// frames: the "folded" form that tools for flame graphs read. No locks: who collects passes the whole on.
#ifndef PERILUNE_SHARED_STACKS_H
#define PERILUNE_SHARED_STACKS_H

#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

/* Beyond these, times are added to one stack, STACKS_REST. */
enum { STACKS_MOST = 16384, STACKS_TEXT_MOST = 4096 };
#define STACKS_REST "(other stacks)"

/* Begins zeroed. */
struct stacks {
  struct stack_sum *all; /* owned: open addressing; a power of two */
  unsigned room, count;
};

/* The text is copied, and cut at STACKS_TEXT_MOST. */
void stacks_add(struct stacks *stacks, struct str text, uint64_t us);
/* Adds all of `from`, times `factor`. */
void stacks_merge(struct stacks *into, const struct stacks *from, double factor);
/* Lines "stack microseconds", most time first, about `most` bytes of them: the rest is one line. */
void stacks_write(const struct stacks *stacks, size_t most, FILE *out);
void stacks_free(struct stacks *stacks);

#endif
