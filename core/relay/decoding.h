// SPDX-License-Identifier: Apache-2.0
// decoding: the content codings of a body undone while it passes, in bounded portions: a piece that comes in is given,
// and its text taken until there is no more. Memory and the work of a call do not depend on what the text grows to.
#ifndef PERILUNE_RELAY_DECODING_H
#define PERILUNE_RELAY_DECODING_H

#include "http/coding.h"

/* More codings on top of each other are not undone: nobody needs them, and each multiplies what a few bytes become. */
enum { DECODING_MOST = 2, DECODING_STEP = 16384 };

struct decoding {
  struct coding_pool *pool;            /* borrowed */
  struct coder *coders[DECODING_MOST]; /* owned; in the order in which they are undone */
  unsigned count;                      /* 0: nothing is decoded */
  struct buf out[DECODING_MOST];       /* what came out of each */
  struct str rest, between; /* borrowed: what is left of the piece; and of out[0] behind the first of two */
  bool is_last;             /* the piece is */
  enum coding_state first_state; /* of the first of two */
  enum coding_fault fault;
};

/* What a call has brought. */
struct decoded_text {
  struct str text; /* until the next call; may be empty */
  bool is_last;    /* nothing follows */
  bool has_more;   /* of the same piece: take again */
};

/* `codings` in the order in which they were applied. At most `most_bytes` of text (0: any), and no text that is out of
 * all proportion. Where there is no coder left, taking fails. */
void decoding_begin(struct decoding *d, struct coding_pool *pool, const enum coding *codings, unsigned count,
                    uint64_t most_bytes);
/* The next piece, once all of the one before was taken. It stays where it is until then. */
void decoding_give(struct decoding *d, struct str piece, bool is_last);
/* False: d->fault. */
bool decoding_take(struct decoding *d, struct decoded_text *decoded);
/* Gives its coders back; harmless without any. */
void decoding_end(struct decoding *d);

#endif
