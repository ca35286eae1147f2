// SPDX-License-Identifier: Apache-2.0
// websocket: the key proves nothing but that a server has read it, so any will do.
#include "http/websocket.h"

#include "base/base64.h"
#include "http/members.h"

#define KEY STR("Sec-WebSocket-Key")

enum { NONCE_BYTES = 16, KEY_BYTES = 24 };

struct str websocket_key(const struct headers *headers) {
  const struct field *field = headers_find(headers, KEY);
  struct str digits;
  char nonce[KEY_BYTES];
  size_t length;
  if (!field || field_lines(headers, KEY) > 1) return (struct str){0};
  digits = field->value;
  bool is_long = digits.len == KEY_BYTES && base64_trim(&digits);
  bool is_key = is_long && base64_decode(nonce, &length, digits, base64_plain) && length == NONCE_BYTES;
  return is_key ? field->value : (struct str){0};
}

void websocket_to_http1(struct request *request, const uint64_t nonce[2]) {
  if (!websocket_is(request->upgrade)) return;
  char *key = arena_alloc(request->headers.arena, KEY_BYTES);
  size_t length = base64_encode(key, (struct str){(const char *)nonce, NONCE_BYTES}, base64_plain, true);
  headers_remove(&request->headers, KEY);
  headers_add(&request->headers, KEY, (struct str){key, length});
}

struct response websocket_to_http2(const struct response *response, struct arena *arena) {
  struct response as_http2 = *response;
  if (response->status != 101) return as_http2;
  headers_copy(&as_http2.headers, &response->headers, arena);
  headers_remove(&as_http2.headers, WEBSOCKET_ACCEPT);
  as_http2.status = 200;
  as_http2.upgrade = (struct str){0};
  return as_http2;
}

void websocket_answer_to_http1(struct response *response, struct str protocol, struct str accept) {
  response->status = 101;
  response->upgrade = protocol;
  headers_remove(&response->headers, WEBSOCKET_ACCEPT);
  if (accept.len) headers_add(&response->headers, WEBSOCKET_ACCEPT, accept);
}
