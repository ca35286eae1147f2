// SPDX-License-Identifier: Apache-2.0
// allocator: the memory of one Lua state, counted and capped. Lua makes and frees many small objects, for
// which a general malloc is slow; here each size has a list of free pieces, cut from blocks of the thread that
// are all freed at the end. Lua passes the size when it frees, so a piece needs no header. Large pieces are in a
// list, because a state that is given up frees nothing itself.
#ifndef PERILUNE_LUA_ALLOCATOR_H
#define PERILUNE_LUA_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

enum { ALLOCATOR_STEP = 16, ALLOCATOR_SMALL = 512, ALLOCATOR_LISTS = ALLOCATOR_SMALL / ALLOCATOR_STEP };

struct allocator {
  size_t used_bytes, cap_bytes; /* as Lua counts them */
  size_t asks_at;               /* `beyond` is asked from here on; at most the cap */
  /* May `more` bytes be given? NULL: as far as the cap goes. It may not return. */
  bool (*beyond)(struct allocator *a, size_t more);
  struct list large;                    /* owned: what malloc gave; without links before the first */
  struct piece *lists[ALLOCATOR_LISTS]; /* free pieces by size */
  struct chunk *chunks;                 /* owned; newest first */
  char *next, *end;                     /* the uncut part of the newest */
  /* A piece is being moved, such as the state's stack: what Lua knows of it is not true. For a signal's handler. */
  volatile int moves;
};

/* What a VM's memory is measured by (cap.c, task.c). */
struct memory_use {
  size_t collect_at_bytes; /* a new task collects garbage first */
  size_t lent_bytes;       /* by script_lend, of all exchanges under way */
  size_t asked_bytes;      /* that the VM held when it was last asked to heed its limit */
  size_t turn_bytes;       /* that it held when Lua was entered last */
  bool is_beyond;          /* the limit: cap_heed is to look */
};

/* A lua_Alloc; `data` is a struct allocator, which begins zeroed but for its cap. */
void *allocator_run(void *data, void *old, size_t old_bytes, size_t bytes);
/* Everything that was allocated is gone. */
void allocator_free(struct allocator *a);

#endif
