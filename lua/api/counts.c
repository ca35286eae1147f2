// SPDX-License-Identifier: Apache-2.0
// counts: core.counts, which rate_limit.new is built on: how many requests of a key are in the current window. The
// counts are exact, and shared by all workers.
#include "shared/counts.h"

#include "lua/api/fields.h"
#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct counts_config {
  uint64_t interval_ms;
  unsigned keys;
  const struct clock *clock;
};

static void *make(const void *config) {
  const struct counts_config *wanted = config;
  return counts_new(wanted->interval_ms, wanted->keys, wanted->clock);
}
static void release(void *object) { counts_free(object); }

/* If a reload makes it larger or smaller, it starts empty. */
static bool fits(const void *object, const void *config) {
  const struct counts_config *wanted = config;
  return counts_interval_ms(object) == wanted->interval_ms && counts_keys(object) == wanted->keys;
}
static const struct registry_kind kind = {"counts", make, release, fits, NULL};

/* core.counts(interval, keys, name) -3 +1 */
static int new_counts(lua_State *L) {
  lua_Number interval = luaL_checknumber(L, 1), keys = luaL_checknumber(L, 2);
  if (!(interval >= 0.001 && interval <= 1e6))
    return handle_raise(L, "rate_limit.new: interval must be from 0.001 to 1000000 seconds");
  if (!(keys >= 1 && keys <= COUNTS_KEYS_MOST))
    return handle_raise(L, "rate_limit.new: keys must be from 1 to %d", COUNTS_KEYS_MOST);
  shared_check_room(L, "rate_limit.new", "keys", keys, COUNTS_KEY_BYTES);
  struct counts_config config = {(uint64_t)(interval * 1000 + 0.5), (unsigned)keys, vm_of(L)->host.clock};
  lua_settop(L, 3);
  shared_push(L, HANDLE_COUNTS, &kind, 3, &config);
  return 1;
}

/* counts:add(key): how many there are in the current window, this one included. -2 +1 */
static int add(lua_State *L) {
  struct shared *shared = handle_check(L, 1, HANDLE_COUNTS);
  struct str key;
  key.ptr = luaL_checklstring(L, 2, &key.len);
  lua_pushnumber(L, (lua_Number)counts_add(shared->object, key, 1));
  return 1;
}

/* core.count_field(message, name, counts): counts:add of the field's value; nothing where there is no such field.
 * For scripts/rate_limit.lua: the value need not become a string of Lua's. -3 +1 | -3 +0 */
static int count_field(lua_State *L) {
  const struct body *body;
  struct str key;
  const struct headers *headers = message_fields(L, &body);
  struct shared *shared = handle_check(L, 3, HANDLE_COUNTS);
  if (!fields_look(L, headers, body, text_at(L, 2), &key)) return 0;
  lua_pushnumber(L, (lua_Number)counts_add(shared->object, key, 1));
  return 1;
}

static const luaL_Reg methods[] = {{"add", add}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"counts", new_counts}, {"count_field", count_field}, {NULL, NULL}};

void open_counts(lua_State *L) {
  handle_define(L, HANDLE_COUNTS, "perilune.counts", methods, NULL);
  handle_set_end(L, HANDLE_COUNTS, shared_end);
  luaL_register(L, NULL, functions);
}
