// SPDX-License-Identifier: Apache-2.0
// h2_memory: the one hard problem is to know what may go. nghttp2's buffer for frames is recognised by its size, larger
// than the body of a frame, and holds nothing between frames. All else that was made at birth may mean something, is
// full of addresses, and so has to come back to the same place, bit by bit: the pages keep their addresses and lose
// their content, of which all words that are not zero are kept, behind a map that has a bit for each word.
#include "http/h2_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/memory.h"

enum {
  FRAME_MOST = 16384, /* of a frame's body: what is larger is the buffer for frames */
  ROOM = MEMORY_PAGES * MEMORY_PAGE,
  ALIGNED = 16,
  WORD = sizeof(uint64_t),
  MAPPED = 64, /* words, by one word of the map */
};

static size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static bool is_ours(const struct h2_memory *m, const void *p) {
  return m->pages && (const char *)p >= m->pages && (const char *)p < m->pages + ROOM;
}

/* --- nghttp2's allocator ---------------------------------------------------------------------------- */

/* NULL: not for us. What is kept grows from the start, the buffers from the end. */
static void *take(struct h2_memory *m, size_t bytes) {
  bool is_scratch = bytes > FRAME_MOST;
  if (m->is_born || bytes > ROOM) return NULL;
  size_t wanted = rounded(bytes, is_scratch ? MEMORY_PAGE : ALIGNED);
  if (rounded(m->kept + (is_scratch ? 0 : wanted), MEMORY_PAGE) + (is_scratch ? wanted : 0) > m->scratch)
    return NULL;
  if (is_scratch) return m->pages + (m->scratch -= wanted);
  m->kept += wanted;
  return m->pages + m->kept - wanted;
}

static void *on_malloc(size_t bytes, void *user) {
  void *taken = take(user, bytes);
  return taken ? taken : piece_alloc(bytes);
}

static void *on_calloc(size_t count, size_t bytes, void *user) {
  if (bytes && count > SIZE_MAX / bytes) return NULL;
  return memset(on_malloc(count * bytes, user), 0, count * bytes);
}

static void on_free(void *p, void *user) {
  if (!is_ours(user, p)) piece_free(p);
}

/* Of ours nobody knows the size: there is none behind the end of its part. */
static size_t most_of(const struct h2_memory *m, const char *p) {
  size_t at = (size_t)(p - m->pages);
  return at < m->kept ? m->kept - at : ROOM - at;
}

static void *on_realloc(void *old, size_t bytes, void *user) {
  struct h2_memory *m = user;
  if (!old) return on_malloc(bytes, m);
  if (!is_ours(m, old)) return piece_realloc(old, bytes);
  size_t most = most_of(m, old);
  void *moved = piece_alloc(bytes);
  return memcpy(moved, old, bytes < most ? bytes : most);
}

nghttp2_mem h2_memory_begin(struct h2_memory *m) {
  *m = (struct h2_memory){.pages = pages_alloc(), .scratch = ROOM};
  return (nghttp2_mem){
      .mem_user_data = m, .malloc = on_malloc, .free = on_free, .calloc = on_calloc, .realloc = on_realloc};
}

void h2_memory_born(struct h2_memory *m) { m->is_born = true; }

void h2_memory_end(struct h2_memory *m) {
  free(m->packed);
  pages_free(m->pages);
  *m = (struct h2_memory){0};
}

/* --- rest ------------------------------------------------------------------------------------------- */

static size_t count_set(const uint64_t *words, size_t count) {
  size_t set = 0;
  for (size_t i = 0; i < count; i++) set += words[i] != 0;
  return set;
}

static void pack(const uint64_t *words, size_t count, uint64_t *map, uint64_t *to) {
  for (size_t i = 0; i < count; i++) {
    if (!words[i]) continue;
    map[i / MAPPED] |= UINT64_C(1) << i % MAPPED;
    *to++ = words[i];
  }
}

size_t h2_memory_rest(struct h2_memory *m) {
  const uint64_t *words = (const uint64_t *)m->pages;
  size_t count = m->kept / WORD, map_words = rounded(count, MAPPED) / MAPPED;
  if (m->packed) return 0;
  CHECK(m->is_born);
  m->packed = memory_zalloc((map_words + count_set(words, count)) * WORD);
  pack(words, count, m->packed, m->packed + map_words);
  if (madvise(m->pages, ROOM, MADV_DONTNEED) == 0) return ROOM;
  free(m->packed); /* pages that are locked stay as they are */
  m->packed = NULL;
  return 0;
}

void h2_memory_unpack(struct h2_memory *m) {
  uint64_t *words = (uint64_t *)m->pages;
  size_t count = m->kept / WORD;
  const uint64_t *from = m->packed + rounded(count, MAPPED) / MAPPED;
  for (size_t i = 0; i < count; i++) {
    bool is_set = m->packed[i / MAPPED] >> i % MAPPED & 1;
    if (is_set) words[i] = *from++;
  }
  free(m->packed);
  m->packed = NULL;
}
