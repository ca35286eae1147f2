// SPDX-License-Identifier: Apache-2.0
// decoding: one coder, or one behind the other. The output of the first is the input of the second, which is run again
// and again until it has used that up: so no more than one portion lies between them.
#include "relay/decoding.h"

#include "base/check.h"

void decoding_begin(struct decoding *d, struct coding_pool *pool, const enum coding *codings, unsigned count,
                    uint64_t most_bytes) {
  CHECK(count > 0 && count <= DECODING_MOST);
  *d = (struct decoding){.pool = pool, .count = count};
  for (unsigned i = 0; i < count; i++) {
    struct coding_wish wish = {.coding = codings[count - 1 - i],
                               .decodes = true,
                               .most_bytes = most_bytes,
                               .most_ratio = CODING_RATIO_USUAL};
    d->coders[i] = coder_take(pool, &wish);
    if (!d->coders[i]) d->fault = CODING_SHORTAGE;
  }
}

void decoding_give(struct decoding *d, struct str piece, bool is_last) {
  CHECK(!d->rest.len && !d->between.len);
  d->rest = piece;
  d->is_last = is_last;
  d->first_state = CODING_AGAIN;
}

static enum coding_state run(struct decoding *d, unsigned at, struct str *in, bool ends) {
  struct buf *out = &d->out[at];
  out->start = out->end = 0;
  enum coding_state state = coder_run(d->coders[at], in, ends ? CODING_END : CODING_RUN, DECODING_STEP, out);
  if (state == CODING_FAILED) d->fault = coder_fault(d->coders[at]);
  return state;
}

static struct str text_in(const struct buf *out) { return buf_len(out) ? buf_str(out) : (struct str){0}; }

static enum coding_state run_both(struct decoding *d) {
  if (!d->between.len && d->first_state == CODING_AGAIN) {
    d->first_state = run(d, 0, &d->rest, d->is_last);
    if (d->first_state == CODING_FAILED) return CODING_FAILED;
    d->between = text_in(&d->out[0]);
  }
  enum coding_state state = run(d, 1, &d->between, d->first_state == CODING_DONE);
  return state == CODING_HUNGRY && d->first_state == CODING_AGAIN ? CODING_AGAIN : state;
}

bool decoding_take(struct decoding *d, struct decoded_text *decoded) {
  if (d->fault) return false;
  enum coding_state state = d->count == 1 ? run(d, 0, &d->rest, d->is_last) : run_both(d);
  decoded->text = text_in(&d->out[d->count - 1]);
  decoded->is_last = state == CODING_DONE;
  decoded->has_more = state == CODING_AGAIN;
  return state != CODING_FAILED;
}

void decoding_end(struct decoding *d) {
  for (unsigned i = 0; i < d->count; i++) {
    if (d->coders[i]) coder_give(d->pool, d->coders[i]);
    buf_release(&d->out[i]);
  }
  d->count = 0;
}
