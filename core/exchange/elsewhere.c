// SPDX-License-Identifier: Apache-2.0
// elsewhere: if a backend answers that it cannot serve (503 and the like), its response is set aside, and another
// backend of the set is asked. If that one has a better answer, it is used. If it has none, and no backend is left,
// the client gets the response that was set aside: the last real one, not one made by the proxy. So that connection
// is kept with its body, unread, until then.
//
// By itself that happens only for requests that may be sent twice (RFC 9110 section 9.2.2) and need no copy:
// idempotent methods without a body, and only if the client has received nothing yet. The policy may want it
// (session:retry) for any response and any method: it knows what its application does. Then the body is sent again
// from its copy, as after a failure; and the connection of a response that is put by while the request still goes to
// it is of no further use. Both use the set's budget for retries.
#include "base/log.h"
#include "exchange/account.h"
#include "exchange/attempt.h"
#include "exchange/call.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"
#include "net/timer.h"
#include "shared/choose.h"
#include "shared/metrics.h"

/* What the steps behind read_response need. The attempt's lease has ended: it was answered. */
struct kept {
  struct attempt attempt;
  struct response response;
  struct body stated;
  bool is_filtered; /* upstream_response_filter has seen it */
};

static bool is_repeatable(const struct exchange *x) {
  return method_is_idempotent(x->request.method) && x->request.body.framing == FRAMING_NONE &&
         !x->sent.informed && !x->sent.status && !x->now.up.active && x->attempts <= x->settings->max_retries;
}

bool elsewhere_is_possible(const struct exchange *x) {
  const struct backends_view *view = x->now.lease.view;
  if (!view || !(view->rules.retry_on & backend_retry_on(x->response.status))) return false;
  return is_repeatable(x) && backends_have_other(view, &x->tried);
}

bool elsewhere_is_wanted(struct exchange *x) {
  bool is_vetoed = x->error == ERROR_ANSWERED_ERROR && x->outcome.decides_retry && !x->outcome.retry;
  x->error = ERROR_NONE;
  return !is_vetoed && elsewhere_is_possible(x) && attempt_takes_retry(x, false);
}

static void put_by(struct exchange *x, bool is_filtered) {
  struct kept *kept = arena_zalloc(&x->arena, sizeof *kept);
  CHECK(x->now.call && x->now.call->is_ready && !x->rival);
  kept->response = x->response;
  kept->is_filtered = is_filtered;
  kept->stated = x->heads.stated;
  attempt_set_aside(x, &kept->attempt);
  struct call *call = kept->attempt.call;
  call->codec->pause(call);
  call->is_kept = true;
  elsewhere_end(x); /* an earlier one */
  x->kept = kept;
}

static bool is_final(unsigned status) { return status >= 200 || status == 101; }

/* The policy is asked first, and its hook may wait: until then nothing that comes from the peer is of interest. */
static enum exchange_step ask_policy(struct exchange *x) {
  x->now.call->codec->pause(x->now.call);
  x->now.call->is_kept = true;
  x->error = ERROR_ANSWERED_ERROR;
  return STEP_error_while_proxy;
}

enum exchange_step elsewhere_begin(struct exchange *x) {
  if (x->hooks->error_while_proxy && elsewhere_is_possible(x)) return ask_policy(x);
  return elsewhere_settle(x);
}

enum exchange_step elsewhere_settle(struct exchange *x) {
  x->now.call->is_kept = false;
  if (!elsewhere_is_wanted(x)) {
    if (is_final(x->response.status)) elsewhere_end(x);
    return STEP_upstream_response_filter;
  }
  log_about(LOG_INFO, x->now.peer->options.address, "peer %.*s: it answered %u, asking another",
            STR_ARG(x->now.peer->options.address), x->response.status);
  cell_add(&x->proxy->tally->retries, 1);
  if (x->account.live) live_note(x, LIVE_RETRIED, 0, STR("at another backend, because of the status"));
  account_attempt(x);
  lease_end(&x->now.lease, LEASE_SERVED, loop_now_us(x->proxy->loop));
  put_by(x, false);
  return STEP_upstream_peer;
}

const char *elsewhere_obstacle(const struct exchange *x) {
  if (!is_final(x->response.status)) return "this is an interim response, and another one follows";
  if (x->response.status == 101) return "the peer has switched to another protocol";
  if (x->sent.status || x->sent.informed) return "the client has got an interim response";
  if (x->now.up.copy.overflowed) return "the request's body is too long to be sent again";
  if (x->now.up.filtering || x->now.up.has_more) return "the request's body is on its way through a hook";
  return x->attempts > x->settings->max_retries ? "there have been max_retries attempts" : NULL;
}

bool elsewhere_ask(struct exchange *x) {
  if (elsewhere_obstacle(x)) return false;
  CHECK(x->now.call && x->now.peer);
  log_about(LOG_INFO, x->now.peer->options.address, "peer %.*s: it answered %u, and the policy asks again",
            STR_ARG(x->now.peer->options.address), x->response.status);
  cell_add(&x->proxy->tally->retries, 1);
  account_attempt(x);
  relay_stop(&x->now.up);
  x->up_state = TRANSFER_OFF;
  lease_judge_failed(&x->now.lease);
  lease_end(&x->now.lease, LEASE_SERVED, loop_now_us(x->proxy->loop));
  put_by(x, true);
  return true;
}

static struct kept *take(struct exchange *x) {
  struct kept *kept = x->kept;
  x->kept = NULL;
  kept->attempt.call->is_kept = false;
  return kept;
}

void elsewhere_end(struct exchange *x) {
  if (x->kept) attempt_drop(x, &take(x)->attempt, LEASE_NEUTRAL);
}

bool elsewhere_return(struct exchange *x) {
  if (!x->kept || error_info(x->error)->side == SIDE_DOWNSTREAM) return false;
  struct kept *kept = take(x);
  attempt_put_back(x, &kept->attempt);
  x->answer = NULL;
  x->response = kept->response;
  x->heads.stated = kept->stated;
  exchange_jump(x, kept->is_filtered ? STEP_send_interim : STEP_upstream_response_filter);
  return true;
}
