// SPDX-License-Identifier: Apache-2.0
// Units for base/buf.
#include "base/buf.h"

#include "base/memory.h"
#include "unit.h"

IT("holds no memory until something is reserved, and none after its release") {
  struct buf b = {0};
  CHECK(buf_len(&b) == 0 && buf_space(&b) == 0);
  buf_append(&b, "", 0);
  CHECK(!b.data);
  buf_reserve(&b, 1);
  CHECK(b.data && buf_space(&b) >= 1);
  buf_release(&b);
  CHECK(!b.data && b.cap == 0 && buf_len(&b) == 0);
  buf_release(&b);
}

IT("takes bytes at the end and gives them at the start, in order") {
  struct buf b = {0};
  buf_append_str(&b, STR("hello "));
  buf_append(&b, "world", 5);
  CHECK_STR(buf_str(&b), "hello world");
  buf_consume(&b, 6);
  CHECK_STR(buf_str(&b), "world");
  buf_reserve(&b, 3);
  memcpy(buf_tail(&b), "!?!", 3);
  buf_commit(&b, 2);
  CHECK_STR(buf_str(&b), "world!?");
  buf_release(&b);
}

IT("starts over at the front once it is empty") {
  struct buf b = {0};
  buf_append(&b, "abc", 3);
  buf_consume(&b, 3);
  CHECK(b.start == 0 && b.end == 0 && b.data);
  buf_release(&b);
}

IT("moves its content to the front rather than grow, if that is enough") {
  struct buf b = {0};
  buf_reserve(&b, 1000);
  size_t cap = b.cap;
  buf_commit(&b, cap);
  memset(buf_ptr(&b), 'x', cap);
  buf_ptr(&b)[cap - 1] = 'y';
  buf_consume(&b, cap - 1);
  buf_reserve(&b, cap - 1);
  CHECK(b.cap == cap && b.start == 0);
  CHECK_STR(buf_str(&b), "y");
  buf_release(&b);
}

IT("keeps its content when it grows through all sizes and beyond the largest block") {
  struct buf b = {0};
  size_t written = 0;
  for (size_t count = 1; written < 5 * BLOCK_LARGEST; count = count * 2 + 1) {
    buf_reserve(&b, count);
    CHECK(buf_space(&b) >= count);
    for (size_t i = 0; i < count; i++) buf_tail(&b)[i] = (char)((written + i) * 7);
    buf_commit(&b, count);
    written += count;
  }
  CHECK(buf_len(&b) == written);
  size_t wrong = 0;
  for (size_t i = 0; i < written; i++) wrong += buf_ptr(&b)[i] != (char)(i * 7);
  CHECK(wrong == 0);
  buf_release(&b);
}
