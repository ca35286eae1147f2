// SPDX-License-Identifier: Apache-2.0
// arena: memory with one common end of life. Allocation is a pointer bump, nothing is freed singly,
// arena_free gives all of it back at once. An exchange has one; whatever belongs to the exchange is allocated
// here.
#ifndef PERILUNE_BASE_ARENA_H
#define PERILUNE_BASE_ARENA_H

#include "base/str.h"

struct arena_block;
struct arena {
  struct arena_block *blocks; /* owned; newest first */
  char *next, *end;           /* the free part of the newest block */
  bool roams;                 /* made in one thread, freed in another */
};

/* A zeroed struct is an empty arena that holds no memory. */
void arena_init(struct arena *arena);
/* For what one thread makes and another frees: its blocks are malloc's own. From the free lists of threads they would wander
 * from the one to the other. */
void arena_init_roaming(struct arena *arena);
void arena_free(struct arena *arena);
/* Aligned to 8 bytes, not zeroed, never NULL. */
void *arena_alloc(struct arena *arena, size_t bytes) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *arena, size_t bytes) __attribute__((returns_nonnull));
/* Copies; the copy of an empty text may point anywhere. */
struct str arena_dup(struct arena *arena, struct str text);
char *arena_cstring(struct arena *arena, struct str text);
struct str arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
