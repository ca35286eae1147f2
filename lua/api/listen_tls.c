// SPDX-License-Identifier: Apache-2.0
// listen_tls: see listen_tls.h.
#include "lua/api/listen_tls.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "lua/api/options.h"
#include "lua/vm/text.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"

#define FILES(name)                                                                                          \
  { #name, OPTION_FILE, offsetof(struct tls_files, name), NULL }
static const struct option files_options[] = {FILES(certificate), FILES(key), FILES(ocsp)};
static const struct option_set files_option_set = OPTION_SET(files_options);

/* -0 +0 */
static void check_files(lua_State *L, const struct tls_files *files) {
  if (str_is_empty(files->certificate) || str_is_empty(files->key))
    luaL_error(L, "perilune.listen: certificate and key go together: %s is missing",
               str_is_empty(files->key) ? "key" : "certificate");
}

/* The tables of `certificates`, on top of the stack, behind the first one. -0 +0 */
static void read_certificates(lua_State *L, struct tls_files *files, unsigned count, struct arena *arena) {
  for (unsigned i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    if (!lua_istable(L, -1))
      luaL_error(
          L, "perilune.listen: option 'certificates' must be an array of { certificate = ..., key = ... }");
    if (!options_read(L, lua_gettop(L), &files_option_set, &files[i], arena))
      luaL_error(L, "perilune.listen: option 'certificates': %s", lua_tostring(L, -1));
    lua_pop(L, 1);
    check_files(L, &files[i]);
  }
}

/* All certificates in one list, with the one beside it first. -0 +0 */
static void take_certificates(lua_State *L, const struct tls_files *own, struct tls_server_options *tls,
                              struct arena *arena) {
  bool has_own = own->certificate.len || own->key.len || own->ocsp.len;
  lua_getfield(L, 3, "certificates");
  unsigned more = lua_istable(L, -1) ? (unsigned)lua_objlen(L, -1) : 0;
  struct tls_files *files = arena_zalloc(arena, (more + 1) * sizeof *files);
  if (has_own) {
    check_files(L, own);
    *files = *own;
  }
  read_certificates(L, files + has_own, more, arena);
  lua_pop(L, 1);
  tls->certificates = files;
  tls->count = has_own + more;
}

/* The store that lua/perilune/acme.lua puts in the place of the option's table. -0 +0 */
static void take_store(lua_State *L, struct tls_server_options *tls, struct arena *arena) {
  lua_getfield(L, 3, "acme");
  if (lua_type(L, -1) == LUA_TSTRING) tls->live = arena_dup(arena, text_at(L, -1));
  lua_pop(L, 1);
}

/* -0 +0 */
static void take_protocol(lua_State *L, struct tls_server_options *tls) {
  const char *word = lua_isstring(L, -1) ? lua_tostring(L, -1) : "";
  if (strcmp(word, "h2") == 0)
    tls->no_http2 = false;
  else if (strcmp(word, "http/1.1") == 0)
    tls->no_http1 = false;
  else
    luaL_error(
        L, "perilune.listen: option 'alpn' must be an array of \"h2\" and \"http/1.1\", or of one of them");
}

/* -0 +0 */
static void take_alpn(lua_State *L, struct tls_server_options *tls) {
  lua_getfield(L, 3, "alpn");
  if (lua_istable(L, -1)) {
    tls->no_http1 = tls->no_http2 = true;
    for (int i = 1; i == 1 || i <= (int)lua_objlen(L, -1); i++) {
      lua_rawgeti(L, -1, i);
      take_protocol(L, tls);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

void listen_tls_take(lua_State *L, const struct tls_files *own, struct tls_server_options *tls,
                     struct arena *arena) {
  take_certificates(L, own, tls, arena);
  take_store(L, tls, arena);
  take_alpn(L, tls);
}

/* --- checking --- */

void listen_tls_check(lua_State *L, const struct tls_server_options *tls) {
  bool is_on = tls->count || tls->asks, verifies = tls->client_verify != TLS_CLIENT_IGNORED;
  if (!is_on && (verifies || tls->client_ca.len || tls->oldest || tls->no_http1 || tls->no_http2))
    luaL_error(L,
               "perilune.listen: client_verify, client_ca, min_version and alpn are for TLS, and there is no "
               "certificate");
  if (verifies != (tls->client_ca.len > 0))
    luaL_error(L, "perilune.listen: client_verify and client_ca go together");
}

/* What is wrong with a file that the runtime will read; empty: it can be read. */
static struct str fault_of_file(const char *option, struct str file, struct arena *arena) {
  if (!file.len || access(file.ptr, R_OK) == 0) return STR("");
  int error = errno;
  if (error == EACCES && tls_is_kept(file))
    return STR(""); /* it was read while the process was another user */
  return arena_printf(
      arena, "perilune.listen: option '%s': %s: %s%s", option, file.ptr, strerror(error),
      error == EACCES && geteuid() != 0
          ? " (the process runs as another user by now: let that user read the file, or start anew)"
          : "");
}

struct str listen_tls_fault(const struct tls_server_options *tls, struct arena *arena) {
  struct str fault = fault_of_file("client_ca", tls->client_ca, arena);
  for (unsigned i = 0; i < tls->count && !fault.len; i++) {
    fault = fault_of_file("certificate", tls->certificates[i].certificate, arena);
    if (!fault.len) fault = fault_of_file("key", tls->certificates[i].key, arena);
    if (!fault.len) fault = fault_of_file("ocsp", tls->certificates[i].ocsp, arena);
  }
  return fault;
}
