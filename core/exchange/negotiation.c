// SPDX-License-Identifier: Apache-2.0
// negotiation: an Upgrade between client and peer. The proxy passes on the protocols that it can tunnel
// (http/upgrade), and says which it cannot; the 101 takes effect after the request. The hard problem is that three
// parties must agree on where HTTP ends: in case of doubt there is no tunnel.
#include "base/base64.h"
#include "base/log.h"
#include "exchange/peer.h"
#include "exchange/walk.h"
#include "http/upgrade.h"
#include "http/websocket.h"
#include "net/tls_crypto.h"

void negotiation_tell(struct exchange *x) {
  enum { TOLD_MOST = 64 };
  struct str protocol;
  const char *why = upgrade_refusal(&x->request, &protocol);
  if (!why) return;
  if (protocol.len > TOLD_MOST) protocol.len = TOLD_MOST;
  log_about(LOG_INFO, str_of(why), "client %.*s: Upgrade to \"%.*s\" is not passed on: %s",
            STR_ARG(exchange_client_address(x)), STR_ARG(protocol), why);
}

/* Some servers say in each response what else they could speak. */
static void tell_once(struct peer *peer, struct str offer) {
  enum { TOLD_MOST = 64 };
  if (peer->offers_upgrade) return;
  peer->offers_upgrade = true;
  if (offer.len > TOLD_MOST) offer.len = TOLD_MOST;
  log_about(LOG_INFO, peer->options.address,
            "peer %.*s: the Upgrade to \"%.*s\" that its responses offer is not passed on (said once)",
            STR_ARG(peer->options.address), STR_ARG(offer));
}

void negotiation_tell_peer(const struct exchange *x) {
  struct str protocol;
  if (x->response.status == 101) return;
  if (x->response.status != 426) {
    const struct field *offer = headers_find_id(&x->response.headers, FIELD_UPGRADE);
    if (offer) tell_once(x->now.peer, offer->value);
    return;
  }
  const char *why = upgrade_refusal_of_peer(&x->response.headers, &protocol);
  if (!why) return;
  log_about(LOG_INFO, x->now.peer->options.address,
            "peer %.*s: the Upgrade that its 426 asks for is not passed on: %s",
            STR_ARG(x->now.peer->options.address), why);
}

struct str negotiation_accept(struct arena *arena, struct str key) {
  struct str text = arena_printf(arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", STR_ARG(key));
  unsigned char digest[DIGEST_BYTES_MAX];
  size_t length = crypto_digest(DIGEST_SHA1, text, digest);
  if (!length) return (struct str){0};
  char *accept = arena_alloc(arena, base64_room(length));
  return (struct str){accept,
                      base64_encode(accept, (struct str){(char *)digest, length}, base64_plain, true)};
}

/* The key of such a request is ours (RFC 8441 section 5.1), so nobody else can tell that the peer has read it. */
static bool is_wrongly_accepted(const struct exchange *x) {
  if (!x->request.is_extended_connect || !websocket_is(x->request.upgrade)) return false;
  const struct field *given = headers_find(&x->response.headers, WEBSOCKET_ACCEPT);
  struct arena *arena = x->response.headers.arena;
  struct str wanted = negotiation_accept(arena, websocket_key(&x->now.request.headers));
  return wanted.len && (!given || !str_equal(given->value, wanted));
}

/* RFC 9110 section 7.8: a server must not switch to what was not offered; nor where it has refused the rest of the
 * request, which would be the first of what the tunnel carries. NULL: fine. */
const char *negotiation_fault(const struct exchange *x) {
  bool would_be_tunnel = x->request.is_extended_connect && x->response.status / 100 == 2;
  if (would_be_tunnel && x->response.body.framing != FRAMING_TUNNEL)
    return "no 101 to a tunnel that the client of HTTP/2 asks for";
  if (x->response.status != 101) return NULL;
  if (!x->now.up.decoder.ended && !x->now.up.active) return "101 within a request that it does not read";
  if (!upgrade_is_offered(x->now.request.upgrade, x->response.upgrade))
    return "101 to what the request did not offer";
  return is_wrongly_accepted(x) ? "a Sec-WebSocket-Accept that is not that of the key" : NULL;
}
