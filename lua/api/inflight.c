// SPDX-License-Identifier: Apache-2.0
// inflight: perilune.inflight(name): counts current exchanges by key, for all workers together. The hard problem is
// that each count must be released. So the exchange, not the policy, keeps a list of what it has acquired, and
// releases it when it ends, in whatever way, unless `release` was called before.
#include "shared/inflight.h"

#include <math.h>

#include "lua/api/session.h"
#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/script.h"
#include "lua/vm/text.h"
#include "exchange/exchange.h"

static void *make(const void *keys) { return inflight_new(*(const unsigned *)keys); }
static void release_object(void *object) { inflight_free(object); }
/* What is under way goes on to count in the table that it began in. */
static bool fits(const void *object, const void *keys) {
  return inflight_keys(object) == *(const unsigned *)keys;
}
static const struct registry_kind kind = {"inflight", make, release_object, fits, NULL};

/* One acquire, in the exchange's arena. */
struct hold {
  struct at_end at_end;
  struct inflight *inflight; /* borrowed from the handle, which stays */
  struct str key;            /* arena */
  struct inflight_hold held;
  bool released;
};

static void end_hold(struct hold *hold) {
  if (!hold->released) inflight_release(hold->inflight, &hold->held);
  hold->released = true;
}

static void on_exchange_end(struct at_end *at_end) { end_hold((struct hold *)at_end); }

/* core.inflight(keys, name): for each name once. It lives as long as the vm, since exchanges point to it. -2 +1 */
static int new_inflight(lua_State *L) {
  lua_Number wanted = luaL_checknumber(L, 1);
  if (!(wanted >= 1 && wanted <= INFLIGHT_KEYS_MOST))
    return handle_raise(L, "perilune.inflight: keys must be from 1 to %d", INFLIGHT_KEYS_MOST);
  shared_check_room(L, "perilune.inflight", "keys", wanted, INFLIGHT_KEY_BYTES);
  unsigned keys = (unsigned)wanted;
  shared_push(L, HANDLE_INFLIGHT, &kind, 2, &keys);
  lua_pushvalue(L, -1);
  luaL_ref(L, LUA_REGISTRYINDEX);
  return 1;
}

/* --- arguments: inflight, session, key ------------------------------------------------------------------ */

/* -0 +0 */
static struct inflight *check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_INFLIGHT))->object;
}

/* -0 +0 */
static struct exchange *check_exchange(lua_State *L) { return session_check(L, 2); }

/* -0 +0 */
static struct str check_key(lua_State *L, int index) {
  struct str key = text_at(L, index);
  return key;
}

/* --- methods -------------------------------------------------------------------------------------------- */

/* inflight:acquire(session, key [, max]): how many there are, this one included; or nil and how many there
 * are, where one more would be more than max -4 +1 | -4 +2 */
static int acquire(lua_State *L) {
  struct inflight *inflight = check(L);
  struct exchange *x = check_exchange(L);
  struct str key = check_key(L, 3);
  lua_Number max = luaL_optnumber(L, 4, 9e15);
  if (!(max >= 0)) return handle_raise(L, "inflight:acquire: max must be a number, 0 or more");
  script_lend(L, x->script, sizeof(struct hold) + key.len);
  struct hold *hold = arena_zalloc(&x->arena, sizeof *hold);
  hold->inflight = inflight;
  hold->key = arena_dup(&x->arena, key);
  int64_t count = inflight_acquire(inflight, key, max < 9e15 ? (int64_t)max : INT64_MAX, &hold->held);
  if (count > 0) {
    script_at_end(x->script, &hold->at_end, on_exchange_end);
    lua_pushnumber(L, (lua_Number)count);
    return 1;
  }
  lua_pushnil(L);
  lua_pushnumber(L, (lua_Number)-count);
  return 2;
}

/* inflight:release(session, key): before the exchange's end; whether there was one -3 +1 */
static int release(lua_State *L) {
  struct inflight *inflight = check(L);
  const struct script *script = check_exchange(L)->script;
  struct str key = check_key(L, 3);
  bool found = false;
  for (struct at_end *at = script->at_end; at && !found; at = at->next) {
    struct hold *hold = (struct hold *)at;
    if (at->run != on_exchange_end || hold->released || hold->inflight != inflight) continue;
    found = str_equal(hold->key, key);
    if (found) end_hold(hold);
  }
  lua_pushboolean(L, found);
  return 1;
}

/* inflight:count(key) -2 +1 */
static int count(lua_State *L) {
  struct inflight *inflight = check(L);
  lua_pushnumber(L, (lua_Number)inflight_count(inflight, check_key(L, 2)));
  return 1;
}

static const luaL_Reg methods[] = {
    {"acquire", acquire}, {"release", release}, {"count", count}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"inflight", new_inflight}, {NULL, NULL}};

void open_inflight(lua_State *L) {
  handle_define(L, HANDLE_INFLIGHT, "perilune.inflight", methods, NULL);
  handle_set_end(L, HANDLE_INFLIGHT, shared_end);
  luaL_register(L, NULL, functions);
}
