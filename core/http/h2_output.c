// SPDX-License-Identifier: Apache-2.0
// h2_output: frames into the bytes that are to be written. nghttp2 makes them, but those of heads and trailers without
// their fields, which it would copy and code at more cost than all else: their block is put behind what it has made.
// The one hard problem is the order: blocks depend on each other, so each is made when nghttp2 makes its frame, from
// inside its callback (nghttp2 may forget the stream before it returns), and waits behind the output for the frame.
#include "base/big_endian.h"
#include "http/h2_parts.h"

enum {
  FRAME_MOST = 16384, /* any frame may be so long (RFC 9113 section 4.2) */
  UPDATE_MOST = 16,   /* bytes of two changes of the table's size (RFC 7541 section 6.3) */
};

static void put_head(struct h2_session *s, const void *begun, size_t count);

/* After a failure only the GOAWAY goes out. */
bool h2_session_make(struct h2_session *s) {
  CHECK_OBJ(s, H2_SESSION_MAGIC);
  while (buf_len(&s->out) < s->config.out_bytes && h2_session_make_one(s)) continue;
  return !s->failed;
}

bool h2_session_make_one(struct h2_session *s) {
  const uint8_t *bytes;
  ssize_t count = nghttp2_session_mem_send(s->ng, &bytes);
  if (count > 0 && s->block_made)
    put_head(s, bytes, (size_t)count);
  else if (count > 0)
    h2_session_put(s, bytes, (size_t)count);
  if (count < 0) h2_session_fail(s, H2_INTERNAL_ERROR, nghttp2_strerror((int)count));
  return count > 0;
}

static void reserve(struct h2_session *s, size_t bytes) {
  if (!s->out.data && bytes < s->out_usual) bytes = s->out_usual;
  buf_reserve(&s->out, bytes);
}

void h2_session_put(struct h2_session *s, const void *bytes, size_t count) {
  reserve(s, count);
  buf_append(&s->out, bytes, count);
  s->made += count;
}

static void put_length(char *frame, size_t length) { big_endian_put_24(frame, (uint32_t)length); }

/* A block that is longer than a frame goes on in others (section 6.10). `from`: where in the output the frame is. */
static void cut_block(struct h2_session *s, size_t from) {
  enum { TYPE_AT = 3, FLAGS_AT = 4, ID_AT = 5 };
  struct buf *out = &s->out;
  char *frame = buf_ptr(out) + from;
  size_t length = buf_len(out) - from - H2_FRAME_HEADER;
  frame[FLAGS_AT] &= (char)~NGHTTP2_FLAG_END_HEADERS;
  put_length(frame, FRAME_MOST);
  for (from += H2_FRAME_HEADER + FRAME_MOST, length -= FRAME_MOST; length > 0;) {
    size_t part = length < FRAME_MOST ? length : FRAME_MOST;
    char header[H2_FRAME_HEADER] = {[TYPE_AT] = NGHTTP2_CONTINUATION};
    header[FLAGS_AT] = part == length ? NGHTTP2_FLAG_END_HEADERS : 0;
    put_length(header, part);
    reserve(s, H2_FRAME_HEADER);
    char *at = buf_ptr(out) + from;
    memcpy(header + ID_AT, buf_ptr(out) + from - H2_FRAME_HEADER - FRAME_MOST + ID_AT, 4);
    memmove(at + H2_FRAME_HEADER, at, length);
    memcpy(at, header, H2_FRAME_HEADER);
    buf_commit(out, H2_FRAME_HEADER);
    s->made += H2_FRAME_HEADER;
    from += H2_FRAME_HEADER + part;
    length -= part;
  }
}

void h2_session_put_block(struct h2_session *s, const struct h2_fields *fields) {
  CHECK(fields->count > 0 && !s->block_made);
  reserve(s, H2_FRAME_HEADER + UPDATE_MOST + h2_encoder_most(fields));
  char *start = buf_tail(&s->out) + H2_FRAME_HEADER;
  s->block_made = (size_t)(h2_encoder_put(&s->encoder, fields, start) - start);
}

/* The frame that nghttp2 has made has no fields, but may change the size of the table: the block goes behind that. */
static void put_head(struct h2_session *s, const void *begun, size_t count) {
  size_t from = buf_len(&s->out), block = s->block_made, length = count - H2_FRAME_HEADER + block;
  char *at = buf_tail(&s->out);
  CHECK(count >= H2_FRAME_HEADER && count <= H2_FRAME_HEADER + UPDATE_MOST);
  if (count > H2_FRAME_HEADER) memmove(at + count, at + H2_FRAME_HEADER, block);
  memcpy(at, begun, count);
  buf_commit(&s->out, count + block);
  s->made += count + block;
  s->block_made = 0;
  if (length > FRAME_MOST)
    cut_block(s, from);
  else
    put_length(at, length);
}

struct buf *h2_session_out(struct h2_session *s) {
  return &s->out;
}

void h2_session_emptied(struct h2_session *s, size_t bytes) {
  CHECK(!buf_len(&s->out));
  s->out_usual = bytes;
  buf_release(&s->out);
}
