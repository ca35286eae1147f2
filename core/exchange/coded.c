// SPDX-License-Identifier: Apache-2.0
// coded: the steps. Each asks for its turn first, and says afterwards how long it took.
#include "exchange/coded.h"

#include "base/check.h"
#include "exchange/codings.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "shared/metrics.h"

struct coded *coded_new(struct exchange *x, bool is_response) {
  struct coded *c = arena_zalloc(&x->arena, sizeof *c);
  c->x = x;
  c->is_response = is_response;
  c->place = c->next = PLACE_GIVE;
  return c;
}

void coded_add_decoding(struct coded *c, const enum coding *undone, unsigned count, uint64_t most_bytes) {
  decoding_begin(&c->decoding, &c->x->proxy->decoders, undone, count, most_bytes);
  for (unsigned i = 0; i < count; i++) cell_add(&c->x->proxy->tally->decompressed[undone[i]], 1);
}

void coded_add_encoding(struct coded *c, struct coding_claim *encoder, bool flushes_at_once) {
  encoding_begin(&c->encoding, &c->x->proxy->encoders, encoder);
  c->flushes_at_once = flushes_at_once;
}

static bool is_encoded(const struct coded *c) { return c->encoding.pool; }

static void count_encoded(const struct coded *c) {
  struct tally *tally = c->x->proxy->tally;
  if (!c->encoding.coder) return;
  cell_add(&tally->compress_in, coder_taken(c->encoding.coder));
  cell_add(&tally->compress_out, coder_given(c->encoding.coder));
  if (c->x->codings) c->x->codings->bytes = coder_given(c->encoding.coder);
}

void coded_end(struct coded *c) {
  turns_leave(&c->x->proxy->turns, &c->turn);
  decoding_end(&c->decoding);
  if (!is_encoded(c)) return;
  count_encoded(c);
  timer_stop(&c->timer);
  encoding_end(&c->encoding);
}

void coded_begin(struct coded *c, struct str piece, bool is_last) {
  c->raw = piece;
  c->raw_is_last = is_last;
  c->place = PLACE_BEFORE;
  if (c->decoding.count) decoding_give(&c->decoding, piece, is_last);
}

/* --- the steps -------------------------------------------------------------------------------------------- */

static bool may_work(struct coded *c) {
  struct turns *turns = &c->x->proxy->turns;
  if (turns_may_work(turns)) return true;
  turns_wait(turns, &c->turn);
  return false;
}

static void spend(struct coded *c, uint64_t began) {
  uint64_t ticks = ticks_since(began);
  turns_spend(&c->x->proxy->turns, ticks_to_us(ticks));
  cell_add(&c->x->proxy->tally->compress_ticks, ticks);
}

static enum relay_result fail(const struct coded *c, struct body_piece *piece, enum coding_fault fault) {
  piece->error = coding_error(fault, c->is_response);
  piece->status = 0;
  piece->why = coding_fault_text(fault);
  return RELAY_FILTER_FAILED;
}

static enum relay_result take_text(struct coded *c, struct body_piece *piece) {
  struct decoded_text decoded = {.text = c->raw, .is_last = c->raw_is_last};
  if (c->decoding.count) {
    if (!may_work(c)) return RELAY_FILTERING;
    uint64_t began = ticks_now();
    bool is_fine = decoding_take(&c->decoding, &decoded);
    spend(c, began);
    if (!is_fine) return fail(c, piece, c->decoding.fault);
  }
  piece->chunk = decoded.text;
  piece->is_last = decoded.is_last;
  c->has_more_text = decoded.has_more;
  c->place = PLACE_HOOKS;
  return RELAY_READING;
}

/* All of the text has been taken. */
static enum coded_place behind_text(const struct coded *c) {
  return c->has_more_text ? PLACE_BEFORE : PLACE_GIVE;
}

static enum relay_result encode(struct coded *c, struct body_piece *piece) {
  bool was_flushing = c->place == PLACE_FLUSH;
  enum coding_flush flush = was_flushing ? CODING_FLUSH : piece->is_last ? CODING_END : CODING_RUN;
  struct str nothing = {0}, *text = was_flushing ? &nothing : &piece->chunk;
  if (!may_work(c)) return RELAY_FILTERING;
  uint64_t began = ticks_now();
  encoding_run(&c->encoding, text, flush);
  spend(c, began);
  enum coding_state state = c->encoding.state;
  if (state == CODING_FAILED) return fail(c, piece, encoding_fault(&c->encoding));
  bool is_full = buf_len(&c->encoding.out) >= ENCODING_FULL;
  if (state == CODING_AGAIN && !is_full) return RELAY_READING; /* the same once more */
  c->next = state == CODING_AGAIN ? c->place : was_flushing ? PLACE_GIVE : behind_text(c);
  c->place = is_full ? PLACE_GIVE : c->next;
  return RELAY_READING;
}

/* What is empty in the midst of a piece is not worth a round of the relay. */
static enum relay_result pass(struct coded *c, const struct body_piece *piece) {
  c->next = behind_text(c);
  c->place = piece->chunk.len ? PLACE_GIVE : c->next;
  return RELAY_READING;
}

enum relay_result coded_step(struct coded *c, struct body_piece *piece) {
  if (c->place == PLACE_BEFORE) return take_text(c, piece);
  CHECK(c->place == PLACE_BEHIND || c->place == PLACE_FLUSH);
  return is_encoded(c) ? encode(c, piece) : pass(c, piece);
}

struct str coded_give(struct coded *c, const struct body_piece *piece) {
  CHECK(c->place == PLACE_GIVE);
  c->place = c->next;
  if (!is_encoded(c)) return piece->chunk;
  struct str given = encoding_give(&c->encoding);
  if (given.len) {
    timer_clear(&c->timer);
    c->is_flush_due = false;
  }
  return given;
}

bool coded_pauses(struct coded *c) {
  if (!is_encoded(c) || !c->encoding.holds || c->place != PLACE_GIVE) return false;
  if (!c->flushes_at_once && !c->is_flush_due) {
    if (!timer_is_set(&c->timer)) timer_set(&c->timer, ENCODING_PAUSE_MS);
    return false;
  }
  c->is_flush_due = false;
  timer_clear(&c->timer);
  c->place = PLACE_FLUSH;
  return true;
}
