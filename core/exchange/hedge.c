// SPDX-License-Identifier: Apache-2.0
// hedge: a second attempt while the first is slow to answer. The peer's option says after how long; upstream_peer is
// then called again, and the first answer is used. The first attempt is set aside as the rival meanwhile: the steps
// of the exchange, with all hooks, belong to the second one. The hard problem is that either may win or fail at any
// step of the other: so the rival is only watched until its head is complete; then either the steps continue with it
// from read_response, or it ends without a trace.
//
// Only requests that may be sent twice (RFC 9110 section 9.2.2) and need no copy are hedged: idempotent methods
// without a body. Hedges use the set's budget for retries.
#include "base/check.h"
#include "base/log.h"
#include "exchange/account.h"
#include "exchange/attempt.h"
#include "exchange/call.h"
#include "exchange/deadline.h"
#include "exchange/describe.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/trace.h"
#include "exchange/walk.h"
#include "net/timer.h"
#include "shared/metrics.h"

/* --- begin ------------------------------------------------------------------------------------------------ */

void hedge_wait(struct exchange *x) {
  bool can = x->now.hedge_ms && !x->hedged && method_is_idempotent(x->request.method) &&
             x->request.body.framing == FRAMING_NONE && !x->now.request.upgrade.len && !filter_has_request(x);
  x->now.hedge_due_ms = can ? loop_now_ms(x->proxy->loop) + x->now.hedge_ms : 0;
}

/* The timer was set to the nearer of the two, and may fire a part of a millisecond early: so no look at the clock. */
bool hedge_is_due(const struct exchange *x) {
  return x->step == STEP_read_response && x->now.hedge_due_ms && x->now.hedge_due_ms < x->now.head_due_ms;
}

static bool is_allowed(struct exchange *x) {
  if (x->sent.informed || x->now.times.first_byte || x->now.up.active || x->now.readable ||
      buf_len(x->now.call->source.in))
    return false;
  return x->attempts <= x->settings->max_retries && lease_take_retry(&x->now.lease);
}

static void stand_aside(struct exchange *x) {
  CHECK(!x->rival && x->now.call && x->now.call->is_ready && !x->now.up.active);
  uint64_t now_ms = loop_now_ms(x->proxy->loop);
  x->rival = arena_zalloc(&x->arena, sizeof *x->rival);
  attempt_set_aside(x, x->rival);
  uint64_t due_ms = x->rival->head_due_ms;
  timer_set(&x->rival->call->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

void hedge_begin(struct exchange *x) {
  x->now.hedge_due_ms = 0;
  if (!is_allowed(x)) {
    deadline_watch(x);
    return;
  }
  x->hedged = true;
  log_about(LOG_INFO, x->now.peer->options.address,
            "exchange of %.*s: no answer of %.*s so far, asking another", STR_ARG(exchange_client_address(x)),
            STR_ARG(x->now.peer->options.address));
  cell_add(&x->proxy->tally->hedges, 1);
  if (x->account.live) live_note(x, LIVE_HEDGED, 0, STR("no answer so far: another one is asked beside"));
  stand_aside(x);
  exchange_jump(x, STEP_upstream_peer);
  exchange_run(x);
}

/* --- end -------------------------------------------------------------------------------------------------- */

static void drop(struct exchange *x, enum lease_outcome outcome) {
  struct attempt *rival = x->rival;
  x->rival = NULL;
  attempt_drop(x, rival, outcome);
}

void hedge_end(struct exchange *x) {
  if (x->rival) drop(x, LEASE_NEUTRAL);
}

/* The walk goes on with the rival, wherever the second attempt is. */
static void take_over(struct exchange *x) {
  struct attempt *rival = x->rival;
  CHECK(rival->connected && rival->call->exchange == x);
  x->rival = NULL;
  exchange_stop_waiting(x);
  attempt_put_back(x, rival);
  x->now.readable = true;
  exchange_jump(x, STEP_read_response);
}

bool hedge_survives(struct exchange *x, enum error error) {
  if (!x->rival || error_info(error)->side == SIDE_DOWNSTREAM || x->step >= STEP_fail_to_connect)
    return false;
  x->error = error; /* what came of the second one */
  take_over(x);
  exchange_run(x);
  return true;
}

/* --- events of the rival ---------------------------------------------------------------------------------- */

static void fail(struct exchange *x, enum error error) {
  char request[DESCRIBE_BYTES];
  account_failure(x, error);
  if (x->account.live) live_note_failure(x, error, "of the attempt that was slow");
  log_about(LOG_WARN, x->rival->peer->options.address, "peer %.*s: %s%s",
            STR_ARG(x->rival->peer->options.address), error_info(error)->text, exchange_describe(x, request));
  if (x->rival->span) trace_attempt_drop(x->rival, error);
  drop(x, LEASE_FAILED);
}

void hedge_readable(struct exchange *x) {
  CHECK(x->rival);
  struct call *call = x->rival->call;
  enum error error = ERROR_NONE;
  const char *why = NULL;
  enum io result = call->codec->await_head(call, &error, &why);
  if (result == IO_AGAIN) return;
  if (result != IO_OK) {
    fail(x, error);
    return;
  }
  cell_add(&x->proxy->tally->hedges_lost, 1);
  if (x->account.live) live_note(x, LIVE_HEDGED, 1, STR("the first one answers after all"));
  take_over(x);
  exchange_run(x);
}

/* What has come is looked at first, as deadline.c does for the attempt under way. */
void hedge_due(struct exchange *x) {
  CHECK(x->rival);
  struct call *call = x->rival->call;
  if (call->codec->is_ready(call))
    timer_set(&call->timer, 1);
  else
    fail(x, ERROR_FIRST_BYTE_TIMEOUT);
}
