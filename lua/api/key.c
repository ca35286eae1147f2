// SPDX-License-Identifier: Apache-2.0
// key: keys for signatures, as handles; lua/perilune/crypto.lua has the functions that make them, also of JWKs. A key
// is read once and used often, since reading one costs as much as a signature.
#include "lua/api/key.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct key_handle {
  struct handle handle;
  struct tls_key *key; /* owned */
};

static const char *const kind_names[] = {"P-256", "P-384", "P-521", "Ed25519", "RSA", NULL};

const struct tls_key *key_at(lua_State *L, int index) {
  const struct key_handle *handle = handle_check(L, index, HANDLE_CRYPTO_KEY);
  return handle->key;
}

/* --- making --------------------------------------------------------------------------------------------- */

/* core.key_generate(kind) -1 +1 */
static int generate(lua_State *L) {
  enum key_kind kind = (enum key_kind)luaL_checkoption(L, 1, "P-256", kind_names);
  struct key_handle *handle = handle_new(L, HANDLE_CRYPTO_KEY, sizeof *handle);
  handle->key = tls_key_generate(kind);
  if (!handle->key) return handle_raise(L, "this build of OpenSSL makes no %s keys", kind_names[kind]);
  return 1;
}

/* core.key_read(pem): a key, or nil and why not -1 +1 | +2 */
static int read_key(lua_State *L) {
  char *why = NULL;
  struct str pem = text_at(L, 1);
  struct key_handle *handle = handle_new(L, HANDLE_CRYPTO_KEY, sizeof *handle);
  handle->key = tls_key_read(pem, &why);
  if (handle->key) return 1;
  push_nil_why(L, why);
  free(why);
  return 2;
}

/* Bytes of the field of table 2; empty where there are none. The string stays in the table. -0 +0 */
static struct str part_of(lua_State *L, const char *name) {
  lua_getfield(L, 2, name);
  struct str part = {0};
  if (lua_type(L, -1) == LUA_TSTRING) part.ptr = lua_tolstring(L, -1, &part.len);
  lua_pop(L, 1);
  return part;
}

/* core.key_of_parts(kind, { n, e, x, y }): a key, or nil and why not -2 +1 | +2 */
static int of_parts(lua_State *L) {
  const char *why = NULL;
  enum key_kind kind = (enum key_kind)luaL_checkoption(L, 1, NULL, kind_names);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct key_parts parts = {part_of(L, "n"), part_of(L, "e"), part_of(L, "x"), part_of(L, "y")};
  struct key_handle *handle = handle_new(L, HANDLE_CRYPTO_KEY, sizeof *handle);
  handle->key = tls_key_of_parts(kind, &parts, &why);
  return handle->key ? 1 : push_nil_why(L, why);
}

/* --- methods -------------------------------------------------------------------------------------------- */

/* key:kind() -1 +1 */
static int kind(lua_State *L) {
  lua_pushstring(L, kind_names[tls_key_kind(key_at(L, 1))]);
  return 1;
}

/* key:is_private() -1 +1 */
static int is_private(lua_State *L) {
  lua_pushboolean(L, tls_key_is_private(key_at(L, 1)));
  return 1;
}

static void set_part(lua_State *L, const char *name, struct str part) {
  if (!part.len) return;
  lua_pushlstring(L, part.ptr, part.len);
  lua_setfield(L, -2, name);
}

/* core.key_parts(key): { n, e, x, y }, those that it has -1 +1 */
static int parts_of(lua_State *L) {
  struct key_parts parts;
  tls_key_parts(key_at(L, 1), vm_scratch(L), &parts);
  lua_createtable(L, 0, 2);
  set_part(L, "n", parts.n);
  set_part(L, "e", parts.e);
  set_part(L, "x", parts.x);
  set_part(L, "y", parts.y);
  return 1;
}

/* -0 +1 */
static int write_key(lua_State *L, bool with_private) {
  struct buf *pem = vm_scratch(L);
  if (!tls_key_write(key_at(L, 1), with_private, pem))
    return handle_raise(L, "key:private_pem: the key has no private half");
  lua_pushlstring(L, buf_ptr(pem), buf_len(pem));
  explicit_bzero(buf_ptr(pem), buf_len(pem));
  return 1;
}

/* key:private_pem() -1 +1 */
static int private_pem(lua_State *L) { return write_key(L, true); }
/* key:public_pem() -1 +1 */
static int public_pem(lua_State *L) { return write_key(L, false); }

/* The algorithm of argument 2; false: there is none of that name. -0 +0 */
static bool find_algorithm(lua_State *L, enum key_algorithm *found) {
  const char *name = luaL_checkstring(L, 2);
  for (int i = 0; i < KEY_ALGORITHMS; i++) {
    *found = (enum key_algorithm)i;
    if (strcmp(name, key_algorithm_name(*found)) == 0) return true;
  }
  return false;
}

/* key:sign(algorithm, text) -3 +1 */
static int sign(lua_State *L) {
  enum key_algorithm algorithm;
  const struct tls_key *key = key_at(L, 1);
  struct str text = text_at(L, 3);
  struct buf *signature = vm_scratch(L);
  if (!find_algorithm(L, &algorithm))
    return handle_raise(L, "key:sign: unknown algorithm '%s'", lua_tostring(L, 2));
  if (!tls_key_sign(key, algorithm, text, signature))
    return handle_raise(L, "key:sign: %s wants a private %s key, and this is a %s %s key", lua_tostring(L, 2),
                        kind_names[key_algorithm_kind(algorithm)],
                        tls_key_is_private(key) ? "private" : "public", kind_names[tls_key_kind(key)]);
  lua_pushlstring(L, buf_ptr(signature), buf_len(signature));
  return 1;
}

/* key:verify(algorithm, text, signature): false also for an algorithm of another kind of key, or of none -4 +1 */
static int verify(lua_State *L) {
  enum key_algorithm algorithm;
  const struct tls_key *key = key_at(L, 1);
  struct str text = text_at(L, 3), signature = text_at(L, 4);
  lua_pushboolean(L, find_algorithm(L, &algorithm) && tls_key_verify(key, algorithm, text, signature));
  return 1;
}

static void end(void *ended) {
  struct key_handle *handle = ended;
  tls_key_free(handle->key);
  handle->key = NULL;
}

static const luaL_Reg methods[] = {{"kind", kind},
                                   {"is_private", is_private},
                                   {"private_pem", private_pem},
                                   {"public_pem", public_pem},
                                   {"sign", sign},
                                   {"verify", verify},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"key_generate", generate},
                                     {"key_read", read_key},
                                     {"key_of_parts", of_parts},
                                     {"key_parts", parts_of},
                                     {NULL, NULL}};

void open_key(lua_State *L) {
  handle_define(L, HANDLE_CRYPTO_KEY, "perilune.key", methods, NULL);
  handle_set_end(L, HANDLE_CRYPTO_KEY, end);
  luaL_register(L, NULL, functions);
}
