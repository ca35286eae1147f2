// SPDX-License-Identifier: Apache-2.0
// attempt: one try at one peer: connect, send the request, read the response head, and whether another try is
// safe. The hard problem is safety: a request that the peer may have acted on must not be sent twice. So the
// body is kept in a bounded buffer while it is sent, and what may be repeated is decided by the failure
// table, the method and what of the response was seen (RFC 9110 section 9.2.2).
#include "base/check.h"
#include "base/log.h"
#include "http/framing.h"
#include "http/writer.h"
#include "net/timer.h"
#include "proxy/downstream.h"
#include "proxy/peer.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "proxy/walk.h"
#include "shared/choose.h"

/* Interim responses may come in any number, but all their heads are kept until the end. */
enum { HEADS_MOST = 8 };

void attempt_connect(struct exchange *x) {
  if (!x->upstream) {
    x->times.connect_begun = loop_now_ms(x->proxy->loop);
    x->readable = false;
    x->up.written = 0;
    upstream_open(x);
  }
  CHECK(x->peer && x->upstream->peer == x->peer);
  x->connected = x->upstream->state == UPSTREAM_READY;
  if (!x->connected) return;
  x->times.connected = loop_now_ms(x->proxy->loop);
  lease_connected(&x->lease);
}

/* RFC 9112 section 3.2: HTTP/1.1 wants a Host; an HTTP/1.0 client need not have sent one. */
static void add_host(struct exchange *x) {
  if (headers_find_id(&x->upstream_request.headers, FIELD_HOST)) return;
  struct str address = x->peer->options.address;
  headers_set_id(&x->upstream_request.headers, FIELD_HOST,
                 x->peer->addr.kind == ADDR_UNIX ? STR("localhost") : address);
}

/* RFC 9110 section 7.6.2. */
static void count_down(struct exchange *x) {
  struct request *request = &x->upstream_request;
  if (!request->has_max_forwards) return;
  struct str left = arena_printf(&x->arena, "%llu", (unsigned long long)request->max_forwards - 1);
  headers_set_id(&request->headers, FIELD_MAX_FORWARDS, left);
}

void attempt_prepare(struct exchange *x) {
  x->upstream_request = x->request;
  headers_copy(&x->upstream_request.headers, &x->request.headers, &x->arena);
  add_host(x);
  count_down(x);
  forwarded_add(x);
}

/* What a filter will make of a length is not known. */
static struct body body_for_peer(const struct exchange *x) {
  struct body body = x->request.body;
  if (filter_has_request(x)) body.framing = FRAMING_CHUNKED;
  return body;
}

/* The client's version decides nothing here: to the peer we always speak HTTP/1.1. */
static struct str request_head(struct exchange *x) {
  struct request *request = &x->upstream_request;
  struct writer_hop hop = {.te_trailers = request->accepts_trailers, .upgrade = request->upgrade};
  return writer_request(&x->arena, request, body_for_peer(x), &hop);
}

/* A peer says nothing on a pooled connection before it is asked, unless it is about to close. */
static bool is_stale(const struct exchange *x) { return x->reused && x->readable; }

/* The client waits for a 100 (Continue) that its peer was not asked for, because the policy has taken the field away:
 * so it is ours to say (RFC 9110 section 10.1.1). False: the client is gone. */
static bool ask_in_peers_place(struct exchange *x) {
  bool is_awaited = transfer_is_hopeless(x) && !x->body_is_read;
  if (!is_awaited || headers_find_id(&x->upstream_request.headers, FIELD_EXPECT)) return true;
  x->continued = true;
  respond_continue(x);
  return x->downstream != NULL;
}

void attempt_send(struct exchange *x) {
  CHECK(x->upstream && x->upstream->state == UPSTREAM_READY && !x->sent_status);
  if (is_stale(x)) {
    exchange_fail(x, ERROR_UPSTREAM_CLOSED);
    return;
  }
  struct str head = request_head(x);
  if (!head.ptr) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "request to the peer");
    return;
  }
  x->account.attempt_began = ticks_now();
  request_body_send(x);
  struct str again = buf_len(&x->replay) ? buf_str(&x->replay) : (struct str){0};
  relay_restart(&x->up, body_for_peer(x).framing, head, again);
  filter_request(x);
  x->up.to = &x->upstream->conn;
  x->up.copy = x->request.body.framing == FRAMING_NONE ? NULL : &x->replay;
  x->up.trailers_allowed = true;
  /* What may be sent again only if nothing was; and a tail has a deadline while it is to be written. */
  x->up.at_once = !method_is_idempotent(x->request.method) || x->request.body.framing != FRAMING_NONE;
  x->up.nominated = &x->request.nominated;
  x->readable = false;
  deadline_request_sent(x); /* what the attempt before this one had left is over */
  if (!ask_in_peers_place(x)) return;
  transfer_up(x);
}

/* A response to HEAD and a 304 state the length of a body that they do not have (RFC 9110 section 8.6). */
static struct body stated_length(const struct response *response) {
  struct body announced = response->announced;
  return announced.framing == FRAMING_LENGTH ? announced : (struct body){FRAMING_NONE, 0};
}

static enum step_result bad_response(struct exchange *x, const char *why) {
  exchange_fail_because(x, ERROR_BAD_RESPONSE, why);
  return STEP_WAIT;
}

static enum step_result parse_head(struct exchange *x, size_t length) {
  struct upstream *u = x->upstream;
  const char *why = "";
  CHECK(u && length > 0 && length <= buf_len(&u->in));
  struct str head = arena_dup(&x->arena, (struct str){buf_ptr(&u->in), length});
  buf_consume(&u->in, length);
  u->scan = (struct head_scan){0};
  deadline_head_came(x);
  if (!x->times.first_byte) {
    x->times.first_byte = loop_now_ms(x->proxy->loop);
    account_first_byte(x);
  }
  x->heads_bytes += length;
  if (x->heads_bytes > HEADS_MOST * x->settings->head.head_bytes) {
    x->response = (struct response){0};
    return bad_response(x, "interim responses without end");
  }
  struct parser_limits limits = upstream_limits(u, x->settings);
  if (parser_response(head, &x->arena, &limits, x->upstream_request.method, &x->response, &why))
    return bad_response(x, why);
  if ((why = negotiation_fault(x))) return bad_response(x, why);
  hedge_end(x);
  lease_answered(&x->lease, x->response.status, loop_now_us(x->proxy->loop));
  x->stated = stated_length(&x->response);
  if (x->response.status == 426) negotiation_tell_peer(x);
  framing_strip_response(&x->response);
  timer_clear(&u->timer);
  return STEP_NEXT;
}

enum step_result attempt_read_response(struct exchange *x) {
  size_t length = 0;
  enum error error = ERROR_NONE;
  bool worth_reading = x->readable || buf_len(&x->upstream->in);
  x->readable = false;
  if (!worth_reading) { /* no read before the peer can have answered */
    conn_want_read(&x->upstream->conn, true);
    deadline_watch(x);
    return STEP_WAIT;
  }
  struct parser_limits limits = upstream_limits(x->upstream, x->settings);
  enum io result = upstream_read_head(x->upstream, &limits, &length, &error);
  if (result == IO_OK) return parse_head(x, length);
  if (result == IO_AGAIN) {
    deadline_watch(x);
    return STEP_WAIT;
  }
  const char *why = x->upstream->scan.why;
  if (error == ERROR_BAD_RESPONSE) return bad_response(x, why ? why : "the head is larger than allowed");
  exchange_fail(x, error);
  return STEP_WAIT;
}

/* What the backend is told. That a peer closed a connection which waited in the pool is nobody's fault. */
static enum lease_outcome outcome_of(const struct exchange *x) {
  const struct error_info *info = error_info(x->error);
  if (x->error == ERROR_NONE) return x->lease.status ? LEASE_SERVED : LEASE_NEUTRAL;
  if (info->side != SIDE_UPSTREAM) return LEASE_NEUTRAL;
  return x->reused && info->retry == RETRY_REUSED ? LEASE_NEUTRAL : LEASE_FAILED;
}

void attempt_answered(struct exchange *x) {
  lease_end(&x->lease, outcome_of(x), loop_now_us(x->proxy->loop));
}

void attempt_end(struct exchange *x, bool reusable) {
  hedge_end(x);
  lease_end(&x->lease, outcome_of(x), loop_now_us(x->proxy->loop));
  relay_stop(&x->up); /* there is nowhere to send to */
  x->up_state = TRANSFER_OFF;
  if (x->upstream) {
    CHECK(x->down.in != &x->upstream->in || (!x->down.active && !x->down.used)); /* which may be gone soon */
    x->upstream->peer->sends_long = x->down.piped;
    upstream_give_back(x, reusable);
  }
  if (x->peer) {
    account_attempt(x);
    peer_release(x->proxy, x->peer);
  }
  x->peer = NULL;
  x->connected = false;
  CHECK(!x->upstream && !x->rival && !x->lease.view && !x->up.active);
}

/* The retries of a set must not grow with its failures: that would be the end of a set in trouble. But what nobody has
 * handled is no additional work, and what is no fault of the peer (an answer of error is one) says nothing of the set. */
bool attempt_takes_retry(struct exchange *x, bool is_safe) {
  bool is_peers_fault = x->error == ERROR_NONE || error_info(x->error)->side == SIDE_UPSTREAM;
  if (!is_peers_fault) return true;
  if (is_safe ? lease_take_safe_retry(&x->lease) : lease_take_retry(&x->lease)) return true;
  log_info("exchange of %.*s: no retry, their budget is used up", STR_ARG(exchange_client_address(x)));
  return false;
}

/* May nothing of this request have been handled, or no more of it than would be without us? */
static bool table_allows_retry(const struct exchange *x) {
  if (x->times.first_byte) return false;
  switch (error_info(x->error)->retry) {
  case RETRY_NEVER: return false;
  case RETRY_ALWAYS: return true;
  case RETRY_REUSED: break;
  }
  return x->reused && (method_is_idempotent(x->request.method) || x->up.written == 0);
}

/* The peer gave no answer, or none that can be understood. */
static bool is_without_answer(enum error error) {
  return error == ERROR_UPSTREAM_CLOSED || error == ERROR_UPSTREAM_WRITE ||
         error == ERROR_RESPONSE_TRUNCATED || error == ERROR_BAD_RESPONSE ||
         error == ERROR_FIRST_BYTE_TIMEOUT || error == ERROR_UPSTREAM_SEND_TIMEOUT;
}

/* A set asks another backend, as long as there is one, where a request may be handled twice (RFC 9110 section 9.2.2). */
bool exchange_set_retries(const struct exchange *x, enum error error) {
  const struct backends_view *view = x->lease.view;
  return view && (view->rules.retry_on & RETRY_ON_FAILURE) && is_without_answer(error) &&
         method_is_idempotent(x->request.method) && backends_have_other(view, &x->tried);
}

/* What the client began to get, or did wrong, and what is not there to be sent again, no policy can mend. */
bool attempt_may_retry(struct exchange *x) {
  if (x->sent_status || x->informed || x->up.copy_overflowed) return false;
  if (x->attempts > x->settings->max_retries || error_info(x->error)->side == SIDE_DOWNSTREAM) return false;
  bool is_safe = table_allows_retry(x);
  bool is_wanted = x->outcome.decides_retry ? x->outcome.retry : is_safe || exchange_set_retries(x, x->error);
  return is_wanted && attempt_takes_retry(x, is_safe);
}
