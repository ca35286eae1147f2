// SPDX-License-Identifier: Apache-2.0
// h2_blocks: header blocks that come in. nghttp2 is shown one HEADERS frame without fields for each, and tells whose it
// is; the fields are read by h2_decoder, also of a block that nobody wants, for what comes behind it depends on it. A
// block that comes at once is read where it lies; what comes in parts is collected, up to the limit of h2_inspect.
#include "http/h2_parts.h"

#include "base/big_endian.h"

enum { PRIORITY_BYTES = 5, PASSED = NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_PRIORITY };

static void fault(struct h2_session *s, const char *why) { h2_session_fail(s, H2_FRAME_SIZE_ERROR, why); }

/* The frame as nghttp2 is to see it: without padding and without fields. */
static void show(struct h2_session *s, const char *priority) {
  char frame[H2_FRAME_HEADER + PRIORITY_BYTES] = {[3] = NGHTTP2_HEADERS};
  size_t length = priority ? PRIORITY_BYTES : 0;
  frame[2] = (char)length;
  frame[4] = (char)((s->arriving.begun.flags & PASSED) | NGHTTP2_FLAG_END_HEADERS);
  big_endian_put_32(frame + 5, (uint32_t)s->arriving.begun.id);
  if (priority) memcpy(frame + H2_FRAME_HEADER, priority, PRIORITY_BYTES);
  h2_session_feed(s, (uint8_t *)frame, H2_FRAME_HEADER + length);
}

/* All of a block is there. */
static void finish(struct h2_session *s, struct str text) {
  const char *priority = s->arriving.begun.flags & NGHTTP2_FLAG_PRIORITY ? text.ptr : NULL;
  if (priority && text.len < PRIORITY_BYTES) return fault(s, "a frame too short for its priority");
  s->arriving.text = priority ? str_from(text, PRIORITY_BYTES) : text;
  if (!s->arriving.text.ptr) s->arriving.text.ptr = "";
  show(s, priority);
  h2_blocks_read(s);
}

void h2_blocks_read(struct h2_session *s) {
  const uint8_t *at = (const uint8_t *)s->arriving.text.ptr;
  if (!at) return;
  struct h2_coded block = {.at = at, .end = at + s->arriving.text.len};
  struct h2_head *head = s->block_stream ? &s->block->head : NULL;
  struct h2_read_field field;
  enum h2_read result;
  s->arriving.text = (struct str){0};
  while ((result = h2_decoder_next(&s->decoder, &block, &field)) == H2_READ_FIELD) {
    if (!head) continue;
    if (field.found)
      h2_head_take_found(head, field.name, field.value, field.is_sensitive, field.found);
    else
      h2_head_take(head, field.name, field.value, field.is_sensitive);
  }
  if (result == H2_READ_FAULT) h2_session_fail(s, H2_COMPRESSION_ERROR, "a header block that cannot be read");
}

/* Of the first frame, when it is whole: the padding comes last, and its length first. */
static void cut_padding(struct h2_session *s, struct str *text) {
  size_t padding = (unsigned char)text->ptr[0]; /* h2_inspect has seen to it that this is there */
  *text = str_from(*text, 1);
  if (padding > text->len)
    return h2_session_fail(s, H2_PROTOCOL_ERROR, "more padding than a frame has room for");
  text->len -= padding;
}

/* What is not the end of a block, or has begun before. */
static struct str collect(struct buf *parts, struct str text) {
  if (text.len) buf_append(parts, text.ptr, text.len);
  return parts->data ? buf_str(parts) : text;
}

static void keep(struct buf *parts, struct str text) {
  if (!parts->data) return;
  parts->start = (size_t)(text.ptr - parts->data);
  parts->end = parts->start + text.len;
}

void h2_blocks_take(struct h2_session *s, const struct h2_piece *piece) {
  struct buf *parts = &s->arriving.parts;
  size_t skipped = piece->begins ? H2_FRAME_HEADER : 0;
  struct str text = {(const char *)piece->bytes + skipped, piece->count - skipped};
  bool is_whole = !s->walk.left, is_last = is_whole && !s->is_in_block, is_first = !s->continuations;
  if (!is_last || buf_len(parts)) text = collect(parts, text);
  if (is_whole && is_first && s->arriving.begun.flags & NGHTTP2_FLAG_PADDED) cut_padding(s, &text);
  if (s->failed) return;
  if (is_last)
    finish(s, text);
  else if (is_whole && is_first)
    keep(parts, text);
  if (is_last) buf_release(parts);
}
