// SPDX-License-Identifier: Apache-2.0
// socket_options: the table of them. Only users with equal options share a connection.
#include "lua/api/socket_options.h"

#include <stdlib.h>
#include <string.h>

#include "lua/api/options.h"
#include "lua/vm/text.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"

#define SOCKET(name, kind, member)                                                                           \
  { name, kind, offsetof(struct socket_options, member), NULL }
static const struct option options[] = {
    SOCKET("timeout", OPTION_SECONDS, timeout_ms),
    SOCKET("connect_timeout", OPTION_SECONDS, connect_ms),
    SOCKET("send_timeout", OPTION_SECONDS, send_ms),
    SOCKET("receive_timeout", OPTION_SECONDS, receive_ms),
    OPTIONS_TLS(struct socket_options),
    SOCKET("certificate", OPTION_PEM, certificate),
    SOCKET("key", OPTION_PEM, key),
    {"family", OPTION_WORD, offsetof(struct socket_options, family), option_families},
    SOCKET("pool", OPTION_TEXT, pool),
    SOCKET("pool_key", OPTION_TEXT, pool_key),
    SOCKET("pool_size", OPTION_POSITIVE, pool_size),
    SOCKET("backlog", OPTION_COUNT, backlog),
    SOCKET("fresh", OPTION_FLAG, fresh),
    SOCKET("one_way", OPTION_FLAG, one_way),
    SOCKET("http1", OPTION_FLAG, http1),
    SOCKET("http2", OPTION_FLAG, http2),
};
static const struct option_set option_set = OPTION_SET(options);

/* NULL, or what does not go together. */
static const char *contradiction(const struct socket_options *o) {
  return tls_files_fault(o->certificate, o->key);
}

bool socket_options_read(lua_State *L, int index, struct socket_options *into, struct arena *arena) {
  if (!options_read(L, index, &option_set, into, arena)) return false;
  const char *why = contradiction(into);
  if (why) lua_pushstring(L, why);
  return !why;
}

/* Each part behind its length, so that no two lists are equal by chance. */
static struct str joined(struct arena *arena, const struct str *parts, size_t count) {
  size_t bytes = count * sizeof parts->len;
  for (size_t i = 0; i < count; i++) bytes += parts[i].len;
  char *text = arena_alloc(arena, bytes), *end = text;
  for (size_t i = 0; i < count; i++) {
    memcpy(end, &parts[i].len, sizeof parts->len);
    end += sizeof parts->len;
    if (parts[i].len) memcpy(end, parts[i].ptr, parts[i].len);
    end += parts[i].len;
  }
  return (struct str){text, bytes};
}

/* A name of the policy's begins with "=", as no list does. Each connect makes a key, also where it takes a spare
 * connection. */
struct str socket_options_key(struct arena *arena, struct str address, const struct socket_options *o) {
  if (o->pool_key.len) return arena_printf(arena, "=%.*s", STR_ARG(o->pool_key));
  char flags[] = {(char)('0' + o->tls),   (char)('0' + o->no_verify), (char)('0' + o->one_way),
                  (char)('0' + o->http1), (char)('0' + o->http2),     (char)('0' + o->family)};
  struct str parts[] = {{flags, sizeof flags}, address, o->sni, o->verify_name, o->ca, o->pool,
                        o->certificate,        o->key};
  return joined(arena, parts, sizeof parts / sizeof *parts);
}

struct tls_context *socket_options_context(const struct socket_options *o, char **why) {
  struct tls_client_options tls = {.ca = o->ca,
                                   .certificate = o->certificate,
                                   .key = o->key,
                                   .no_verify = o->no_verify,
                                   .no_alpn = !o->http2,
                                   .http2 = o->http2,
                                   .no_http1 = !o->http1};
  return tls_context_client(&tls, why);
}

int socket_options_check_ca(lua_State *L) {
  struct tls_client_options tls = {.no_alpn = true};
  char *why = NULL;
  tls.ca = text_at(L, 1);
  struct tls_context *context = tls_context_client(&tls, &why);
  if (context) {
    tls_context_release(context);
    return 0;
  }
  lua_pushstring(L, why);
  free(why);
  return 1;
}

int socket_options_fault(lua_State *L) {
  struct socket_options unwanted = {0};
  options_fault(L, 1, &option_set, &unwanted);
  return 1;
}
