// SPDX-License-Identifier: Apache-2.0
// crypto: digests, HMAC, random bytes and comparison in constant time; lua/perilune/crypto.lua names them.
#include <lauxlib.h>
#include <lua.h>

#include "base/crc32.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_crypto.h"

enum { RANDOM_MAX = 1 << 20 };

/* -0 +0 */
static enum digest check_digest(lua_State *L) {
  static const char *const names[] = {"md5", "sha1", "sha256", "sha384", "sha512", NULL};
  return (enum digest)luaL_checkoption(L, 1, NULL, names);
}

/* -0 +1 */
static int push(lua_State *L, const unsigned char *bytes, size_t length) {
  if (length == 0)
    return handle_raise(L, "this build of OpenSSL does not allow the digest %s", lua_tostring(L, 1));
  lua_pushlstring(L, (const char *)bytes, length);
  return 1;
}

/* core.digest(name, text) -2 +1 */
static int digest(lua_State *L) {
  unsigned char out[DIGEST_BYTES_MAX];
  return push(L, out, crypto_digest(check_digest(L), text_at(L, 2), out));
}

/* core.hmac(name, key, text) -3 +1 */
static int hmac(lua_State *L) {
  unsigned char out[DIGEST_BYTES_MAX];
  return push(L, out, crypto_hmac(check_digest(L), text_at(L, 2), text_at(L, 3), out));
}

/* core.random_bytes(count) -1 +1 */
static int random_bytes(lua_State *L) {
  lua_Number count = luaL_checknumber(L, 1);
  if (!(count >= 0 && count <= RANDOM_MAX))
    return handle_raise(L, "crypto.random: expected a number of bytes from 0 to %d", (int)RANDOM_MAX);
  struct buf *bytes = vm_scratch(L);
  buf_reserve(bytes, (size_t)count);
  if (!crypto_random(buf_tail(bytes), (size_t)count))
    return handle_raise(L, "crypto.random: OpenSSL has none");
  lua_pushlstring(L, buf_tail(bytes), (size_t)count);
  return 1;
}

/* core.equal(a, b) -2 +1 */
static int equal(lua_State *L) {
  lua_pushboolean(L, crypto_equal(text_at(L, 1), text_at(L, 2)));
  return 1;
}

/* The key at `index`. -0 +0 */
static const unsigned char *check_key(lua_State *L, int index, const char *call) {
  struct str key = text_at(L, index);
  if (key.len != SEAL_KEY)
    handle_raise(L, "%s: a key has %d bytes, not %d", call, (int)SEAL_KEY, (int)key.len);
  return (const unsigned char *)key.ptr;
}

/* -0 +0 */
static struct str optional_text(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? STR("") : text_at(L, index);
}

/* core.seal(key, text, with) -3 +1 */
static int seal(lua_State *L) {
  struct buf *sealed = vm_scratch(L);
  if (!crypto_seal(check_key(L, 1, "crypto.seal"), text_at(L, 2), optional_text(L, 3), sealed))
    return handle_raise(L, "crypto.seal: OpenSSL refuses");
  lua_pushlstring(L, buf_ptr(sealed), buf_len(sealed));
  return 1;
}

/* core.unseal(key, sealed, with): the text; nil -3 +1 */
static int unseal(lua_State *L) {
  struct buf *text = vm_scratch(L);
  if (crypto_unseal(check_key(L, 1, "crypto.unseal"), text_at(L, 2), optional_text(L, 3), text))
    lua_pushlstring(L, buf_ptr(text), buf_len(text));
  else
    lua_pushnil(L);
  return 1;
}

/* core.crc32(text) -1 +1 */
static int crc32(lua_State *L) {
  lua_pushnumber(L, (lua_Number)crc32_of(text_at(L, 1)));
  return 1;
}

static const luaL_Reg functions[] = {
    {"crc32", crc32}, {"digest", digest}, {"hmac", hmac},     {"random_bytes", random_bytes},
    {"equal", equal}, {"seal", seal},     {"unseal", unseal}, {NULL, NULL}};

void open_crypto(lua_State *L) { luaL_register(L, NULL, functions); }
