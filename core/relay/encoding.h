// SPDX-License-Identifier: Apache-2.0
// encoding: a content coding put on a body while it passes, in bounded portions. Output is gathered, since small pieces
// cost the client and the network more than they bring; what must not wait is flushed.
#ifndef PERILUNE_RELAY_ENCODING_H
#define PERILUNE_RELAY_ENCODING_H

#include "http/coding.h"

/* STEP: of output, in one call. FULL: what is worth sending. PAUSE: nothing waits for longer to become so. */
enum { ENCODING_STEP = 16384, ENCODING_FULL = 8192, ENCODING_PAUSE_MS = 20 };

struct encoding {
  struct coding_pool *pool;  /* borrowed; NULL: nothing is encoded */
  struct coding_claim claim; /* owned; until something came in, */
  struct coder *coder;       /* owned; from then on */
  struct buf out;
  enum coding_state state;
  bool holds; /* something went in and has not come out for certain */
  bool gave;  /* all of `out` was given */
};

/* Takes the claim over, which is held. */
void encoding_begin(struct encoding *e, struct coding_pool *pool, struct coding_claim *claim);
/* Takes bytes off the front of `text`; e->state says what became of it; of CODING_FAILED encoding_fault says more. */
void encoding_run(struct encoding *e, struct str *text, enum coding_flush flush);
/* What there is to send; empty where it is not worth it yet. Valid until the next run. */
struct str encoding_give(struct encoding *e);
enum coding_fault encoding_fault(const struct encoding *e);
/* Gives its coder back; harmless without one. */
void encoding_end(struct encoding *e);

#endif
