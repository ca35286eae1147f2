// SPDX-License-Identifier: Apache-2.0
// memory: the per-thread free lists behind arena and buf. The one hard problem is to keep enough spare blocks
// for a steady load without keeping a peak for ever: each list is capped, what exceeds it goes back to
// malloc.
#include "base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static void *checked(void *p) {
  if (p) return p;
  fputs("perilune: out of memory\n", stderr);
  abort();
}

/* What OpenSSL frees after a handshake it takes again for the next; glibc would give it to the kernel in between, and
 * set no bound of its own any more once one is set. */
void memory_begin(void) {
  mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES);
  mallopt(M_MMAP_THRESHOLD, MEMORY_APART_BYTES);
}

void *memory_alloc(size_t bytes) { return checked(malloc(bytes ? bytes : 1)); }
void *memory_zalloc(size_t bytes) { return checked(calloc(1, bytes ? bytes : 1)); }
void *memory_realloc(void *old, size_t bytes) { return checked(realloc(old, bytes ? bytes : 1)); }

#ifdef ARENA_MALLOC

void *block_alloc(size_t bytes, size_t *size) {
  *size = bytes;
  return memory_alloc(bytes);
}
void block_free(void *block, size_t size) {
  (void)size;
  free(block);
}
void memory_thread_end(void) {}

#else

static const size_t class_bytes[BLOCK_CLASSES] = {4096, 16384, BLOCK_LARGEST};
/* Spare blocks a thread keeps: about 4 MB of each size. */
static const unsigned class_spare[BLOCK_CLASSES] = {1024, 256, 64};

struct spare {
  struct spare *next;
};
static _Thread_local struct {
  struct spare *first;
  unsigned count;
} spares[BLOCK_CLASSES];

static int class_for(size_t bytes) {
  for (int i = 0; i < BLOCK_CLASSES; i++)
    if (bytes <= class_bytes[i]) return i;
  return -1;
}

void *block_alloc(size_t bytes, size_t *size) {
  int class = class_for(bytes);
  if (class < 0) {
    *size = bytes;
    return memory_alloc(bytes);
  }
  *size = class_bytes[class];
  struct spare *block = spares[class].first;
  if (!block) return memory_alloc(*size);
  spares[class].first = block->next;
  spares[class].count--;
  return block;
}

void block_free(void *block, size_t size) {
  int class = class_for(size);
  if (class < 0 || class_bytes[class] != size || spares[class].count >= class_spare[class]) {
    free(block);
    return;
  }
  struct spare *spare = block;
  spare->next = spares[class].first;
  spares[class].first = spare;
  spares[class].count++;
}

void memory_thread_end(void) {
  for (int i = 0; i < BLOCK_CLASSES; i++) {
    while (spares[i].first) {
      struct spare *next = spares[i].first->next;
      free(spares[i].first);
      spares[i].first = next;
    }
    spares[i].count = 0;
  }
}

#endif
