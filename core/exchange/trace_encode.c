// SPDX-License-Identifier: Apache-2.0
// trace_encode: a span as OTLP wants it (opentelemetry/proto/trace/v1/trace.proto), with the attributes of the stable
// semantic conventions for HTTP. All text of clients, peers and policies is cut and made UTF-8: a collector refuses a
// whole batch for one byte that is none. Queries are left out, for they may hold secrets.
#include <stdio.h>

#include "base/ticks.h"
#include "exchange/cache.h"
#include "exchange/exchange.h"
#include "exchange/span_attributes.h"
#include "exchange/trace.h"
#include "exchange/walk.h"
#include "http/grammar.h"
#include "http/grpc.h"
#include "shared/span_queue.h"

/* Numbers of fields. */
enum { SPANS = 2 }; /* of ScopeSpans */
enum { TRACE_ID = 1, SPAN_ID, STATE, PARENT, NAME, KIND, BEGIN, END, MISSED = 10, STATUS = 15, FLAGS };
enum { STATUS_CODE = 3, STATUS_ERROR = 2 }; /* of Status */
enum { FLAG_HAS_REMOTE = 0x100, FLAG_REMOTE = 0x200 };

enum { STATE_MOST = 512, ID_BYTES = 8, LENGTH_BYTES = 2, PORT_MOST = 65535 };

/* --- what attributes are made of ---------------------------------------------------------------------------- */

static struct str path_of(const struct request *request) {
  return (struct str){request->target.ptr, str_find(request->target, '?')};
}

static struct str method_of_span(const struct request *request) {
  return request->method == METHOD_OTHER ? STR("_OTHER") : request->method_name;
}

#define SCALE_MOST UINT64_C(1000000000000000000) /* of so many digits the sum has room */

/* "host:port", "[::1]:80" or a path: the port goes into a number. */
static __attribute__((noinline)) void put_address(struct out *o, struct str address) {
  uint64_t port = 0, scale = 1;
  size_t at = address.len;
  for (; at > 1 && grammar_is_digit(address.ptr[at - 1]) && scale < SCALE_MOST; at--, scale *= 10)
    port += scale * (uint64_t)(address.ptr[at - 1] - '0');
  bool has_port = at > 1 && scale > 1 && address.ptr[at - 1] == ':';
  struct str host = has_port ? (struct str){address.ptr, at - 1} : address;
  if (host.len > 2 && host.ptr[0] == '[') host = (struct str){host.ptr + 1, host.len - 2};
  put_text(o, STR("server.address"), host);
  if (has_port && port <= PORT_MOST) put_number(o, STR("server.port"), ANY_INT, port);
}

/* What was made of an address that came lately. The same few come all the time. */
enum { ADDRESS_LEAST = 4, ADDRESS_MOST = 46, SERVERS = 64, SERVER_BYTES = 112 };
struct server {
  unsigned char length, bytes;
  char address[ADDRESS_MOST], made[SERVER_BYTES];
};

static struct server *server_of(struct str address) {
  static _Thread_local struct server servers[SERVERS];
  uint32_t end;
  memcpy(&end, address.ptr + address.len - sizeof end, sizeof end); /* ports differ most */
  return &servers[(end + (uint32_t)address.len) * UINT32_C(2654435769) >> 26];
}
_Static_assert(SERVERS == 1 << (32 - 26), "a place for each hash");

static void put_server(struct out *o, struct str address) {
  bool is_usual = address.len >= ADDRESS_LEAST && address.len <= ADDRESS_MOST;
  if (!is_usual || o->span->attributes || o->p.end - o->p.at < SERVER_BYTES) {
    put_address(o, address);
    return;
  }
  struct server *server = server_of(address);
  if (server->length != address.len || memcmp(server->address, address.ptr, address.len) != 0) {
    char *begin = o->p.at;
    put_address(o, address);
    size_t bytes = (size_t)(o->p.at - begin);
    if (bytes > SERVER_BYTES) return;
    server->length = (unsigned char)address.len;
    server->bytes = (unsigned char)bytes;
    memcpy(server->address, address.ptr, address.len);
    memcpy(server->made, begin, bytes);
    return;
  }
  memcpy(o->p.at, server->made, SERVER_BYTES); /* of a length that is known to the compiler */
  o->p.at += server->bytes;
}

static struct str version_of(bool is_http2, unsigned minor) {
  if (is_http2) return STR("2");
  return minor ? STR("1.1") : STR("1.0");
}

static void put_method(struct out *o, const struct request *request) {
  put_text(o, STR("http.request.method"), method_of_span(request));
  if (request->method == METHOD_OTHER) put_text(o, STR("http.request.method_original"), request->method_name);
}

/* --- gRPC --------------------------------------------------------------------------------------------------- */

/* Most requests are seen to be none without a call. */
static inline bool is_grpc(const struct request *request) {
  return request->is_http2 && grpc_is_request(request);
}

/* What its response ended with; of an answer of our own it is in the head. */
static int grpc_code(const struct exchange *x) {
  int code = x->answer ? grpc_status_in(&x->answer->response.headers, GRPC_CODE_MOST) : -1;
  return code < 0 ? x->account.trace->grpc_code : code;
}

/* Codes that are a fault of the server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
static bool is_grpc_fault(int code) {
  return code > 0 && (1u << code & (1u << 2 | 1u << 4 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15));
}

/* Is it a call that has failed? */
static bool put_grpc(struct out *o, const struct exchange *x, int code, bool is_client) {
  if (!is_grpc(&x->request)) return false;
  struct str path = path_of(&x->request);
  size_t at = path.len;
  while (at > 0 && path.ptr[at - 1] != '/') at--;
  put_text(o, STR("rpc.system"), STR("grpc"));
  if (at > 1) put_text(o, STR("rpc.service"), (struct str){path.ptr + 1, at - 2});
  put_text(o, STR("rpc.method"), str_from(path, at));
  if (code >= 0) put_number(o, STR("rpc.grpc.status_code"), ANY_INT, (uint64_t)code);
  return is_client ? code > 0 : is_grpc_fault(code);
}

/* --- the kinds of spans. Each says whether it is one of a failure ------------------------------------------- */

static struct str error_of(const struct exchange *x, unsigned status, bool is_fault, char room[8]) {
  if (x->error) return str_of(error_info(x->error)->name);
  if (!is_fault) return (struct str){0};
  return (struct str){room, (size_t)snprintf(room, 8, "%u", status)};
}

static bool put_exchange(struct out *o, struct exchange *x) {
  const struct span *span = o->span;
  char room[8];
  const struct field *agent = headers_find_id(&x->request.headers, FIELD_USER_AGENT);
  unsigned status = x->sent.status;
  bool is_fault = status >= 500 || (x->error && error_info(x->error)->side != SIDE_DOWNSTREAM);
  put_method(o, &x->request);
  put_text(o, STR("url.scheme"), x->secure ? STR("https") : STR("http"));
  put_text(o, STR("url.path"), path_of(&x->request));
  if (status) put_number(o, STR("http.response.status_code"), ANY_INT, status);
  put_text(o, STR("network.protocol.version"), version_of(x->request.is_http2, x->request.minor));
  put_server(o, x->request.authority);
  put_text(o, STR("client.address"), exchange_client_host(x));
  if (agent) put_text(o, STR("user_agent.original"), agent->value);
  if (x->cache) put_text(o, STR("perilune.cache"), str_of(cache_result_name(cache_result_of(x))));
  is_fault |= put_grpc(o, x, grpc_code(x), false);
  put_text(o, STR("error.type"), span->error.len ? span->error : error_of(x, status, status >= 500, room));
  return is_fault || span->error.len;
}

static size_t append(char *to, size_t at, struct str text, size_t most) {
  size_t length = text.len < most ? text.len : most;
  memcpy(to + at, text.ptr, length);
  return at + length;
}

/* "http://10.0.0.1:80/path", of a part of each that leaves room for the other. */
static void put_url(struct out *o, const struct exchange *x) {
  char url[TEXT_MOST + 16];
  const struct span *span = o->span;
  bool is_unix = str_starts_with(span->address, STR("unix:"));
  size_t at = append(url, 0, span->is_secure ? STR("https://") : STR("http://"), TEXT_MOST);
  at = append(url, at, is_unix ? STR("localhost") : span->address, TEXT_MOST / 2);
  at = append(url, at, path_of(&x->request), TEXT_MOST / 2);
  put_text(o, STR("url.full"), (struct str){url, at});
}

/* What a client span of any kind says of its response. */
static bool put_response(struct out *o) {
  char room[8];
  const struct span *span = o->span;
  bool is_fault = span->status >= 400 || span->error.len;
  if (span->status) put_number(o, STR("http.response.status_code"), ANY_INT, span->status);
  struct str error = span->error;
  if (!error.len && is_fault)
    error = (struct str){room, (size_t)snprintf(room, sizeof room, "%u", span->status)};
  put_text(o, STR("error.type"), error);
  return is_fault;
}

/* Of perilune.http. */
static bool put_call(struct out *o) {
  put_text(o, STR("http.request.method"), o->span->name);
  put_text(o, STR("url.full"), o->span->url);
  put_server(o, o->span->address);
  return put_response(o);
}

static bool put_attempt(struct out *o, struct exchange *x) {
  const struct span *span = o->span;
  put_method(o, &x->request);
  put_url(o, x);
  put_server(o, span->address);
  if (span->status) put_text(o, STR("network.protocol.version"), version_of(span->is_http2, 1));
  if (span->resend) put_number(o, STR("http.request.resend_count"), ANY_INT, span->resend);
  if (span->is_reused) put_flag(o, STR("perilune.connection.reused"));
  if (span->is_lost) put_flag(o, STR("perilune.hedge.lost"));
  bool is_grpc_failure = put_grpc(o, x, span->grpc_code, true);
  return put_response(o) || is_grpc_failure;
}

static bool put_standard(struct out *o, struct exchange *x) {
  if (o->span->number == 0) return put_exchange(o, x);
  if (o->span->is_attempt) return put_attempt(o, x);
  if (o->span->kind == SPAN_CLIENT) return put_call(o);
  put_text(o, STR("error.type"), o->span->error);
  return o->span->error.len > 0;
}

/* --- the span ----------------------------------------------------------------------------------------------- */

static struct str name_of(const struct exchange *x, const struct span *span) {
  const struct request *request = &x->request;
  if (span->name.len) return span->name;
  if (span->number == 0 && exchange_background(x)) return STR("cache refresh");
  if (is_grpc(request) && path_of(request).len > 1) return str_from(path_of(request), 1);
  return request->method == METHOD_OTHER ? STR("HTTP") : request->method_name;
}

static uint64_t ns_of(struct span_moment now, uint64_t ticks) {
  return now.ticks > ticks ? now.ns - ticks_to_us(now.ticks - ticks) * 1000 : now.ns;
}

static inline __attribute__((always_inline)) void put_id(struct protobuf *p, unsigned field,
                                                         const uint64_t *numbers, unsigned count) {
  uint64_t bytes[2];
  for (unsigned i = 0; i < count; i++) bytes[i] = htobe64(numbers[i]);
  protobuf_put_bytes(p, field, (struct str){(char *)bytes, count * ID_BYTES});
}

/* With what the client's tracestate says, where that is one field of moderate length. */
static void put_ids(struct protobuf *p, const struct exchange *x, const struct span *span) {
  const struct trace *t = x->account.trace;
  put_id(p, TRACE_ID, (const uint64_t[]){t->context.high, t->context.low}, 2);
  put_id(p, SPAN_ID, &span->id, 1);
  if (span->parent) put_id(p, PARENT, &span->parent, 1);
  uint32_t flags = TRACE_SAMPLED | FLAG_HAS_REMOTE | (span->number || !span->parent ? 0 : FLAG_REMOTE);
  protobuf_put_number(p, KIND, span->kind);
  protobuf_put_fixed32(p, FLAGS, flags);
  const struct field *state = headers_find_id(&x->request.headers, FIELD_TRACESTATE);
  bool is_told = state && !t->drops_state && state->value.len <= STATE_MOST;
  if (is_told && headers_count_id(&x->request.headers, FIELD_TRACESTATE) == 1)
    protobuf_put_bytes(p, STATE, state->value);
}

static void put_times(struct protobuf *p, const struct trace *t, const struct span *span,
                      struct span_moment now) {
  uint64_t ended = span->ended ? span->ended : t->own->ended;
  protobuf_put_fixed64(p, BEGIN, ns_of(now, span->begun));
  protobuf_put_fixed64(p, END, ns_of(now, ended > span->begun ? ended : span->begun));
}

static void put_name(struct protobuf *p, struct str name) {
  char room[TEXT_MOST];
  protobuf_put_bytes(p, NAME, cleaned(name, room));
}

/* The end is kept free for what tells of a failure, and of what did not fit. */
enum { RESERVED = 2 * PROTOBUF_HEAD };

static void put_end(struct out *o, bool has_failed) {
  static const char status[] = {STATUS_CODE << 3 | PROTOBUF_VARINT, STATUS_ERROR};
  unsigned missed = o->span->attributes_missed + o->p.missed;
  o->p.end += RESERVED;
  if (missed) protobuf_put_number(&o->p, MISSED, missed);
  if (has_failed) protobuf_put_bytes(&o->p, STATUS, (struct str){status, sizeof status});
}

/* Its length stands before it, in two bytes whatever it is. */
size_t trace_encode(struct exchange *x, const struct span *span, struct span_moment now, char *to) {
  char *begin = to + 1 + LENGTH_BYTES;
  struct out o = {{begin, to + SPAN_BYTES_MOST - RESERVED, 0}, span};
  put_ids(&o.p, x, span);
  put_times(&o.p, x->account.trace, span, now);
  put_name(&o.p, name_of(x, span));
  bool has_failed = put_standard(&o, x);
  put_own(&o);
  put_end(&o, has_failed);
  size_t length = (size_t)(o.p.at - begin);
  _Static_assert((int)SPAN_BYTES_MOST < 1 << 7 * LENGTH_BYTES, "its length has two bytes of seven bits");
  to[0] = SPANS << 3 | PROTOBUF_BYTES;
  to[1] = (char)(length | 0x80);
  to[2] = (char)(length >> 7);
  return length + 1 + LENGTH_BYTES;
}
