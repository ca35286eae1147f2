// SPDX-License-Identifier: Apache-2.0
// coding_zstd: Zstandard (RFC 8878) within the window that HTTP allows (RFC 9659). Its contexts are reset; their
// memory is the library's own, which says how much it is.
#include <zstd.h>
#include <zstd_errors.h>

#include "base/container.h"
#include "http/coding_parts.h"

/* Windows of 128 and 16 KiB; 8 MiB is the most that a decoder must take, and the most that this one does. */
enum { WINDOW = 17, WINDOW_SMALL = 14, WINDOW_MOST = 23, LEVEL = 3 };
/* What has more is not kept for the next stream: a decoder of a large window, an encoder of a high level. */
enum { KEPT_BYTES = 2 << 20 };

struct zstd_coder {
  struct coder coder;
  ZSTD_CCtx *encoder;
  ZSTD_DCtx *decoder;
  bool has_begun, has_ended; /* decoding: the current frame */
  unsigned frames;           /* that have ended */
};

static struct zstd_coder *of(struct coder *c) { return CONTAINER_OF(c, struct zstd_coder, coder); }

static void free_all(struct coder *c) {
  struct zstd_coder *self = of(c);
  ZSTD_freeCCtx(self->encoder);
  ZSTD_freeDCtx(self->decoder);
  self->encoder = NULL;
  self->decoder = NULL;
}

static size_t memory(const struct coder *c) {
  const struct zstd_coder *self = of((struct coder *)(uintptr_t)c);
  return ZSTD_sizeof_CCtx(self->encoder) + ZSTD_sizeof_DCtx(self->decoder);
}

static void rest(struct coder *c) {
  if (memory(c) > KEPT_BYTES) free_all(c);
}

/* --- encoding --- */

static bool encoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct zstd_coder *self = of(c);
  if (!self->encoder) self->encoder = ZSTD_createCCtx();
  if (!self->encoder) return false;
  int level = wish->level ? (int)wish->level : LEVEL;
  ZSTD_CCtx_reset(self->encoder, ZSTD_reset_session_only);
  ZSTD_CCtx_setParameter(self->encoder, ZSTD_c_compressionLevel, level < 19 ? level : 19);
  ZSTD_CCtx_setParameter(self->encoder, ZSTD_c_windowLog, c->is_small ? WINDOW_SMALL : WINDOW);
  return true;
}

static enum coding_state encoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  static const ZSTD_EndDirective directives[] = {
      [CODING_RUN] = ZSTD_e_continue, [CODING_FLUSH] = ZSTD_e_flush, [CODING_END] = ZSTD_e_end};
  ZSTD_inBuffer from = {in->ptr, in->len, 0};
  ZSTD_outBuffer to = {out, *space, 0};
  size_t left = ZSTD_compressStream2(of(c)->encoder, &to, &from, directives[flush]);
  *in = (struct str){in->ptr + from.pos, in->len - from.pos};
  *space = to.pos;
  if (ZSTD_isError(left))
    return coding_fail(c, ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? CODING_SHORTAGE
                                                                                  : CODING_MALFORMED);
  if (flush == CODING_RUN) return in->len || to.pos == to.size ? CODING_AGAIN : CODING_HUNGRY;
  if (left) return CODING_AGAIN;
  return flush == CODING_END ? CODING_DONE : CODING_HUNGRY;
}

const struct coding_ops coding_zstd_encoder = {
    .bytes = sizeof(struct zstd_coder),
    .begin = encoder_begin,
    .step = encoder_step,
    .rest = rest,
    .free = free_all,
    .memory = memory,
};

/* --- decoding --- */

static bool decoder_begin(struct coder *c, const struct coding_wish *wish) {
  struct zstd_coder *self = of(c);
  (void)wish;
  self->has_begun = self->has_ended = false;
  self->frames = 0;
  if (!self->decoder) self->decoder = ZSTD_createDCtx();
  if (!self->decoder) return false;
  ZSTD_DCtx_reset(self->decoder, ZSTD_reset_session_only);
  return !ZSTD_isError(ZSTD_DCtx_setParameter(self->decoder, ZSTD_d_windowLogMax, WINDOW_MOST));
}

/* A frame's first byte, of 0xFD2FB528 or 0x184D2A5? in little endian. The library may also know the formats before its
 * first version, which are none of HTTP's: it must not see them. It checks the other bytes. */
static bool may_begin_frame(char byte) {
  unsigned char first = (unsigned char)byte;
  return first == 0x28 || (first & 0xf0) == 0x50;
}

static enum coding_state decode(struct zstd_coder *self, struct str *in, char *out, size_t *space) {
  ZSTD_inBuffer from = {in->ptr, in->len, 0};
  ZSTD_outBuffer to = {out, *space, 0};
  bool is_in_frame = self->has_begun && !self->has_ended;
  if (!is_in_frame && !may_begin_frame(*in->ptr)) {
    *space = 0;
    return coding_fail(&self->coder, self->frames ? CODING_TRAILING : CODING_MALFORMED);
  }
  size_t left = ZSTD_decompressStream(self->decoder, &to, &from);
  *in = (struct str){in->ptr + from.pos, in->len - from.pos};
  *space = to.pos;
  self->has_begun = true;
  if (ZSTD_isError(left)) {
    ZSTD_ErrorCode code = ZSTD_getErrorCode(left);
    if (code == ZSTD_error_memory_allocation) return coding_fail(&self->coder, CODING_SHORTAGE);
    bool is_none = code == ZSTD_error_prefix_unknown && self->frames;
    return coding_fail(&self->coder, is_none ? CODING_TRAILING : CODING_MALFORMED);
  }
  self->has_ended = left == 0;
  self->frames += self->has_ended;
  return in->len || (!self->has_ended && to.pos == to.size) ? CODING_AGAIN : CODING_HUNGRY;
}

/* Frames may follow one another (RFC 8878 section 3.1). No byte at all is an empty body. */
static enum coding_state decoder_step(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                                      size_t *space) {
  struct zstd_coder *self = of(c);
  enum coding_state state = CODING_HUNGRY;
  if (in->len || (self->has_begun && !self->has_ended))
    state = decode(self, in, out, space);
  else
    *space = 0;
  if (state != CODING_HUNGRY || flush != CODING_END) return state;
  return self->has_ended || !self->has_begun ? CODING_DONE : coding_fail(c, CODING_TRUNCATED);
}

const struct coding_ops coding_zstd_decoder = {
    .bytes = sizeof(struct zstd_coder),
    .begin = decoder_begin,
    .step = decoder_step,
    .rest = rest,
    .free = free_all,
    .memory = memory,
};
