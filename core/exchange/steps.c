// SPDX-License-Identifier: Apache-2.0
// steps: the list of steps, the one place that advances it, and the one failure path (invariants I6, I7).
// The hard problem is that everything may happen at any time: a failure during a hook that waits, an event
// during a step. So events only note what happened and call exchange_run, which is never nested; a failure
// continues with the steps of the failure path, which the same code runs.
#include "exchange/exchange.h"

#include "base/check.h"
#include "base/log.h"
#include "exchange/account.h"
#include "exchange/attempt.h"
#include "exchange/deadline.h"
#include "exchange/grpc.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/recorder.h"
#include "exchange/shadow.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/trace.h"
#include "exchange/walk.h"
#include "net/timer.h"
#include "shared/metrics.h"

#define X(name) static enum step_result step_##name(struct exchange *x);
STEP_TABLE(X)
#undef X

/* --- the dispatcher ------------------------------------------------------------------------------------- */

static unsigned told_steps(const struct exchange *x) {
  if (__builtin_expect(log_is_on(LOG_DEBUG), false)) return ~0u;
  return __builtin_expect(x->account.live != NULL, false) ? LIVE_STEPS_TOLD : 0;
}

static __attribute__((noinline, cold)) void tell_log(struct exchange *x, unsigned char at) {
  log_debug("exchange %p: %s", (const void *)x, exchange_step_name(at).ptr);
  if (x->account.live && LIVE_STEPS_TOLD >> at & 1) live_note_step(x, at);
}

static __attribute__((noinline)) void tell(struct exchange *x, unsigned char at, unsigned told) {
  if (__builtin_expect(told == ~0u, false))
    tell_log(x, at);
  else
    live_note_step(x, at);
}

/* One step behind the other, until one does more than to go on. Each request goes through most of them: so they are
 * compiled into one, without a table of functions and without a turn for those that have nothing to do. */
static inline enum step_result run_steps(struct exchange *x, unsigned told) {
  enum step_result result;
  switch ((unsigned)x->step) {
#define X(name)                                                                                              \
  case STEP_##name:                                                                                          \
    x->again = false;                                                                                        \
    if (__builtin_expect(told >> STEP_##name & 1, false)) tell(x, STEP_##name, told);                        \
    result = step_##name(x);                                                                                 \
    if (result != STEP_NEXT || x->step != STEP_##name) return result;                                        \
    x->step++;                                                                                               \
    __attribute__((fallthrough));
    STEP_TABLE(X)
#undef X
  case STEP_finish + 1: break; /* the last one goes nowhere */
  }
  __builtin_unreachable();
}

void exchange_run(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  if (x->running) {
    x->again = true;
    return;
  }
  x->running = true;
  enum step_result result;
  unsigned told = told_steps(x);
  do {
    CHECK(x->step <= STEP_finish);
    result = run_steps(x, told);
  } while (result == STEP_NEXT || result == STEP_JUMPED || (result == STEP_WAIT && x->again));
  if (result == STEP_WAIT) x->running = false;
}

void exchange_jump(struct exchange *x, enum exchange_step step) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(x->step < STEP_logging || step == STEP_finish); /* nothing comes back from the log line */
  x->step = (unsigned char)step;
  x->again = true;
}

static enum step_result jump(struct exchange *x, enum exchange_step step) {
  exchange_jump(x, step);
  return STEP_JUMPED;
}

static enum step_result fail(struct exchange *x, enum error error) {
  exchange_fail(x, error);
  return STEP_JUMPED;
}

/* --- calling a hook ------------------------------------------------------------------------------------- */

static enum hook_status call(struct exchange *x, enum hook hook, hook_fn *function) {
  if (x->hook_state == HOOK_WAITING) return HOOK_WAIT;
  if (x->hook_state == HOOK_FINISHED) {
    x->hook_state = HOOK_IDLE;
    account_hook(x, hook, x->account.hook_began, x->outcome.error != ERROR_NONE);
    return x->outcome.error == ERROR_NONE ? HOOK_DONE : HOOK_FAILED;
  }
  x->outcome = (struct hook_outcome){0};
  if (!function) return HOOK_DONE;
  x->hook = hook;
  uint64_t began = ticks_now();
  enum hook_status status = function(x);
  if (status == HOOK_WAIT) {
    x->account.hook_began = began;
    x->hook_state = HOOK_WAITING;
    if (x->up_state || x->down_state) deadline_watch(x); /* nobody else is blamed meanwhile */
  } else {
    account_hook(x, hook, began, status == HOOK_FAILED);
  }
  return status;
}

void exchange_wake(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(x->hook_state == HOOK_WAITING);
  x->hook_state = HOOK_FINISHED;
  exchange_run(x);
}

static enum step_result give_answer(struct exchange *x) {
  shadow_decided(x);
  return jump(x, x->is_shadow ? STEP_finish : STEP_send_answer);
}

/* A hook of the normal walk: its failure fails the exchange, its answer ends the walk towards the peer. */
static enum step_result run_defined_hook(struct exchange *x, enum hook hook, hook_fn *function) {
  switch (call(x, hook, function)) {
  case HOOK_WAIT: return STEP_WAIT;
  case HOOK_FAILED:
    x->error_status = x->outcome.status;
    x->answer = NULL; /* what it said before it failed does not count */
    return fail(x, x->outcome.error ? x->outcome.error : ERROR_SCRIPT);
  case HOOK_DONE: break;
  }
  if (x->outcome.peer) x->now.peer = x->outcome.peer;
  if (x->outcome.peer) x->now.hedge_ms = x->outcome.hedge_ms;
  if (!x->answer) return STEP_NEXT;
  attempt_end(x, false);
  return give_answer(x);
}

static inline enum step_result run_hook(struct exchange *x, enum hook hook, hook_fn *function) {
  return function || x->answer ? run_defined_hook(x, hook, function) : STEP_NEXT;
}

enum step_result exchange_hook(struct exchange *x, enum hook hook, hook_fn *function) {
  return run_hook(x, hook, function);
}

enum hook_status exchange_hook_status(struct exchange *x, enum hook hook, hook_fn *function) {
  return call(x, hook, function);
}

/* --- towards the peer ----------------------------------------------------------------------------------- */

static enum step_result step_early_request_filter(struct exchange *x) {
  return run_hook(x, HOOK_early_request_filter, x->hooks->early_request_filter);
}

static enum step_result step_request_filter(struct exchange *x) {
  return run_hook(x, HOOK_request_filter, x->hooks->request_filter);
}

static enum step_result step_cache_look_up(struct exchange *x) {
  return x->settings->cache && !x->is_shadow ? cache_look_up(x) : STEP_NEXT;
}

static enum step_result step_proxy_upstream_filter(struct exchange *x) {
  enum step_result result = run_hook(x, HOOK_proxy_upstream_filter, x->hooks->proxy_upstream_filter);
  if (result != STEP_NEXT) return result;
  if (x->outcome.refused) return fail(x, ERROR_UPSTREAM_REFUSED);
  if (!x->request.has_max_forwards || x->request.max_forwards > 0) return STEP_NEXT;
  respond_as_final_recipient(x); /* RFC 9110 section 7.6.2 */
  return give_answer(x);
}

static enum step_result step_await_body(struct exchange *x) {
  if (!request_body_await(x)) return STEP_NEXT;
  if (x->account.live) live_note_step(x, STEP_await_body);
  return STEP_WAIT;
}

static enum step_result step_upstream_peer(struct exchange *x) {
  if (x->hook_state == HOOK_IDLE) x->attempts++;
  enum step_result result = run_hook(x, HOOK_upstream_peer, x->hooks->upstream_peer);
  if (result != STEP_NEXT) return result;
  x->now.times.first_byte = 0; /* of this attempt */
  if (!x->now.peer) return fail(x, ERROR_BAD_PEER);
  shadow_decided(x);
  return x->is_shadow ? jump(x, STEP_finish) : STEP_NEXT;
}

static enum step_result step_connect(struct exchange *x) {
  attempt_connect(x);
  return x->now.connected ? STEP_NEXT : STEP_WAIT;
}

static enum step_result step_connected_to_upstream(struct exchange *x) {
  return run_hook(x, HOOK_connected_to_upstream, x->hooks->connected_to_upstream);
}

static enum step_result step_upstream_request_filter(struct exchange *x) {
  if (x->hook_state == HOOK_IDLE) attempt_prepare(x);
  return run_hook(x, HOOK_upstream_request_filter, x->hooks->upstream_request_filter);
}

static enum step_result step_send_request(struct exchange *x) {
  x->step++; /* the peer may answer, or fail, while we send */
  attempt_send(x);
  return STEP_JUMPED;
}

/* --- towards the client --------------------------------------------------------------------------------- */

static enum step_result step_read_response(struct exchange *x) {
  enum step_result result = attempt_read_response(x);
  enum exchange_step next = result == STEP_NEXT ? elsewhere_next(x) : STEP_upstream_response_filter;
  return next == STEP_upstream_response_filter ? result : jump(x, next);
}

static enum step_result step_upstream_response_filter(struct exchange *x) {
  if (x->account.recording && x->hook_state == HOOK_IDLE) recorder_answer(x);
  enum step_result result = run_hook(x, HOOK_upstream_response_filter, x->hooks->upstream_response_filter);
  bool asks_again = result == STEP_NEXT && x->hooks->upstream_response_filter && x->outcome.asks_again;
  return asks_again && elsewhere_ask(x) ? jump(x, STEP_upstream_peer) : result;
}

static enum step_result step_send_interim(struct exchange *x) {
  unsigned status = x->response.status;
  if (status >= 200 || status == 101)
    return x->down.active ? STEP_WAIT : STEP_NEXT; /* a 100 of ours goes first */
  if (x->account.live) live_note_step(x, STEP_send_interim);
  if (status && x->request.minor >= 1) respond_interim(x); /* HTTP/1.0 knows no interim responses */
  x->response.status = 0;                                  /* it goes out once */
  if (x->step != STEP_send_interim || x->down.active) return STEP_WAIT;
  return jump(x, STEP_read_response);
}

static enum step_result step_cache_take_head(struct exchange *x) {
  return x->cache ? cache_take_head(x) : STEP_NEXT;
}

static enum step_result step_response_filter(struct exchange *x) {
  return run_hook(x, HOOK_response_filter, x->hooks->response_filter);
}

/* The policy's last look at a final head, of any origin. False: it waits. Where it fails, that is in the log, and the
 * head goes out as it was. */
static bool is_looked_at(struct exchange *x) {
  CHECK(!x->sent.status && !x->down.active);
  if (x->hook_state == HOOK_IDLE) respond_show_head(x);
  if (call(x, HOOK_answer_filter, x->hooks->answer_filter) == HOOK_WAIT) return false;
  respond_take_head(x);
  return true;
}

static enum step_result step_send_response(struct exchange *x) {
  if (x->hooks->answer_filter && !is_looked_at(x)) return STEP_WAIT;
  x->step++;
  respond_response(x);
  return STEP_JUMPED;
}

static enum step_result step_relay_bodies(struct exchange *x) {
  if (transfer_is_done(x)) return jump(x, STEP_logging);
  if (x->account.live) live_note_step(x, STEP_relay_bodies);
  return STEP_WAIT;
}

/* --- the failure path ----------------------------------------------------------------------------------- */

static enum step_result retry_or(struct exchange *x, bool retries, enum exchange_step otherwise) {
  attempt_end(x, false);
  if (!retries) return jump(x, otherwise);
  log_debug("exchange of %.*s: %s, retrying", STR_ARG(exchange_client_address(x)),
            error_info(x->error)->text);
  x->last_error = x->error;
  x->error = ERROR_NONE;
  cell_add(&x->proxy->tally->retries, 1);
  if (x->account.live) live_note(x, LIVE_RETRIED, 0, STR("at another attempt"));
  return jump(x, STEP_upstream_peer);
}

/* A hook of the failure path that fails itself ends it, with what it raised; what it said before does not count. */
static void take_hook_failure(struct exchange *x) {
  x->error_status = x->outcome.status ? x->outcome.status : error_info(x->outcome.error)->status;
  x->answer = NULL;
}

/* Of a failed attempt: the hook's answer ends the walk, else it may decide about another attempt. */
static enum step_result end_attempt(struct exchange *x, enum hook hook, hook_fn *function) {
  enum exchange_step otherwise = x->sent.status ? STEP_logging : STEP_fail_to_proxy;
  enum hook_status status = call(x, hook, function);
  if (status == HOOK_WAIT) return STEP_WAIT;
  if (status == HOOK_FAILED) take_hook_failure(x);
  if (status == HOOK_DONE && elsewhere_asks(x)) return jump(x, elsewhere_settle(x));
  if (!x->answer) return retry_or(x, status == HOOK_DONE && attempt_may_retry(x), otherwise);
  attempt_end(x, false);
  respond_failure(x);
  return jump(x, STEP_send_answer);
}

static enum step_result step_fail_to_connect(struct exchange *x) {
  return end_attempt(x, HOOK_fail_to_connect, x->hooks->fail_to_connect);
}

static enum step_result step_error_while_proxy(struct exchange *x) {
  return end_attempt(x, HOOK_error_while_proxy, x->hooks->error_while_proxy);
}

static enum step_result step_fail_to_proxy(struct exchange *x) {
  if (x->kept && x->hook_state == HOOK_IDLE && elsewhere_return(x)) return STEP_WAIT;
  enum step_result rescue = x->cache ? cache_rescue(x) : STEP_NEXT;
  if (rescue != STEP_NEXT) return rescue;
  enum hook_status status = call(x, HOOK_fail_to_proxy, x->hooks->fail_to_proxy);
  if (status == HOOK_WAIT) return STEP_WAIT;
  attempt_end(x, false);
  if (status == HOOK_FAILED)
    take_hook_failure(x);
  else if (x->outcome.status)
    x->error_status = x->outcome.status;
  respond_failure(x);
  return jump(x, x->answer ? STEP_send_answer : STEP_logging);
}

/* The stream's end looks at x->answer for the rest. */
static __attribute__((cold)) enum step_result end_unanswered(struct exchange *x) {
  exchange_report(x, ERROR_RESET, NULL);
  if (x->error == ERROR_NONE) x->error = ERROR_RESET;
  x->sent.closes = x->sent.aborted = true;
  return STEP_NEXT;
}

static enum step_result step_send_answer(struct exchange *x) {
  if (x->cache) cache_answered(x);
  if (x->answer && x->answer->resets) return end_unanswered(x);
  if (!x->sent.status && !x->down.active) {
    if (x->hook_state == HOOK_IDLE) grpc_answer(x);
    if (x->hooks->answer_filter && !is_looked_at(x)) return STEP_WAIT;
    respond_answer(x);
  }
  if (x->again || x->down.active || streamed_answer_runs(x)) return STEP_WAIT;
  return STEP_NEXT;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static enum step_result step_logging(struct exchange *x) {
  if (streamed_answer_runs(x)) return STEP_WAIT; /* it sees in its next turn that it is over */
  if (!x->times.ended) {
    x->times.ended = loop_now_ms(x->proxy->loop);
    if (x->now.peer) attempt_end(x, false);
    elsewhere_end(x);
    if (x->down.filter) filter_none(&x->down); /* its coders may serve others while a hook waits */
    if (!exchange_background(x)) account_exchange(x);
    if (x->account.trace && x->account.trace->own) trace_over(x);
    if (x->account.recording) recorder_end(x);
  }
  if (exchange_background(x) == BACKGROUND_FILL) return STEP_NEXT;
  return call(x, HOOK_logging, x->hooks->logging) == HOOK_WAIT ? STEP_WAIT : STEP_NEXT;
}

static enum step_result step_finish(struct exchange *x) {
  struct stream *s = x->stream;
  struct proxy *proxy = x->proxy;
  CHECK(x->hook_state == HOOK_IDLE && !x->now.call && !x->rival && !x->now.up.filtering &&
        !x->down.filtering);
  CHECK(x->times.ended || x->is_shadow || exchange_background(x)); /* invariant I7: logged, and once */
  grpc_end(x);
  if (x->times.ended && !exchange_background(x)) account_line(x);
  if (trace_is_sampled(x->account.trace) && x->times.ended) trace_end(x);
  if (__builtin_expect(live_trace_is_wanted(x), false) && x->times.ended) live_trace_end(x);
  shadow_release(x);
  if (x->hooks->end) x->hooks->end(x);
  elsewhere_end(x);
  if (x->now.peer) peer_release(proxy, x->now.peer);
  /* Of a hook that chose, and then failed. */
  lease_end(&x->now.lease, LEASE_NEUTRAL, loop_now_us(proxy->loop));
  if (x->cache) cache_end(x);
  if (s) s->codec->end(s);
  CHECK(proxy->exchange_count > 0);
  proxy->exchange_count--;
  list_remove(&x->link);
  proxy_ease(proxy);
  exchange_free(x);
  return STEP_DONE;
}
