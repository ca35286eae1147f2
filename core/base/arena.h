// SPDX-License-Identifier: Apache-2.0
// arena: memory that is freed all at once. Allocation moves a pointer; single allocations are not freed, and
// arena_free frees everything. An exchange has an arena, and everything that belongs to the exchange is
// allocated there.
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
/* For an arena that one thread makes and another frees. Its blocks come from malloc: those of the free lists would
 * pile up in the thread that frees. */
void arena_init_roaming(struct arena *arena);
void arena_free(struct arena *arena);
/* Of arena_alloc, where the newest block has no room; `bytes` is aligned. */
void *arena_extend(struct arena *arena, size_t bytes) __attribute__((noinline, returns_nonnull));
/* Aligned to 8 bytes, not zeroed, never NULL. */
static inline void *arena_alloc(struct arena *arena, size_t bytes) {
#ifndef ARENA_MALLOC
  bytes = (bytes + (bytes == 0) + 7) & ~(size_t)7;
  if (__builtin_expect((size_t)(arena->end - arena->next) >= bytes, true)) {
    void *at = arena->next;
    arena->next += bytes;
    return at;
  }
#endif
  return arena_extend(arena, bytes);
}
void *arena_zalloc(struct arena *arena, size_t bytes) __attribute__((noinline, returns_nonnull));
/* Copies; the copy of an empty text may point anywhere. */
struct str arena_dup(struct arena *arena, struct str text);
char *arena_cstring(struct arena *arena, struct str text);
/* How much to allocate for a text that may be replaced again and again: a power of two, so that most of those that
 * follow fit into it. */
size_t arena_room_for(struct str text);
/* In digits. */
struct str arena_number(struct arena *arena, unsigned long long number);
struct str arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
