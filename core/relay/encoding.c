// SPDX-License-Identifier: Apache-2.0
// encoding: what came out lies in `out` until it is enough, or the end, or flushed.
#include "relay/encoding.h"

#include "base/check.h"

void encoding_begin(struct encoding *e, struct coding_pool *pool, struct coding_claim *claim) {
  CHECK(claim->is_held);
  *e = (struct encoding){.pool = pool, .claim = *claim};
  claim->is_held = false;
}

void encoding_run(struct encoding *e, struct str *text, enum coding_flush flush) {
  if (!e->coder && e->claim.is_held) e->coder = coding_claim_use(e->pool, &e->claim);
  if (!e->coder) {
    e->state = CODING_FAILED;
    return;
  }
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

enum coding_fault encoding_fault(const struct encoding *e) {
  return e->coder ? coder_fault(e->coder) : CODING_SHORTAGE;
}

void encoding_end(struct encoding *e) {
  if (e->coder) coder_give(e->pool, e->coder);
  if (e->pool) coding_claim_drop(e->pool, &e->claim);
  e->coder = NULL;
  e->pool = NULL;
  buf_release(&e->out);
}
