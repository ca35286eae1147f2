// SPDX-License-Identifier: Apache-2.0
// rehearsal: an exchange on a stream without a client. It counts as running all the time, so events are noted,
// but no step runs.
#include "exchange/rehearsal.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/memory.h"
#include "exchange/attempt.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/real_client.h"
#include "exchange/stream.h"
#include "exchange/walk.h"
#include "http/framing.h"
#include "http/lenient.h"
#include "http/parser.h"
#include "net/timer.h"

struct rehearsal {
  struct exchange *exchange; /* owned */
  struct stream *stream;     /* owned; without a client */
  struct service service;
  struct policy_use use;
  struct body_piece piece;
  struct buf filtered; /* owned */
  bool piece_waits;
  bool retries; /* there would be another attempt behind the one that has failed */
};

static const size_t offsets[HOOK_COUNT] = {
#define X(name) [HOOK_##name] = offsetof(struct hooks, name),
    HOOK_TABLE(X) BODY_HOOK_TABLE(X)
#undef X
};

/* --- begin and end -------------------------------------------------------------------------------------- */

static bool read_request(struct exchange *x, struct str head, const char **why) {
  const struct head whole = {.text = arena_dup(&x->arena, head)};
  enum error error = parser_request(&whole, &x->arena, &x->settings->head, &x->request, why);
  if (error == ERROR_NONE) framing_strip_request(&x->request);
  return error == ERROR_NONE;
}

static void free_rehearsal(struct rehearsal *r) {
  if (r->exchange->cache) cache_end(r->exchange);
  exchange_free(r->exchange);
  stream_free_alone(r->stream);
  buf_release(&r->filtered);
  free(r);
}

struct rehearsal *rehearsal_new(const struct rehearsal_setup *setup, const char **why) {
  struct rehearsal *r = memory_zalloc(sizeof *r);
  r->service.policy = (struct service_policy){setup->hooks, setup->settings, &r->use};
  r->stream = stream_new_alone(setup->proxy, &r->service, (const struct sockaddr *)&setup->client->socket,
                               setup->client->length);
  r->stream->is_rehearsed = true;
  r->exchange = exchange_new(setup->proxy, &r->service.policy, (struct arena){0});
  r->exchange->stream = r->stream;
  r->exchange->secure = setup->secure;
  r->exchange->running = true;
  if (!read_request(r->exchange, setup->head, why)) {
    free_rehearsal(r);
    return NULL;
  }
  real_client_find(r->exchange);
  if (setup->body.len) exchange_set_body(r->exchange, setup->body);
  if (setup->hooks->begin) setup->hooks->begin(r->exchange);
  return r;
}

static void drop_peer(struct exchange *x) {
  if (x->now.peer) peer_release(x->proxy, x->now.peer);
  x->now.peer = NULL;
}

void rehearsal_free(struct rehearsal *r) {
  struct exchange *x = r->exchange;
  attempt_answered(x);
  lease_end(&x->now.lease, LEASE_NEUTRAL, loop_now_us(x->proxy->loop)); /* a retry that did not come to be */
  if (x->hook_state == HOOK_WAITING && x->hooks->cancel) x->hooks->cancel(x);
  if (r->piece_waits) x->hooks->cancel_piece(&r->piece);
  if (x->hooks->end) x->hooks->end(x);
  drop_peer(x);
  free_rehearsal(r);
}

struct exchange *rehearsal_exchange(struct rehearsal *r) {
  return r->exchange;
}

/* --- hooks ---------------------------------------------------------------------------------------------- */

static void begin_attempt(struct exchange *x) {
  attempt_answered(x);
  if (x->error != ERROR_NONE) x->last_error = x->error;
  x->error = ERROR_NONE;
  x->now.times.first_byte = 0;
  x->attempts++;
  drop_peer(x);
}

static void prepare(struct exchange *x, enum hook hook) {
  if (hook == HOOK_upstream_peer) begin_attempt(x);
  if (hook == HOOK_upstream_request_filter) attempt_prepare(x);
  if (hook == HOOK_answer_filter) respond_show_head(x);
  if (hook == HOOK_logging && !x->times.ended) {
    x->step = STEP_logging;
    attempt_answered(x);
    x->times.ended = loop_now_ms(x->proxy->loop);
    if (!x->sent.status) x->sent.status = x->answer ? x->answer->response.status : x->response.status;
  }
}

/* It may be that the attempt has only answered with an error: then the walk goes on with that. */
static bool makes_another(struct exchange *x) {
  return x->error == ERROR_ANSWERED_ERROR ? elsewhere_is_wanted(x) : attempt_may_retry(x);
}

/* A hook has ended. That of a failed attempt ends it: what the backend is told comes behind the question for
 * another. An attempt whose answer is passed on has no error any more, and goes on. */
static void apply_outcome(struct rehearsal *r) {
  struct exchange *x = r->exchange;
  if (x->hook == HOOK_upstream_peer && x->outcome.peer) x->now.peer = x->outcome.peer;
  if (x->hook == HOOK_answer_filter) respond_take_head(x);
  if (x->hook == HOOK_upstream_response_filter) {
    r->retries = x->outcome.error == ERROR_NONE && !x->answer && x->outcome.asks_again;
    if (!r->retries) return;
    lease_judge_failed(&x->now.lease);
    attempt_answered(x);
  }
  if (x->hook != HOOK_fail_to_connect && x->hook != HOOK_error_while_proxy) return;
  r->retries = x->outcome.error == ERROR_NONE && !x->answer && makes_another(x);
  if (x->error != ERROR_NONE || r->retries) attempt_answered(x);
}

enum hook_status rehearsal_call(struct rehearsal *r, enum hook hook) {
  struct exchange *x = r->exchange;
  hook_fn *function = *(hook_fn *const *)((const char *)x->hooks + offsets[hook]);
  prepare(x, hook);
  x->hook = hook;
  x->hook_state = HOOK_IDLE;
  x->outcome = (struct hook_outcome){0};
  enum hook_status status = function ? function(x) : HOOK_DONE;
  if (status == HOOK_WAIT)
    x->hook_state = HOOK_WAITING;
  else
    apply_outcome(r);
  return status;
}

bool rehearsal_waits(struct rehearsal *r) {
  struct exchange *x = r->exchange;
  if (x->hook_state == HOOK_WAITING || r->piece_waits) return true;
  if (x->hook_state == HOOK_FINISHED) apply_outcome(r);
  x->hook_state = HOOK_IDLE;
  return false;
}

/* --- bodies ----------------------------------------------------------------------------------------------- */

static void on_answer(struct body_piece *piece, bool failed) {
  struct rehearsal *r = CONTAINER_OF(piece, struct rehearsal, piece);
  r->piece_waits = false;
  r->exchange->outcome.error = failed ? piece->error : ERROR_NONE;
  r->exchange->outcome.status = piece->status;
}

enum hook_status rehearsal_filter(struct rehearsal *r, enum hook hook, struct str chunk, bool is_last) {
  struct exchange *x = r->exchange;
  body_hook_fn *function = *(body_hook_fn *const *)((const char *)x->hooks + offsets[hook]);
  r->filtered.start = r->filtered.end = 0;
  r->piece = (struct body_piece){.x = x,
                                 .hook = hook,
                                 .chunk = chunk,
                                 .is_last = is_last,
                                 .unchanged = !function,
                                 .out = &r->filtered,
                                 .on_answer = on_answer};
  if (!function) return HOOK_DONE;
  enum hook_status status = function(&r->piece);
  r->piece_waits = status == HOOK_WAIT;
  if (status != HOOK_WAIT) on_answer(&r->piece, status == HOOK_FAILED);
  return status;
}

struct str rehearsal_filtered(const struct rehearsal *r) {
  if (r->piece.unchanged) return r->piece.chunk;
  return buf_len(&r->filtered) ? buf_str(&r->filtered) : (struct str){"", 0};
}

/* --- the peer ------------------------------------------------------------------------------------------- */

bool rehearsal_respond(struct rehearsal *r, struct str head, const char **why) {
  struct exchange *x = r->exchange;
  struct parser_limits limits = x->settings->head;
  limits.lenient = LENIENT_DEFAULT;
  const struct head whole = {.text = arena_dup(&x->arena, head)};
  x->response = (struct response){0};
  x->error = ERROR_NONE;
  x->now.times.first_byte = loop_now_ms(x->proxy->loop);
  if (parser_response(&whole, &x->arena, &limits, x->request.method, &x->response, why)) return false;
  lease_connected(&x->now.lease);
  lease_answered(&x->now.lease, x->response.status, loop_now_us(x->proxy->loop));
  framing_strip_response(&x->response);
  return true;
}

/* Where nobody is left to ask again, it is the last attempt that failed, as in the proxy. */
enum error rehearsal_fail(struct rehearsal *r, enum error error) {
  struct exchange *x = r->exchange;
  bool is_end_of_retries = x->last_error && (error == ERROR_NO_BACKEND || error == ERROR_OVERLOADED);
  x->error = is_end_of_retries ? x->last_error : error;
  return x->error;
}

bool rehearsal_retries(const struct rehearsal *r) { return r->retries; }

bool rehearsal_may_ask_another(const struct rehearsal *r) { return elsewhere_is_possible(r->exchange); }

unsigned rehearsal_first_byte_ms(const struct rehearsal *r) {
  return r->exchange->now.peer ? r->exchange->now.peer->options.first_byte_timeout_ms : 0;
}

void rehearsal_answer_failure(struct rehearsal *r, unsigned status) {
  r->exchange->error_status = (unsigned short)status;
  respond_failure(r->exchange);
}
