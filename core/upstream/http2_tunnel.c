// SPDX-License-Identifier: Apache-2.0
// http2_tunnel: CONNECT and Upgrade to a peer of HTTP/2. To the exchange an Upgrade is a GET that a 101 answers,
// whatever its client speaks; here it is the CONNECT with :protocol that a 2xx answers (RFC 8441), and what only one
// of the two has is put in or taken out. HTTP/2 has one protocol to ask for: of a list, that is the first, which the
// client likes best (RFC 9110 section 7.8).
//
// The hard problem is the end of the request. It has none of its own: what follows the head is the tunnel. So our
// half of the stream stays open when the request has ended, until the peer has answered: with a tunnel, which ends
// it, or with a response, behind which nothing follows.
#include "base/log.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/walk.h"
#include "http/grammar.h"
#include "http/websocket.h"
#include "upstream/http2.h"

enum http2_tunnel http2_tunnel_of(const struct request *request) {
  if (request->method == METHOD_CONNECT) return HTTP2_TUNNEL_CONNECT;
  if (!request->upgrade.len) return HTTP2_TUNNEL_NONE;
  bool is_plain = request->method == METHOD_GET && !request_has_body(request);
  return is_plain ? HTTP2_TUNNEL_EXTENDED : HTTP2_TUNNEL_UNSAID;
}

static struct str first_of(struct str protocols) {
  struct str protocol = {0};
  grammar_list_next(&protocols, &protocol);
  return protocol;
}

/* Who offers an Upgrade must do without it (RFC 9110 section 7.8). */
static void tell_unsaid(const struct http2_call *c, struct str upgrade) {
  enum { TOLD_MOST = 64 };
  if (upgrade.len > TOLD_MOST) upgrade.len = TOLD_MOST;
  log_about(LOG_INFO, c->peer->options.address,
            "peer %.*s: the Upgrade to \"%.*s\" is not passed on: HTTP/2 has none behind a body, or of "
            "another method than GET",
            STR_ARG(c->peer->options.address), STR_ARG(upgrade));
}

void http2_tunnel_prepare(struct http2_call *c, struct request *request, struct body *body) {
  c->tunnel = http2_tunnel_of(request);
  c->method = request->method;
  switch (c->tunnel) {
  case HTTP2_TUNNEL_NONE:
  case HTTP2_TUNNEL_CONNECT: break;
  case HTTP2_TUNNEL_EXTENDED:
    c->protocol = request->upgrade = first_of(request->upgrade);
    c->method = METHOD_CONNECT;
    *body = (struct body){FRAMING_NONE, 0};
    break;
  case HTTP2_TUNNEL_UNSAID:
    tell_unsaid(c, request->upgrade);
    request->upgrade = (struct str){0};
    break;
  }
}

static struct str key_of(const struct http2_call *c) {
  return websocket_key(&c->call.exchange->now.request.headers);
}

enum error http2_tunnel_refusal(const struct http2_call *c) {
  if (c->tunnel != HTTP2_TUNNEL_EXTENDED) return ERROR_NONE;
  if (!h2_session_takes_connect(c->connection->session)) return ERROR_TUNNEL_NOT_OFFERED;
  return websocket_is(c->protocol) && !key_of(c).len ? ERROR_BAD_REQUEST : ERROR_NONE;
}

const char *http2_tunnel_why(enum error refusal) {
  return refusal == ERROR_BAD_REQUEST ? "a WebSocket without one valid Sec-WebSocket-Key"
                                      : "its SETTINGS have no SETTINGS_ENABLE_CONNECT_PROTOCOL";
}

static bool asks_for_one(const struct http2_call *c) {
  return c->tunnel == HTTP2_TUNNEL_CONNECT || c->tunnel == HTTP2_TUNNEL_EXTENDED;
}

bool http2_tunnel_may_follow(const struct http2_call *c) {
  return asks_for_one(c) && !c->call.exchange->tunnel;
}

static void end_request(struct http2_call *c) {
  if (c->h2->ended) return;
  h2_stream_end(c->h2, NULL);
  http2_connection_flush_later(c->connection);
}

void http2_tunnel_answered(struct http2_call *c, struct response *response) {
  struct str accept = {0};
  if (!asks_for_one(c) || response->status < 200) return;
  if (response->body.framing != FRAMING_TUNNEL) {
    end_request(c);
    return;
  }
  if (c->tunnel == HTTP2_TUNNEL_CONNECT) return;
  if (websocket_is(c->protocol)) accept = negotiation_accept(&c->call.exchange->arena, key_of(c));
  websocket_answer_to_http1(response, c->protocol, accept);
}
