// SPDX-License-Identifier: Apache-2.0
// attempt: one try at one peer: connect, send the request, read the response head, and whether another try is
// safe. The hard problem is safety: a request that the peer may have acted on must not be sent twice. So the
// body is kept in a bounded buffer while it is sent; the failure table, the method and the part of the response
// that was seen decide whether it may be repeated (RFC 9110 section 9.2.2).
#include "exchange/attempt.h"

#include "base/check.h"
#include "base/log.h"
#include "exchange/account.h"
#include "exchange/call.h"
#include "exchange/codings.h"
#include "exchange/deadline.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/trace.h"
#include "exchange/walk.h"
#include "http/framing.h"
#include "net/timer.h"
#include "shared/choose.h"

/* Interim responses may come in any number, but all their heads are kept until the end. */
enum { HEADS_MOST = 8 };

void attempt_connect(struct exchange *x) {
  if (!x->now.call) {
    x->now.times.connect_begun = loop_now_ms(x->proxy->loop);
    x->now.readable = false;
    x->now.up.written = 0;
    if (trace_is_sampled(x->account.trace)) trace_attempt(x);
    if (__builtin_expect(x->account.live != NULL, false)) live_note_peer(x);
    call_open(x);
  }
  CHECK(x->now.peer);
  x->now.connected = x->now.call->is_ready;
  if (!x->now.connected) return;
  x->now.times.connected = loop_now_ms(x->proxy->loop);
  lease_connected(&x->now.lease);
  if (__builtin_expect(x->account.live != NULL, false)) live_note_connected(x);
}

/* RFC 9112 section 3.2: HTTP/1.1 wants a Host; an HTTP/1.0 client need not have sent one. */
static void add_host(struct exchange *x) {
  if (headers_find_id(&x->now.request.headers, FIELD_HOST)) return;
  struct str address = x->now.peer->options.address;
  headers_set_id(&x->now.request.headers, FIELD_HOST,
                 x->now.peer->addr.kind == ADDR_UNIX ? STR("localhost") : address);
}

/* RFC 9110 section 7.6.2. */
static void count_down(struct exchange *x) {
  struct request *request = &x->now.request;
  if (!request->has_max_forwards) return;
  struct str left = arena_printf(&x->arena, "%llu", (unsigned long long)request->max_forwards - 1);
  headers_set_id(&request->headers, FIELD_MAX_FORWARDS, left);
}

static void prepare_codings(struct exchange *x) {
  enum coding codings[DECODING_MOST];
  bool is_text = filter_has_request(x) || x->now.up.filter;
  if (is_text && codings_of_request(x, codings)) codings_strip(&x->now.request.headers);
  codings_ask_peer(x);
}

void attempt_prepare(struct exchange *x) {
  x->now.request = x->request;
  headers_copy(&x->now.request.headers, &x->request.headers, &x->arena);
  if (x->hooks->decodes) prepare_codings(x);
  if (x->cache) cache_prepare(x);
  add_host(x);
  count_down(x);
  forwarded_add(x);
  if (x->account.trace) trace_ask(x);
}

/* What a filter will make of a length is not known. */
static struct body body_for_peer(const struct exchange *x) {
  struct body body = x->request.body;
  if (filter_has_request(x) || x->now.up.filter) body.framing = FRAMING_CHUNKED;
  return body;
}

/* On a pooled connection a peer sends nothing before the next request, unless it is about to close. */
static bool is_stale(const struct exchange *x) { return x->now.reused && x->now.readable; }

/* What comes on a new connection before the request is no answer to it (RFC 9112 section 9.2). Session tickets of TLS
 * do not count. This happens only if a hook waited in between. */
static bool has_spoken_unasked(struct exchange *x) {
  return !x->now.reused && x->now.readable && x->now.call->codec->has_spoken(x->now.call);
}

/* The client waits for a 100 (Continue), and the policy has removed the field Expect, so the peer will not send one:
 * we do (RFC 9110 section 10.1.1). False: the client is gone. */
static bool ask_in_peers_place(struct exchange *x) {
  bool is_awaited = transfer_is_hopeless(x) && !x->body.is_read;
  if (!is_awaited || headers_find_id(&x->now.request.headers, FIELD_EXPECT)) return true;
  x->sent.continued = true;
  respond_continue(x);
  return x->stream != NULL;
}

void attempt_send(struct exchange *x) {
  struct call *call = x->now.call;
  struct body body = body_for_peer(x);
  struct str head;
  struct sink sink;
  CHECK(call && call->is_ready && !x->sent.status);
  if (is_stale(x)) {
    exchange_fail(x, ERROR_UPSTREAM_CLOSED);
    return;
  }
  if (has_spoken_unasked(x)) {
    exchange_fail_because(x, ERROR_BAD_RESPONSE, "it came before the request");
    return;
  }
  filter_request(x);
  if (!call->codec->head(call, &x->now.request, body, &head, &sink)) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "request to the peer");
    return;
  }
  x->now.began = ticks_now();
  request_body_send(x);
  struct str again = buf_len(&x->body.replay) ? buf_str(&x->body.replay) : (struct str){0};
  relay_restart(&x->now.up, body.framing, head, again);
  x->now.up.to = sink;
  x->now.up.copy.to = x->request.body.framing == FRAMING_NONE ? NULL : &x->body.replay;
  x->now.up.trailers.allowed = true;
  /* What may be sent again only if nothing was; and a tail has a deadline while it is to be written. */
  x->now.up.at_once = !method_is_idempotent(x->request.method) || x->request.body.framing != FRAMING_NONE;
  x->now.up.trailers.nominated = &x->request.nominated;
  x->now.readable = false;
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
  return STEP_JUMPED;
}

static void note_head(struct exchange *x, size_t bytes) {
  deadline_head_came(x);
  x->heads.bytes += bytes;
  if (x->now.times.first_byte) return;
  x->now.times.first_byte = loop_now_ms(x->proxy->loop);
  account_first_byte(x);
}

static enum step_result take_head(struct exchange *x) {
  struct call *call = x->now.call;
  const char *why = "";
  size_t bytes = 0;
  bool is_good = call->codec->take_head(call, &bytes, &why);
  note_head(x, bytes);
  if (x->heads.bytes > HEADS_MOST * x->settings->head.head_bytes) {
    x->response = (struct response){0};
    return bad_response(x, "interim responses without end");
  }
  if (!is_good) return bad_response(x, why);
  if ((why = negotiation_fault(x))) return bad_response(x, why);
  hedge_end(x);
  if (x->now.span) trace_answered(x);
  if (__builtin_expect(x->account.live != NULL, false)) live_note_answered(x);
  lease_answered(&x->now.lease, x->response.status, loop_now_us(x->proxy->loop));
  x->heads.stated = stated_length(&x->response);
  if (x->codings) codings_forget(x->codings, x);
  if (headers_may_have(&x->response.headers, FIELD_UPGRADE)) negotiation_tell_peer(x);
  framing_strip_response(&x->response);
  timer_clear(&call->timer);
  return STEP_NEXT;
}

enum step_result attempt_read_response(struct exchange *x) {
  struct call *call = x->now.call;
  enum error error = ERROR_NONE;
  const char *why = NULL;
  bool worth_reading = x->now.readable || buf_len(call->source.in);
  x->now.readable = false;
  if (!worth_reading) { /* no read before the peer can have answered */
    source_want(&call->source, true);
    deadline_watch(x);
    return STEP_WAIT;
  }
  enum io result = call->codec->await_head(call, &error, &why);
  if (result == IO_OK) return take_head(x);
  if (result == IO_AGAIN) {
    deadline_watch(x);
    return STEP_WAIT;
  }
  if (error == ERROR_BAD_RESPONSE) return bad_response(x, why ? why : "the head is larger than allowed");
  exchange_fail_because(x, error, why);
  return STEP_JUMPED;
}

bool attempt_is_blameless(const struct exchange *x, enum error error) {
  bool is_its_right =
      error == ERROR_UPSTREAM_LEAVING || error == ERROR_VERSION_REQUIRED || error == ERROR_TUNNEL_NOT_OFFERED;
  return is_its_right || (x->now.reused && error_info(error)->retry == RETRY_REUSED);
}

/* What the backend is told. */
static enum lease_outcome outcome_of(const struct exchange *x) {
  if (x->error == ERROR_NONE) return x->now.lease.status ? LEASE_SERVED : LEASE_NEUTRAL;
  if (error_info(x->error)->side != SIDE_UPSTREAM) return LEASE_NEUTRAL;
  return attempt_is_blameless(x, x->error) ? LEASE_NEUTRAL : LEASE_FAILED;
}

void attempt_answered(struct exchange *x) {
  lease_end(&x->now.lease, outcome_of(x), loop_now_us(x->proxy->loop));
}

void attempt_end(struct exchange *x, bool reusable) {
  hedge_end(x);
  lease_end(&x->now.lease, outcome_of(x), loop_now_us(x->proxy->loop));
  relay_stop(&x->now.up); /* there is nowhere to send to */
  x->up_state = TRANSFER_OFF;
  if (x->now.peer) account_attempt(x);
  if (x->now.span) trace_attempt_end(x, x->error);
  if (x->now.call) {
    struct call *call = x->now.call;
    CHECK(x->down.from.in != call->source.in ||
          (!x->down.active && !x->down.used)); /* which may be gone soon */
    x->now.peer->sends_long = x->down.piped;
    x->now.call = NULL;
    call->codec->release(call, reusable);
  }
  if (x->now.peer) peer_release(x->proxy, x->now.peer);
  x->now.peer = NULL;
  x->now.connected = false;
  CHECK(!x->now.call && !x->rival && !x->now.lease.view && !x->now.up.active);
}

/* --- attempts that stand aside ---------------------------------------------------------------------------- */

void attempt_set_aside(struct exchange *x, struct attempt *aside) {
  CHECK(x->now.peer && x->now.call);
  *aside = x->now;
  x->now = (struct attempt){.up = aside->up, .address = aside->address};
  lease_pass_retry(&aside->lease, &x->now.lease);
}

/* How far the client's body has been read is known by the later attempt; whether its peer has got all of it, by the
 * earlier one. */
static void take_up_relay(struct exchange *x, const struct relay *later) {
  bool is_whole = x->now.up.done;
  struct sink to = x->now.up.to;
  x->now.up = *later;
  x->now.up.done = is_whole;
  x->now.up.to = to;
}

void attempt_put_back(struct exchange *x, const struct attempt *aside) {
  attempt_end(x, false);
  x->error = ERROR_NONE;
  x->error_status = 0;
  struct relay up = x->now.up;
  x->now = *aside;
  take_up_relay(x, &up);
}

void attempt_drop(struct exchange *x, struct attempt *aside, enum lease_outcome outcome) {
  lease_end(&aside->lease, outcome, loop_now_us(x->proxy->loop));
  if (aside->span) trace_attempt_drop(aside, ERROR_NONE);
  aside->call->codec->release(aside->call, false);
  peer_release(x->proxy, aside->peer);
}

/* --- may there be another? -------------------------------------------------------------------------------- */

/* The retries of a set must not grow with its failures: they would overload a set that is in trouble already. But a
 * request that nobody has handled is no additional work; and a failure that is not the peer's fault says nothing
 * about the set. (An error response is the peer's fault.) */
bool attempt_takes_retry(struct exchange *x, bool is_safe) {
  bool is_peers_fault = x->error == ERROR_NONE || error_info(x->error)->side == SIDE_UPSTREAM;
  if (!is_peers_fault) return true;
  if (is_safe ? lease_take_safe_retry(&x->now.lease) : lease_take_retry(&x->now.lease)) return true;
  struct str about = x->now.peer ? x->now.peer->options.address : STR("");
  log_about(LOG_INFO, about, "exchange of %.*s: no retry, their budget is used up",
            STR_ARG(exchange_client_address(x)));
  if (x->account.live) live_note(x, LIVE_RETRIED, 1, STR("not: the budget for retries is used up"));
  return false;
}

/* Has no peer handled any of this request, or no more than would have been handled without the proxy? */
static bool table_allows_retry(const struct exchange *x) {
  if (x->now.times.first_byte) return false;
  switch (error_info(x->error)->retry) {
  case RETRY_NEVER: return false;
  case RETRY_ALWAYS: return true;
  case RETRY_REUSED: break;
  }
  return x->now.reused && (method_is_idempotent(x->request.method) || x->now.up.written == 0);
}

/* The peer gave no answer, or none that can be understood. */
static bool is_without_answer(enum error error) {
  return error == ERROR_UPSTREAM_CLOSED || error == ERROR_UPSTREAM_WRITE ||
         error == ERROR_RESPONSE_TRUNCATED || error == ERROR_BAD_RESPONSE ||
         error == ERROR_FIRST_BYTE_TIMEOUT || error == ERROR_UPSTREAM_SEND_TIMEOUT ||
         error == ERROR_STREAM_RESET || error == ERROR_TUNNEL_NOT_OFFERED;
}

/* A set asks another backend, as long as there is one, where a request may be handled twice (RFC 9110
 * section 9.2.2). */
bool exchange_set_retries(const struct exchange *x, enum error error) {
  const struct backends_view *view = x->now.lease.view;
  return view && (view->rules.retry_on & RETRY_ON_FAILURE) && is_without_answer(error) &&
         method_is_idempotent(x->request.method) && backends_have_other(view, &x->tried);
}

/* A request that no peer has taken may be tried again more often: if each connection takes only a few requests, one
 * request may meet the end of several. But this has a bound, and a policy without retries gets none. */
static unsigned most_attempts(const struct exchange *x) {
  enum { UNTAKEN_MOST = 16 };
  unsigned most = x->settings->max_retries;
  return most && x->error == ERROR_UPSTREAM_LEAVING ? most + UNTAKEN_MOST : most;
}

/* No hook can allow a retry if the client has begun to get a response or is at fault, or if the
 * request is not kept. */
bool attempt_may_retry(struct exchange *x) {
  if (x->sent.status || x->sent.informed || x->now.up.copy.overflowed) return false;
  if (x->attempts > most_attempts(x) || error_info(x->error)->side == SIDE_DOWNSTREAM) return false;
  bool is_safe = table_allows_retry(x);
  bool is_wanted = x->outcome.decides_retry ? x->outcome.retry : is_safe || exchange_set_retries(x, x->error);
  return is_wanted && attempt_takes_retry(x, is_safe);
}
