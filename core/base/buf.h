// SPDX-License-Identifier: Apache-2.0
// buf: a byte queue in one piece of memory, from the thread's free lists. Bytes are added at the end and
// consumed at the start. A buf that is empty and released holds no memory, so an idle connection holds
// none.
#ifndef PERILUNE_BASE_BUF_H
#define PERILUNE_BASE_BUF_H

#include "base/check.h"
#include "base/str.h"

struct buf {
  char *data; /* owned; NULL while it holds no memory */
  size_t start, end, cap;
};

static inline size_t buf_len(const struct buf *b) {
  CHECK(b->start <= b->end && b->end <= b->cap);
  return b->end - b->start;
}
static inline char *buf_ptr(const struct buf *b) { return b->data + b->start; }
static inline size_t buf_space(const struct buf *b) { return b->cap - b->end; }
static inline char *buf_tail(const struct buf *b) { return b->data + b->end; }
static inline struct str buf_str(const struct buf *b) { return (struct str){b->data + b->start, buf_len(b)}; }
static inline void buf_commit(struct buf *b, size_t bytes) {
  CHECK(bytes <= buf_space(b));
  b->end += bytes;
}

/* Makes room for at least `bytes` more behind the end. Moves or reallocates: slices into the buf become
 * invalid. */
void buf_reserve(struct buf *b, size_t bytes);
void buf_append(struct buf *b, const void *bytes, size_t length);
static inline void buf_append_str(struct buf *b, struct str s) { buf_append(b, s.ptr, s.len); }
/* Drops `bytes` from the start; slices behind them stay valid until the next reserve or append. */
void buf_consume(struct buf *b, size_t bytes);
/* Drops all; the block is kept. */
static inline void buf_clear(struct buf *b) { buf_consume(b, buf_len(b)); }
enum { BUF_TIGHT = 1024 };
/* Of buf_reserve_tight, where there is no memory. */
void buf_reserve_small(struct buf *b, size_t bytes);
/* Like buf_reserve, but an empty buf that needs at most BUF_TIGHT takes just that, not a whole block: for what may wait
 * long. */
static inline void buf_reserve_tight(struct buf *b, size_t bytes) {
  if (!b->data && bytes <= BUF_TIGHT)
    buf_reserve_small(b, bytes);
  else
    buf_reserve(b, bytes);
}
/* Of buf_release, where there is memory. */
void buf_free(struct buf *b);
/* Gives the memory back. The content is lost. */
static inline void buf_release(struct buf *b) {
  if (b->data) buf_free(b);
}

#endif
