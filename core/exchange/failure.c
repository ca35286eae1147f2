// SPDX-License-Identifier: Apache-2.0
// failure: how an exchange leaves its normal steps: something failed, or its client is gone. Every failure passes
// here, so the log line is written here, once, with the address of the side at fault. The hard problem is what
// the client can still be told: nothing while a part of a head is being sent; that the response is cut off, if
// it has begun; and nothing more, if it is complete.
#include <stdio.h>

#include "base/log.h"
#include "exchange/account.h"
#include "exchange/attempt.h"
#include "exchange/call.h"
#include "exchange/describe.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/shadow.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/walk.h"
#include "net/timer.h"

static bool is_failing(const struct exchange *x) { return x->step >= STEP_fail_to_connect; }

/* What must not be written is not shown in full either: the log escapes it. */
static void report_unsafe(struct exchange *x, const char *what) {
  log_error("client %.*s: %s: %s: a control character, or a second Host, in it",
            STR_ARG(exchange_client_address(x)), error_info(ERROR_UNSAFE_HEAD)->text, what ? what : "head");
}

static struct str peer_of(const struct exchange *x) {
  return x->now.peer ? x->now.peer->options.address : STR("(the cache)");
}

/* That a peer closes a connection which waited in the pool is nothing to warn of. What is our own or the
 * policy's was said by the code that found it, which knows more. */
static void report(struct exchange *x, enum error error, const char *why) {
  const struct error_info *info = error_info(error);
  const char *gap = why ? ": " : "";
  bool is_usual = attempt_is_blameless(x, error);
  char subject[128]; /* one peer's floods hide no other's, and no other failure */
  char request[DESCRIBE_BYTES];
  struct str peer = peer_of(x);
  if (!why) why = "";
  switch (info->side) {
  case SIDE_DOWNSTREAM:
    log_about(LOG_INFO, str_of(info->text), "client %.*s: %s%s%s", STR_ARG(exchange_client_address(x)),
              info->text, gap, why);
    return;
  case SIDE_UPSTREAM:
    snprintf(subject, sizeof subject, "%s %.*s", info->name, STR_ARG(peer));
    log_about(is_usual ? LOG_INFO : LOG_WARN, str_of(subject), "peer %.*s: %s%s%s%s", STR_ARG(peer),
              info->text, gap, why, exchange_describe(x, request));
    return;
  case SIDE_INTERNAL:
    if (error == ERROR_UNSAFE_HEAD) report_unsafe(x, why);
    if (error == ERROR_LOCAL_SHORTAGE || error == ERROR_NO_PORT)
      log_about(LOG_WARN, str_of(info->text), "peer %.*s: %s%s%s%s%s", STR_ARG(peer),
                x->now.connected ? "" : "not asked: ", info->text, gap, why, exchange_describe(x, request));
    return;
  }
}

void exchange_report(struct exchange *x, enum error error, const char *why) {
  account_failure(x, error);
  if (x->account.live) live_note_failure(x, error, why);
  report(x, error, why);
}

void exchange_stop_waiting(struct exchange *x) {
  x->body.on_body = NULL;
  if (x->hook_state == HOOK_WAITING && x->hooks->cancel) x->hooks->cancel(x);
  x->hook_state = HOOK_IDLE;
  streamed_answer_give_up(x);
}

/* Nothing but hooks goes on from here: no event of its stream or its call may fail the failing exchange again. But
 * that the client leaves is still of interest, since a hook may wait. */
static void quieten(struct exchange *x) {
  exchange_stop_waiting(x);
  relay_stop(&x->now.up);
  x->up_state = x->down_state = TRANSFER_OFF;
  if (x->now.call) x->now.call->codec->pause(x->now.call);
  if (x->stream) x->stream->codec->pause(x->stream, x->now.up.decoder.ended);
}

/* Something of a response has been sent, so there is nothing to say but that it ends short, if it does. */
static void cut_response(struct exchange *x) {
  x->sent.closes = true;
  x->sent.aborted = !transfer_has_answered(x);
  relay_stop(&x->down);
}

/* Active without a status: an interim head was sent. */
static bool has_begun(const struct exchange *x) { return x->sent.status || x->down.active; }

/* It fails a second time, while a hook looks at the first failure: the time that the client gave it is over. Nothing
 * was sent so far, so the client is told that. */
static bool fails_again(const struct exchange *x) {
  return is_failing(x) && x->step < STEP_send_answer && !has_begun(x);
}

static enum exchange_step behind_hook(struct exchange *x) {
  if (x->step < STEP_fail_to_proxy) return STEP_fail_to_proxy;
  attempt_end(x, false);
  respond_failure(x);
  return STEP_send_answer;
}

static enum exchange_step where_to(struct exchange *x) {
  if (fails_again(x)) return behind_hook(x);
  if (is_failing(x) || has_begun(x)) {
    bool asks_policy = x->sent.status && x->now.connected && !is_failing(x);
    cut_response(x);
    return asks_policy ? STEP_error_while_proxy : STEP_logging;
  }
  if (x->now.connected) return STEP_error_while_proxy;
  return x->now.call ? STEP_fail_to_connect : STEP_fail_to_proxy;
}

/* An answer that is an error may still be passed on. */
static bool has_no_failure(const struct exchange *x) {
  return x->error == ERROR_NONE || x->error == ERROR_ANSWERED_ERROR;
}

static void fail_shadow(struct exchange *x, enum error error) {
  exchange_stop_waiting(x);
  x->error = error;
  shadow_decided(x);
  exchange_jump(x, STEP_finish);
  exchange_run(x);
}

void exchange_fail_because(struct exchange *x, enum error error, const char *why) {
  if (x->step >= STEP_logging) return;
  if (x->is_shadow) {
    fail_shadow(x, error);
    return;
  }
  exchange_report(x, error, why);
  if (hedge_survives(x, error)) return;
  hedge_end(x);
  quieten(x);
  bool is_end_of_retries = x->last_error && (error == ERROR_NO_BACKEND || error == ERROR_OVERLOADED);
  if (has_no_failure(x) || fails_again(x)) x->error = is_end_of_retries ? x->last_error : error;
  shadow_decided(x);
  exchange_jump(x, where_to(x));
  exchange_run(x);
}

void exchange_fail(struct exchange *x, enum error error) { exchange_fail_because(x, error, NULL); }

void exchange_client_gone(struct exchange *x, enum error error) {
  exchange_rare(x)->client = arena_dup(&x->arena, exchange_client_address(x)); /* the log wants it later */
  bool is_over = x->step >= STEP_logging;
  if (!is_over && !x->proxy->stopping) report(x, error, NULL);
  shadow_lost_client(x);
  if (!is_over && x->cache && cache_goes_on_alone(x, error)) return;
  x->stream = NULL;
  if (is_over) return;
  account_failure(x, error);
  if (x->account.live) live_note_failure(x, error, NULL);
  exchange_stop_waiting(x);
  relay_stop(&x->down);
  if (has_no_failure(x)) x->error = error;
  attempt_end(x, false);
  exchange_jump(x, STEP_logging);
  exchange_run(x);
}

/* One without a client may be in the midst of its walk. */
void exchange_abandon(struct exchange *x) {
  bool is_logged = x->times.ended || x->is_shadow || exchange_background(x);
  exchange_stop_waiting(x);
  streamed_answer_cut(x);
  relay_stop(&x->down);
  hedge_end(x);
  attempt_end(x, false);
  exchange_jump(x, is_logged ? STEP_finish : STEP_logging);
  exchange_run(x);
}
