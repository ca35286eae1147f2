// SPDX-License-Identifier: Apache-2.0
// respond: heads to the client: interim ones, the peer's response, and answers of our own. Decides the
// framing that the client gets, and whether its connection lives on; the peer's framing is never forwarded
// (invariant I9).
#include "base/check.h"
#include "base/date.h"
#include "http/framing.h"
#include "http/lenient.h"
#include "http/writer.h"
#include "net/timer.h"
#include "proxy/downstream.h"
#include "proxy/peer.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "proxy/walk.h"

#define METHODS_ALLOWED STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")

/* The next message's Date and Via, where they are ours to add (RFC 9110 sections 6.6.1 and 7.6.3). */
static void add_own_fields(struct exchange *x, struct headers *headers, bool is_forwarded) {
  if (!headers_find_id(headers, FIELD_DATE))
    headers_add_id(headers, FIELD_DATE, date_text(DATE_HTTP, time(NULL)));
  if (is_forwarded && x->settings->via) forwarded_add_via(headers, x->response.minor);
}

static struct writer_hop client_hop(const struct exchange *x) {
  return (struct writer_hop){.close = x->sent.closes, .keep_alive = !x->sent.closes && x->request.minor == 0};
}

/* Is the peer to take the rest of the request? Not where it refuses, nor where it closes behind its response. */
static bool peer_reads_on(const struct exchange *x, const struct response *response) {
  return x->now.up.active && response->status < 400 && response->keep_alive;
}

/* Might the client send something else than a request next, or more of its body than we would read away? What
 * follows a CONNECT that was not granted is often meant for the tunnel, but a login may be tried again (RFC
 * 9110 section 11.7). */
static bool leaves_doubt(const struct exchange *x, unsigned status, bool is_taken) {
  const struct relay *up = &x->now.up;
  if (exchange_ends_connection(x) || transfer_is_hopeless(x)) return true;
  if (x->request.method == METHOD_CONNECT && status != 407) return true;
  if (up->decoder.ended || is_taken) return false;
  uint64_t left = up->decoder.body.framing == FRAMING_CHUNKED ? 1 : up->decoder.left;
  return left > x->settings->drain_bytes;
}

/* Nothing is written yet: transfer_down follows, after which the exchange may have failed. */
static void begin_down(struct exchange *x, struct body body, enum framing out, struct str head,
                       struct str first) {
  CHECK(x->downstream && !x->down.active); /* one head at a time */
  relay_begin(&x->down, body, out, head, first);
  x->down.decoder.chunked.takes_padding = x->now.peer && x->now.peer->options.lenient & LENIENT_CHUNK_PADDING;
  x->down.to = (struct sink){.conn = &x->downstream->conn};
}

/* The same for what is all here: a head, and content of our own. */
static void send_whole(struct exchange *x, struct str head, enum framing out, struct str content) {
  x->down.from = (struct source){0};
  filter_none(&x->down);
  begin_down(x, (struct body){FRAMING_NONE, 0}, out, head, content);
  transfer_down(x);
}

void respond_forget_unsent(struct exchange *x) {
  if (!x->down.written) x->sent.status = 0;
}

/* --- interim -------------------------------------------------------------------------------------------- */

void respond_interim(struct exchange *x) {
  struct writer_hop hop = {0};
  struct body none = {FRAMING_NONE, 0};
  struct str head = writer_response(&x->arena, &x->response, none, &hop);
  if (!head.ptr) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "interim response");
    return;
  }
  if (x->response.status == 100) x->sent.continued = true;
  x->sent.informed = true;
  send_whole(x, head, FRAMING_NONE, (struct str){0});
}

void respond_continue(struct exchange *x) {
  send_whole(x, STR("HTTP/1.1 100 Continue\r\n\r\n"), FRAMING_NONE, (struct str){0});
}

/* --- the peer's response -------------------------------------------------------------------------------- */

static bool has_no_body(const struct exchange *x) {
  unsigned status = x->response.status;
  return x->request.method == METHOD_HEAD || status == 204 || status == 304;
}

/* What the client gets for what the peer sends. HTTP/1.0 knows no chunks: there the connection's end ends the
 * body. */
static enum framing framing_for_client(const struct exchange *x) {
  switch (x->response.body.framing) {
  case FRAMING_NONE:
  case FRAMING_TUNNEL: return x->response.body.framing;
  case FRAMING_LENGTH:
    if (!filter_has_response(x)) return FRAMING_LENGTH;
    break; /* what a filter will make of the length is not known */
  case FRAMING_CHUNKED:
  case FRAMING_CLOSE: break;
  }
  return x->request.minor >= 1 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

static struct body stated_body(const struct exchange *x, enum framing out) {
  if (has_no_body(x)) return filter_has_response(x) ? (struct body){FRAMING_NONE, 0} : x->stated;
  return (struct body){out, x->response.body.length};
}

void respond_response(struct exchange *x) {
  struct response *response = &x->response;
  CHECK(!x->sent.status && x->now.upstream);
  enum framing out = framing_for_client(x);
  bool tunnels = response->body.framing == FRAMING_TUNNEL;
  if (tunnels || out == FRAMING_CLOSE || leaves_doubt(x, response->status, peer_reads_on(x, response)))
    x->sent.closes = true;
  add_own_fields(x, &response->headers, true);
  struct writer_hop hop = client_hop(x);
  if (tunnels) hop = (struct writer_hop){0};
  hop.upgrade = response->upgrade; /* a 426 has one too (RFC 9110 section 15.5.22) */
  struct str head = writer_response(&x->arena, response, stated_body(x, out), &hop);
  if (!head.ptr) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "response");
    return;
  }
  if (tunnels) transfer_tunnel(x);
  if (tunnels && transfer_is_hopeless(x)) head = negotiation_continue(x, head);
  x->sent.status = response->status;
  x->down.from = (struct source){.conn = &x->now.upstream->conn, .in = &x->now.upstream->in};
  x->down.trailers.allowed = out == FRAMING_CHUNKED;
  x->down.trailers.nominated = &response->nominated;
  x->down.at_once = x->sent.closes;
  filter_response(x, out);
  begin_down(x, tunnels ? (struct body){FRAMING_TUNNEL, 0} : response->body, out, head, (struct str){0});
  transfer_down(x);
  if (tunnels && x->downstream && x->now.upstream && x->now.up.active) transfer_up(x);
}

/* --- answers of our own --------------------------------------------------------------------------------- */

static struct str answer_head(struct exchange *x) {
  const struct answer *answer = x->answer;
  struct body body = {FRAMING_LENGTH, answer->content.len};
  unsigned status = answer->response.status;
  if (status == 304 && !answer->content.len) body.framing = FRAMING_NONE;
  if (answer->close || leaves_doubt(x, status, false)) x->sent.closes = true;
  add_own_fields(x, &x->answer->response.headers, false);
  struct writer_hop hop = client_hop(x);
  return writer_response(&x->arena, &answer->response, body, &hop);
}

/* Nothing was sent, and the walk is at its end: a plain answer takes the place of the one that must not be written. */
static __attribute__((cold)) struct str head_instead(struct exchange *x) {
  exchange_report(x, ERROR_UNSAFE_HEAD, "answer");
  if (x->error == ERROR_NONE) x->error = ERROR_UNSAFE_HEAD;
  x->answer = NULL;
  x->error_status = error_info(ERROR_UNSAFE_HEAD)->status;
  respond_failure(x);
  return answer_head(x);
}

void respond_answer(struct exchange *x) {
  struct str head = answer_head(x);
  if (!head.ptr) head = head_instead(x);
  CHECK(head.ptr && !x->sent.status);
  struct answer *answer = x->answer;
  unsigned status = answer->response.status;
  bool silent = x->request.method == METHOD_HEAD || status == 204 || status == 304;
  x->sent.status = (unsigned short)status;
  x->response = answer->response;
  send_whole(x, head, FRAMING_LENGTH, silent ? (struct str){0} : answer->content);
}

void respond_show_head(struct exchange *x) {
  const struct answer *answer = x->answer;
  if (!answer) return;
  x->response = answer->response;
  x->response.body = (struct body){FRAMING_LENGTH, answer->content.len};
}

void respond_take_head(struct exchange *x) {
  if (x->answer) x->answer->response.headers = x->response.headers;
}

static void reflect(struct exchange *x, struct answer *answer) {
  struct request *request = &x->request;
  struct writer_hop hop = {0};
  headers_remove_id(&request->headers, FIELD_COOKIE);
  headers_remove(&request->headers, STR("Authorization"));
  headers_remove_id(&request->headers, FIELD_PROXY_AUTHORIZATION);
  headers_add(&answer->response.headers, STR("Content-Type"), STR("message/http"));
  answer->content = writer_request(&x->arena, request, (struct body){FRAMING_NONE, 0}, &hop);
  CHECK(answer->content.ptr); /* it is as the parser took it */
}

void respond_as_final_recipient(struct exchange *x) {
  struct answer *answer = exchange_answer(x, 200);
  if (x->request.method == METHOD_TRACE)
    reflect(x, answer);
  else
    headers_add(&answer->response.headers, STR("Allow"), METHODS_ALLOWED);
}

/* RFC 9110 section 15.5.6: a 405 says what is allowed. Section 15.6.4: a 503 may say when to come back. */
static void add_explanation(struct exchange *x, struct headers *headers) {
  headers_add(headers, STR("Content-Type"), STR("text/plain"));
  if (x->error == ERROR_METHOD_NOT_ALLOWED) headers_add(headers, STR("Allow"), METHODS_ALLOWED);
  if (x->error == ERROR_OVERLOADED) headers_add(headers, STR("Retry-After"), STR("1"));
}

void respond_failure(struct exchange *x) {
  const struct error_info *info = error_info(x->error);
  unsigned status = x->error_status ? x->error_status : info->status;
  if (info->side == SIDE_DOWNSTREAM) x->sent.closes = true;
  if (x->answer || status == 0 || !exchange_can_answer(x)) return;
  struct answer *answer = exchange_answer(x, status);
  struct str reason = status_reason(status);
  add_explanation(x, &answer->response.headers);
  answer->content = arena_printf(&x->arena, "%u %.*s\n", status, STR_ARG(reason));
}
