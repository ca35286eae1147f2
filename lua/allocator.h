// SPDX-License-Identifier: Apache-2.0
// allocator: the memory of one Lua state, counted and capped. Lua makes and drops small objects in bulk,
// which a general malloc is slow at; here a size has a list of free pieces, cut from blocks of the thread
// that are all given back at the end. Lua tells the size when it frees, so a piece needs no header.
#ifndef PERILUNE_LUA_ALLOCATOR_H
#define PERILUNE_LUA_ALLOCATOR_H

#include <stddef.h>

enum { ALLOCATOR_STEP = 16, ALLOCATOR_SMALL = 512, ALLOCATOR_LISTS = ALLOCATOR_SMALL / ALLOCATOR_STEP };

struct allocator {
  size_t used_bytes, cap_bytes;         /* as Lua counts them */
  struct piece *lists[ALLOCATOR_LISTS]; /* free pieces by size */
  struct chunk *chunks;                 /* owned; newest first */
  char *next, *end;                     /* the uncut part of the newest */
};

/* A lua_Alloc; `data` is a struct allocator, which begins zeroed but for its cap. */
void *allocator_run(void *data, void *old, size_t old_bytes, size_t bytes);
/* Everything that was allocated is gone. */
void allocator_free(struct allocator *a);

#endif
