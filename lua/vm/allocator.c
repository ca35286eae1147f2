// SPDX-License-Identifier: Apache-2.0
// allocator: pieces of up to 512 bytes come from free lists, larger ones from malloc. Blocks that were cut into small
// pieces are freed only when the state ends. With ARENA_MALLOC everything comes from malloc, so that sanitizers see
// it.
#include "lua/vm/allocator.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct piece {
  struct piece *next;
};

struct chunk {
  struct chunk *next;
  size_t bytes;
};

#ifdef ARENA_MALLOC
static bool is_small(size_t bytes) { return bytes == 0; }
#else
static bool is_small(size_t bytes) { return bytes <= ALLOCATOR_SMALL; }
#endif

static size_t list_of(size_t bytes) { return (bytes + ALLOCATOR_STEP - 1) / ALLOCATOR_STEP - 1; }

static void add_chunk(struct allocator *a) {
  size_t bytes;
  struct chunk *chunk = block_alloc(BLOCK_LARGEST, &bytes);
  chunk->next = a->chunks;
  chunk->bytes = bytes;
  a->chunks = chunk;
  a->next = (char *)(chunk + 1);
  a->end = (char *)chunk + bytes;
}

static void *cut(struct allocator *a, size_t bytes) {
  if ((size_t)(a->end - a->next) < bytes) add_chunk(a);
  void *piece = a->next;
  a->next += bytes;
  return piece;
}

/* --- large ones ------------------------------------------------------------------------------------------ */

/* In front of what Lua gets. */
union large {
  struct list link; /* in allocator.large */
  max_align_t alignment;
};

static union large *large_of(void *memory) { return (union large *)memory - 1; }

static void *take_large(struct allocator *a, size_t bytes) {
  union large *large = malloc(sizeof *large + bytes);
  if (!large) return NULL;
  if (!a->large.next) list_init(&a->large);
  list_push_front(&a->large, &large->link);
  return large + 1;
}

static void free_large(void *memory) {
  if (!memory) return;
  list_remove(&large_of(memory)->link);
  free(large_of(memory));
}

/* Its neighbours point at it. Where there is no memory it stays as it was. */
static void *resize_large(struct allocator *a, void *old, size_t bytes) {
  union large *large = large_of(old);
  list_remove(&large->link);
  union large *new = realloc(large, sizeof *new + bytes);
  list_push_front(&a->large, &(new ? new : large)->link);
  return new ? new + 1 : NULL;
}

/* --- all -------------------------------------------------------------------------------------------------- */

static void *take(struct allocator *a, size_t bytes) {
  if (!is_small(bytes)) return take_large(a, bytes);
  size_t list = list_of(bytes);
  struct piece *piece = a->lists[list];
  if (!piece) return cut(a, (list + 1) * ALLOCATOR_STEP);
  a->lists[list] = piece->next;
  __builtin_prefetch(piece->next, 1); /* garbage was last used a while ago */
  return piece;
}

static void put_back(struct allocator *a, void *old, size_t bytes) {
  if (!is_small(bytes)) {
    free_large(old);
  } else if (old) {
    struct piece *piece = old;
    piece->next = a->lists[list_of(bytes)];
    a->lists[list_of(bytes)] = piece;
  }
}

static void *move(struct allocator *a, void *old, size_t old_bytes, size_t bytes) {
  if (!is_small(bytes) && !is_small(old_bytes)) return resize_large(a, old, bytes);
  void *new = take(a, bytes);
  if (!new) return NULL;
  memcpy(new, old, old_bytes < bytes ? old_bytes : bytes);
  put_back(a, old, old_bytes);
  return new;
}

static void *resize(struct allocator *a, void *old, size_t old_bytes, size_t bytes) {
  bool stays = is_small(bytes) && is_small(old_bytes) && list_of(bytes) == list_of(old_bytes);
  if (stays) return old;
  a->moves = true;
  void *new = move(a, old, old_bytes, bytes);
  a->moves = false;
  return new;
}

static __attribute__((cold)) bool may_have(struct allocator *a, size_t more) {
  return a->beyond ? a->beyond(a, more) : a->used_bytes + more <= a->cap_bytes;
}

void *allocator_run(void *data, void *old, size_t old_bytes, size_t bytes) {
  struct allocator *a = data;
  if (bytes == 0) {
    a->used_bytes -= old_bytes;
    put_back(a, old, old_bytes);
    return NULL;
  }
  if (bytes > old_bytes && a->used_bytes + (bytes - old_bytes) > a->asks_at)
    if (!may_have(a, bytes - old_bytes)) return NULL;
  void *memory = old ? resize(a, old, old_bytes, bytes) : take(a, bytes);
  if (memory) a->used_bytes += bytes - old_bytes;
  return memory;
}

void allocator_free(struct allocator *a) {
  while (a->large.next && !list_is_empty(&a->large))
    free_large(LIST_ENTRY(a->large.next, union large, link) + 1);
  for (struct chunk *chunk = a->chunks, *next; chunk; chunk = next) {
    next = chunk->next;
    block_free(chunk, chunk->bytes);
  }
  a->chunks = NULL;
}
