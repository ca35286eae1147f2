// SPDX-License-Identifier: Apache-2.0
// encoding: what came out lies in `out` until it is enough, or the end, or flushed.
#include "relay/encoding.h"

#include "base/check.h"

void encoding_begin(struct encoding *e, struct coding_pool *pool, struct coder *coder) {
  *e = (struct encoding){.pool = pool, .coder = coder};
}

void encoding_run(struct encoding *e, struct str *text, enum coding_flush flush) {
  if (e->gave) e->out.start = e->out.end = 0;
  e->gave = false;
  e->holds = e->holds || text->len > 0;
  e->state = coder_run(e->coder, text, flush, ENCODING_STEP, &e->out);
  bool is_out = flush != CODING_RUN && e->state != CODING_AGAIN;
  if (is_out) e->holds = false;
}

struct str encoding_give(struct encoding *e) {
  bool is_worth_it = buf_len(&e->out) >= ENCODING_FULL || !e->holds;
  if (e->gave || !is_worth_it || !buf_len(&e->out)) return (struct str){0};
  e->gave = true;
  return buf_str(&e->out);
}

void encoding_end(struct encoding *e) {
  if (e->coder) coder_give(e->pool, e->coder);
  e->coder = NULL;
  buf_release(&e->out);
}
