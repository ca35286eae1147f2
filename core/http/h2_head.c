// SPDX-License-Identifier: Apache-2.0
// h2_head: header blocks to messages. The one hard problem is smuggling by translation: HTTP/2 carries any byte in a
// name or a value, and HTTP/1.1 gives some of them a meaning. So each field is checked as it comes, stricter than RFC
// 9113 section 8.2.1 asks (tokens and text as RFC 9110 has them), and the target, Host and length by the code that
// judges HTTP/1 heads. The way back is http/h2_fields.
#include "http/h2_head.h"

#include "http/framing.h"
#include "http/grammar.h"
#include "http/host.h"
#include "http/lenient.h"
#include "http/line.h"
#include "http/upgrade.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 section 6.5.2 */

void h2_head_begin(struct h2_head *head, enum h2_block block, const struct parser_limits *limits,
                   struct arena *arena) {
  *head = (struct h2_head){.block = block, .limits = limits};
  headers_init(&head->headers, arena);
}

/* --- field by field -------------------------------------------------------------------------- */

/* Keeps the first fault. */
static void refuse(struct h2_head *head, enum error error, const char *why) {
  if (head->error != ERROR_NONE) return;
  head->error = head->block == H2_BLOCK_RESPONSE ? ERROR_BAD_RESPONSE : error;
  head->why = why;
}

static void malformed(struct h2_head *head, const char *why) { refuse(head, ERROR_BAD_REQUEST, why); }

/* H2_PSEUDO_COUNT: there is none of that name. */
static inline unsigned pseudo_of(struct str name) {
#define X(id, text, block)                                                                                   \
  if (str_equal(name, STR(text))) return H2_PSEUDO_##id;
  H2_PSEUDO_TABLE(X)
#undef X
  return H2_PSEUDO_COUNT;
}

static void take_pseudo(struct h2_head *head, unsigned id, struct str value) {
  static const enum h2_block blocks[] = {
#define X(id, name, block) H2_BLOCK_##block,
      H2_PSEUDO_TABLE(X)
#undef X
  };
  if (head->headers.count || head->cookie.ptr)
    return malformed(head, "a pseudo-field behind an ordinary field");
  if (id == H2_PSEUDO_COUNT) return malformed(head, "an unknown pseudo-field");
  if (blocks[id] != head->block) return malformed(head, "a pseudo-field that does not belong here");
  if (head->pseudo[id].ptr) return malformed(head, "a pseudo-field twice");
  head->pseudo[id] = value.len ? arena_dup(head->headers.arena, value) : STR("");
}

/* Crumbs of Cookie are one field to everybody but HPACK. */
static void take_cookie(struct h2_head *head, struct str value) {
  struct str *cookie = &head->cookie;
  size_t needed = cookie->len + 2 + value.len;
  if (!cookie->ptr) {
    *cookie = value.len ? arena_dup(head->headers.arena, value) : STR("");
    head->cookie_room = value.len;
    return;
  }
  if (needed > head->cookie_room) {
    char *larger = arena_alloc(head->headers.arena, head->cookie_room = 2 * needed);
    memcpy(larger, cookie->ptr, cookie->len);
    cookie->ptr = larger;
  }
  char *end = (char *)cookie->ptr + cookie->len;
  memcpy(end, "; ", 2);
  memcpy(end + 2, value.ptr, value.len);
  cookie->len = needed;
}

/* Names that have a number are known. */
static bool is_lower_token(struct str name, enum field_id id) {
  if (id != FIELD_OTHER) return memcmp(name.ptr, h2_field_names[id].ptr, name.len) == 0;
  return !h2_has_capital(name) && field_name_is_valid(name);
}

/* Section 8.2.1: nor may white space surround a value. */
static bool is_bare_value(struct str value) {
  bool padded = value.len && (grammar_is_space(value.ptr[0]) || grammar_is_space(value.ptr[value.len - 1]));
  return !padded && field_value_is_valid(value);
}

/* Section 8.2.2: NULL, or why a field of HTTP/1's connections cannot be here. */
static const char *connection_fault(enum field_id id, struct str value) {
  switch ((int)id) {
  case FIELD_CONNECTION:
  case FIELD_KEEP_ALIVE:
  case FIELD_PROXY_CONNECTION:
  case FIELD_TRANSFER_ENCODING:
  case FIELD_UPGRADE: return "a field that speaks of an HTTP/1 connection";
  case FIELD_TE: return str_equal_nocase(value, STR("trailers")) ? NULL : "a TE other than trailers";
  }
  return NULL;
}

static void take_field(struct h2_head *head, struct str name, struct str value, bool is_sensitive,
                       const struct h2_found *found) {
  enum field_id id = found->id;
  const char *fault = connection_fault(id, value);
  if (!found->is_token) return malformed(head, "a field name that is no token in lower case");
  if (fault) return malformed(head, fault);
  bool is_crumb = id == FIELD_COOKIE && head->block == H2_BLOCK_REQUEST;
  if (is_crumb && head->cookie.ptr) return take_cookie(head, value);
  if (head->headers.count + (head->cookie.ptr != NULL) >= head->limits->fields)
    return refuse(head, ERROR_HEAD_TOO_LARGE, "more fields than allowed");
  if (is_crumb) return take_cookie(head, value);
  struct arena *arena = head->headers.arena;
  struct str kept = id != FIELD_OTHER ? h2_field_names[id] : arena_dup(arena, name);
  headers_add_field(&head->headers, kept, arena_dup(arena, value), id);
  struct field *field = &head->headers.items[head->headers.count - 1];
  field->is_sensitive = is_sensitive;
  field->is_checked = true;
}

void h2_found_name(struct h2_found *found, struct str name) {
  bool is_pseudo = name.len && name.ptr[0] == ':';
  found->has_name = true;
  found->pseudo = (unsigned char)(is_pseudo ? pseudo_of(name) : H2_PSEUDO_COUNT);
  found->id = is_pseudo ? FIELD_OTHER : field_id(name);
  found->is_token = !is_pseudo && is_lower_token(name, found->id);
}

static void look_at_value(struct h2_found *found, struct str value) {
  found->has_value = true;
  found->is_text = is_bare_value(value);
}

void h2_head_take_found(struct h2_head *head, struct str name, struct str value, bool is_sensitive,
                        struct h2_found *found) {
  if (head->error != ERROR_NONE) return;
  head->bytes += name.len + value.len + FIELD_OVERHEAD;
  if (head->bytes > head->limits->head_bytes)
    return refuse(head, ERROR_HEAD_TOO_LARGE, "a header list longer than allowed");
  if (!found->has_name) h2_found_name(found, name);
  if (!found->has_value) look_at_value(found, value);
  if (!found->is_text) return malformed(head, "a field value with control characters or outer space");
  if (name.len && name.ptr[0] == ':') return take_pseudo(head, found->pseudo, value);
  take_field(head, name, value, is_sensitive, found);
}

/* --- a whole request -------------------------------------------------------------------------- */

static struct str pseudo(const struct h2_head *head, enum h2_pseudo id) { return head->pseudo[id]; }

/* Section 8.3.1 and RFC 8441 section 4: which of them a method wants. */
static const char *missing_or_extra(const struct h2_head *head, bool takes_protocol) {
  bool is_connect = str_equal(pseudo(head, H2_PSEUDO_METHOD), STR("CONNECT"));
  bool is_extended = pseudo(head, H2_PSEUDO_PROTOCOL).ptr != NULL, is_plain = is_connect && !is_extended;
  bool scheme = pseudo(head, H2_PSEUDO_SCHEME).ptr != NULL, path = pseudo(head, H2_PSEUDO_PATH).ptr != NULL;
  if (!pseudo(head, H2_PSEUDO_METHOD).ptr) return "the request has no :method";
  if (is_extended && !takes_protocol) return "a :protocol that was not announced";
  if (is_extended && !is_connect) return "a :protocol in another method than CONNECT";
  if (is_plain && (scheme || path)) return "a CONNECT with :scheme or :path";
  if (!is_plain && !scheme) return "the request has no :scheme";
  if (!is_plain && !path) return "the request has no :path";
  if (is_connect && !pseudo(head, H2_PSEUDO_AUTHORITY).ptr) return "a CONNECT without :authority";
  return NULL;
}

/* What may stand in a request line: one of the two forms that HTTP/2 has. */
static enum error target_of(struct h2_head *head, struct request *request) {
  struct str path = pseudo(head, H2_PSEUDO_PATH), scheme = pseudo(head, H2_PSEUDO_SCHEME);
  request->target = path.ptr ? path : pseudo(head, H2_PSEUDO_AUTHORITY);
  if (request->target.len > head->limits->target_bytes) {
    head->why = "a :path longer than allowed";
    request->target = (struct str){0};
    return ERROR_TARGET_TOO_LONG;
  }
  head->why = "a :path that is neither a path nor *";
  if (!grammar_is_all(request->target, CLASS_TARGET)) return ERROR_BAD_REQUEST;
  if (!path.ptr) return ERROR_NONE;
  bool is_star = str_equal(path, STR("*")) && request->method == METHOD_OPTIONS;
  if (path.ptr[0] != '/' && !is_star) return ERROR_BAD_REQUEST;
  head->why = "a :scheme other than http and https";
  bool known = str_equal_nocase(scheme, STR("http")) || str_equal_nocase(scheme, STR("https"));
  return known ? ERROR_NONE : ERROR_BAD_REQUEST;
}

static enum error method_from(struct h2_head *head, struct request *request) {
  struct str name = pseudo(head, H2_PSEUDO_METHOD);
  head->why = "a :method that is no token";
  if (!grammar_is_all(name, CLASS_TOKEN)) return ERROR_BAD_REQUEST;
  head->why = "a :method longer than any known";
  if (name.len > METHOD_BYTES) return ERROR_METHOD_TOO_LONG;
  request->method_name = name;
  request->method = method_of(name);
  return ERROR_NONE;
}

/* One Host, first, which is what :authority says. A field Host must say the same: a server behind us might
 * use that one (section 8.3.1). */
static enum error host_from(struct h2_head *head, struct request *request) {
  struct str authority = pseudo(head, H2_PSEUDO_AUTHORITY);
  const struct field *host = headers_find_id(&head->headers, FIELD_HOST);
  head->why = "Host and :authority differ";
  if (authority.ptr && host && !str_equal_nocase(host->value, authority)) return ERROR_BAD_HOST;
  head->why = "the request has more than one Host";
  if (headers_count_id(&head->headers, FIELD_HOST) > 1) return ERROR_BAD_HOST;
  head->why = "the request has neither :authority nor Host";
  if (!authority.ptr && !host) return ERROR_BAD_HOST;
  struct str value = authority.ptr ? authority : host->value;
  request->headers = head->headers;
  headers_remove_id(&request->headers, FIELD_HOST);
  headers_add_first(&request->headers,
                    (struct field){.name = field_name(FIELD_HOST), .value = value, .id = FIELD_HOST});
  if (head->cookie.ptr) headers_add_field(&request->headers, STR("cookie"), head->cookie, FIELD_COOKIE);
  return host_of_request(request, &head->why);
}

/* Length and expectation as in HTTP/1, whose code knows them; the end is the stream's. */
static enum error body_from(struct h2_head *head, struct request *request) {
  bool tells_trailers = headers_find_id(&request->headers, FIELD_TE) != NULL;
  enum error error = framing_of_request(request, &head->why);
  if (error != ERROR_NONE) return error;
  request->accepts_trailers = tells_trailers;
  bool has_length = request->body.framing == FRAMING_LENGTH, is_tunnel = request->method == METHOD_CONNECT;
  head->why = "a Content-Length and no body";
  if (head->ends && has_length && request->body.length > 0) return ERROR_BAD_FRAMING;
  head->why = "a body in a method that has none";
  if (!head->ends && request->method == METHOD_TRACE) return ERROR_BAD_FRAMING;
  if (head->ends || has_length || is_tunnel) return ERROR_NONE;
  request->body = (struct body){.framing = FRAMING_CHUNKED};
  request->expects_continue = headers_find_id(&request->headers, FIELD_EXPECT) != NULL;
  return ERROR_NONE;
}

/* RFC 8441: the tunnel is asked for by CONNECT; everybody else knows it as a GET with Upgrade. */
static enum error take_tunnel(struct h2_head *head, struct request *request) {
  struct str protocol = pseudo(head, H2_PSEUDO_PROTOCOL);
  if (!protocol.ptr) return ERROR_NONE;
  head->why = "a :protocol that is no token";
  if (!grammar_is_all(protocol, CLASS_TOKEN)) return ERROR_BAD_REQUEST;
  head->why = "an extended CONNECT that ends with its head, or has a length";
  if (head->ends || request->body.framing == FRAMING_LENGTH) return ERROR_BAD_REQUEST;
  struct headers offered;
  headers_init(&offered, request->headers.arena);
  headers_add_id(&offered, FIELD_UPGRADE, protocol);
  head->why = "a :protocol that is not passed on";
  request->upgrade = upgrade_passed(&offered);
  if (!request->upgrade.len) return ERROR_BAD_REQUEST;
  request->is_extended_connect = true;
  request->body = (struct body){0};
  request->expects_continue = false;
  return ERROR_NONE;
}

static enum error request_from(struct h2_head *head, bool takes_protocol, struct request *request) {
  head->why = missing_or_extra(head, takes_protocol);
  if (head->why) return ERROR_BAD_REQUEST;
  enum error error = method_from(head, request);
  if (pseudo(head, H2_PSEUDO_PROTOCOL).ptr) {
    request->method_name = STR("GET");
    request->method = METHOD_GET;
  }
  if (error == ERROR_NONE) error = target_of(head, request);
  if (error == ERROR_NONE) error = host_from(head, request);
  if (error == ERROR_NONE) error = body_from(head, request);
  if (error == ERROR_NONE) error = take_tunnel(head, request);
  return error;
}

enum error h2_head_request(struct h2_head *head, bool takes_protocol, struct request *request) {
  *request = (struct request){.minor = 1, .is_http2 = true, .keep_alive = true};
  headers_init(&request->headers, head->headers.arena);
  if (head->error == ERROR_NONE) head->error = request_from(head, takes_protocol, request);
  if (head->error == ERROR_NONE) head->why = NULL;
  request->keep_alive = true;
  return head->error;
}

/* --- a whole response, and trailers ----------------------------------------------------------- */

static bool status_from(struct h2_head *head, struct response *response) {
  struct str text = pseudo(head, H2_PSEUDO_STATUS);
  uint64_t status;
  bool is_number = text.len == 3 && str_to_u64(text, &status);
  unsigned most = lenient_status_most(head->limits->lenient);
  head->why = text.ptr ? "a :status that is none" : "the response has no :status";
  if (!is_number || status < 100 || status > most) return false;
  response->status = (unsigned short)status;
  return true;
}

/* What ends by itself has no other end: of a body without a length, and of one with. */
static enum error end_from(struct h2_head *head, struct response *response) {
  bool is_interim = response->status < 200, has_length = response->body.framing == FRAMING_LENGTH;
  head->why = "an interim response that ends the stream";
  if (is_interim && head->ends) return ERROR_BAD_RESPONSE;
  head->why = "a Content-Length and no body";
  if (head->ends && has_length && response->body.length > 0) return ERROR_BAD_RESPONSE;
  if (response->body.framing != FRAMING_CLOSE) return ERROR_NONE;
  response->body = head->ends ? (struct body){0} : (struct body){.framing = FRAMING_CHUNKED};
  response->announced = response->body;
  return ERROR_NONE;
}

static enum error response_from(struct h2_head *head, enum method method, struct response *response) {
  if (!status_from(head, response)) return ERROR_BAD_RESPONSE;
  head->why = "a 101, which HTTP/2 does not have";
  if (response->status == 101) return ERROR_BAD_RESPONSE;
  response->headers = head->headers;
  head->why = "a TE in a response";
  if (headers_find_id(&response->headers, FIELD_TE)) return ERROR_BAD_RESPONSE;
  enum error error = framing_of_response(response, method, head->limits->lenient, &head->why);
  return error == ERROR_NONE ? end_from(head, response) : error;
}

enum error h2_head_response(struct h2_head *head, enum method method, struct response *response) {
  *response = (struct response){.minor = 1, .is_http2 = true};
  headers_init(&response->headers, head->headers.arena);
  if (head->error == ERROR_NONE) head->error = response_from(head, method, response);
  if (head->error == ERROR_NONE) head->why = NULL;
  response->keep_alive = true;
  return head->error;
}

enum error h2_head_trailers(struct h2_head *head, struct headers *trailers) {
  if (!head->ends) malformed(head, "a second head that does not end the stream");
  *trailers = head->headers;
  return head->error;
}
