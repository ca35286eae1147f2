// SPDX-License-Identifier: Apache-2.0
// bundle: core.bundle..., for lua/perilune/bundle_agent.lua, in the control worker.
#include "runtime/deploy/bundle.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/why.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "net/tls_sign.h"
#include "runtime/deploy/bundle_files.h"

/* core.bundle(): what is known of it; nil: the policy is of none -0 +1 */
static int about(lua_State *L) {
  const struct bundle_settings *settings = bundle_settings();
  if (!settings) return push_nil(L);
  const struct bundle_access *access = &settings->access;
  lua_createtable(L, 0, 14);
  set_text(L, "url", str_of(settings->url));
  set_text(L, "folder", str_of(settings->folder));
  set_text(L, "node", str_of(settings->node));
  if (access->ca) set_text(L, "ca", str_of(access->ca));
  if (access->token_file) set_text(L, "token_file", str_of(access->token_file));
  if (access->certificate) set_text(L, "certificate", str_of(access->certificate));
  if (access->key) set_text(L, "key", str_of(access->key));
  set_number(L, "every", (lua_Number)settings->every_ms / 1000);
  set_number(L, "running", (lua_Number)bundle_state()->running);
  set_number(L, "seen", (lua_Number)bundle_state()->seen);
  set_number(L, "refused", (lua_Number)bundle_state()->refused);
  lua_pushboolean(L, bundle_state()->is_damaged);
  lua_setfield(L, -2, "is_damaged");
  lua_pushboolean(L, bundle_state()->is_trying);
  lua_setfield(L, -2, "is_trying");
  return 1;
}

/* core.bundle_is_on(): in any worker, as it does not change -0 +1 */
static int is_on(lua_State *L) {
  lua_pushboolean(L, bundle_settings() != NULL);
  return 1;
}

/* What follows is only for a policy that is of a bundle. */
static const struct bundle_settings *need(lua_State *L) {
  const struct bundle_settings *settings = bundle_settings();
  if (!settings) luaL_error(L, "the policy is of no bundle");
  return settings;
}

/* core.bundle_is_signed(text, signature): true; or nil and why not -2 +1 | -2 +2 */
static int is_signed(lua_State *L) {
  char *why = NULL;
  bool fine = sign_is_by(need(L)->keys, text_at(L, 1), text_at(L, 2), &why);
  return push_true_or_owned(L, fine ? NULL : why);
}

/* core.bundle_good(): the source has answered -0 +0 */
static int good(lua_State *L) {
  need(L);
  bundle_note_good();
  return 0;
}

/* core.bundle_failed(why) -1 +0 */
static int failed(lua_State *L) {
  need(L);
  bundle_note_failure(text_at(L, 1));
  return 0;
}

/* core.bundle_wanted(version) -1 +0 */
static int wanted(lua_State *L) {
  need(L);
  bundle_state()->wanted = (uint64_t)luaL_checknumber(L, 1);
  return 0;
}

/* core.bundle_put(folder, path, bytes) -3 +1 | -3 +2 */
static int put(lua_State *L) {
  char *why = NULL;
  need(L);
  bool fine = bundle_files_put(luaL_checkstring(L, 1), luaL_checkstring(L, 2), text_at(L, 3), &why);
  return push_true_or_owned(L, fine ? NULL : why);
}

/* core.bundle_move(from, to): in the place of what is there -2 +1 | -2 +2 */
static int move(lua_State *L) {
  char *why = NULL;
  need(L);
  bool fine = bundle_files_move(luaL_checkstring(L, 1), luaL_checkstring(L, 2), &why);
  return push_true_or_owned(L, fine ? NULL : why);
}

/* core.bundle_remove(folder) -1 +0 */
static int remove_folder(lua_State *L) {
  need(L);
  bundle_files_remove(luaL_checkstring(L, 1));
  return 0;
}

/* core.bundle_tidy(folder, count) -2 +0 */
static int tidy(lua_State *L) {
  need(L);
  bundle_files_tidy(luaL_checkstring(L, 1), (unsigned)luaL_checkinteger(L, 2), bundle_state()->running);
  return 0;
}

/* core.bundle_try(version, script, share, for_ms, max_errors): nil; or why it cannot begin now -5 +1 */
static int try_version(lua_State *L) {
  struct canary_options canary = {.share = (unsigned)luaL_checkinteger(L, 3),
                                  .for_ms = (unsigned)luaL_checkinteger(L, 4),
                                  .max_errors = (unsigned)luaL_checkinteger(L, 5)};
  need(L);
  lua_pushstring(L, bundle_try((uint64_t)luaL_checknumber(L, 1), luaL_checkstring(L, 2), &canary));
  return 1;
}

static const luaL_Reg functions[] = {
    {"bundle", about},     {"bundle_is_on", is_on},     {"bundle_is_signed", is_signed},
    {"bundle_good", good}, {"bundle_failed", failed},   {"bundle_wanted", wanted},
    {"bundle_put", put},   {"bundle_move", move},       {"bundle_remove", remove_folder},
    {"bundle_tidy", tidy}, {"bundle_try", try_version}, {NULL, NULL}};

void open_bundle(lua_State *L) { luaL_register(L, NULL, functions); }
