// SPDX-License-Identifier: Apache-2.0
// cache_results: reads what the hooks of the cache return into a struct cache_says. A table is read in protected mode:
// its reading may raise, and what is wrong with it is the hook's failure.
#include "lua/vm/cache_results.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "exchange/cache_says.h"
#include "exchange/exchange.h"
#include "http/framing.h"
#include "lua/vm/results.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

static struct cache_says *says_new(struct task *task) {
  struct exchange *x = task->script->x;
  x->outcome.cache = arena_zalloc(&x->arena, sizeof *x->outcome.cache);
  return x->outcome.cache;
}

/* True: it has answered, or said nothing. */
static bool is_settled(struct task *task) {
  bool has_answered = task->script->x->answer != NULL;
  if (has_answered) result_is_answer(task);
  return has_answered || lua_isnoneornil(task->co, 1);
}

/* --- a table ---------------------------------------------------------------------------------------------- */

/* ENTRY_SECONDS and ENTRY_MS: a number of seconds, kept in that unit; ENTRY_NOT: a flag that says the opposite. */
enum entry_kind { ENTRY_SECONDS, ENTRY_MS, ENTRY_BYTES, ENTRY_FLAG, ENTRY_NOT, ENTRY_TEXTS };

/* A name that a table may have. `to`: of the number, flag or array; `told`: of the flag that it is there. */
struct entry {
  const char *name;
  enum entry_kind kind;
  size_t to, told;
};

#define AT(member) offsetof(struct cache_says, member)
static const struct entry of_request[] = {
    {"ttl", ENTRY_SECONDS, AT(ttl_s), AT(has_ttl)},
    {"lock_wait", ENTRY_MS, AT(lock_wait_ms), AT(has_lock_wait)},
    {"max_object", ENTRY_BYTES, AT(object_most), 0},
    {"refresh", ENTRY_FLAG, AT(refreshes), 0},
    {"only_if_cached", ENTRY_FLAG, AT(only_if_cached), 0},
    {"stale", ENTRY_NOT, AT(is_never_stale), 0},
    {0},
};
static const struct entry of_response[] = {
    {"ttl", ENTRY_SECONDS, AT(ttl_s), AT(has_ttl)},
    {"stale_while_revalidate", ENTRY_SECONDS, AT(while_revalidate_s), AT(has_while_revalidate)},
    {"stale_if_error", ENTRY_SECONDS, AT(if_error_s), AT(has_if_error)},
    {"tags", ENTRY_TEXTS, AT(tags), AT(tag_count)},
    {"strip", ENTRY_TEXTS, AT(strip), AT(strip_count)},
    {0},
};
#undef AT

struct reading {
  struct task *task;
  const struct entry *entries;
  struct cache_says *says;
};

/* Raises. */
static void refuse_name(lua_State *L, const struct entry *entries, const char *name) {
  struct nearest n = nearest_to(name);
  for (const struct entry *e = entries; e->name; e++) nearest_offer(&n, e->name);
  luaL_error(L, "there is no '%s' in its result%s%s%s", name, n.found ? ": did you mean " : "",
             n.found ? n.found : "", n.found ? "?" : "");
}

/* Of the value on top. -0 +0 */
static lua_Number number_of(lua_State *L, const struct entry *e, lua_Number most) {
  lua_Number number = lua_tonumber(L, -1);
  bool is_one = lua_type(L, -1) == LUA_TNUMBER && number >= 0 && number <= most;
  if (!is_one)
    luaL_error(L, "'%s' in its result must be a number of %s, 0 or more", e->name,
               e->kind == ENTRY_BYTES ? "bytes" : "seconds");
  return number;
}

static void refuse_texts(lua_State *L, const struct entry *e) {
  luaL_error(L, "'%s' in its result must be an array of at most %d texts without control characters", e->name,
             CACHE_SAYS_MOST);
}

/* The array on top. -0 +0 */
static struct str *texts_of(lua_State *L, const struct entry *e, struct arena *arena, unsigned *count) {
  if (!lua_istable(L, -1) || lua_objlen(L, -1) > CACHE_SAYS_MOST) refuse_texts(L, e);
  *count = (unsigned)lua_objlen(L, -1);
  struct str *texts = arena_alloc(arena, (*count + 1) * sizeof *texts);
  for (unsigned i = 0; i < *count; i++) {
    struct str text = {NULL, 0};
    lua_rawgeti(L, -1, (int)i + 1);
    if (lua_type(L, -1) == LUA_TSTRING) text.ptr = lua_tolstring(L, -1, &text.len);
    if (!text.len || text.len > CACHE_TEXT_MOST || !field_value_is_valid(text)) refuse_texts(L, e);
    texts[i] = arena_dup(arena, text);
    lua_pop(L, 1);
  }
  return texts;
}

/* Of the value on top. -0 +0 */
static bool flag_of(lua_State *L, const struct entry *e) {
  if (!lua_isboolean(L, -1)) luaL_error(L, "'%s' in its result must be true or false", e->name);
  return lua_toboolean(L, -1);
}

static void take_number(const struct reading *r, const struct entry *e, lua_Number number) {
  *(uint32_t *)(void *)((char *)r->says + e->to) = (uint32_t)number;
  *(bool *)((char *)r->says + e->told) = true;
}

/* The value on top. -0 +0 */
static void take(lua_State *L, const struct reading *r, const struct entry *e) {
  char *says = (char *)r->says;
  struct exchange *x = r->task->script->x;
  switch (e->kind) {
  case ENTRY_SECONDS: take_number(r, e, number_of(L, e, INT32_MAX / 1000)); break;
  case ENTRY_MS: take_number(r, e, number_of(L, e, INT32_MAX / 1000) * 1000); break;
  case ENTRY_BYTES: *(uint64_t *)(void *)(says + e->to) = (uint64_t)number_of(L, e, 1e15); break;
  case ENTRY_FLAG: *(bool *)(says + e->to) = flag_of(L, e); break;
  case ENTRY_NOT: *(bool *)(says + e->to) = !flag_of(L, e); break;
  case ENTRY_TEXTS: {
    unsigned *count = (unsigned *)(void *)(says + e->told);
    *(struct str **)(void *)(says + e->to) = texts_of(L, e, &x->arena, count);
    break;
  }
  }
}

/* The table is at 2. -2 +0 */
static int read_table(lua_State *L) {
  const struct reading *r = lua_touserdata(L, 1);
  lua_pushvalue(r->task->co, 1);
  lua_xmove(r->task->co, L, 1);
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    const struct entry *e = r->entries;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "[a key that is no text]";
    while (e->name && strcmp(e->name, name) != 0) e++;
    if (!e->name) refuse_name(L, r->entries, name);
    take(L, r, e);
    lua_pop(L, 1);
  }
  return 0;
}

static void take_table(struct task *task, const struct entry *entries) {
  struct reading r = {task, entries, says_new(task)};
  char *why = task_protect(task->vm, read_table, &r);
  if (why) result_refuse(task, why);
  free(why);
}

/* false, or a table; true, the opposite of false, is the same as nothing. */
static void take_verdict(struct task *task, const struct entry *entries, const char *wanted) {
  if (is_settled(task)) return;
  if (lua_istable(task->co, 1))
    take_table(task, entries);
  else if (!lua_isboolean(task->co, 1))
    result_refuse_type(task, wanted);
  else if (!lua_toboolean(task->co, 1))
    says_new(task)->verdict = CACHE_VERDICT_NO;
}

/* --- the hooks -------------------------------------------------------------------------------------------- */

void result_of_request_cache_filter(struct task *task) {
  take_verdict(task, of_request, "true, false (past the cache), a table of what is different, or nothing");
}

void result_of_response_cache_filter(struct task *task) {
  take_verdict(task, of_response, "true, false (it is not stored), a table that says how it is, or nothing");
}

void result_of_cache_text(struct task *task) {
  struct str text = {NULL, 0};
  if (is_settled(task)) return;
  if (lua_type(task->co, 1) == LUA_TSTRING) text.ptr = lua_tolstring(task->co, 1, &text.len);
  bool is_fine = text.len && text.len <= CACHE_TEXT_MOST && field_value_is_valid(text);
  if (is_fine)
    says_new(task)->text = arena_dup(&task->script->x->arena, text);
  else if (text.ptr)
    result_refuse(task, "its result must have 1 to 8192 characters, none of them a control character");
  else
    result_refuse_type(task, "a text, or nothing,");
}

const char *const cache_force_names[] = {NULL, "fresh", "expired", "miss"};

void result_of_cache_hit_filter(struct task *task) {
  if (is_settled(task)) return;
  const char *name = lua_type(task->co, 1) == LUA_TSTRING ? lua_tostring(task->co, 1) : "";
  unsigned force = CACHE_FORCE_FRESH;
  while (force <= CACHE_FORCE_MISS && strcmp(cache_force_names[force], name) != 0) force++;
  if (force <= CACHE_FORCE_MISS)
    says_new(task)->force = (enum cache_force)force;
  else
    result_refuse(task, "expected \"fresh\", \"expired\", \"miss\" or nothing as its result");
}

void result_of_should_serve_stale(struct task *task) {
  if (lua_isnoneornil(task->co, 1)) return;
  if (!lua_isboolean(task->co, 1)) {
    result_refuse_type(task, "true, false or nothing");
    return;
  }
  says_new(task)->verdict = lua_toboolean(task->co, 1) ? CACHE_VERDICT_YES : CACHE_VERDICT_NO;
}
