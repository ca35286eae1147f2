// SPDX-License-Identifier: Apache-2.0
// filter: the body hooks of the policy, as the filter of a relay. A piece of the body passes one hook after
// another (stages); each returns what is passed to the next one, or nothing. The hard problem is that a hook may
// wait at any stage, while the steps of the exchange go on: so the state of a piece is in the filter, and the
// stages continue where they stopped. Content codings are undone before the stages and applied behind them, where
// that is wanted (coded.h): a piece then passes in several rounds.
//
// Each byte passes once: a retry sends the output of the filter again. A message without a body (FRAMING_NONE)
// passes no filter; one with an empty body does, as an empty last piece.
#include "base/check.h"
#include "base/container.h"
#include "exchange/account.h"
#include "exchange/coded.h"
#include "exchange/codings.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "exchange/walk.h"
#include "net/timer.h"

enum { STAGES = 3 };

struct stage {
  enum hook hook;
  body_hook_fn *function;
};

struct body_filter {
  struct relay_filter filter; /* first: the relay knows it */
  struct body_piece piece;    /* what the stage at `at` works on */
  struct stage stages[STAGES];
  struct buf out[STAGES];  /* owned: what each gave of the current piece */
  struct headers trailers; /* arena */
  struct relay *relay;     /* borrowed: the exchange's */
  struct coded *coded;     /* arena; NULL: no content codings */
  unsigned char count, at;
};

static enum relay_result run(struct relay_filter *filter, struct str *chunk, bool is_last);
static enum relay_result run_coded(struct relay_filter *filter, struct str *chunk, bool is_last);
static enum relay_result pause_coded(struct relay_filter *filter, struct str *chunk);
static void cancel(struct relay_filter *filter);
static void on_turn(struct turn *turn);
static void on_pause_over(struct timer *timer);

/* --- life ----------------------------------------------------------------------------------------------- */

static struct body_filter *new_filter(struct exchange *x, struct relay *relay) {
  struct body_filter *f = arena_zalloc(&x->arena, sizeof *f);
  f->filter = (struct relay_filter){.run = run, .cancel = cancel};
  f->piece.x = x;
  f->relay = relay;
  return f;
}

static void add_stage(struct body_filter *f, enum hook hook, body_hook_fn *function) {
  CHECK(f->count < STAGES);
  if (function) f->stages[f->count++] = (struct stage){hook, function};
}

static struct coded *add_codings(struct body_filter *f, bool is_response) {
  struct exchange *x = f->piece.x;
  f->coded = coded_new(x, is_response);
  f->coded->turn.go = on_turn;
  f->filter.run = run_coded;
  return f->coded;
}

static void undo_of_request(struct body_filter *f, uint64_t most_bytes) {
  enum coding codings[DECODING_MOST];
  unsigned count = codings_of_request(f->piece.x, codings);
  if (count) coded_add_decoding(add_codings(f, false), codings, count, most_bytes);
}

void filter_request(struct exchange *x) {
  if (x->now.up.filter || !filter_has_request(x)) return;
  struct body_filter *f = new_filter(x, &x->now.up);
  add_stage(f, HOOK_request_body_filter, x->hooks->request_body_filter);
  if (x->hooks->decodes) undo_of_request(f, x->settings->body_bytes);
  x->now.up.filter = &f->filter;
}

void filter_request_to_text(struct exchange *x, uint64_t most_bytes) {
  CHECK(!x->now.up.filter);
  struct body_filter *f = new_filter(x, &x->now.up);
  undo_of_request(f, most_bytes);
  x->now.up.filter = &f->filter;
}

/* As it was settled: see codings.h. The encoder passes on to the filter. */
static void add_settled_codings(struct body_filter *f, struct codings *settled) {
  struct coded *coded = add_codings(f, true);
  if (settled->undone_count) coded_add_decoding(coded, settled->undone, settled->undone_count, 0);
  if (!settled->encoder.is_held) return;
  coded_add_encoding(coded, &settled->encoder, settled->flushes_at_once);
  timer_init(&coded->timer, f->piece.x->proxy->loop, on_pause_over);
  f->filter.pause = pause_coded;
}

void filter_response(struct exchange *x, enum framing out) {
  const struct hooks *hooks = x->hooks;
  bool has_trailers = hooks->response_trailer_filter && x->down.trailers.allowed;
  bool is_stored = x->cache && cache_has_response(x), is_fill = exchange_background(x) == BACKGROUND_FILL;
  filter_none(&x->down);
  if (out == FRAMING_NONE || out == FRAMING_TUNNEL) return;
  if (is_fill) has_trailers = false;
  struct codings *settled = x->codings;
  bool is_coded = settled && (settled->undone_count || settled->encoder.is_held);
  if (!has_trailers && !is_coded && !filter_has_response(x)) return;
  struct body_filter *f = new_filter(x, &x->down);
  if (!is_stored) add_stage(f, HOOK_upstream_response_body_filter, hooks->upstream_response_body_filter);
  if (!is_fill) add_stage(f, HOOK_response_body_filter, hooks->response_body_filter);
  if (has_trailers) add_stage(f, HOOK_response_trailer_filter, hooks->response_trailer_filter);
  if (is_coded) add_settled_codings(f, settled);
  x->down.filter = &f->filter;
}

void filter_answer(struct exchange *x) {
  CHECK(x->codings && x->codings->encoder.is_held);
  filter_none(&x->down);
  struct body_filter *f = new_filter(x, &x->down);
  add_settled_codings(f, x->codings);
  x->down.filter = &f->filter;
}

void filter_none(struct relay *relay) {
  struct body_filter *f = (struct body_filter *)relay->filter;
  relay->filter = NULL;
  if (!f) return;
  for (int i = 0; i < STAGES; i++) buf_release(&f->out[i]);
  if (f->coded) coded_end(f->coded);
}

/* --- a piece -------------------------------------------------------------------------------------------- */

static bool is_trailer_stage(const struct body_filter *f) {
  return f->stages[f->at].hook == HOOK_response_trailer_filter;
}

/* A stage has nothing to do for an empty piece, unless it is the last; trailers come behind the last. */
static bool is_idle_stage(const struct body_filter *f) {
  if (f->piece.is_last) return false;
  return is_trailer_stage(f) || f->piece.chunk.len == 0;
}

static enum hook_status ask(struct body_filter *f) {
  struct body_piece *piece = &f->piece;
  struct buf *out = &f->out[f->at];
  out->start = out->end = 0;
  piece->out = out;
  piece->hook = f->stages[f->at].hook;
  piece->unchanged = false;
  piece->error = ERROR_NONE;
  piece->status = 0;
  piece->why = NULL;
  if (is_trailer_stage(f)) {
    trailers_read(&f->relay->trailers, &f->trailers);
    piece->trailers = f->relay->trailers.fields = &f->trailers;
  }
  piece->began = ticks_now();
  enum hook_status status = f->stages[f->at].function(piece);
  if (status != HOOK_WAIT) account_hook(piece->x, piece->hook, piece->began, status == HOOK_FAILED);
  return status;
}

/* What the hook of the trailers gave stands behind the last of the body, in place of them. */
static void end_body(struct body_filter *f) {
  struct str chunk = f->piece.chunk, text = buf_str(f->piece.out);
  char *bytes = arena_alloc(&f->piece.x->arena, chunk.len + text.len);
  if (chunk.len) memcpy(bytes, chunk.ptr, chunk.len);
  memcpy(bytes + chunk.len, text.ptr, text.len);
  f->piece.chunk = (struct str){bytes, chunk.len + text.len};
  headers_init(&f->trailers, f->trailers.arena);
}

/* The answer of a stage becomes what the next one gets. */
static void take(struct body_filter *f) {
  if (is_trailer_stage(f)) {
    if (buf_len(f->piece.out)) end_body(f);
  } else if (!f->piece.unchanged) {
    f->piece.chunk = buf_len(f->piece.out) ? buf_str(f->piece.out) : (struct str){0};
  }
  f->at++;
}

static enum relay_result run_stages(struct body_filter *f) {
  while (f->at < f->count) {
    if (is_idle_stage(f)) {
      f->at++;
      continue;
    }
    switch (ask(f)) {
    case HOOK_WAIT: return RELAY_FILTERING;
    case HOOK_FAILED: return RELAY_FILTER_FAILED;
    case HOOK_DONE: break;
    }
    take(f);
  }
  return RELAY_READING;
}

static enum relay_result run(struct relay_filter *filter, struct str *chunk, bool is_last) {
  struct body_filter *f = (struct body_filter *)filter;
  f->piece.chunk = *chunk;
  f->piece.is_last = is_last;
  f->at = 0;
  enum relay_result result = run_stages(f);
  *chunk = f->piece.chunk;
  return result;
}

static void cancel(struct relay_filter *filter) {
  struct body_filter *f = (struct body_filter *)filter;
  if (f->coded && f->coded->turn.waits)
    turns_leave(&f->piece.x->proxy->turns, &f->coded->turn);
  else
    f->piece.x->hooks->cancel_piece(&f->piece);
}

/* --- with content codings ------------------------------------------------------------------------------- */

static enum relay_result pass_hooks(struct body_filter *f) {
  enum relay_result result = run_stages(f);
  if (result == RELAY_READING) f->coded->place = PLACE_BEHIND;
  return result;
}

/* From where the piece is, until there is something to give. */
static enum relay_result run_places(struct body_filter *f, struct str *chunk) {
  struct coded *c = f->coded;
  enum relay_result result = RELAY_READING;
  while (result == RELAY_READING && c->place != PLACE_GIVE) {
    if (c->place == PLACE_BEFORE) f->at = 0;
    result = c->place == PLACE_HOOKS ? pass_hooks(f) : coded_step(c, &f->piece);
  }
  f->filter.has_more = false;
  if (result != RELAY_READING) return result;
  *chunk = coded_give(c, &f->piece);
  f->filter.has_more = coded_has_more(c);
  return RELAY_READING;
}

static enum relay_result run_coded(struct relay_filter *filter, struct str *chunk, bool is_last) {
  struct body_filter *f = (struct body_filter *)filter;
  if (!filter->has_more) coded_begin(f->coded, *chunk, is_last);
  return run_places(f, chunk);
}

static enum relay_result pause_coded(struct relay_filter *filter, struct str *chunk) {
  struct body_filter *f = (struct body_filter *)filter;
  return coded_pauses(f->coded) ? run_places(f, chunk) : RELAY_READING;
}

/* --- after a hook that waited --------------------------------------------------------------------------- */

static void pump(struct body_filter *f) {
  struct exchange *x = f->piece.x;
  if (f->relay == &x->now.up)
    transfer_up(x);
  else
    transfer_down(x);
}

static void go_on(struct body_filter *f, enum relay_result result, struct str chunk) {
  if (result == RELAY_FILTERING) return;
  relay_filtered(f->relay, result == RELAY_READING ? chunk : (struct str){0});
  if (result == RELAY_FILTER_FAILED)
    filter_fail(f->piece.x, f->relay);
  else
    pump(f);
}

void body_piece_wake(struct body_piece *piece, bool failed) {
  if (piece->on_answer) {
    piece->on_answer(piece, failed);
    return;
  }
  struct body_filter *f = CONTAINER_OF(piece, struct body_filter, piece);
  struct exchange *x = piece->x;
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(f->relay->filtering && f->at < f->count);
  account_hook(x, piece->hook, piece->began, failed);
  if (!failed) take(f);
  struct str chunk = {0};
  enum relay_result result = RELAY_FILTER_FAILED;
  if (!failed && f->coded) {
    result = run_places(f, &chunk);
  } else if (!failed) {
    result = run_stages(f);
    chunk = piece->chunk;
  }
  go_on(f, result, chunk);
}

/* --- after a turn of the loop, or a pause --------------------------------------------------------------- */

static struct body_filter *filter_of(const struct coded *c) {
  struct relay *relay = c->is_response ? &c->x->down : &c->x->now.up;
  return (struct body_filter *)relay->filter;
}

static void on_turn(struct turn *turn) {
  struct body_filter *f = filter_of(CONTAINER_OF(turn, struct coded, turn));
  struct str chunk = {0};
  CHECK_OBJ(f->piece.x, EXCHANGE_MAGIC);
  CHECK(f->relay->filtering);
  enum relay_result result = run_places(f, &chunk);
  go_on(f, result, chunk);
}

/* What is not reading has something else to do, and pauses later. */
static void on_pause_over(struct timer *timer) {
  struct coded *c = CONTAINER_OF(timer, struct coded, timer);
  struct body_filter *f = filter_of(c);
  CHECK_OBJ(c->x, EXCHANGE_MAGIC);
  if (!f || !f->relay->active || f->relay->filtering) return;
  c->is_flush_due = true;
  pump(f);
}

/* What the client is told is the hook's failure, as long as nothing of the response has left. */
void filter_fail(struct exchange *x, struct relay *relay) {
  const struct body_piece *piece = &((struct body_filter *)relay->filter)->piece;
  if (relay == &x->down) respond_forget_unsent(x);
  relay_stop(relay);
  relay->copy.overflowed = true; /* the piece is lost */
  x->error_status = piece->status;
  exchange_fail_because(x, piece->error ? piece->error : ERROR_SCRIPT, piece->why);
}
