// SPDX-License-Identifier: Apache-2.0
// elsewhere: if a backend answers that it cannot serve (503 and the like), its response is set aside, and another
// backend of the set is asked. If that one has a better answer, it is used. If it has none, and no backend is left,
// the client gets the response that was set aside: the last real one, not one made by the proxy. So that connection
// is kept with its body, unread, until then.
//
// Only requests that may be sent twice (RFC 9110 section 9.2.2) and need no copy are sent to another backend:
// idempotent methods without a body, and only if the client has received nothing yet. This uses the set's budget for
// retries.
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
};

static bool is_repeatable(const struct exchange *x) {
  return method_is_idempotent(x->request.method) && x->request.body.framing == FRAMING_NONE &&
         !x->sent.informed && !x->sent.status && !x->now.up.active && x->attempts <= x->settings->max_retries;
}

bool elsewhere_is_wanted(struct exchange *x) {
  const struct backends_view *view = x->now.lease.view;
  if (!view || !(view->rules.retry_on & backend_retry_on(x->response.status))) return false;
  return is_repeatable(x) && backends_have_other(view, &x->tried) && attempt_takes_retry(x, false);
}

static void put_by(struct exchange *x) {
  struct kept *kept = arena_zalloc(&x->arena, sizeof *kept);
  CHECK(x->now.call && x->now.call->is_ready && !x->rival);
  kept->response = x->response;
  kept->stated = x->heads.stated;
  attempt_set_aside(x, &kept->attempt);
  struct call *call = kept->attempt.call;
  call->codec->pause(call);
  call->is_kept = true;
  elsewhere_end(x); /* an earlier one */
  x->kept = kept;
}

static bool is_final(unsigned status) { return status >= 200 || status == 101; }

bool elsewhere_begin(struct exchange *x) {
  if (!elsewhere_is_wanted(x)) {
    if (is_final(x->response.status)) elsewhere_end(x);
    return false;
  }
  log_about(LOG_INFO, x->now.peer->options.address, "peer %.*s: it answered %u, asking another",
            STR_ARG(x->now.peer->options.address), x->response.status);
  cell_add(&x->proxy->tally->retries, 1);
  if (x->account.live) live_note(x, LIVE_RETRIED, 0, STR("at another backend, because of the status"));
  account_attempt(x);
  lease_end(&x->now.lease, LEASE_SERVED, loop_now_us(x->proxy->loop));
  put_by(x);
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
  exchange_jump(x, STEP_upstream_response_filter);
  return true;
}
