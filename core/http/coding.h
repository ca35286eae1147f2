// SPDX-License-Identifier: Apache-2.0
// coding: content codings as streams of bytes (RFC 9110 section 8.4): the only interface to zlib, brotli and zstd.
//
//   coder     one stream, encoding or decoding. Bytes go in as a slice and come out at the end of a buf. Each call has
//             a bound of its own, so a turn of the loop costs no more than the caller allows.
//   claim     the right to a coder, whose memory is counted from then on, but taken when the first bytes are there:
//             streams that wait share what those need that do not.
//   pool      a worker's coders. A coder that is returned keeps its memory for the next stream of its kind: in the
//             steady state a stream needs no malloc. The number of coders in use and their memory are bounded.
//
// Memory of one stream at the usual levels, measured (spec/c/http/coding_spec.c holds these bounds):
//             encoding                                    decoding
//   gzip      300 KiB; of at most 8 KiB of body 80 KiB    48 KiB
//   deflate   the same                                    48 KiB
//   br        3 MiB; of at most 8 KiB of body 700 KiB     what the peer's window asks for, at most 17 MiB; ours 1 MiB
//   zstd      1.75 MiB; of at most 8 KiB of body 200 KiB  the same, at most 9 MiB: RFC 9659 refuses larger windows
//
// To add a coding: a line in CODING_TABLE, a file coding_NAME.c with its coding_ops, a line in coding.c.
#ifndef PERILUNE_HTTP_CODING_H
#define PERILUNE_HTTP_CODING_H

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "base/str.h"

/* The content codings, in the order of preference among those that a client likes equally. X(ID, name, other name) */
#define CODING_TABLE(X)                                                                                      \
  X(ZSTD, "zstd", "")                                                                                        \
  X(BR, "br", "")                                                                                            \
  X(GZIP, "gzip", "x-gzip")                                                                                  \
  X(DEFLATE, "deflate", "")                                                                                  \
  X(IDENTITY, "identity", "")

enum coding {
#define X(id, name, other) CODING_##id,
  CODING_TABLE(X)
#undef X
      CODING_COUNT
};
/* Sets of codings, a bit each. */
enum {
#define X(id, name, other) CODINGS_##id = 1 << CODING_##id,
  CODING_TABLE(X)
#undef X
      CODINGS_NONE = 0,
  CODINGS_ALL = (1 << CODING_COUNT) - 1
};

/* CODING_COUNT: none of them. Names have no case. */
enum coding coding_of(struct str name);
struct str coding_name(enum coding coding);

/* A call takes at most so many bytes in: of brotli and zstd it may make one block, which is some 64 KiB, ready. */
enum { CODING_STEP = 16384, CODING_SMALL = 8192 };
#define CODING_LENGTH_UNKNOWN UINT64_MAX

enum coding_flush {
  CODING_RUN,   /* more may follow: output comes when there is enough */
  CODING_FLUSH, /* all that went in must come out now: events */
  CODING_END    /* nothing follows */
};

enum coding_state {
  CODING_HUNGRY, /* all went in, and with CODING_FLUSH all came out */
  CODING_AGAIN,  /* stopped at a bound: call again, with what is left of the input and the same flush */
  CODING_DONE,   /* the end is out; or, when decoding, CODING_END came and the stream was whole */
  CODING_FAILED  /* see coder_fault */
};

enum coding_fault {
  CODING_FINE,
  CODING_MALFORMED, /* not what the coding says, checksums included */
  CODING_TRUNCATED, /* it ended too early */
  CODING_TRAILING,  /* bytes behind its end */
  CODING_TOO_LARGE, /* more came out than allowed, or out of all proportion */
  CODING_SHORTAGE   /* no memory */
};

/* What a stream is to be. */
struct coding_wish {
  enum coding coding; /* not identity */
  bool decodes;
  unsigned level;  /* encoding; 0: the usual one of the coding, which is meant for answers made on the fly */
  uint64_t length; /* encoding: how much will go in, as far as one knows; wrong is worse, not false */
  /* Decoding: more bytes are CODING_TOO_LARGE, and so is more than CODING_RATIO_FREE and `most_ratio` times what went
   * in. 0: no limit. */
  uint64_t most_bytes;
  unsigned most_ratio;
};
enum { CODING_RATIO_FREE = 1 << 20, CODING_RATIO_USUAL = 100 };

struct coder;

/* A kind of coder is its coding, direction and size. */
enum { CODING_KINDS = CODING_IDENTITY * 4 };

struct coding_pool {
  struct coder *idle[CODING_KINDS]; /* owned */
  unsigned idle_count[CODING_KINDS];
  unsigned idle_most;   /* of each kind; more are freed when they come back */
  unsigned busy, most;  /* taken and not given back; at most so many */
  size_t bytes;         /* of all coders, as far as they tell: busy and idle */
  size_t reserved;      /* what the busy ones may come to need */
  size_t reserved_most; /* no more than that; 0: any */
  uint64_t allocations; /* of zlib and brotli, so far */
};

void coding_pool_init(struct coding_pool *pool, unsigned most, unsigned idle_most);
/* Frees what is idle; all coders must have come back. */
void coding_pool_free(struct coding_pool *pool);

struct coding_claim {
  struct coding_wish wish;
  size_t reserved;
  bool is_held;
};
/* False: as many as are allowed are in use: the body goes as it is. At high levels brotli and zstd need more than what
 * the table above says, which is reserved for them. */
bool coding_claim(struct coding_pool *pool, const struct coding_wish *wish, struct coding_claim *claim);
/* The coder of a claim, which has ended. NULL: there is no memory. */
struct coder *coding_claim_use(struct coding_pool *pool, struct coding_claim *claim);
/* It ends unused. Harmless where it is none. */
void coding_claim_drop(struct coding_pool *pool, struct coding_claim *claim);

/* Claimed and used. NULL: it cannot be had now. */
struct coder *coder_take(struct coding_pool *pool, const struct coding_wish *wish);
/* At any time, also in mid-stream. */
void coder_give(struct coding_pool *pool, struct coder *coder);

/* Takes bytes off the front of `in` and appends at most `out_bytes` (at least 64) to `out`. Once it has said
 * CODING_DONE or CODING_FAILED it says so again. */
enum coding_state coder_run(struct coder *coder, struct str *in, enum coding_flush flush, size_t out_bytes,
                            struct buf *out);
enum coding_fault coder_fault(const struct coder *coder);
/* Bytes that this stream has taken and given. */
uint64_t coder_taken(const struct coder *coder);
uint64_t coder_given(const struct coder *coder);
/* The memory that it has now. */
size_t coder_bytes(const struct coder *coder);

/* The fault of a decoder as an error of the exchange: of a peer's response, or of a client's request. */
enum error coding_error(enum coding_fault fault, bool is_response);
/* A sentence for the log. */
const char *coding_fault_text(enum coding_fault fault);

#endif
