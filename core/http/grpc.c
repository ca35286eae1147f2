// SPDX-License-Identifier: Apache-2.0
// grpc: see grpc.h.
#include "http/grpc.h"

#include "base/hex.h"
#include "http/grammar.h"

enum { DIGITS_MOST = 8, MS_PER_S = 1000, S_PER_MINUTE = 60, S_PER_HOUR = 3600 };

bool grpc_is_request(const struct request *request) {
  return request->is_http2 && grpc_is_type(&request->headers);
}

bool grpc_is_media_type(struct str value) {
  if (!str_take_nocase(&value, STR("application/grpc"))) return false;
  return !value.len || value.ptr[0] == '+' || value.ptr[0] == ';' || grammar_is_space(value.ptr[0]);
}

bool grpc_is_type(const struct headers *headers) {
  const struct field *field = headers_find_id(headers, FIELD_CONTENT_TYPE);
  return field && grpc_is_media_type(field->value);
}

bool grpc_timeout_ms(struct str value, uint64_t *ms) {
  uint64_t number;
  if (value.len < 2 || value.len > DIGITS_MOST + 1) return false;
  if (!str_to_u64((struct str){value.ptr, value.len - 1}, &number)) return false;
  switch (value.ptr[value.len - 1]) {
  case 'H': *ms = number * S_PER_HOUR * MS_PER_S; return true;
  case 'M': *ms = number * S_PER_MINUTE * MS_PER_S; return true;
  case 'S': *ms = number * MS_PER_S; return true;
  case 'm': *ms = number; return true;
  case 'u': *ms = (number + 999) / 1000; return true;
  case 'n': *ms = (number + 999999) / 1000000; return true;
  }
  return false;
}

enum grpc_status grpc_status_of(unsigned http_status) {
  switch (http_status) {
  case 400: return GRPC_INTERNAL;
  case 401: return GRPC_UNAUTHENTICATED;
  case 403: return GRPC_PERMISSION_DENIED;
  case 404: return GRPC_UNIMPLEMENTED;
  case 429:
  case 502:
  case 503:
  case 504: return GRPC_UNAVAILABLE;
  }
  return GRPC_UNKNOWN;
}

static bool stands_for_itself(char c) { return c >= ' ' && c <= '~' && c != '%'; }

struct str grpc_message(struct arena *arena, struct str text) {
  size_t length = 0;
  for (size_t i = 0; i < text.len; i++) length += stands_for_itself(text.ptr[i]) ? 1 : HEX_PERCENT_BYTES;
  if (length == text.len) return text;
  char *bytes = arena_alloc(arena, length), *at = bytes;
  for (size_t i = 0; i < text.len; i++) {
    if (stands_for_itself(text.ptr[i]))
      *at++ = text.ptr[i];
    else
      at += hex_put_percent(at, text.ptr[i]);
  }
  return (struct str){bytes, length};
}
