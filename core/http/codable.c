// SPDX-License-Identifier: Apache-2.0
// codable: the reasons for and against coding, and the changes of fields. Pure functions of messages.
#include "http/codable.h"

#include "http/cache_control.h"
#include "http/etag.h"
#include "http/grpc.h"
#include "http/members.h"

static enum codable for_message(const struct request *request, const struct response *response);
static enum codable for_body(const struct response *response, const struct codable_rules *rules);
static enum codable for_client(const struct request *request, const struct response *response,
                               const struct codable_rules *rules, enum coding *coding);
static bool may_leak(const struct request *request, const struct response *response);

static struct str type_of(const struct headers *h) {
  const struct field *field = headers_find_id(h, FIELD_CONTENT_TYPE);
  if (!field) return (struct str){0};
  return str_trim((struct str){field->value.ptr, str_find(field->value, ';')});
}

/* Of a 304 without a type: was it a coded answer that the client asked about? Then its weak tag is in the question. */
static bool asked_weakly(const struct request *request, const struct response *response) {
  struct etag tag = etag_of(&response->headers);
  tag.is_weak = true;
  struct str weak = field_alone(&request->headers, STR("If-None-Match"));
  struct etag asked;
  return etag_take(&weak, &asked) && asked.is_weak && etag_equal(tag, asked, false);
}

static enum codable for_client(const struct request *request, const struct response *response,
                               const struct codable_rules *rules, enum coding *coding) {
  struct accept_encoding accept;
  accept_encoding_parse(&request->headers, &accept);
  *coding = accept_encoding_choose(&accept, rules->offered | CODINGS_IDENTITY);
  if (request->minor == 0) return CODABLE_OLD_CLIENT;
  if (headers_find(&request->headers, STR("Range"))) return CODABLE_RANGE;
  if (!rules->codes_cross_site && may_leak(request, response)) return CODABLE_CROSS_SITE;
  return *coding == CODING_IDENTITY ? CODABLE_NOT_ACCEPTED : CODABLE_YES;
}

static bool is_of_events(const struct headers *h) {
  return str_equal_nocase(type_of(h), STR("text/event-stream")) ||
         str_equal_nocase(field_alone(h, STR("X-Accel-Buffering")), STR("no"));
}

/* Reasons against it that do not depend on the request come first: then no answer varies. */
struct codable_choice codable_choose(const struct request *request, const struct response *response,
                                     const struct codable_rules *rules) {
  struct codable_choice choice = {.coding = CODING_IDENTITY};
  bool is_bare = response->status == 304 && !type_of(&response->headers).len;
  choice.reason = for_message(request, response);
  if (!choice.reason && is_bare) {
    choice.reason = CODABLE_STATUS;
    choice.varies = choice.weakens = asked_weakly(request, response);
  }
  if (!choice.reason) choice.reason = for_body(response, rules);
  if (choice.reason) return choice;
  enum coding coding;
  choice.varies = (rules->offered & ~(unsigned)CODINGS_IDENTITY) != 0;
  choice.flushes_at_once = is_of_events(&response->headers);
  choice.reason = for_client(request, response, rules, &coding);
  choice.weakens = !choice.reason;
  if (choice.weakens && response->status == 304)
    choice.reason = CODABLE_STATUS;
  else if (choice.weakens)
    choice.coding = coding;
  return choice;
}

const char *codable_name(enum codable reason) {
  static const char *const names[] = {
#define X(id, name) name,
      CODABLE_REASONS(X)
#undef X
  };
  return names[reason];
}

/* Might no-transform be among them? Few have it, and then they are read. */
static bool may_forbid(const struct headers *h) {
  static const struct str name = STR_INIT("Cache-Control");
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    if (field->name.len != name.len || !str_equal_nocase(field->name, name)) continue;
    for (size_t at = 0; at + 1 < field->value.len; at++)
      if (field->value.ptr[at] == '-' && ascii_lower(field->value.ptr[at + 1]) == 't') return true;
  }
  return false;
}

static bool forbids_transform(const struct request *request, const struct response *response) {
  struct cache_control cc = {0};
  if (may_forbid(&request->headers)) cache_control_of_request(&request->headers, &cc);
  if (cache_control_has(&cc, CACHE_NO_TRANSFORM)) return true;
  if (!may_forbid(&response->headers)) return false;
  cache_control_of_response(&response->headers, NULL, 0, NULL, &cc);
  return cache_control_has(&cc, CACHE_NO_TRANSFORM);
}

/* A 304 has no body, but the fields of the answer that had one. */
static bool has_no_body(unsigned status) { return status < 200 || status == 204 || status == 205; }

static enum codable for_message(const struct request *request, const struct response *response) {
  const struct headers *h = &response->headers;
  if (request->method == METHOD_CONNECT || response->status == 101 ||
      response->body.framing == FRAMING_TUNNEL)
    return CODABLE_TUNNEL;
  if (has_no_body(response->status)) return CODABLE_STATUS;
  if (response->status == 206 || headers_find(h, STR("Content-Range"))) return CODABLE_RANGE;
  enum coding coding;
  if (codings_of(h, &coding, 1)) return CODABLE_CODED;
  return forbids_transform(request, response) ? CODABLE_NO_TRANSFORM : CODABLE_YES;
}

static bool ends_with(struct str text, struct str wanted) {
  return text.len >= wanted.len && str_equal_nocase(str_from(text, text.len - wanted.len), wanted);
}

/* Their parts have a framing of their own, which a coding of the whole would hide. */
static bool is_framed(struct str type) {
  return str_starts_with_nocase(type, STR("multipart/")) || grpc_is_media_type(type);
}

bool codable_type(struct str type) {
  static const struct str types[] = {STR_INIT("application/json"),
                                     STR_INIT("application/javascript"),
                                     STR_INIT("application/x-javascript"),
                                     STR_INIT("application/ecmascript"),
                                     STR_INIT("application/xml"),
                                     STR_INIT("application/wasm"),
                                     STR_INIT("application/x-ndjson"),
                                     STR_INIT("application/jsonl"),
                                     STR_INIT("application/yaml"),
                                     STR_INIT("application/x-yaml"),
                                     STR_INIT("application/rtf"),
                                     STR_INIT("application/sql"),
                                     STR_INIT("application/graphql"),
                                     STR_INIT("application/vnd.ms-fontobject"),
                                     STR_INIT("font/ttf"),
                                     STR_INIT("font/otf"),
                                     STR_INIT("application/x-font-ttf"),
                                     STR_INIT("image/bmp"),
                                     STR_INIT("image/x-icon"),
                                     STR_INIT("image/vnd.microsoft.icon")};
  if (str_starts_with_nocase(type, STR("text/")) || ends_with(type, STR("+json")) ||
      ends_with(type, STR("+xml")))
    return true;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (str_equal_nocase(type, types[i])) return true;
  return false;
}

static bool is_listed(struct str type, const struct codable_rules *rules) {
  if (!type.len || is_framed(type)) return false;
  if (rules->takes_all_types) return true;
  if (!rules->types) return codable_type(type);
  for (unsigned i = 0; i < rules->type_count; i++) {
    struct str wanted = rules->types[i];
    bool is_group = wanted.len && wanted.ptr[wanted.len - 1] == '/';
    if (is_group ? str_starts_with_nocase(type, wanted) : str_equal_nocase(type, wanted)) return true;
  }
  return false;
}

static enum codable for_body(const struct response *response, const struct codable_rules *rules) {
  bool has_length = response->announced.framing == FRAMING_LENGTH;
  if (!is_listed(type_of(&response->headers), rules)) return CODABLE_TYPE;
  return has_length && response->announced.length < rules->least_bytes ? CODABLE_SMALL : CODABLE_YES;
}

/* BREACH: who can make a client ask again and again, and sees how long the answers are, can guess what is in them. That
 * takes an answer with something of the client's own, asked for from another site, and more often than a client clicks.
 * What says that it is for all holds nothing of anybody. */
static bool may_leak(const struct request *request, const struct response *response) {
  const struct headers *asked = &request->headers, *h = &response->headers;
  struct cache_control cc;
  if (!str_equal_nocase(field_alone(asked, STR("Sec-Fetch-Site")), STR("cross-site"))) return false;
  if (str_equal(field_alone(asked, STR("Sec-Fetch-User")), STR("?1"))) return false;
  bool is_personal = headers_find_id(asked, FIELD_COOKIE) || headers_find(asked, STR("Authorization")) ||
                     headers_find(h, STR("Set-Cookie"));
  cache_control_of_response(h, NULL, 0, NULL, &cc);
  return is_personal && !cache_control_has(&cc, CACHE_PUBLIC) && !cache_control_has(&cc, CACHE_S_MAXAGE);
}

/* --- fields --- */

unsigned codings_of(const struct headers *h, enum coding *codings, unsigned most) {
  struct members members = members_of(h, STR("Content-Encoding"));
  struct str member;
  unsigned count = 0;
  while (members_next(&members, &member)) {
    enum coding coding = coding_of(member);
    if (coding == CODING_IDENTITY) continue;
    if (count < most) codings[count] = coding;
    count++;
  }
  return count;
}

void codable_vary(struct headers *h) {
  struct members members = members_of(h, STR("Vary"));
  struct str member, name = STR("Accept-Encoding");
  while (members_next(&members, &member))
    if (str_equal_nocase(member, name) || str_equal(member, STR("*"))) return;
  struct str had = field_joined(h, STR("Vary"), h->arena);
  if (had.len) name = arena_printf(h->arena, "%.*s, %.*s", STR_ARG(had), STR_ARG(name));
  headers_set_field(h, (struct field){.name = STR("Vary"), .value = name});
}

/* One that is no tag, or stands there twice, is none of the new representation either. */
void codable_weaken(struct headers *h) {
  struct etag tag = etag_of(h);
  if (tag.opaque.len && tag.is_weak) return;
  if (!tag.opaque.len) {
    headers_remove(h, STR("ETag"));
    return;
  }
  char *weak = arena_alloc(h->arena, tag.opaque.len + 2);
  memcpy(mempcpy(weak, "W/", 2), tag.opaque.ptr, tag.opaque.len);
  headers_set_field(h, (struct field){.name = STR("ETag"), .value = {weak, tag.opaque.len + 2}});
}

static bool is_of_plain(struct str name) {
  static const struct str names[] = {STR_INIT("Content-Length"), STR_INIT("Accept-Ranges"),
                                     STR_INIT("Content-MD5"),    STR_INIT("Digest"),
                                     STR_INIT("Content-Digest"), STR_INIT("Repr-Digest")};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (name.len == names[i].len && str_equal_nocase(name, names[i])) return true;
  return false;
}

static void remove_of_plain(struct headers *h) {
  unsigned kept = 0;
  for (unsigned i = 0; i < h->count; i++)
    if (!is_of_plain(h->items[i].name)) h->items[kept++] = h->items[i];
  h->count = kept;
}

void codable_apply(struct headers *h, const struct codable_choice *choice) {
  if (choice->varies) codable_vary(h);
  if (choice->weakens) codable_weaken(h);
  if (choice->coding == CODING_IDENTITY) return;
  remove_of_plain(h);
  headers_set_field(h, (struct field){.name = STR("Content-Encoding"), .value = coding_name(choice->coding)});
}
