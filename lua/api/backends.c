// SPDX-License-Identifier: Apache-2.0
// backends: a set of addresses that all workers share, with weights, health and counts. Positions in Lua
// count from 1. The list may change while the policy runs, so methods take addresses as well, and each looks
// for a new list first. Addresses are kept as Lua strings in the handle's environment, so that choosing one
// makes no new string.
#include "lua/api/backends.h"

#include <sys/random.h>

#include "base/random.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"
#include "net/addr.h"

/* --- new ------------------------------------------------------------------------------------------------ */

/* -0 +0 */
static struct str check_address(lua_State *L, int index) {
  struct addr addr;
  const char *why = NULL;
  struct str text = text_at(L, index);
  if (!addr_parse_peer(text, &addr, &why)) handle_raise(L, "backend '%s': %s", text.ptr, why);
  return text;
}

/* Entry `position` of one of the lists, in the table at `index`. -0 +0 */
static unsigned check_number(lua_State *L, int index, const char *list, int position) {
  lua_getfield(L, index, list);
  lua_rawgeti(L, -1, position);
  lua_Number number = luaL_checknumber(L, -1);
  if (!(number >= 0 && number <= BACKENDS_MAX))
    handle_raise(L, "backends: %s must be from 0 to %d", list, (int)BACKENDS_MAX);
  lua_pop(L, 2);
  return (unsigned)number;
}

/* From { addresses = {}, weights = {}, tiers = {} } at `index`, as userdata on top of the stack. -0 +1 */
static struct backend_spec *check_specs(lua_State *L, int index, unsigned *count) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_getfield(L, index, "addresses");
  luaL_checktype(L, -1, LUA_TTABLE);
  *count = (unsigned)lua_objlen(L, -1);
  if (*count > BACKENDS_MAX) handle_raise(L, "a set has at most %d backends", (int)BACKENDS_MAX);
  struct backend_spec *specs = lua_newuserdata(L, (*count ? *count : 1) * sizeof *specs);
  for (unsigned i = 0; i < *count; i++) {
    lua_rawgeti(L, -2, (int)i + 1); /* the string is anchored in its list */
    specs[i].address = check_address(L, -1);
    lua_pop(L, 1);
    specs[i].weight = check_number(L, index, "weights", (int)i + 1);
    specs[i].tier = check_number(L, index, "tiers", (int)i + 1);
  }
  lua_remove(L, -2);
  return specs;
}

static const struct {
  const char *name;
  size_t offset;
} rule_names[] = {
#define RULE(name)                                                                                           \
  { #name, offsetof(struct backend_rules, name) }
    RULE(failures),      RULE(error_percent), RULE(window_ms),     RULE(min_requests),  RULE(eject_ms),
    RULE(eject_most_ms), RULE(eject_percent), RULE(panic_percent), RULE(slow_start_ms), RULE(max_in_flight),
    RULE(max_pending),   RULE(retry_percent), RULE(retry_min),     RULE(retry_all),     RULE(retry_on),
#undef RULE
};

/* What the table at `index` does not have stays 0. lua/perilune/balancer.lua has checked it. -0 +0 */
static struct backend_rules read_rules(lua_State *L, int index) {
  struct backend_rules rules = {0};
  if (lua_isnoneornil(L, index)) return rules;
  luaL_checktype(L, index, LUA_TTABLE);
  for (size_t i = 0; i < sizeof rule_names / sizeof *rule_names; i++) {
    lua_getfield(L, index, rule_names[i].name);
    lua_Number number = luaL_optnumber(L, -1, 0);
    if (!(number >= 0 && number < 4294967296.0))
      handle_raise(L, "backends: bad rule '%s'", rule_names[i].name);
    *(unsigned *)((char *)&rules + rule_names[i].offset) = (unsigned)number;
    lua_pop(L, 1);
  }
  return rules;
}

/* core.rules: what sets do where a policy says nothing; and core.retry_bits: of each status that can be retried, and of
 * "failure". -0 +0 */
static void add_rules(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < sizeof rule_names / sizeof *rule_names; i++) {
    lua_pushnumber(L, *(const unsigned *)((const char *)&backend_rules_default + rule_names[i].offset));
    lua_setfield(L, -2, rule_names[i].name);
  }
  lua_setfield(L, -2, "rules");
  lua_newtable(L);
#define X(status) (lua_pushnumber(L, 1u << RETRY_BIT_##status), lua_rawseti(L, -2, status));
  RETRY_STATUS_TABLE(X)
#undef X
  lua_pushnumber(L, RETRY_ON_FAILURE);
  lua_setfield(L, -2, "failure");
  lua_setfield(L, -2, "retry_bits");
}

static uint64_t random_seed(void) {
  if (virtual_time.is_replay) return 1;
  uint64_t seed = 0;
  if (!random_fill(&seed, sizeof seed, GRND_NONBLOCK)) seed = (uint64_t)(uintptr_t)&seed;
  return seed | 1;
}

/* The policy is in force, and so is the list that it states. -1 +0 */
static int commit(lua_State *L) {
  struct backends_handle *handle = handle_check(L, 1, HANDLE_BACKENDS);
  backends_commit(handle->view);
  return 0;
}

/* With the set alone on its stack. -1 +0 */
static int stage_later(lua_State *L) {
  shared_put_off(L, commit);
  return 0;
}

/* A set in force does not change while the policy loads, or is tried. */
static void stage(lua_State *L, struct backends_handle *handle, const struct backend_spec *specs,
                  unsigned count, const struct backend_rules *rules) {
  handle->view = backends_stage(handle->shared.object, specs, count, rules, random_seed());
  if (!handle->view->is_staged || vm_of(L)->started) return;
  lua_pushcfunction(L, stage_later);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
}

/* core.backends(list, name, rules) -3 +1 */
static int new_backends(lua_State *L) {
  unsigned count;
  lua_settop(L, 3);
  struct backend_rules rules = read_rules(L, 3);
  struct backend_spec *specs = check_specs(L, 1, &count);
  struct backends_handle *handle = handle_new(L, HANDLE_BACKENDS, sizeof *handle);
  shared_take(L, &handle->shared, &backends_kind, 2, vm_of(L)->host.clock);
  backends_name(handle->shared.object, registry_name(handle->shared.entry));
  if (shared_is_staged(L, &handle->shared))
    stage(L, handle, specs, count, &rules);
  else
    handle->view = backends_view(handle->shared.object, specs, count, &rules, random_seed());
  handle->texts_version = UINT64_MAX;
  return 1;
}

static void end(void *ended) {
  struct backends_handle *handle = ended;
  if (handle->view) backends_view_release(handle->view);
  handle->view = NULL;
  shared_end(&handle->shared);
}

/* --- arguments ------------------------------------------------------------------------------------------ */

struct backends_handle *backends_check(lua_State *L) {
  struct backends_handle *handle = handle_check(L, 1, HANDLE_BACKENDS);
  backends_look(handle->view);
  return handle;
}

static struct backends_view *check_view(lua_State *L) { return backends_check(L)->view; }

/* -0 +0 */
static bool is_foreign(lua_State *L) {
  return vm_of(L)->loading && shared_is_foreign(L, handle_check(L, 1, HANDLE_BACKENDS));
}

/* Argument 2: a position, from 1, or an address. */
static struct backend *check_backend(lua_State *L, const struct backends_view *view, unsigned *index) {
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_Integer position = lua_tointeger(L, 2);
    if (position < 1 || (lua_Number)position > backends_count(view))
      handle_raise(L, "there is no backend %d", (int)position);
    *index = (unsigned)position - 1;
    return backends_at(view, *index);
  }
  struct str address = {NULL, 0};
  if (lua_type(L, 2) == LUA_TSTRING) address.ptr = lua_tolstring(L, 2, &address.len);
  if (!address.ptr) handle_raise(L, "expected a backend's position or address, got %s", luaL_typename(L, 2));
  int found = backends_find(view, address);
  if (found == BACKEND_NONE) handle_raise(L, "there is no backend '%s'", address.ptr);
  *index = (unsigned)found;
  return backends_at(view, *index);
}

/* All at once, so that a choice need not look whether its own is there. -0 +0 */
static void make_texts(lua_State *L, struct backends_handle *handle) {
  unsigned count = backends_count(handle->view);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    struct str address = backends_at(handle->view, i)->address;
    lua_pushlstring(L, address.ptr, address.len);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfenv(L, 1);
  handle->texts_version = handle->view->version;
}

void backends_push_address(lua_State *L, struct backends_handle *handle, unsigned index) {
  if (handle->texts_version != handle->view->version) make_texts(L, handle);
  lua_getfenv(L, 1);
  lua_rawgeti(L, -1, (int)index + 1);
}

/* --- methods -------------------------------------------------------------------------------------------- */

/* backends:publish(list): in force for all workers; true where that is put off. -2 +0 | -2 +1 */
static int publish(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned count;
  if (is_foreign(L)) {
    check_specs(L, 2, &count);
    lua_settop(L, 2);
    shared_put_off(L, publish);
    lua_pushboolean(L, 1);
    return 1;
  }
  struct backend_spec *specs = check_specs(L, 2, &count);
  backends_publish(view->set, specs, count);
  return 0;
}

/* backends:prepare(): for choices by a circle, which is made here instead of by the first request. -1 +0 */
static int prepare(lua_State *L) {
  backends_make_rings(check_view(L));
  return 0;
}

/* backends:set_start(healthy): what those are taken for that were not checked yet. -2 +0 */
static int set_start(lua_State *L) {
  struct backends_view *view = check_view(L);
  luaL_checktype(L, 2, LUA_TBOOLEAN);
  if (is_foreign(L))
    shared_put_off(L, set_start);
  else
    backends_set_start(view->set, lua_toboolean(L, 2));
  return 0;
}

/* backends:find(address): its position, or nil. -2 +1 */
static int find(lua_State *L) {
  struct backends_view *view = check_view(L);
  struct str address = text_at(L, 2);
  int found = backends_find(view, address);
  if (found == BACKEND_NONE) return 0;
  lua_pushinteger(L, found + 1);
  return 1;
}

/* backends:set_healthy(backend, healthy): did that change anything? -3 +1 */
static int set_healthy(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned index;
  luaL_checktype(L, 3, LUA_TBOOLEAN);
  const struct backend *backend = check_backend(L, view, &index);
  bool healthy = lua_toboolean(L, 3);
  if (is_foreign(L)) {
    shared_put_off(L, set_healthy);
    lua_pushboolean(L, atomic_load(&backend->healthy) != healthy);
    return 1;
  }
  lua_pushboolean(L, backends_set_healthy(view, index, healthy));
  return 1;
}

/* backends:report_failure(backend): one more failure, as of a request -2 +0 */
static int report_failure(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned index;
  struct backend *backend = check_backend(L, view, &index);
  if (is_foreign(L))
    shared_put_off(L, report_failure);
  else
    backends_report(view, backend, true);
  return 0;
}

/* -2 +1 */
static int is_healthy(lua_State *L) {
  unsigned index;
  lua_pushboolean(L, atomic_load(&check_backend(L, check_view(L), &index)->healthy));
  return 1;
}

/* Not healthy only, but not ejected either. -2 +1 */
static int is_fit(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned index;
  lua_pushboolean(L, backend_is_fit(check_backend(L, view, &index), backends_now_ms(view->set)));
  return 1;
}

/* backends:set_enabled(backend, enabled) -3 +0 */
static int set_enabled(lua_State *L) {
  unsigned index;
  luaL_checktype(L, 3, LUA_TBOOLEAN);
  struct backend *backend = check_backend(L, check_view(L), &index);
  if (is_foreign(L))
    shared_put_off(L, set_enabled);
  else
    backend_set_enabled(backend, lua_toboolean(L, 3));
  return 0;
}

/* -2 +1 */
static int is_enabled(lua_State *L) {
  unsigned index;
  lua_pushboolean(L, backend_is_enabled(check_backend(L, check_view(L), &index)));
  return 1;
}

/* -2 +1 */
static int weight(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned index;
  check_backend(L, view, &index);
  lua_pushinteger(L, (lua_Integer)view->list->entries[index].weight);
  return 1;
}

/* Requests under way. -2 +1 */
static int in_flight(lua_State *L) {
  unsigned index;
  lua_pushinteger(L, (lua_Integer)atomic_load(&check_backend(L, check_view(L), &index)->in_flight));
  return 1;
}

/* Seconds until a response begins, as peak EWMA; 0 where nothing is known. -2 +1 */
static int latency(lua_State *L) {
  struct backends_view *view = check_view(L);
  unsigned index;
  const struct backend *backend = check_backend(L, view, &index);
  lua_pushnumber(L, backend_latency_us(backend, backends_now_ms(view->set)) / 1e6);
  return 1;
}

/* How many are fit and enabled. -1 +1 */
static int ready_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)backends_ready_count(check_view(L)));
  return 1;
}

/* By which people call the set: also one that the policy gives no name. -1 +1 */
static int name(lua_State *L) {
  struct str text = registry_name(backends_check(L)->shared.entry);
  lua_pushlstring(L, text.ptr, text.len);
  return 1;
}

/* A list of all, which is the caller's. -1 +1 */
static int addresses(lua_State *L) {
  struct backends_handle *handle = backends_check(L);
  unsigned count = backends_count(handle->view);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    backends_push_address(L, handle, i);
    lua_rawseti(L, -3, (int)i + 1);
    lua_pop(L, 1);
  }
  return 1;
}

static const luaL_Reg methods[] = {
    {"name", name},
    {"publish", publish},
    {"prepare", prepare},
    {"set_start", set_start},
    {"find", find},
    {"set_healthy", set_healthy},
    {"is_healthy", is_healthy},
    {"report_failure", report_failure},
    {"is_fit", is_fit},
    {"set_enabled", set_enabled},
    {"is_enabled", is_enabled},
    {"weight", weight},
    {"in_flight", in_flight},
    {"latency", latency},
    {"ready_count", ready_count},
    {"addresses", addresses},
    {NULL, NULL},
};
static const luaL_Reg functions[] = {{"backends", new_backends}, {NULL, NULL}};

void open_backends(lua_State *L) {
  handle_define(L, HANDLE_BACKENDS, "perilune.backends", methods, NULL);
  handle_set_end(L, HANDLE_BACKENDS, end);
  backends_add_choices(L);
  add_rules(L);
  luaL_register(L, NULL, functions);
}
