// SPDX-License-Identifier: Apache-2.0
// flame: a profile as a tree of frames, as `perilune profile` gets it from a proxy (runtime/observe/profiling.h): with
// the names of C functions where the policy's source can be read, its lines that took most, and as a picture.
#ifndef PERILUNE_CLI_FLAME_H
#define PERILUNE_CLI_FLAME_H

#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/str.h"
#include "cli/source_lines.h"

struct frame {
  struct str label;    /* arena: "policy.lua:14 check" */
  uint64_t us;         /* with all that it has called */
  struct frame *below; /* arena: what it has called, most time first once sorted; NULL: nothing */
  struct frame *next;  /* the next that the same has called */
};

struct flame {
  struct arena arena;
  struct frame root; /* its label is "all" */
  struct source_lines sources;
  uint64_t ms, workers, outside_us;
  bool is_wait;
  unsigned depth; /* of the deepest stack */
};

/* Reads the text of a profile, which is kept by the caller. False: it is none. flame_free follows in either case. */
bool flame_read(struct flame *flame, struct str text);
void flame_free(struct flame *flame);

/* Lines of the policy, those that took most first; each time counts for the innermost line of the policy. */
void flame_print_top(struct flame *flame, FILE *out);
/* The stacks with all names, "stack microseconds" a line. */
void flame_print_folded(const struct flame *flame, FILE *out);
/* One SVG file (flame_svg.c). */
void flame_print_svg(struct flame *flame, FILE *out);
/* The line of the source that a frame stands for; empty where it cannot be read. Valid until the next call. */
struct str flame_source(struct flame *flame, struct str label);

#endif
