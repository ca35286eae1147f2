// SPDX-License-Identifier: Apache-2.0
// cache_purges: core.purges_*, for lua/perilune/cluster_purge.lua: what is purged here on its way to other proxies, and
// what they have purged. Each takes a perilune.cache as its first argument.
#include <lauxlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "exchange/cache.h"
#include "lua/api/cache.h"
#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "shared/cache_kept.h"
#include "shared/purge_outbox.h"

enum { READ_MOST = 100 };

static const char *const kinds[] = {"url", "prefix", "tag", "all",
                                    NULL}; /* in the order of enum purge_kind */

static struct purge_outbox *check_outbox(lua_State *L) { return cache_outbox(cache_check(L)->cache); }

/* core.purges_about(cache): its name; and its file, or nil -1 +2 */
static int about(lua_State *L) {
  const struct kept_cache *kept = cache_check(L);
  push_text(L, registry_name(((struct shared *)handle_check(L, 1, HANDLE_CACHE))->entry));
  lua_pushstring(L, vm_of(L)->host.is_check ? NULL : kept->path);
  return 2;
}

/* core.purges_enter(cache): the number of the reader -1 +1 */
static int enter(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)purge_outbox_enter(check_outbox(L)));
  return 1;
}

/* core.purges_leave(cache, reader): how many were dropped -2 +1 */
static int leave(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)purge_outbox_leave(check_outbox(L), (unsigned)luaL_checkinteger(L, 2)));
  return 1;
}

/* core.purges_is_newest(cache, reader) -2 +1 */
static int is_newest(lua_State *L) {
  lua_pushboolean(L, purge_outbox_is_newest(check_outbox(L), (unsigned)luaL_checkinteger(L, 2)));
  return 1;
}

/* The table on top of the stack gets { kind, what, is_soft }. -0 +0 */
static void add_note(lua_State *L, const struct purge_note *note, struct buf *what, int position) {
  lua_createtable(L, 3, 0);
  lua_pushstring(L, kinds[note->kind]);
  lua_rawseti(L, -2, 1);
  push_text(L, buf_str(what));
  lua_rawseti(L, -2, 2);
  lua_pushboolean(L, note->is_soft);
  lua_rawseti(L, -2, 3);
  lua_rawseti(L, -2, position);
}

/* core.purges_waiting(cache): an array of { kind, what, is_soft }; and whether more were lost -1 +2 */
static int waiting(lua_State *L) {
  struct purge_outbox *o = check_outbox(L);
  struct buf *what = &vm_of(L)->scratch;
  struct purge_note note;
  lua_newtable(L);
  for (unsigned i = 0; i < READ_MOST; i++) {
    buf_clear(what);
    if (!purge_outbox_read(o, i, &note, what)) break;
    add_note(L, &note, what, (int)i + 1);
  }
  lua_pushboolean(L, purge_outbox_take_lost(o));
  return 2;
}

/* core.purges_settle(cache, count) -2 +0 */
static int settle(lua_State *L) {
  purge_outbox_settle(check_outbox(L), (unsigned)luaL_checkinteger(L, 2));
  return 0;
}

/* core.purges_obey(cache, kind, what, is_soft): what another proxy has purged. True; or nil and what is wrong with it
 * -4 +1 | -4 +2 */
static int obey(lua_State *L) {
  struct cache_order order = {
      .cache = cache_check(L)->cache, .is_remote = true, .is_soft = lua_toboolean(L, 4)};
  struct arena arena;
  bool was_there;
  order.kind = (enum purge_kind)luaL_checkoption(L, 2, NULL, kinds);
  order.what = text_at(L, 3);
  arena_init(&arena);
  const char *fault = cache_forget(&order, &arena, &was_there);
  arena_free(&arena);
  return push_true_or_why(L, fault);
}

/* core.purges_position(cache [, position]): the last one of others that is done; "": none is known -2 +1 */
static int position(lua_State *L) {
  char known[OUTBOX_POSITION_BYTES];
  if (!lua_isnoneornil(L, 2)) purge_outbox_set_position(check_outbox(L), text_at(L, 2));
  purge_outbox_position(check_outbox(L), known);
  lua_pushstring(L, known);
  return 1;
}

static const luaL_Reg functions[] = {
    {"purges_about", about},         {"purges_enter", enter},       {"purges_leave", leave},
    {"purges_is_newest", is_newest}, {"purges_waiting", waiting},   {"purges_settle", settle},
    {"purges_obey", obey},           {"purges_position", position}, {NULL, NULL}};

void open_cache_purges(lua_State *L) { luaL_register(L, NULL, functions); }
