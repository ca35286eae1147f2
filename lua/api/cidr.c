// SPDX-License-Identifier: Apache-2.0
// cidr: sets of IP networks: core.cidr { "10.0.0.0/8", ... }.
#include "lua/api/cidr.h"

#include <lauxlib.h>

#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "net/cidr.h"

struct networks {
  struct handle handle;
  struct cidr_set *set; /* owned */
};

/* The set of the list at `index`. NULL: what is wrong with which is on top. -0 +1 */
static struct networks *read_networks(lua_State *L, int index) {
  struct networks *networks = handle_new(L, HANDLE_CIDR, sizeof *networks);
  networks->set = cidr_set_new();
  for (int i = 1; lua_rawgeti(L, index, i), !lua_isnil(L, -1); i++) {
    struct str text = {NULL, 0};
    const char *why = "";
    if (lua_type(L, -1) == LUA_TSTRING) text.ptr = lua_tolstring(L, -1, &text.len);
    if (!cidr_set_add(networks->set, text, &why)) {
      lua_pushfstring(L, "'%s': %s", text.ptr ? text.ptr : luaL_typename(L, -1), why);
      return NULL;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  cidr_set_seal(networks->set);
  return networks;
}

/* core.cidr(list): a set, or nil and what is wrong with which -1 +1 | -1 +2 */
static int new_networks(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  if (read_networks(L, 1)) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

const struct cidr_set *networks_keep(lua_State *L, int index, const char *option) {
  const struct networks *networks = read_networks(L, index);
  if (!networks) luaL_error(L, "%s: %s", option, lua_tostring(L, -1));
  luaL_ref(L, LUA_REGISTRYINDEX);
  return networks->set;
}

/* set:contains(address): true or false; nil and a message where that is no address -2 +1 | -2 +2 */
static int contains(lua_State *L) {
  const struct networks *networks = handle_check(L, 1, HANDLE_CIDR);
  struct str address = text_at(L, 2);
  enum cidr_answer answer = cidr_set_contains(networks->set, address);
  if (answer == CIDR_NO_ADDRESS) return push_nil_why(L, "not an IP address");
  lua_pushboolean(L, answer == CIDR_INSIDE);
  return 1;
}

static void end(void *ended) {
  struct networks *networks = ended;
  if (networks->set) cidr_set_free(networks->set);
  networks->set = NULL;
}

static const luaL_Reg methods[] = {{"contains", contains}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"cidr", new_networks}, {NULL, NULL}};

void open_cidr(lua_State *L) {
  handle_define(L, HANDLE_CIDR, "perilune.cidr", methods, NULL);
  handle_set_end(L, HANDLE_CIDR, end);
  luaL_register(L, NULL, functions);
}
