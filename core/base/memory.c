// SPDX-License-Identifier: Apache-2.0
// memory: the per-thread free lists of arena and buf. The hard problem is to keep enough spare blocks for a
// steady load without keeping those of a peak for ever: each list has a limit, and blocks beyond it are
// freed.
#include "base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *checked(void *p) {
  if (p) return p;
  fputs("perilune: out of memory\n", stderr);
  abort();
}

/* OpenSSL frees much memory after a handshake, and needs it again for the next one. By default glibc would give it to
 * the kernel in between. Setting one of the two bounds ends glibc's own adjustment of both, so both are set. */
void memory_begin(void) {
  mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES);
  mallopt(M_MMAP_THRESHOLD, MEMORY_APART_BYTES);
}

/* Pages that are given back one by one are not to become part of a huge one. */
static void *map_pages(void) {
  void *pages =
      mmap(NULL, MEMORY_PAGES * MEMORY_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  checked(pages == MAP_FAILED ? NULL : pages);
  madvise(pages, MEMORY_PAGES * MEMORY_PAGE, MADV_NOHUGEPAGE);
  return pages;
}

static void unmap_pages(void *pages) { munmap(pages, MEMORY_PAGES * MEMORY_PAGE); }

void *memory_alloc(size_t bytes) { return checked(malloc(bytes ? bytes : 1)); }
void *memory_zalloc(size_t bytes) { return checked(calloc(1, bytes ? bytes : 1)); }
void *memory_realloc(void *old, size_t bytes) { return checked(realloc(old, bytes ? bytes : 1)); }

void *memory_zalloc_lines(size_t bytes) {
  size_t whole = bytes ? (bytes + MEMORY_LINE - 1) / MEMORY_LINE * MEMORY_LINE : MEMORY_LINE;
  return memset(checked(aligned_alloc(MEMORY_LINE, whole)), 0, whole);
}

void memory_copy_long(char *to, const char *from, size_t bytes) {
  for (; bytes > MEMORY_STEP; to += MEMORY_STEP, from += MEMORY_STEP, bytes -= MEMORY_STEP)
    memcpy(to, from, MEMORY_STEP);
  memcpy(to, from, bytes);
}

#ifdef ARENA_MALLOC

void *block_alloc(size_t bytes, size_t *size) {
  *size = bytes;
  return memory_alloc(bytes);
}
void block_free(void *block, size_t size) {
  (void)size;
  free(block);
}
void *piece_alloc(size_t bytes) { return memory_alloc(bytes); }
void *piece_realloc(void *old, size_t bytes) { return memory_realloc(old, bytes); }
void piece_free(void *piece) { free(piece); }
void *pages_alloc(void) { return map_pages(); }
void pages_free(void *pages) { unmap_pages(pages); }
void memory_thread_end(void) {}

#else

#define CLASS_BYTES(class) ((size_t)4096 << 2 * (class))
_Static_assert(CLASS_BYTES(BLOCK_CLASSES - 1) == BLOCK_LARGEST, "the largest class");
/* Spare blocks a thread keeps: about 4 MB of each size. */
#define CLASS_SPARE(class) (1024u >> 2 * (class))
#define PAGES_SPARE        32u

/* The last one freed is taken first. Listed beside the blocks: a link inside would have to be fetched from memory that
 * was last used a while ago. */
static _Thread_local struct {
  void *small[CLASS_SPARE(BLOCK_4K)], *middle[CLASS_SPARE(BLOCK_16K)], *large[CLASS_SPARE(BLOCK_64K)];
  unsigned counts[BLOCK_CLASSES];
  void *pages[PAGES_SPARE];
  unsigned pages_count;
} spares;

static void **spares_of(int class) {
  if (class == BLOCK_4K) return spares.small;
  return class == BLOCK_16K ? spares.middle : spares.large;
}

static int class_for(size_t bytes) {
  if (bytes <= CLASS_BYTES(BLOCK_4K)) return BLOCK_4K;
  if (bytes <= CLASS_BYTES(BLOCK_16K)) return BLOCK_16K;
  return bytes <= CLASS_BYTES(BLOCK_64K) ? BLOCK_64K : -1;
}

void *block_alloc(size_t bytes, size_t *size) {
  int class = class_for(bytes);
  if (class < 0) {
    *size = bytes;
    return memory_alloc(bytes);
  }
  *size = CLASS_BYTES(class);
  if (!spares.counts[class]) return memory_alloc(*size);
  return spares_of(class)[--spares.counts[class]];
}

void block_free(void *block, size_t size) {
  int class = class_for(size);
  if (class < 0 || CLASS_BYTES(class) != size || spares.counts[class] >= CLASS_SPARE(class)) {
    free(block);
    return;
  }
  spares_of(class)[spares.counts[class]++] = block;
}

/* Of each size that malloc has. It knows the size of a piece, so nobody else has to. */
enum { PIECE_SMALLEST = 24, PIECE_STEP = 16, PIECE_CLASSES = 40, PIECES_SPARE = 128 << 10 };
#define PIECE_BYTES(class) (PIECE_SMALLEST + (class) * PIECE_STEP)

static _Thread_local struct {
  struct piece {
    struct piece *next;
  } * first;
  size_t bytes;
} pieces[PIECE_CLASSES];

static size_t piece_class(size_t bytes, size_t extra) {
  return bytes <= PIECE_SMALLEST ? 0 : (bytes - PIECE_SMALLEST + extra) / PIECE_STEP;
}

void *piece_alloc(size_t bytes) {
  size_t class = piece_class(bytes, PIECE_STEP - 1);
  if (class >= PIECE_CLASSES) return memory_alloc(bytes);
  struct piece *piece = pieces[class].first;
  if (!piece) return memory_alloc(PIECE_BYTES(class));
  pieces[class].first = piece->next;
  pieces[class].bytes -= PIECE_BYTES(class);
  return piece;
}

void piece_free(void *freed) {
  if (!freed) return;
  struct piece *piece = freed;
  size_t class = piece_class(malloc_usable_size(freed), 0);
  if (class >= PIECE_CLASSES || pieces[class].bytes > PIECES_SPARE) {
    free(freed);
    return;
  }
  piece->next = pieces[class].first;
  pieces[class].first = piece;
  pieces[class].bytes += PIECE_BYTES(class);
}

void *piece_realloc(void *old, size_t bytes) {
  size_t room = old ? malloc_usable_size(old) : 0;
  if (old && room >= bytes) return old;
  void *moved = piece_alloc(bytes);
  if (room) memcpy(moved, old, room);
  piece_free(old);
  return moved;
}

static void free_pieces(void) {
  for (int i = 0; i < PIECE_CLASSES; i++)
    for (struct piece *piece; (piece = pieces[i].first);) {
      pieces[i].first = piece->next;
      free(piece);
    }
  memset(pieces, 0, sizeof pieces);
}

void *pages_alloc(void) { return spares.pages_count ? spares.pages[--spares.pages_count] : map_pages(); }

void pages_free(void *pages) {
  if (spares.pages_count < PAGES_SPARE)
    spares.pages[spares.pages_count++] = pages;
  else
    unmap_pages(pages);
}

void memory_thread_end(void) {
  free_pieces();
  while (spares.pages_count) unmap_pages(spares.pages[--spares.pages_count]);
  for (int i = 0; i < BLOCK_CLASSES; i++)
    while (spares.counts[i]) free(spares_of(i)[--spares.counts[i]]);
}

#endif

void *piece_zalloc(size_t bytes) { return memset(piece_alloc(bytes), 0, bytes); }

/* A mapping of /proc/self/smaps that is a file's, cannot be written to, and has no page that differs from the file: one
 * of a debugger's breakpoints, or text that was moved elsewhere, stays. */
void memory_drop_text(void) {
  FILE *maps = fopen("/proc/self/smaps", "re");
  char line[512], rights[5];
  unsigned long first, end, begin = 0, length = 0, kb;
  while (maps && fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%lx-%lx %4s", &first, &end, rights) == 3) {
      begin = first;
      length = rights[1] == '-' && rights[3] == 'p' && strchr(line, '/') ? end - first : 0;
    } else if (length && sscanf(line, "Anonymous: %lu kB", &kb) == 1 && kb == 0) {
      madvise((void *)begin, length, MADV_DONTNEED);
    }
  }
  if (maps) fclose(maps);
}

uint64_t memory_half(void) { return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2; }
