// SPDX-License-Identifier: Apache-2.0
// filter: the body hooks of the policy, as the filter of a relay. A piece of the body passes one hook after
// another (stages); each gives what goes on to the next, or nothing. The hard problem is that a hook may wait
// at any stage, beside whatever the walk does meanwhile: so what a piece needs lies in the filter, and the
// stages go on from where they stopped.
//
// Each byte passes once: a retry sends again what the filter gave. A message without a body (FRAMING_NONE)
// passes no filter; one with an empty body does, as an empty last piece.
#include "base/check.h"
#include "base/container.h"
#include "exchange/account.h"
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
  unsigned char count, at;
};

static enum relay_result run(struct relay_filter *filter, struct str *chunk, bool is_last);
static void cancel(struct relay_filter *filter);

/* --- life ----------------------------------------------------------------------------------------------- */

static struct body_filter *new_filter(struct exchange *x, struct relay *relay) {
  struct body_filter *f = arena_zalloc(&x->arena, sizeof *f);
  f->filter = (struct relay_filter){run, cancel};
  f->piece.x = x;
  f->relay = relay;
  return f;
}

static void add_stage(struct body_filter *f, enum hook hook, body_hook_fn *function) {
  CHECK(f->count < STAGES);
  if (function) f->stages[f->count++] = (struct stage){hook, function};
}

void filter_request(struct exchange *x) {
  if (x->now.up.filter || !filter_has_request(x)) return;
  struct body_filter *f = new_filter(x, &x->now.up);
  add_stage(f, HOOK_request_body_filter, x->hooks->request_body_filter);
  x->now.up.filter = &f->filter;
}

void filter_response(struct exchange *x, enum framing out) {
  const struct hooks *hooks = x->hooks;
  bool has_trailers = hooks->response_trailer_filter && out == FRAMING_CHUNKED;
  filter_none(&x->down);
  if (out == FRAMING_NONE || out == FRAMING_TUNNEL) return;
  if (!has_trailers && !filter_has_response(x)) return;
  struct body_filter *f = new_filter(x, &x->down);
  add_stage(f, HOOK_upstream_response_body_filter, hooks->upstream_response_body_filter);
  add_stage(f, HOOK_response_body_filter, hooks->response_body_filter);
  if (has_trailers) add_stage(f, HOOK_response_trailer_filter, hooks->response_trailer_filter);
  x->down.filter = &f->filter;
}

void filter_none(struct relay *relay) {
  struct body_filter *f = (struct body_filter *)relay->filter;
  relay->filter = NULL;
  if (!f) return;
  for (int i = 0; i < STAGES; i++) buf_release(&f->out[i]);
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
  struct body_piece *piece = &((struct body_filter *)filter)->piece;
  piece->x->hooks->cancel_piece(piece);
}

/* --- after a hook that waited --------------------------------------------------------------------------- */

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
  enum relay_result result = failed ? RELAY_FILTER_FAILED : run_stages(f);
  if (result == RELAY_FILTERING) return;
  relay_filtered(f->relay, result == RELAY_READING ? piece->chunk : (struct str){0});
  if (result == RELAY_FILTER_FAILED)
    filter_fail(x, f->relay);
  else if (f->relay == &x->now.up)
    transfer_up(x);
  else
    transfer_down(x);
}

/* What the client is told is the hook's failure, as long as nothing of the response has left. */
void filter_fail(struct exchange *x, struct relay *relay) {
  const struct body_piece *piece = &((struct body_filter *)relay->filter)->piece;
  if (relay == &x->down) respond_forget_unsent(x);
  relay_stop(relay);
  relay->copy.overflowed = true; /* the piece is lost */
  x->error_status = piece->status;
  exchange_fail(x, piece->error ? piece->error : ERROR_SCRIPT);
}
