// SPDX-License-Identifier: Apache-2.0
// allocator: pieces of up to 512 bytes from free lists, larger ones from malloc. What a peak of small objects
// took stays with the state until its end. With ARENA_MALLOC everything is malloc's, for sanitizers to see.
#include "lua/allocator.h"

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

static void *take(struct allocator *a, size_t bytes) {
  if (!is_small(bytes)) return malloc(bytes);
  size_t list = list_of(bytes);
  struct piece *piece = a->lists[list];
  if (!piece) return cut(a, (list + 1) * ALLOCATOR_STEP);
  a->lists[list] = piece->next;
  __builtin_prefetch(piece->next, 1); /* garbage was last used a while ago */
  return piece;
}

static void give_back(struct allocator *a, void *old, size_t bytes) {
  if (!is_small(bytes)) {
    free(old);
  } else if (old) {
    struct piece *piece = old;
    piece->next = a->lists[list_of(bytes)];
    a->lists[list_of(bytes)] = piece;
  }
}

static void *resize(struct allocator *a, void *old, size_t old_bytes, size_t bytes) {
  bool stays = is_small(bytes) && is_small(old_bytes) && list_of(bytes) == list_of(old_bytes);
  if (stays) return old;
  if (!is_small(bytes) && !is_small(old_bytes)) return realloc(old, bytes);
  void *new = take(a, bytes);
  if (!new) return NULL;
  memcpy(new, old, old_bytes < bytes ? old_bytes : bytes);
  give_back(a, old, old_bytes);
  return new;
}

void *allocator_run(void *data, void *old, size_t old_bytes, size_t bytes) {
  struct allocator *a = data;
  if (bytes == 0) {
    a->used_bytes -= old_bytes;
    give_back(a, old, old_bytes);
    return NULL;
  }
  if (bytes > old_bytes && a->used_bytes + (bytes - old_bytes) > a->cap_bytes) return NULL;
  void *memory = old ? resize(a, old, old_bytes, bytes) : take(a, bytes);
  if (memory) a->used_bytes += bytes - old_bytes;
  return memory;
}

void allocator_free(struct allocator *a) {
  for (struct chunk *chunk = a->chunks, *next; chunk; chunk = next) {
    next = chunk->next;
    block_free(chunk, chunk->bytes);
  }
  a->chunks = NULL;
}
