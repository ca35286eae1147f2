// SPDX-License-Identifier: Apache-2.0
// grpc: see grpc.h.
#include "http/grpc.h"

#include "base/base64.h"
#include "base/big_endian.h"
#include "base/hex.h"
#include "http/grammar.h"

enum { DIGITS_MOST = 8, MS_PER_S = 1000, S_PER_MINUTE = 60, S_PER_HOUR = 3600 };

bool grpc_is_request(const struct request *request) {
  return request->is_http2 && grpc_is_type(&request->headers);
}

/* The rest of a media type: a suffix, parameters, or nothing. */
static bool is_rest(struct str rest) {
  return !rest.len || rest.ptr[0] == '+' || rest.ptr[0] == ';' || grammar_is_space(rest.ptr[0]);
}

bool grpc_is_media_type(struct str value) {
  return str_take_nocase(&value, STR("application/grpc")) && is_rest(value);
}

bool grpc_is_type(const struct headers *headers) {
  const struct field *field = headers_find_id(headers, FIELD_CONTENT_TYPE);
  return field && grpc_is_media_type(field->value);
}

enum grpc_web grpc_web_of(const struct headers *headers) {
  const struct field *field = headers_find_id(headers, FIELD_CONTENT_TYPE);
  struct str rest = field ? field->value : (struct str){0};
  if (!str_take_nocase(&rest, STR("application/grpc-web"))) return GRPC_WEB_NONE;
  bool is_text = str_take_nocase(&rest, STR("-text"));
  if (!is_rest(rest)) return GRPC_WEB_NONE;
  return is_text ? GRPC_WEB_TEXT : GRPC_WEB_BINARY;
}

struct str grpc_web_end(struct arena *arena, enum grpc_web kind, unsigned status, struct str message) {
  enum { FRAME_HEAD = 5, TRAILERS = 0x80 };
  struct str frame = arena_printf(arena, "%*sgrpc-status: %u\r\ngrpc-message: %.*s\r\n", FRAME_HEAD, "",
                                  status, STR_ARG(message));
  size_t length = frame.len - FRAME_HEAD;
  char *head = (char *)frame.ptr;
  head[0] = (char)TRAILERS;
  big_endian_put_32(head + 1, (uint32_t)length);
  if (kind == GRPC_WEB_BINARY) return frame;
  char *text = arena_alloc(arena, base64_room(frame.len));
  return (struct str){text, base64_encode(text, frame, base64_plain, true)};
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

int grpc_status_in(const struct headers *fields, unsigned most) {
  const struct field *field = headers_find(fields, STR("grpc-status"));
  uint64_t status;
  return field && str_to_u64(field->value, &status) && status <= most ? (int)status : -1;
}

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
