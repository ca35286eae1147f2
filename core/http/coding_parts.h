// SPDX-License-Identifier: Apache-2.0
// coding_parts: what coding.c and the files of the three libraries share.
#ifndef PERILUNE_HTTP_CODING_PARTS_H
#define PERILUNE_HTTP_CODING_PARTS_H

#include "http/coding.h"

struct coding_ops {
  size_t bytes; /* of the struct that begins with a struct coder */
  /* Makes it ready for a stream, the first or another one. False: no memory. */
  bool (*begin)(struct coder *c, const struct coding_wish *wish);
  /* One step: takes bytes off `in`, writes to out[0..*space) and sets *space to what it wrote. Called until it says
   * something else than CODING_AGAIN, or a bound is reached. CODING_FAILED: with c->fault set. */
  enum coding_state (*step)(struct coder *c, struct str *in, enum coding_flush flush, char *out,
                            size_t *space);
  /* Lets go of what a stream that has ended need not keep; may be NULL. */
  void (*rest)(struct coder *c);
  void (*free)(struct coder *c); /* what it holds, not itself */
  size_t (*memory)(const struct coder *c);
};

#define CODER_MAGIC 0xc0de7000u

struct coder {
  OBJ_MAGIC;
  const struct coding_ops *ops;
  struct coding_pool *pool; /* borrowed */
  struct coder *next;       /* idle */
  unsigned kind;
  enum coding coding;
  enum coding_state state; /* CODING_DONE and CODING_FAILED last */
  enum coding_fault fault;
  bool is_small, is_begun, has_flush; /* has_flush: a flush has begun and is not all out */
  size_t counted, reserved;           /* its parts of pool->bytes and pool->reserved */
  uint64_t taken, given, most_bytes;
  unsigned most_ratio;
};

/* Memory of a library, counted. Never NULL. */
void *coding_alloc(struct coder *c, size_t bytes);
/* Sets the fault. CODING_FAILED. */
enum coding_state coding_fail(struct coder *c, enum coding_fault fault);

extern const struct coding_ops coding_zlib_encoder, coding_zlib_decoder;
extern const struct coding_ops coding_brotli_encoder, coding_brotli_decoder;
extern const struct coding_ops coding_zstd_encoder, coding_zstd_decoder;

#endif
