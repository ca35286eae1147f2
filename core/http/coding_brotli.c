// SPDX-License-Identifier: Apache-2.0
// coding_brotli: brotli (RFC 7932). Its streams cannot be reset, so each is newly created; its memory comes from
// blocks that the coder keeps, since the next stream needs the same sizes.
#include <brotli/decode.h>
#include <brotli/encode.h>

#include "base/container.h"
#include "base/memory.h"
#include "http/coding_parts.h"

#include <stdlib.h>

/* Windows of 128 and 16 KiB: what a block of commands takes grows with the window; the largest that any stream may
 * ask for when decoding is 16 MiB. */
enum { WINDOW = 17, WINDOW_SMALL = 14, QUALITY = 4, KEPT_BLOCKS = 32 };
/* A block above that is not kept for the next stream. */
enum { KEPT_BYTES = 1 << 20 };

/* In front of what the library gets. */
struct block {
  size_t bytes;
  size_t unused; /* what follows is aligned to 16 */
};

struct brotli_coder {
  struct coder coder;
  BrotliEncoderState *encoder;
  BrotliDecoderState *decoder;
  struct block *kept[KEPT_BLOCKS]; /* owned */
  unsigned kept_count;
  size_t bytes; /* kept and in use */
  bool has_begun, has_ended;
};

static struct brotli_coder *of(struct coder *c) { return CONTAINER_OF(c, struct brotli_coder, coder); }

/* The smallest kept block that is large enough and not much too large, else a new one. */
static struct block *take_kept(struct brotli_coder *self, size_t bytes) {
  unsigned best = self->kept_count;
  for (unsigned i = 0; i < self->kept_count; i++) {
    size_t has = self->kept[i]->bytes;
    if (has >= bytes && has / 2 <= bytes && (best == self->kept_count || has < self->kept[best]->bytes))
      best = i;
  }
  if (best == self->kept_count) return NULL;
  struct block *block = self->kept[best];
  self->kept[best] = self->kept[--self->kept_count];
  return block;
}

static void *brotli_alloc(void *owner, size_t bytes) {
  struct brotli_coder *self = owner;
  struct block *block = take_kept(self, bytes);
  if (!block) {
    block = coding_alloc(&self->coder, sizeof *block + bytes);
    block->bytes = bytes;
    self->bytes += sizeof *block + bytes;
  }
  return block + 1;
}

static void free_block(struct brotli_coder *self, struct block *block) {
  self->bytes -= sizeof *block + block->bytes;
  free(block);
}

static void brotli_free(void *owner, void *address) {
  struct brotli_coder *self = owner;
  if (!address) return;
  struct block *block = (struct block *)address - 1;
  if (self->kept_count == KEPT_BLOCKS || block->bytes > KEPT_BYTES)
    free_block(self, block);
  else
    self->kept[self->kept_count++] = block;
}

/* Its blocks are kept. */
static void rest(struct coder *c) {
  struct brotli_coder *self = of(c);
  if (self->encoder) BrotliEncoderDestroyInstance(self->encoder);
  if (self->decoder) BrotliDecoderDestroyInstance(self->decoder);
  self->encoder = NULL;
  self->decoder = NULL;
}

static void free_all(struct coder *c) {
  struct brotli_coder *self = of(c);
  rest(c);
  while (self->kept_count) free_block(self, self->kept[--self->kept_count]);
  CHECK(self->bytes == 0);
}

static size_t memory(const struct coder *c) { return of((struct coder *)(uintptr_t)c)->bytes; }

/* --- encoding --- */

static bool encoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct brotli_coder *self = of(c);
  unsigned quality = wish->level ? wish->level : QUALITY;
  /* From a size of 1 MiB on, it would take larger tables. */
  uint32_t size = wish->length < (1 << 20) ? (uint32_t)wish->length : 0;
  self->encoder = BrotliEncoderCreateInstance(brotli_alloc, brotli_free, self);
  if (!self->encoder) return false;
  BrotliEncoderSetParameter(self->encoder, BROTLI_PARAM_QUALITY, quality < 11 ? quality : 11);
  BrotliEncoderSetParameter(self->encoder, BROTLI_PARAM_LGWIN, c->is_small ? WINDOW_SMALL : WINDOW);
  BrotliEncoderSetParameter(self->encoder, BROTLI_PARAM_LGBLOCK, BROTLI_MIN_INPUT_BLOCK_BITS);
  BrotliEncoderSetParameter(self->encoder, BROTLI_PARAM_SIZE_HINT, size);
  return true;
}

static enum coding_state encoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  static const BrotliEncoderOperation operations[] = {[CODING_RUN] = BROTLI_OPERATION_PROCESS,
                                                      [CODING_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                      [CODING_END] = BROTLI_OPERATION_FINISH};
  struct brotli_coder *self = of(c);
  const uint8_t *next_in = (const uint8_t *)in->ptr;
  uint8_t *next_out = (uint8_t *)out;
  size_t room = *space;
  bool is_fine = BrotliEncoderCompressStream(self->encoder, operations[flush], &in->len, &next_in, &room,
                                             &next_out, NULL);
  in->ptr = (const char *)next_in;
  *space -= room;
  if (!is_fine) return coding_fail(c, CODING_MALFORMED);
  if (flush == CODING_END) return BrotliEncoderIsFinished(self->encoder) ? CODING_DONE : CODING_AGAIN;
  return in->len || BrotliEncoderHasMoreOutput(self->encoder) ? CODING_AGAIN : CODING_HUNGRY;
}

const struct coding_ops coding_brotli_encoder = {
    .bytes = sizeof(struct brotli_coder),
    .begin = encoder_begin,
    .step = encoder_step,
    .rest = rest,
    .free = free_all,
    .memory = memory,
};

/* --- decoding --- */

static bool decoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct brotli_coder *self = of(c);
  (void)wish;
  self->has_begun = self->has_ended = false;
  self->decoder = BrotliDecoderCreateInstance(brotli_alloc, brotli_free, self);
  return self->decoder != NULL;
}

static enum coding_state decode(struct brotli_coder *self, struct str *in, char *out, size_t *space) {
  const uint8_t *next_in = (const uint8_t *)in->ptr;
  uint8_t *next_out = (uint8_t *)out;
  size_t room = *space;
  BrotliDecoderResult result =
      BrotliDecoderDecompressStream(self->decoder, &in->len, &next_in, &room, &next_out, NULL);
  in->ptr = (const char *)next_in;
  *space -= room;
  self->has_begun = true;
  switch (result) {
  case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: return CODING_AGAIN;
  case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
    /* It wants input also where it still has output, for which there was no room. */
    return BrotliDecoderHasMoreOutput(self->decoder) ? CODING_AGAIN : CODING_HUNGRY;
  case BROTLI_DECODER_RESULT_SUCCESS: self->has_ended = true; return CODING_HUNGRY;
  case BROTLI_DECODER_RESULT_ERROR: break;
  }
  return coding_fail(&self->coder, CODING_MALFORMED);
}

/* No byte at all is an empty body. */
static enum coding_state decoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  struct brotli_coder *self = of(c);
  enum coding_state state = CODING_HUNGRY;
  if (!self->has_ended && (in->len || self->has_begun))
    state = decode(self, in, out, space);
  else
    *space = 0;
  if (state != CODING_HUNGRY) return state;
  if (self->has_ended && in->len) return coding_fail(c, CODING_TRAILING);
  if (flush != CODING_END) return CODING_HUNGRY;
  return self->has_ended || !self->has_begun ? CODING_DONE : coding_fail(c, CODING_TRUNCATED);
}

const struct coding_ops coding_brotli_decoder = {
    .bytes = sizeof(struct brotli_coder),
    .begin = decoder_begin,
    .step = decoder_step,
    .rest = rest,
    .free = free_all,
    .memory = memory,
};
