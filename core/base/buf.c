// SPDX-License-Identifier: Apache-2.0
// buf: the byte queue of a connection. It grows to the next block size, and beyond the largest one by
// doubling.
#include "base/buf.h"

#include "base/memory.h"

void buf_reserve(struct buf *b, size_t bytes) {
  if (!b->data) {
    b->data = block_alloc(bytes, &b->cap);
    return;
  }
  if (buf_space(b) >= bytes) return;
  size_t length = buf_len(b);
  if (b->cap >= length + bytes) {
    memmove(b->data, b->data + b->start, length);
  } else {
    size_t wanted = length + bytes, cap;
    if (wanted > BLOCK_LARGEST && wanted < 2 * b->cap) wanted = 2 * b->cap;
    char *data = block_alloc(wanted, &cap);
    if (length) memcpy(data, b->data + b->start, length);
    block_free(b->data, b->cap);
    b->data = data;
    b->cap = cap;
  }
  b->start = 0;
  b->end = length;
  CHECK(buf_space(b) >= bytes);
}

void buf_reserve_small(struct buf *b, size_t bytes) {
  CHECK(!b->data);
  *b = (struct buf){.data = memory_alloc(bytes), .cap = bytes};
}

void buf_append(struct buf *b, const void *bytes, size_t length) {
  if (length == 0) return;
  buf_reserve(b, length);
  memory_copy(b->data + b->end, bytes, length);
  b->end += length;
}

void buf_consume(struct buf *b, size_t bytes) {
  CHECK(bytes <= buf_len(b));
  b->start += bytes;
  if (b->start == b->end) b->start = b->end = 0;
}

void buf_free(struct buf *b) {
  block_free(b->data, b->cap);
  *b = (struct buf){0};
}
