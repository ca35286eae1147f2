// SPDX-License-Identifier: Apache-2.0
// websocket: what a WebSocket of HTTP/2 (extended CONNECT, RFC 8441) and one of HTTP/1.1 (Upgrade, RFC 6455) do not
// have in common: HTTP/2 knows no 101, and neither Sec-WebSocket-Key nor Sec-WebSocket-Accept. The proxy says and
// checks these where the two meet.
#ifndef PERILUNE_HTTP_WEBSOCKET_H
#define PERILUNE_HTTP_WEBSOCKET_H

#include "http/message.h"

#define WEBSOCKET_ACCEPT STR("Sec-WebSocket-Accept")

static inline bool websocket_is(struct str protocol) { return str_equal_nocase(protocol, STR("websocket")); }
/* The one key of a request: 16 bytes in base64. Empty: there is none, or more than one, or no such. */
struct str websocket_key(const struct headers *headers);
/* A request of HTTP/2 gets what a server of HTTP/1.1 wants of it. `nonce`: 16 random bytes. */
void websocket_to_http1(struct request *request, const uint64_t nonce[2]);
/* The 101 of such a server, as HTTP/2 says it. Fields in the arena. */
struct response websocket_to_http2(const struct response *response, struct arena *arena);
/* The 2xx of a server of HTTP/2 that has accepted such a protocol, as HTTP/1.1 says it. `accept`: the value of that
 * field; empty: the protocol has none. */
void websocket_answer_to_http1(struct response *response, struct str protocol, struct str accept);

#endif
