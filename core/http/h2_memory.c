// SPDX-License-Identifier: Apache-2.0
// h2_memory: two allocations of nghttp2 are larger than a page: its table of streams, and the buffer in which it writes
// frames. Both are made with the session and kept until its end. The one hard problem is to tell what they hold: the
// buffer is recognised by its size, larger than the body of a frame, and holds nothing between frames; the table may go
// where all of it is zero, because zero is what the kernel gives back.
#include "http/h2_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/memory.h"

enum {
  FRAME_MOST = 16384,                /* of a frame's body: what is larger is the buffer for frames */
  ROOM = MEMORY_PAGES * MEMORY_PAGE, /* for both, with 4 KiB of streams as nghttp2 1.52 has them */
};

static size_t whole_pages(size_t bytes) { return (bytes + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE; }

static bool is_ours(const struct h2_memory *m, const void *p) {
  return m->pages && (const char *)p >= m->pages && (const char *)p < m->pages + ROOM;
}

/* NULL: not for us. */
static void *take_area(struct h2_memory *m, size_t bytes) {
  size_t pages = whole_pages(bytes);
  if (m->is_born || bytes < MEMORY_PAGE || pages > ROOM - m->used) return NULL;
  for (struct h2_area *area = m->areas; area < m->areas + H2_AREAS; area++) {
    if (area->bytes) continue;
    *area = (struct h2_area){.at = m->pages + m->used, .bytes = pages, .is_scratch = bytes > FRAME_MOST};
    m->used += pages;
    return area->at;
  }
  return NULL;
}

static void *on_malloc(size_t bytes, void *user) {
  void *area = take_area(user, bytes);
  return area ? area : memory_alloc(bytes);
}

static void *on_calloc(size_t count, size_t bytes, void *user) {
  if (bytes && count > SIZE_MAX / bytes) return NULL;
  void *area = take_area(user, count * bytes);
  return area ? memset(area, 0, count * bytes) : memory_zalloc(count * bytes);
}

static void on_free(void *p, void *user) {
  if (!is_ours(user, p)) free(p);
}

static void *on_realloc(void *old, size_t bytes, void *user) {
  struct h2_memory *m = user;
  if (!old) return on_malloc(bytes, m);
  if (!is_ours(m, old)) return memory_realloc(old, bytes);
  struct h2_area *area = m->areas;
  while (area->at != old) area++;
  if (bytes <= area->bytes) return old;
  void *moved = memory_alloc(bytes);
  memcpy(moved, old, area->bytes);
  area->is_scratch = false;
  memset(area->at, 0, area->bytes);
  return moved;
}

nghttp2_mem h2_memory_begin(struct h2_memory *m) {
  *m = (struct h2_memory){0};
  m->pages = pages_alloc();
  return (nghttp2_mem){
      .mem_user_data = m, .malloc = on_malloc, .free = on_free, .calloc = on_calloc, .realloc = on_realloc};
}

void h2_memory_born(struct h2_memory *m) { m->is_born = true; }

static bool is_zero(const char *at, size_t bytes) { return !at[0] && !memcmp(at, at + 1, bytes - 1); }

size_t h2_memory_rest(struct h2_memory *m) {
  size_t given = 0;
  for (struct h2_area *area = m->areas; area < m->areas + H2_AREAS; area++) {
    if (!area->bytes || !(area->is_scratch || is_zero(area->at, area->bytes))) continue;
    if (madvise(area->at, area->bytes, MADV_DONTNEED) == 0) given += area->bytes;
  }
  return given;
}

void h2_memory_end(struct h2_memory *m) {
  pages_free(m->pages);
  m->pages = NULL;
}
