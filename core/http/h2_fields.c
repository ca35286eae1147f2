// SPDX-License-Identifier: Apache-2.0
// h2_fields: messages to the fields of HTTP/2 header blocks, the inverse of http/h2_head. The one hard problem is that
// of http/writer: what a policy or a peer has put into a message must not become more than one field. HPACK frames each
// text by its length, but the next hop may write it as HTTP/1.1, so the same gate stands here.
#include "http/framing.h"
#include "http/grammar.h"
#include "http/grpc.h"
#include "http/h2_head.h"

/* Fields while they are collected. */
struct list_of_fields {
  struct h2_fields fields;
  struct arena *arena;
  bool is_unsafe;
};

static inline bool has_outer_space(struct str value) {
  return value.len && (grammar_is_space(value.ptr[0]) || grammar_is_space(value.ptr[value.len - 1]));
}

static void put(struct list_of_fields *list, struct str name, struct str value, bool is_sensitive) {
  if (!grammar_is_text(value)) list->is_unsafe = true;
  if (has_outer_space(value)) value = str_trim(value);
  list->fields.items[list->fields.count++] = (struct h2_field){name, value, is_sensitive};
}

static struct list_of_fields new_list(struct arena *arena, const struct headers *headers) {
  enum { OTHERS = 8 }; /* pseudo-fields, Content-Length, TE */
  unsigned room = (headers ? headers->count : 0) + OTHERS;
  return (struct list_of_fields){.fields.items = arena_alloc(arena, room * sizeof(struct h2_field)),
                                 .arena = arena};
}

static struct h2_fields finished(const struct list_of_fields *list) {
  return list->is_unsafe ? (struct h2_fields){0} : list->fields;
}

const struct str h2_field_names[] = {STR_INIT(""),
#define X(id, name) STR_INIT(name),
                                     FIELD_TABLE(X)
#undef X
};

/* Most names have a number, and need not be looked at. */
static struct str name_of(struct list_of_fields *list, const struct field *field) {
  struct str name = field->name;
  if (field->id != FIELD_OTHER) return h2_field_names[field->id];
  if (!field_name_is_valid(name)) list->is_unsafe = true;
  if (!h2_has_capital(name)) return name;
  char *lower = arena_alloc(list->arena, name.len);
  for (size_t i = 0; i < name.len; i++) lower[i] = ascii_lower(name.ptr[i]);
  return (struct str){lower, name.len};
}

/* What gives access goes into nobody's table, whoever sent it. */
static bool is_secret(const struct field *field) {
  return field->is_sensitive || field->id == FIELD_PROXY_AUTHORIZATION ||
         str_equal_nocase(field->name, STR("authorization"));
}

/* RFC 8441 section 5: HTTP/2 has no use for it. */
static void drop_key(struct list_of_fields *list) {
  struct h2_fields *fields = &list->fields;
  unsigned kept = 0;
  for (unsigned i = 0; i < fields->count; i++)
    if (!str_equal(fields->items[i].name, STR("sec-websocket-key"))) fields->items[kept++] = fields->items[i];
  fields->count = kept;
}

/* What came by HTTP/2, and is as it was, has passed a gate that is no wider (http/h2_head). */
static void pass_on(struct list_of_fields *list, const struct field *field) {
  list->fields.items[list->fields.count++] = (struct h2_field){field->name, field->value, is_secret(field)};
}

static void put_fields(struct list_of_fields *list, const struct headers *headers) {
  for (unsigned i = 0; i < headers->count; i++) {
    const struct field *field = &headers->items[i];
    if (framing_is_hop_field(field->id) || field->id == FIELD_HOST) continue;
    if (field->is_checked)
      pass_on(list, field);
    else
      put(list, name_of(list, field), field->value, is_secret(field));
  }
}

static void put_length(struct list_of_fields *list, struct body body) {
  if (body.framing == FRAMING_LENGTH)
    put(list, STR("content-length"), arena_number(list->arena, body.length), false);
}

/* A CONNECT goes where its target says, which has a port where Host may have none (RFC 9113 section 8.5). */
static struct str authority_of(const struct request *request) {
  const struct field *host = headers_find_id(&request->headers, FIELD_HOST);
  if (request->method == METHOD_CONNECT) return request->target;
  return host ? host->value : request->authority;
}

/* RFC 8441 section 5: an Upgrade of HTTP/1 is a CONNECT with :protocol. */
struct h2_fields h2_fields_of_request(struct arena *arena, const struct request *request, struct body body,
                                      struct str scheme) {
  struct list_of_fields list = new_list(arena, &request->headers);
  bool is_tunnel = request->upgrade.len > 0, is_plain_connect = request->method == METHOD_CONNECT;
  if (headers_count_id(&request->headers, FIELD_HOST) > 1) return (struct h2_fields){0};
  put(&list, STR(":method"), is_tunnel ? STR("CONNECT") : request->method_name, false);
  if (is_tunnel) put(&list, STR(":protocol"), request->upgrade, false);
  if (!is_plain_connect) put(&list, STR(":scheme"), scheme, false);
  put(&list, STR(":authority"), authority_of(request), false);
  if (!is_plain_connect) put(&list, STR(":path"), request->target, false);
  put_fields(&list, &request->headers);
  if (is_tunnel) drop_key(&list);
  put_length(&list, body);
  /* We take trailers from any peer; servers of gRPC want to be told. */
  bool tells = request->accepts_trailers || grpc_is_type(&request->headers);
  if (tells) put(&list, STR("te"), STR("trailers"), false);
  return finished(&list);
}

struct h2_fields h2_fields_of_response(struct arena *arena, const struct response *response,
                                       struct body body) {
  struct list_of_fields list = new_list(arena, &response->headers);
  unsigned status = response->status;
  CHECK(status >= 100);
  put(&list, STR(":status"), arena_number(arena, status), false);
  put_fields(&list, &response->headers);
  if (status >= 200 && status != 204) put_length(&list, body);
  return finished(&list);
}

struct h2_fields h2_fields_of_trailers(struct arena *arena, const struct headers *trailers) {
  struct list_of_fields list = new_list(arena, trailers);
  if (trailers) put_fields(&list, trailers);
  return finished(&list);
}
