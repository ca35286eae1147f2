// SPDX-License-Identifier: Apache-2.0
// memory: allocation that never returns NULL, and per-thread free lists of equal blocks, from which arenas
// and buffers are made, so that a request in the steady state never calls malloc. A build with -DARENA_MALLOC
// bypasses the free lists: each block is allocated by malloc, so that sanitizers can see it.
#ifndef PERILUNE_BASE_MEMORY_H
#define PERILUNE_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How many free bytes at the end of its heap glibc keeps; and from which size on an allocation gets a mapping of its
 * own. */
#define MEMORY_KEPT_BYTES  (4 << 20)
#define MEMORY_APART_BYTES (1 << 20)
/* Sets these bounds. Once, before there are threads. */
void memory_begin(void);

/* Like malloc, calloc and realloc, but end the process with a message when memory is exhausted. */
void *memory_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *memory_zalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *memory_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
/* Whole cache lines of its own, zeroed: for what has members that must not share a line (_Alignas). Freed by free(). */
enum { MEMORY_LINE = 64 };
void *memory_zalloc_lines(size_t bytes) __attribute__((malloc, returns_nonnull));

/* What one object may take that is allocated at once, as a cache or a dictionary: half of the machine's memory. */
uint64_t memory_half(void);

/* Like memcpy, for bodies. From some KB on glibc copies by one instruction (rep movsb), which on some processors of AMD
 * takes fifteen times as long where the copy lies up to 32 bytes behind the original, whole pages aside: as a body does
 * behind the head of its frame, where both buffers begin alike. So it copies less at a time. */
enum { MEMORY_STEP = 2048 };
void memory_copy_long(char *to, const char *from, size_t bytes) __attribute__((noinline));
static inline void memory_copy(void *to, const void *from, size_t bytes) {
  if (bytes <= MEMORY_STEP)
    memcpy(to, from, bytes);
  else
    memory_copy_long(to, from, bytes);
}

/* The sizes that have a free list. Anything larger is a plain malloc. */
enum block_class { BLOCK_4K, BLOCK_16K, BLOCK_64K, BLOCK_CLASSES };
#define BLOCK_LARGEST ((size_t)65536)

/* A block of at least `bytes`; *size says how many it has. Owned by the caller until block_free with that
 * size, on any thread (the block then joins that thread's list). */
void *block_alloc(size_t bytes, size_t *size) __attribute__((returns_nonnull));
void block_free(void *block, size_t size);

/* Like malloc, realloc and free, for what comes and goes with each stream: from free lists, up to some hundred bytes.
 * On any thread. */
void *piece_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *piece_zalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *piece_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
void piece_free(void *piece);

/* MEMORY_PAGES whole pages in a row, which madvise may give back one by one: for what lies unused for long. Owned by
 * the caller until pages_free, on any thread. What they hold is undefined. */
enum { MEMORY_PAGE = 4096, MEMORY_PAGES = 8 };
void *pages_alloc(void) __attribute__((returns_nonnull));
void pages_free(void *pages);

/* Gives the calling thread's free lists back. Call it before a thread ends. */
void memory_thread_end(void);
/* Lets go of what the start has read of program and libraries: symbols, relocations, code that runs once. It stays in
 * the page cache, and a page that is needed again is a minor fault. */
void memory_drop_text(void);

#endif
