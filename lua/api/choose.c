// SPDX-License-Identifier: Apache-2.0
// choose: the functions that choose a backend of a set, one for each algorithm. The choice of a hook is noted in
// its exchange, so that the attempt at that address is counted at the backend and reports its result to it,
// without any action of the policy.
#include "shared/choose.h"

#include "lua/api/backends.h"
#include "lua/vm/handle.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/timer.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"

/* In the exchange's arena. */
struct chosen {
  struct at_end at_end;
  struct chosen *before;
  struct backends_view *view; /* reference */
  uint64_t version;           /* of the view, in which `index` was it */
  unsigned index;
};

static const char *const names[] = {
#define X(name) #name,
    ALGORITHM_TABLE(X)
#undef X
};

/* --- the choice ----------------------------------------------------------------------------------------- */

static void forget(struct at_end *at_end) { backends_view_release(((struct chosen *)at_end)->view); }

static void note(lua_State *L, struct script *script, struct backends_view *view, unsigned index) {
  script_lend(L, script, sizeof(struct chosen));
  struct chosen *chosen = arena_alloc(&script->x->arena, sizeof *chosen);
  *chosen = (struct chosen){
      .before = script->chosen, .view = backends_view_hold(view), .version = view->version, .index = index};
  script->chosen = chosen;
  script_at_end(script, &chosen->at_end, forget);
}

/* The address on top of the stack; one that is not in the list excludes nothing. -1 +0 */
static void exclude(lua_State *L, const struct backends_view *view, unsigned *excluded, unsigned *count) {
  struct str address;
  if (lua_type(L, -1) != LUA_TSTRING)
    handle_raise(L, "select: 'exclude' must be an address or a list of addresses");
  address.ptr = lua_tolstring(L, -1, &address.len);
  int index = backends_find(view, address);
  if (index != BACKEND_NONE) excluded[(*count)++] = (unsigned)index;
  lua_pop(L, 1);
}

/* options.exclude, options at `index`; memory on the stack. -0 +1 */
static void read_excluded(lua_State *L, int index, const struct backends_view *view, struct choice *choice) {
  unsigned count = 0;
  lua_getfield(L, index, "exclude");
  unsigned most = lua_istable(L, -1) ? (unsigned)lua_objlen(L, -1) : 1;
  unsigned *excluded = lua_newuserdata(L, (most ? most : 1) * sizeof *excluded);
  lua_insert(L, -2);
  if (lua_istable(L, -1)) {
    for (unsigned i = 1; i <= most; i++) {
      lua_rawgeti(L, -1, (int)i);
      exclude(L, view, excluded, &count);
    }
    lua_pop(L, 1);
  } else if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
  } else {
    exclude(L, view, excluded, &count);
  }
  choice->excluded = excluded;
  choice->excluded_count = count;
}

/* Those at `index`, if there are any; memory on the stack. -0 +1 | -0 +0 */
static void read_options(lua_State *L, int index, const struct backends_view *view, struct choice *choice) {
  int type = lua_type(L, index);
  if (type == LUA_TTABLE)
    read_excluded(L, index, view, choice);
  else if (type != LUA_TNIL && type != LUA_TNONE)
    handle_raise(L, "select: options must be a table, got a %s value", lua_typename(L, type));
}

/* -0 +0 */
static void read_key(lua_State *L, enum algorithm algorithm, struct choice *choice) {
  bool needs_key =
      algorithm == ALGORITHM_hash || algorithm == ALGORITHM_consistent || algorithm == ALGORITHM_bounded;
  if (!needs_key) return;
  if (lua_isnoneornil(L, 2)) handle_raise(L, "select: this set chooses by a key: select(key)");
  choice->key = text_at(L, 2);
}

/* Nil and why nobody was chosen. -0 +2 */
static int push_refusal(lua_State *L, struct task *running, const struct backends_handle *handle,
                        const struct choice *choice) {
  enum error refusal = choice->overloaded ? ERROR_OVERLOADED : ERROR_NO_BACKEND;
  if (running) {
    running->refusal = refusal;
    choice_explain(handle->view, choice, registry_name(handle->shared.entry), running->refused);
  }
  return push_nil_why(L, error_info(refusal)->text);
}

/* core.choices.<algorithm>(backends, key, options): address, position; or nil and why there is none. -3 +2 */
static int choose(lua_State *L, enum algorithm algorithm) {
  struct task *running = vm_of(L)->running;
  struct backends_handle *handle = backends_check(L);
  struct choice choice = {.tried = running && running->script ? &running->script->x->tried : NULL};
  read_key(L, algorithm, &choice);
  read_options(L, 3, handle->view, &choice);
  choice.takes_no_turn = vm_of(L)->loading && shared_is_foreign(L, &handle->shared);
  int index = backends_choose(handle->view, algorithm, &choice);
  if (index == BACKEND_NONE) return push_refusal(L, running, handle, &choice);
  if (running && running->script) note(L, running->script, handle->view, (unsigned)index);
  backends_push_address(L, handle, (unsigned)index);
  lua_pushinteger(L, index + 1);
  return 2;
}

#define X(name)                                                                                              \
  static int choose_##name(lua_State *L) { return choose(L, ALGORITHM_##name); }
ALGORITHM_TABLE(X)
#undef X

static const lua_CFunction functions[] = {
#define X(name) choose_##name,
    ALGORITHM_TABLE(X)
#undef X
};

/* --- the lease ------------------------------------------------------------------------------------------ */

static int index_of(struct chosen *chosen, struct str address) {
  backends_look(chosen->view);
  if (chosen->view->version != chosen->version) return backends_find(chosen->view, address);
  bool is_same = str_equal(backends_at(chosen->view, chosen->index)->address, address);
  return is_same ? (int)chosen->index : BACKEND_NONE;
}

/* The latest choice of that address counts: two sets may both have it. */
void backends_lease(struct script *script, struct str address) {
  struct exchange *x = script->x;
  for (struct chosen *chosen = script->chosen; chosen; chosen = chosen->before) {
    int index = index_of(chosen, address);
    if (index == BACKEND_NONE) continue;
    lease_begin(&x->now.lease, chosen->view, (unsigned)index, loop_now_us(x->proxy->loop));
    tried_add(&x->tried, backends_at(chosen->view, (unsigned)index)->hash);
    return;
  }
}

void backends_add_choices(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    lua_pushcfunction(L, functions[i]);
    lua_setfield(L, -2, names[i]);
  }
  lua_setfield(L, -2, "choices");
}
