// SPDX-License-Identifier: Apache-2.0
// certificates: what lua/perilune/acme*.lua asks of C: requests for certificates, their facts, the stores out of which
// listeners serve them, and files that only this user reads.
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/private_file.h"
#include "base/safe_file.h"
#include "lua/api/key.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_live.h"
#include "net/tls_request.h"

enum { NAMES_MOST = 100 };

/* true, or nil and what errno says -0 +1 | +2 */
static int tell(lua_State *L, bool ok) { return push_true_or_why(L, ok ? NULL : safe_reason_new(errno)); }

/* --- requests ------------------------------------------------------------------------------------------- */

/* The array of names at `index`, whose strings stay in it. -0 +0 */
static struct tls_request_names names_at(lua_State *L, int index, struct str room_for[NAMES_MOST]) {
  luaL_checktype(L, index, LUA_TTABLE);
  size_t count = lua_objlen(L, index);
  if (count < 1 || count > NAMES_MOST) luaL_error(L, "a certificate has 1 to %d names", NAMES_MOST);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, index, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "the names of a certificate are strings");
    room_for[i].ptr = lua_tolstring(L, -1, &room_for[i].len);
    lua_pop(L, 1);
  }
  return (struct tls_request_names){room_for, (unsigned)count};
}

/* core.certificate_request(key, names): DER -2 +1 */
static int request(lua_State *L) {
  struct str names[NAMES_MOST];
  struct buf *der = vm_scratch(L);
  if (!tls_request_write(key_at(L, 1), names_at(L, 2, names), der))
    return luaL_error(L, "OpenSSL makes no request for this key");
  lua_pushlstring(L, buf_ptr(der), buf_len(der));
  return 1;
}

/* core.certificate_sign(subject, signer, names, not_before, not_after [, acme]): PEM -6 +1 */
static int sign(lua_State *L) {
  struct str names[NAMES_MOST];
  struct buf *pem = vm_scratch(L);
  struct tls_signed wanted = {.subject = key_at(L, 1),
                              .signer = key_at(L, 2),
                              .names = names_at(L, 3, names),
                              .not_before = (int64_t)luaL_checknumber(L, 4),
                              .not_after = (int64_t)luaL_checknumber(L, 5)};
  if (!lua_isnoneornil(L, 6)) wanted.acme = text_at(L, 6);
  if (!tls_request_sign(&wanted, pem)) return luaL_error(L, "OpenSSL signs no certificate with this key");
  lua_pushlstring(L, buf_ptr(pem), buf_len(pem));
  return 1;
}

/* "a\nb\n" as an array -0 +1 */
static void push_names(lua_State *L, struct str all) {
  struct str name;
  int count = 0;
  lua_newtable(L);
  while (str_split(&all, '\n', &name)) {
    if (!name.len) continue;
    lua_pushlstring(L, name.ptr, name.len);
    lua_rawseti(L, -2, ++count);
  }
}

/* core.certificate_facts(pem): a table; nil and why -1 +1 | +2 */
static int facts(lua_State *L) {
  char *why = NULL;
  struct tls_certificate_facts found;
  struct buf *names = vm_scratch(L);
  if (!tls_request_facts(text_at(L, 1), &found, names, &why)) {
    push_nil_why(L, why);
    free(why);
    return 2;
  }
  lua_newtable(L);
  push_names(L, buf_str(names));
  lua_setfield(L, -2, "names");
  set_number(L, "not_before", (lua_Number)found.not_before);
  set_number(L, "not_after", (lua_Number)found.not_after);
  set_number(L, "count", found.count);
  set_text(L, "serial", str_of(found.serial));
  set_text(L, "authority", str_of(found.authority));
  set_text(L, "subject", str_of(found.subject));
  set_text(L, "issuer", str_of(found.issuer));
  return 1;
}

/* --- stores --------------------------------------------------------------------------------------------- */

struct live_handle {
  struct handle handle;
  struct tls_live *live; /* reference */
};

/* core.live(store) -1 +1 */
static int new_live(lua_State *L) {
  struct str store = text_at(L, 1);
  struct live_handle *handle = handle_new(L, HANDLE_LIVE, sizeof *handle);
  handle->live = tls_live_get(store);
  return 1;
}

static struct tls_live *live_at(lua_State *L) {
  const struct live_handle *handle = handle_check(L, 1, HANDLE_LIVE);
  return handle->live;
}

/* live:set(name, pem): certificate, chain and key are in one text; nil takes the name away. true; nil and why -3 +1 |
 * +2 */
static int set(lua_State *L) {
  char *why = NULL;
  struct tls_live *live = live_at(L);
  struct str name = text_at(L, 2);
  if (lua_isnoneornil(L, 3)) {
    tls_live_set(live, name, NULL);
    lua_pushboolean(L, true);
    return 1;
  }
  struct str pem = text_at(L, 3);
  struct tls_identity *identity =
      tls_is_text(pem) ? tls_identity_load(&(struct tls_files){.certificate = pem, .key = pem}, &why) : NULL;
  if (!identity) {
    push_nil_why(L, why ? why : "no certificate in PEM");
    free(why);
    return 2;
  }
  bool has_room = tls_live_set(live, name, identity);
  tls_identity_release(identity);
  if (!has_room) return push_nil_why(L, "there are too many names");
  lua_pushboolean(L, true);
  return 1;
}

/* live:has(name): is there a certificate in force for it? -2 +1 */
static int has(lua_State *L) {
  struct tls_identity *identity = tls_live_find(live_at(L), text_at(L, 2));
  lua_pushboolean(L, identity != NULL);
  tls_identity_release(identity);
  return 1;
}

static void end_live(void *ended) {
  struct live_handle *handle = ended;
  tls_live_release(handle->live);
  handle->live = NULL;
}

/* --- files ---------------------------------------------------------------------------------------------- */

struct lock_handle {
  struct handle handle;
  int fd_plus_one; /* 0: let go of */
};

/* core.lock_file(path): a lock; nil and why: "busy" where somebody has it -1 +1 | +2 */
static int lock_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct lock_handle *handle = handle_new(L, HANDLE_FILE_LOCK, sizeof *handle);
  int fd = private_lock(path);
  if (fd < 0) return push_nil_why(L, errno == EWOULDBLOCK ? "busy" : safe_reason_own(errno));
  handle->fd_plus_one = fd + 1;
  return 1;
}

static void end_lock(void *ended) {
  struct lock_handle *handle = ended;
  if (handle->fd_plus_one) private_unlock(handle->fd_plus_one - 1);
  handle->fd_plus_one = 0;
}

/* lock:unlock() -1 +0 */
static int unlock(lua_State *L) {
  end_lock(handle_check(L, 1, HANDLE_FILE_LOCK));
  return 0;
}

/* core.write_private(path, text): true; nil and why -2 +1 | +2 */
static int write_private(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return tell(L, safe_replace(path, text_at(L, 2)));
}

/* core.make_folder(path): true; nil and why -1 +1 | +2 */
static int make_folder(lua_State *L) { return tell(L, private_folder_make(luaL_checkstring(L, 1))); }

/* core.is_root() -0 +1 */
static int is_root(lua_State *L) {
  lua_pushboolean(L, geteuid() == 0);
  return 1;
}

static const luaL_Reg live_methods[] = {{"set", set}, {"has", has}, {NULL, NULL}};
static const luaL_Reg lock_methods[] = {{"unlock", unlock}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"certificate_request", request},
                                     {"certificate_sign", sign},
                                     {"certificate_facts", facts},
                                     {"live", new_live},
                                     {"lock_file", lock_file},
                                     {"write_private", write_private},
                                     {"make_folder", make_folder},
                                     {"is_root", is_root},
                                     {NULL, NULL}};

void open_certificates(lua_State *L) {
  handle_define(L, HANDLE_LIVE, "perilune.live", live_methods, NULL);
  handle_set_end(L, HANDLE_LIVE, end_live);
  handle_define(L, HANDLE_FILE_LOCK, "perilune.file_lock", lock_methods, NULL);
  handle_set_end(L, HANDLE_FILE_LOCK, end_lock);
  luaL_register(L, NULL, functions);
}
