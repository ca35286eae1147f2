// SPDX-License-Identifier: Apache-2.0
// websocket: the key proves nothing but that a server has read it, so any will do.
#include "http/websocket.h"

#define KEY    STR("Sec-WebSocket-Key")
#define ACCEPT STR("Sec-WebSocket-Accept")

enum { KEY_BYTES = 24 }; /* 16 bytes in base64 */

static struct str key_of(struct arena *arena, const uint64_t nonce[2]) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *key = arena_alloc(arena, KEY_BYTES);
  unsigned char bytes[18] = {0};
  memcpy(bytes, nonce, 16);
  for (int i = 0; i < 6; i++) {
    unsigned three = (unsigned)bytes[3 * i] << 16 | (unsigned)bytes[3 * i + 1] << 8 | bytes[3 * i + 2];
    for (int k = 0; k < 4; k++) key[4 * i + k] = digits[three >> (18 - 6 * k) & 63];
  }
  key[22] = key[23] = '=';
  return (struct str){key, KEY_BYTES};
}

void websocket_to_http1(struct request *request, const uint64_t nonce[2]) {
  if (!str_equal_nocase(request->upgrade, STR("websocket"))) return;
  headers_remove(&request->headers, KEY);
  headers_add(&request->headers, KEY, key_of(request->headers.arena, nonce));
}

struct response websocket_to_http2(const struct response *response, struct arena *arena) {
  struct response as_http2 = *response;
  if (response->status != 101) return as_http2;
  headers_copy(&as_http2.headers, &response->headers, arena);
  headers_remove(&as_http2.headers, ACCEPT);
  as_http2.status = 200;
  as_http2.upgrade = (struct str){0};
  return as_http2;
}
