// SPDX-License-Identifier: Apache-2.0
// listen: perilune.listen(address, hooks, options): an address to listen on, with its hooks and settings.
// It opens nothing: the runtime does that after the policy has loaded for every worker.
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/api/cidr.h"
#include "lua/api/compress.h"
#include "lua/api/listen_tls.h"
#include "lua/api/options.h"
#include "lua/vm/handle.h"
#include "lua/vm/hooks.h"
#include "lua/vm/nouns.h"
#include "lua/vm/policy.h"
#include "lua/vm/script.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/addr.h"
#include "net/tls_identity.h"

static const char *const client_verify_words[] = {"off", "optional", "required", NULL};
static const char *const version_words[] = {"TLSv1.2", "TLSv1.3", NULL};
static const char *const forwarded_words[] = {"replace", "append", "keep", NULL};
static const char *const trusted_words[] = {"any", "x-forwarded-for", "forwarded", NULL};
static const char *const access_format_words[] = {"combined", "json", NULL};
static const char *const abort_words[] = {"hooks", "always", "never", NULL};
static const char *const proxy_protocol_words[] = {"off", "optional", "required", NULL};

struct listen_options {
  struct policy_listener listener; /* first: most options are its */
  struct tls_files own;            /* certificate, key and ocsp, beside `certificates` */
};

/* To add a setting: a line here, after its member in exchange/settings.h. */
#define SETTING(name, kind, member)                                                                          \
  { name, kind, offsetof(struct policy_listener, settings.member), NULL }
static const char *const alpn_form[] = {": write { \"h2\", \"http/1.1\" }", NULL};
static const char *const networks_form[] = {": write { \"10.0.0.0/8\" }", NULL};
static const struct option options[] = {
    {"certificate", OPTION_FILE, offsetof(struct listen_options, own.certificate), NULL},
    {"key", OPTION_FILE, offsetof(struct listen_options, own.key), NULL},
    {"ocsp", OPTION_FILE, offsetof(struct listen_options, own.ocsp), NULL},
    {"certificates", OPTION_TABLE, 0, NULL},
    {"acme", OPTION_ANY, 0, NULL},
    {"client_ca", OPTION_FILE, offsetof(struct policy_listener, tls.client_ca), NULL},
    {"client_verify", OPTION_WORD, offsetof(struct policy_listener, tls.client_verify), client_verify_words},
    {"min_version", OPTION_WORD, offsetof(struct policy_listener, tls.oldest), version_words},
    SETTING("head_timeout", OPTION_SECONDS, head_timeout_ms),
    SETTING("head_limit", OPTION_SIZE, head.head_bytes),
    SETTING("target_limit", OPTION_SIZE, head.target_bytes),
    SETTING("fields_limit", OPTION_POSITIVE, head.fields),
    SETTING("keepalive_timeout", OPTION_SECONDS, keepalive_timeout_ms),
    SETTING("keepalive_requests", OPTION_COUNT, keepalive_requests),
    SETTING("body_timeout", OPTION_SECONDS, body_timeout_ms),
    SETTING("min_receive_rate", OPTION_COUNT, min_receive_rate),
    SETTING("await_body", OPTION_POOL_SECONDS, await_body_ms),
    SETTING("upload_timeout", OPTION_SECONDS, upload_timeout_ms),
    SETTING("body_limit", OPTION_BYTES, body_bytes),
    SETTING("send_timeout", OPTION_SECONDS, send_timeout_ms),
    SETTING("min_send_rate", OPTION_COUNT, min_send_rate),
    SETTING("tunnel_timeout", OPTION_SECONDS, tunnel_timeout_ms),
    SETTING("handshake_timeout", OPTION_SECONDS, handshake_timeout_ms),
    SETTING("max_retries", OPTION_COUNT, max_retries),
    SETTING("drain_limit", OPTION_BYTES, drain_bytes),
    SETTING("via", OPTION_FLAG, via),
    SETTING("allow_connect", OPTION_FLAG, allow_connect),
    SETTING("h2c", OPTION_FLAG, h2c),
    SETTING("max_streams", OPTION_POSITIVE, http2.streams),
    SETTING("stream_window", OPTION_SIZE, http2.stream_window),
    SETTING("connection_window", OPTION_SIZE, http2.connection_window),
    SETTING("max_resets", OPTION_COUNT, http2.resets),
    SETTING("max_control_frames", OPTION_COUNT, http2.controls),
    {"alpn", OPTION_TABLE, 0, alpn_form},
    {"compress", OPTION_ANY, 0, NULL},
    {"forwarded", OPTION_WORD, offsetof(struct policy_listener, settings.forwarded), forwarded_words},
    {"abort_on_close", OPTION_WORD, offsetof(struct policy_listener, settings.abort_on_close), abort_words},
    {"proxy_protocol", OPTION_WORD, offsetof(struct policy_listener, settings.proxy_protocol),
     proxy_protocol_words},
    {"proxy_protocol_from", OPTION_TABLE, 0, networks_form},
    {"forwarded_from", OPTION_TABLE, 0, networks_form},
    {"trusted_proxies", OPTION_TABLE, 0, networks_form},
    {"trusted_field", OPTION_WORD, offsetof(struct policy_listener, settings.trusted_field), trusted_words},
    SETTING("cache", OPTION_CACHE, cache),
    SETTING("max_connections", OPTION_COUNT, max_connections),
    SETTING("max_connections_per_client", OPTION_COUNT, max_connections_per_client),
    SETTING("client_ipv6_bits", OPTION_COUNT, client_ipv6_bits),
    {"access_log", OPTION_LOG, offsetof(struct policy_listener, access_log), NULL},
    {"access_log_format", OPTION_WORD, offsetof(struct policy_listener, access_log_format),
     access_format_words},
};
static const char of_peers[] = "it is an option of peers: what upstream_peer returns";
static const char of_process[] = "it is a setting of the process: perilune.configure";
static const struct option_hint hints[] = {
    {"http2", "clients choose HTTP/2 by TLS; without TLS, write h2c = true; http2 is an option of peers"},
    {"h2", "clients choose HTTP/2 by TLS; without TLS, write h2c = true"},
    {"ping_interval", of_peers},
    {"ping_timeout", of_peers},
    {"connect_timeout", of_peers},
    {"first_byte_timeout", of_peers},
    {"read_timeout", of_peers},
    {"gzip", "write compress = true, or compress = { gzip = 6 }"},
    {"br", "write compress = true, or compress = { br = 4 }"},
    {"brotli", "write compress = true, or compress = { br = 4 }"},
    {"zstd", "write compress = true, or compress = { zstd = 3 }"},
    {"decompress", "for body hooks, write policy.decode = true"},
    {"tls", "give certificate and key, or acme = { domains = { ... } }"},
    {"ssl", "give certificate and key, or acme = { domains = { ... } }"},
    {"domains", "write acme = { domains = { ... } }"},
    {"letsencrypt", "write acme = { domains = { ... } }"},
    {"workers", of_process},
    {"admin", of_process},
    {"low_latency", of_process},
    {"log_level", of_process},
    {"error_log", of_process},
    {"pid_file", of_process},
    {"user", of_process},
    {NULL, NULL}};
static const struct option_set option_set = OPTION_SET_HINTS(options, hints);

/* A port of its own each time, so it may be named more than once. */
static bool is_any_port(const struct addr *addr) { return addr->kind == ADDR_IP && addr->port == 0; }

/* Tests run several proxies at once, of policies that name their port. */
static struct str any_port(struct arena *arena, struct addr addr) {
  char text[ADDR_TEXT];
  addr_set_port(&addr, 0);
  return arena_dup(arena, (struct str){text, addr_format(&addr, text) + 1});
}

/* -0 +0 */
static struct str check_address(lua_State *L, struct policy *policy) {
  struct addr addr;
  const char *why = NULL;
  struct str text = text_at(L, 1);
  if (!addr_parse_listener(text, &addr, &why)) luaL_error(L, "perilune.listen: '%s': %s", text.ptr, why);
  for (unsigned i = 0; i < policy->count && !is_any_port(&addr); i++)
    if (str_equal(policy->listeners[i].address, text))
      luaL_error(L, "perilune.listen: '%s' is listened on already, at %s", text.ptr,
                 policy->listeners[i].place.ptr);
  if (addr.kind == ADDR_IP && getenv("PERILUNE_ANY_PORT")) return any_port(&policy->arena, addr);
  return arena_dup(&policy->arena, (struct str){text.ptr, text.len + 1});
}

/* Either hook alone can give an answer to every request. */
static const struct hooks *check_hooks(lua_State *L, struct arena *arena) {
  luaL_checktype(L, 2, LUA_TTABLE);
  const struct lua_hooks *hooks = hooks_read(L, 2, arena);
  if (!hooks->each[HOOK_upstream_peer].function && !hooks->each[HOOK_request_filter].function)
    luaL_error(
        L, "perilune.listen: the hooks lack upstream_peer (or a request_filter that answers every request)");
  return &hooks->hooks;
}

/* --- whom to believe --- */

/* The networks of an option that is an array of them; NULL where it is not given. -0 +0 */
static const struct cidr_set *read_networks(lua_State *L, const char *option) {
  char place[64];
  const struct cidr_set *set = NULL;
  snprintf(place, sizeof place, "perilune.listen: option '%s'", option);
  lua_getfield(L, 3, option);
  if (lua_istable(L, -1)) set = networks_keep(L, lua_gettop(L), place);
  lua_pop(L, 1);
  return set;
}

/* The trusted proxies are those of PROXY headers and of `append`, too, unless these have lists of their own. A list
 * that nobody looks at would be a false comfort. -0 +0 */
static void take_senders(lua_State *L, struct settings *settings) {
  settings->trusted_proxies = read_networks(L, "trusted_proxies");
  if (settings->trusted_field != TRUSTED_ANY && !settings->trusted_proxies)
    luaL_error(L,
               "perilune.listen: trusted_field is for trusted_proxies: say which proxies write that field");
  settings->proxy_senders = read_networks(L, "proxy_protocol_from");
  settings->forwarded_senders = read_networks(L, "forwarded_from");
  if (settings->proxy_senders && settings->proxy_protocol == PROXY_PROTOCOL_OFF)
    luaL_error(L,
               "perilune.listen: proxy_protocol_from is for proxy_protocol = \"required\" or \"optional\"");
  if (settings->forwarded_senders && settings->forwarded != FORWARDED_APPEND)
    luaL_error(L, "perilune.listen: forwarded_from is for forwarded = \"append\"");
  if (!settings->proxy_senders) settings->proxy_senders = settings->trusted_proxies;
  if (!settings->forwarded_senders) settings->forwarded_senders = settings->trusted_proxies;
}

/* --- the call --- */

/* -0 +0 */
static void refuse_hooks_among_options(lua_State *L) {
  lua_getfield(L, 3, "decode");
  if (!lua_isnil(L, -1))
    luaL_error(
        L, "perilune.listen: 'decode' is for body hooks, and stands among the hooks: policy.decode = true");
  lua_pop(L, 1);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
    lua_getfield(L, 3, hook_name(hook));
    if (lua_isfunction(L, -1))
      luaL_error(L, "perilune.listen: '%s' is a hook, not an option: hooks are the second argument",
                 hook_name(hook));
    lua_pop(L, 1);
  }
}

/* RFC 9113 section 6.9: what a window can be. A connection's is never smaller than it is without being set. -0 +0 */
static void check_window(lua_State *L, const char *option, size_t bytes, int least) {
  if (bytes < (size_t)least || bytes > INT32_MAX)
    luaL_error(L, "perilune.listen: option '%s' must be a number from %d to 2147483647, got %s", option,
               least, lua_pushfstring(L, "%f", (lua_Number)bytes));
}

/* -0 +0 */
static void check_options(lua_State *L, struct listen_options *into, struct arena *arena) {
  into->listener.settings = settings_default;
  if (lua_isnoneornil(L, 3)) return;
  luaL_checktype(L, 3, LUA_TTABLE);
  refuse_hooks_among_options(L);
  if (!options_read(L, 3, &option_set, into, arena))
    luaL_error(L, "perilune.listen: %s", lua_tostring(L, -1));
  lua_getfield(L, 3, "access_log_format");
  into->listener.has_log_format = !lua_isnil(L, -1);
  lua_pop(L, 1);
  unsigned bits = into->listener.settings.client_ipv6_bits;
  if (bits < 1 || bits > 128)
    luaL_error(L, "perilune.listen: option 'client_ipv6_bits' must be a number from 1 to 128, got %d",
               (int)bits);
  check_window(L, "stream_window", into->listener.settings.http2.stream_window, 1);
  check_window(L, "connection_window", into->listener.settings.http2.connection_window, 65535);
  listen_tls_take(L, &into->own, &into->listener.tls, arena);
  take_senders(L, &into->listener.settings);
  into->listener.settings.compression = compress_read(L, 3, arena);
}

/* "policy.lua:12" of the policy's line, which may call one of our modules. */
static struct str place_of_call(lua_State *L, struct arena *arena) {
  lua_Debug info = {0};
  if (!lua_getstack(L, handle_policys_level(L, 1), &info)) return STR("?");
  lua_getinfo(L, "Sl", &info);
  struct str place = arena_printf(arena, "%s:%d%c", info.short_src, info.currentline, '\0');
  return (struct str){place.ptr, place.len - 1};
}

/* Of the arguments, which are three afterwards. -n +3 */
static void check_types(lua_State *L) {
  static const int types[] = {LUA_TSTRING, LUA_TTABLE, LUA_TTABLE};
  static const char *const names[] = {"the address", "the table of hooks", "the table of options"};
  handle_check_dot(L, "perilune.listen");
  for (int i = 0; i < 3; i++) {
    int type = lua_type(L, i + 1);
    bool is_fit = type == types[i] || (i == 0 && type == LUA_TNUMBER) || (i == 2 && type <= LUA_TNIL);
    if (is_fit) continue;
    luaL_error(
        L,
        "perilune.listen: argument %d, %s, is %s: write perilune.listen(\"127.0.0.1:6188\", policy, { ... })",
        i + 1, names[i],
        type <= LUA_TNIL ? "missing" : lua_pushfstring(L, "a %s value", lua_typename(L, type)));
  }
  lua_settop(L, 3);
}

/* An option among the hooks would be dropped without a word. -0 +0 */
static void refuse_options_among_hooks(lua_State *L) {
  for (unsigned i = 0; i < option_set.count; i++) {
    lua_getfield(L, 2, option_set.options[i].name);
    if (!lua_isnil(L, -1) && !lua_isfunction(L, -1)) /* `certificate` is a hook, too */
      luaL_error(
          L,
          "perilune.listen: '%s' is an option, not a hook: options are a table of their own, the third "
          "argument",
          option_set.options[i].name);
    lua_pop(L, 1);
  }
}

/* perilune.listen(address, hooks [, options]) -3 +0 */
static int add_listener(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct policy *policy = vm->policy;
  struct listen_options wanted = {0};
  struct policy_listener *listener = &wanted.listener;
  if (!vm->loading)
    return luaL_error(L, "perilune.listen is for the policy's main chunk: it is loaded already");
  if (lua_gettop(L) > 3)
    return luaL_error(
        L,
        "perilune.listen: one argument too many: it takes an address, the hooks, and one table of options");
  check_types(L);
  listener->place = place_of_call(L, &policy->arena);
  listener->address = check_address(L, policy);
  listener->address.len--; /* its terminator stays behind it */
  check_options(L, &wanted, &policy->arena);
  refuse_options_among_hooks(L);
  listener->hooks = check_hooks(L, &policy->arena);
  listener->tls.asks = listener->hooks->certificate != NULL;
  listen_tls_check(L, &listener->tls);
  listener->unreadable = listen_tls_fault(&listener->tls, &policy->arena);
  *policy_add_listener(policy) = *listener;
  return 0;
}

static const luaL_Reg functions[] = {{"listen", add_listener}, {NULL, NULL}};

void open_listen(lua_State *L) { luaL_register(L, NULL, functions); }
