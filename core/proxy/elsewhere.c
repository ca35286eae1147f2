// SPDX-License-Identifier: Apache-2.0
// elsewhere: an answer that says that the backend cannot serve (503 and the like) is put by, and another backend of the
// set is asked. If that has an answer, it is the one; if it has none, and nobody else is left to ask, the client gets
// the one that was put by: the last real one, never one of our making. So the connection with its body is kept, unread,
// until then.
//
// Only what may be sent twice is asked twice (RFC 9110 section 9.2.2), and what needs no copy: idempotent methods
// without a body; and nothing of which the client has got a part. It comes out of the set's budget for retries.
#include "base/log.h"
#include "net/timer.h"
#include "proxy/peer.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "proxy/walk.h"
#include "shared/choose.h"
#include "shared/metrics.h"

/* What the steps behind read_response need of the attempt. Its lease has ended: it was answered. */
struct kept {
  struct peer *peer;         /* reference */
  struct upstream *upstream; /* owned */
  struct response response;
  struct body stated;
  struct relay up;
  struct request request;
  struct str address; /* arena */
  uint64_t first_byte, attempt_began;
  bool reused;
};

static bool is_repeatable(const struct exchange *x) {
  return method_is_idempotent(x->request.method) && x->request.body.framing == FRAMING_NONE && !x->informed &&
         !x->sent_status && !x->up.active && x->attempts <= x->settings->max_retries;
}

static bool is_wanted(struct exchange *x) {
  const struct backends_view *view = x->lease.view;
  if (!view || !(view->rules.retry_on & backend_retry_on(x->response.status))) return false;
  return is_repeatable(x) && backends_have_other(view, &x->tried) && attempt_takes_retry(x, false);
}

static void put_by(struct exchange *x) {
  struct kept *kept = arena_zalloc(&x->arena, sizeof *kept);
  CHECK(x->upstream && x->upstream->state == UPSTREAM_READY && !x->rival);
  *kept = (struct kept){.peer = x->peer,
                        .upstream = x->upstream,
                        .response = x->response,
                        .stated = x->stated,
                        .up = x->up,
                        .request = x->upstream_request,
                        .address = x->peer_address,
                        .first_byte = x->times.first_byte,
                        .attempt_began = x->account.attempt_began,
                        .reused = x->reused};
  upstream_quieten(kept->upstream);
  kept->upstream->is_kept = true;
  elsewhere_end(x); /* an earlier one */
  x->kept = kept;
  x->peer = NULL;
  x->upstream = NULL;
  x->connected = x->reused = false;
}

static bool is_final(unsigned status) { return status >= 200 || status == 101; }

bool elsewhere_begin(struct exchange *x) {
  if (!is_wanted(x)) {
    if (is_final(x->response.status)) elsewhere_end(x);
    return false;
  }
  log_about(LOG_INFO, x->peer->options.address, "peer %.*s: it answered %u, asking another",
            STR_ARG(x->peer->options.address), x->response.status);
  cell_add(&x->proxy->tally->retries, 1);
  account_attempt(x);
  lease_end(&x->lease, LEASE_SERVED, loop_now_us(x->proxy->loop));
  put_by(x);
  return true;
}

void elsewhere_end(struct exchange *x) {
  struct kept *kept = x->kept;
  if (!kept) return;
  x->kept = NULL;
  kept->upstream->is_kept = false;
  upstream_drop(kept->upstream);
  peer_release(x->proxy, kept->peer);
}

bool elsewhere_return(struct exchange *x) {
  struct kept *kept = x->kept;
  if (!kept || error_info(x->error)->side == SIDE_DOWNSTREAM) return false;
  attempt_end(x, false);
  x->kept = NULL;
  kept->upstream->is_kept = false;
  x->error = ERROR_NONE;
  x->error_status = 0;
  x->answer = NULL;
  x->peer = kept->peer;
  x->upstream = kept->upstream;
  x->response = kept->response;
  x->stated = kept->stated;
  x->up = kept->up;
  x->upstream_request = kept->request;
  x->peer_address = kept->address;
  x->times.first_byte = kept->first_byte;
  x->account.attempt_began = kept->attempt_began;
  x->reused = kept->reused;
  x->connected = true;
  exchange_jump(x, STEP_upstream_response_filter);
  return true;
}
