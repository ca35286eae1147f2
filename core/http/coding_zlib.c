// SPDX-License-Identifier: Apache-2.0
// coding_zlib: gzip (RFC 1952) and deflate (RFC 1950, and RFC 1951 alone, which some send under that name). Streams are
// reset, not newly created. The hard parts: gzip may have several members one after another, and only the first two
// bytes show which of its two forms deflate has.
#include <zlib.h>

#include "base/container.h"
#include "base/memory.h"
#include "http/coding_parts.h"

#include <stdlib.h>

enum { WINDOW = 15, WINDOW_SMALL = 13, MEMORY = 8, MEMORY_SMALL = 6, GZIP = 16, LEVEL = 5 };

struct zlib_coder {
  struct coder coder;
  z_stream z;
  size_t bytes; /* what z holds */
  int level;
  bool is_open;
  bool has_begun, has_ended; /* decoding: the stream, or its current member */
  unsigned members;          /* of gzip, that have ended */
  unsigned char first[2];    /* of deflate */
  unsigned first_count;
};

static struct zlib_coder *of(struct coder *c) { return CONTAINER_OF(c, struct zlib_coder, coder); }

static void *z_alloc(void *owner, unsigned items, unsigned size) {
  struct zlib_coder *self = owner;
  size_t bytes = (size_t)items * size;
  self->bytes += bytes;
  return coding_alloc(&self->coder, bytes);
}

static void z_free(void *owner, void *block) {
  (void)owner;
  free(block);
}

static void prepare(struct zlib_coder *self) {
  self->z = (z_stream){.zalloc = z_alloc, .zfree = z_free, .opaque = self};
  self->bytes = 0;
}

static void give(z_stream *z, struct str in) {
  z->next_in = (unsigned char *)(uintptr_t)in.ptr;
  z->avail_in = (unsigned)in.len;
}

static struct str left(const z_stream *z) { return (struct str){(const char *)z->next_in, z->avail_in}; }

static size_t memory(const struct coder *c) { return of((struct coder *)(uintptr_t)c)->bytes; }

/* --- encoding --- */

static bool encoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct zlib_coder *self = of(c);
  int level = wish->level ? (int)wish->level : LEVEL;
  int window = (c->is_small ? WINDOW_SMALL : WINDOW) + (c->coding == CODING_GZIP ? GZIP : 0);
  if (level > Z_BEST_COMPRESSION) level = Z_BEST_COMPRESSION;
  if (!self->is_open) {
    prepare(self);
    self->is_open = deflateInit2(&self->z, level, Z_DEFLATED, window, c->is_small ? MEMORY_SMALL : MEMORY,
                                 Z_DEFAULT_STRATEGY) == Z_OK;
    self->level = level;
    return self->is_open;
  }
  deflateReset(&self->z);
  if (level != self->level) deflateParams(&self->z, level, Z_DEFAULT_STRATEGY);
  self->level = level;
  return true;
}

static enum coding_state encoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  static const int flushes[] = {
      [CODING_RUN] = Z_NO_FLUSH, [CODING_FLUSH] = Z_SYNC_FLUSH, [CODING_END] = Z_FINISH};
  struct zlib_coder *self = of(c);
  z_stream *z = &self->z;
  give(z, *in);
  z->next_out = (unsigned char *)out;
  z->avail_out = (unsigned)*space;
  int result = deflate(z, flushes[flush]);
  *in = left(z);
  *space -= z->avail_out;
  if (result == Z_STREAM_END) return CODING_DONE;
  if (result == Z_STREAM_ERROR) return coding_fail(c, CODING_MALFORMED);
  return z->avail_out == 0 || flush == CODING_END ? CODING_AGAIN : CODING_HUNGRY;
}

static void encoder_free(struct coder *c) {
  if (of(c)->is_open) deflateEnd(&of(c)->z);
}

const struct coding_ops coding_zlib_encoder = {
    .bytes = sizeof(struct zlib_coder),
    .begin = encoder_begin,
    .step = encoder_step,
    .free = encoder_free,
    .memory = memory,
};

/* --- decoding --- */

static bool decoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct zlib_coder *self = of(c);
  (void)wish;
  self->has_begun = self->has_ended = false;
  self->members = self->first_count = 0;
  if (self->is_open) return inflateReset(&self->z) == Z_OK;
  prepare(self);
  self->is_open = inflateInit2(&self->z, c->coding == CODING_GZIP ? WINDOW + GZIP : WINDOW) == Z_OK;
  return self->is_open;
}

static enum coding_state inflate_some(struct zlib_coder *self) {
  z_stream *z = &self->z;
  switch (inflate(z, Z_NO_FLUSH)) {
  case Z_STREAM_END:
    self->has_ended = true;
    self->members++;
    return CODING_HUNGRY;
  case Z_OK:
  case Z_BUF_ERROR: return z->avail_out == 0 ? CODING_AGAIN : CODING_HUNGRY;
  default: break;
  }
  /* What follows a member and does not even begin like one is none. */
  return coding_fail(&self->coder, self->members && !z->total_out ? CODING_TRAILING : CODING_MALFORMED);
}

/* RFC 1950 section 2.2: the method, a window of at most 32 KiB, and a check of both bytes. */
static bool is_zlib(const unsigned char *first) {
  return (first[0] & 15) == Z_DEFLATED && first[0] >> 4 <= WINDOW - 8 && (first[0] << 8 | first[1]) % 31 == 0;
}

/* Takes the first two bytes of deflate; once they are there, they go in. */
static enum coding_state find_form(struct zlib_coder *self, struct str *in) {
  while (self->first_count < 2 && in->len) {
    self->first[self->first_count++] = (unsigned char)in->ptr[0];
    *in = (struct str){in->ptr + 1, in->len - 1};
  }
  if (self->first_count < 2) return CODING_HUNGRY;
  self->has_begun = true;
  inflateReset2(&self->z, is_zlib(self->first) ? WINDOW : -WINDOW);
  give(&self->z, (struct str){(const char *)self->first, 2});
  return inflate_some(self);
}

/* At the end of a member. */
static enum coding_state next_member(struct zlib_coder *self) {
  if (self->coder.coding != CODING_GZIP) return coding_fail(&self->coder, CODING_TRAILING);
  self->has_ended = false;
  inflateReset(&self->z);
  return CODING_AGAIN;
}

static enum coding_state decode(struct zlib_coder *self, struct str *in) {
  enum coding_state state = CODING_HUNGRY;
  if (self->coder.coding == CODING_DEFLATE && !self->has_begun) state = find_form(self, in);
  if (state != CODING_HUNGRY || !(in->len || self->has_begun)) return state;
  if (self->has_ended && in->len) state = next_member(self);
  if (state == CODING_FAILED || self->has_ended) return state;
  if (self->coder.coding == CODING_DEFLATE && !self->has_begun) return state;
  self->has_begun = true;
  give(&self->z, *in);
  state = inflate_some(self);
  *in = left(&self->z);
  return state == CODING_HUNGRY && in->len ? CODING_AGAIN : state;
}

/* No byte at all is an empty body. */
static enum coding_state decoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  struct zlib_coder *self = of(c);
  self->z.next_out = (unsigned char *)out;
  self->z.avail_out = (unsigned)*space;
  enum coding_state state = decode(self, in);
  *space -= self->z.avail_out;
  if (state != CODING_HUNGRY || flush != CODING_END) return state;
  bool is_whole = self->has_ended || (!self->has_begun && !self->first_count);
  return is_whole ? CODING_DONE : coding_fail(c, CODING_TRUNCATED);
}

static void decoder_free(struct coder *c) {
  if (of(c)->is_open) inflateEnd(&of(c)->z);
}

const struct coding_ops coding_zlib_decoder = {
    .bytes = sizeof(struct zlib_coder),
    .begin = decoder_begin,
    .step = decoder_step,
    .free = decoder_free,
    .memory = memory,
};
