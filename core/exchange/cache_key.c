// SPDX-License-Identifier: Apache-2.0
// cache_key: scheme, host, path and query, each on a line of its own. None of them can have a line feed in it, so a key
// reads in one way only. What a client says of the way its request came (Forwarded and its like) may choose the
// response, too: where we believe it, it is part of the key; where we do not, it is gone before a peer is asked; and
// what no proxy knows to be such a field, but many frameworks do, is taken out of what is fetched for the cache.
#include "exchange/cache_parts.h"

#include "http/accept_encoding.h"
#include "http/claims.h"
#include "http/conditions.h"

enum { CODING_BYTES = 16, SCHEME_BYTES = 8 };

struct writing {
  char *bytes, *at;
};

static void put(struct writing *w, struct str text) {
  if (text.len) w->at = mempcpy(w->at, text.ptr, text.len);
}

static void put_lower(struct writing *w, struct str text) {
  for (size_t i = 0; i < text.len; i++) *w->at++ = ascii_lower(text.ptr[i]);
}

static struct str without_port(struct str authority, bool is_secure) {
  struct str port = is_secure ? STR(":443") : STR(":80");
  if (authority.len > port.len && str_equal(str_from(authority, authority.len - port.len), port))
    authority.len -= port.len;
  return authority;
}

/* The client's address is no part of the key: each client would get a response of its own. */
static bool is_of_route(const struct field *field) {
  return claims_is_one(field) && field->id != FIELD_X_FORWARDED_FOR &&
         !str_equal_nocase(field->name, STR("X-Real-IP"));
}

/* In the mode `replace` nothing of it goes on. */
static struct str claims_of(struct exchange *x) {
  const struct headers *h = &x->request.headers;
  size_t length = 0;
  if (x->settings->forwarded == FORWARDED_REPLACE) return (struct str){0};
  for (unsigned i = 0; i < h->count; i++)
    if (is_of_route(&h->items[i])) length += h->items[i].name.len + h->items[i].value.len + 2;
  struct writing w = {arena_alloc(&x->arena, length + 1), NULL};
  w.at = w.bytes;
  for (unsigned i = 0; i < h->count; i++) {
    if (!is_of_route(&h->items[i])) continue;
    put(&w, STR("\n"));
    put_lower(&w, h->items[i].name);
    put(&w, STR(":"));
    put(&w, h->items[i].value);
  }
  return (struct str){w.bytes, (size_t)(w.at - w.bytes)};
}

static struct str key_of(bool is_secure, struct str authority, struct str target, struct arena *arena) {
  struct str host = without_port(authority, is_secure);
  struct writing w = {arena_alloc(arena, host.len + target.len + SCHEME_BYTES), NULL};
  w.at = w.bytes;
  put(&w, is_secure ? STR("https\n") : STR("http\n"));
  put_lower(&w, host);
  put(&w, STR("\n"));
  put(&w, target);
  return (struct str){w.bytes, (size_t)(w.at - w.bytes)};
}

static struct str join_texts(struct arena *arena, struct str a, struct str between, struct str b) {
  struct writing w = {arena_alloc(arena, a.len + between.len + b.len), NULL};
  w.at = w.bytes;
  put(&w, a);
  put(&w, between);
  put(&w, b);
  return (struct str){w.bytes, (size_t)(w.at - w.bytes)};
}

/* All claims that are believed of one URL are purged with it. */
static void make(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  v->url = cache_key_of(x, x->request.target);
  struct str claims = claims_of(x);
  v->key = claims.len ? join_texts(&x->arena, v->url, (struct str){0}, claims) : v->url;
}

/* In the place of the target, on its line. */
void cache_key_replace(struct cache_visit *v, struct str text) {
  struct arena *arena = &v->exchange->arena;
  struct str claims = str_from(v->key, v->url.len);
  struct str front = {v->url.ptr, v->url.len - v->exchange->request.target.len};
  v->url = join_texts(arena, front, (struct str){0}, text);
  v->key = join_texts(arena, v->url, (struct str){0}, claims);
  v->object_key = v->key;
}

/* On a line of its own, without the name that lines of claims have. */
void cache_key_extend(struct cache_visit *v, struct str text) {
  v->key = join_texts(&v->exchange->arena, v->key, STR("\n:"), text);
  v->object_key = v->key;
}

struct str cache_key_of(struct exchange *x, struct str target) {
  return key_of(x->secure, x->request.authority, target, &x->arena);
}

void cache_key_choose(struct cache_visit *v, struct str variant) {
  v->object_key = join_texts(&v->exchange->arena, v->key, STR("\n\n"), variant);
}

/* Scheme and host of a URL; *target is what is behind them. .ptr NULL: it has none. */
static struct str host_of(struct str url, bool *is_secure, struct str *target) {
  *is_secure = str_take_nocase(&url, STR("https://"));
  if (!*is_secure && !str_take_nocase(&url, STR("http://"))) return (struct str){0};
  url.len = str_find(url, '#');
  size_t slash = str_find(url, '/');
  struct str host = {url.ptr, slash};
  *target = str_from(url, slash);
  bool is_fine = host.len && str_find(url, '\n') == url.len && str_find(host, '?') == host.len;
  return is_fine ? host : (struct str){0};
}

struct str cache_key_of_url(struct str url, struct arena *arena) {
  bool is_secure;
  struct str target, host = host_of(url, &is_secure, &target);
  if (!host.ptr) return host;
  return key_of(is_secure, host, target.len ? target : STR("/"), arena);
}

struct str cache_key_of_prefix(struct str prefix, struct arena *arena) {
  bool is_secure;
  struct str target, host = host_of(prefix, &is_secure, &target);
  return host.ptr ? key_of(is_secure, host, target, arena) : host;
}

/* Only the origin can tell whether such conditions hold. */
static bool is_for_origin(const struct request *request) {
  const struct headers *h = &request->headers;
  return headers_find(h, STR("If-Match")) || headers_find(h, STR("If-Unmodified-Since")) ||
         request->upgrade.len;
}

bool cache_key_make(struct cache_visit *v) {
  const struct request *request = &v->exchange->request;
  if (!request->target.len || request->target.ptr[0] != '/') return false;
  make(v);
  v->object_key = v->key;
  v->invalidates = invalidates(request->method, 200);
  v->forward = method_is_read(request->method) ? CACHE_FORWARD_BYPASS : CACHE_FORWARD_METHOD;
  if (!method_is_read(request->method) || request_has_body(request) || is_for_origin(request)) return false;
  cache_control_of_request(&request->headers, &v->asked);
  return !cache_control_has(&v->asked, CACHE_NO_STORE) || cache_control_has(&v->asked, CACHE_ONLY_IF_CACHED);
}

/* --- the request of a fetch ------------------------------------------------------------------------------- */

static bool is_foreign(const struct field *field) {
  static const struct str names[] = {STR_INIT("X-Host"),
                                     STR_INIT("X-Original-URL"),
                                     STR_INIT("X-Original-Host"),
                                     STR_INIT("X-Rewrite-URL"),
                                     STR_INIT("X-HTTP-Method-Override"),
                                     STR_INIT("X-HTTP-Method"),
                                     STR_INIT("X-Method-Override"),
                                     STR_INIT("Front-End-Https"),
                                     STR_INIT("X-Url-Scheme"),
                                     STR_INIT("X-Scheme"),
                                     STR_INIT("X-Original-Uri"),
                                     STR_INIT("X-HTTP-Host-Override"),
                                     STR_INIT("X-Host-Override"),
                                     STR_INIT("X-Override-URL"),
                                     STR_INIT("X-Backend-Host"),
                                     STR_INIT("X-Http-Destinationurl"),
                                     STR_INIT("X-Proxy-Url"),
                                     STR_INIT("Base-Url"),
                                     STR_INIT("Http-Host"),
                                     STR_INIT("Proxy-Host"),
                                     STR_INIT("Request-Uri"),
                                     STR_INIT("Proxy")};
  if (field->id != FIELD_OTHER || field->is_set) return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (str_equal_nocase(field->name, names[i])) return true;
  return false;
}

/* The peer is told only of codings that the key tells apart. */
static void set_codings(struct exchange *x, struct headers *h) {
  struct accept_encoding accept;
  struct writing w = {arena_alloc(&x->arena, CODING_COUNT * CODING_BYTES), NULL};
  w.at = w.bytes;
  accept_encoding_parse(&x->request.headers, &accept);
  unsigned set = accept_encoding_set(&accept, CACHE_CODINGS);
  headers_remove(h, STR("Accept-Encoding"));
  for (enum coding id = 0; id < CODING_COUNT; id++) {
    if (!(set >> id & 1)) continue;
    if (w.at > w.bytes) put(&w, STR(", "));
    put(&w, coding_name(id));
  }
  struct str list = {w.bytes, (size_t)(w.at - w.bytes)};
  if (list.len) headers_add(h, STR("Accept-Encoding"), list);
}

void cache_prepare(struct exchange *x) {
  struct cache_visit *v = x->cache;
  struct request *request = &x->now.request;
  struct headers *h = &request->headers;
  unsigned kept = 0;
  if (v->state != VISIT_FETCHES) return;
  v->head_stage = HEAD_NEW;
  v->renews = false;
  for (unsigned i = 0; i < h->count; i++)
    if (!is_foreign(&h->items[i])) h->items[kept++] = h->items[i];
  h->count = kept;
  set_codings(x, h);
  if (v->validates)
    condition_ask(h, &v->stored.headers);
  else
    condition_strip(h);
  request->method = METHOD_GET;
  request->method_name = STR("GET");
}
