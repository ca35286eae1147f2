// SPDX-License-Identifier: Apache-2.0
// metrics: counters, gauges and histograms of the policy's own. They are found by their names, so all workers
// share them, and they survive reloads; lua/perilune/metrics.lua checks the arguments.
#include "lua/api/metrics.h"

#include <math.h>

#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "shared/family.h"

struct metric {
  struct shared shared; /* first */
  unsigned worker;
};

static void *make(const void *config) { return family_new(config); }
static void release(void *object) { family_free(object); }
static bool fits(const void *object, const void *config) { return family_fits(object, config); }
static const struct registry_kind kind = {"metric", make, release, fits, NULL};

static const char *const kind_names[] = {"counter", "gauge", "histogram", NULL};
static const char *const kind_methods[] = {"add", "add, set", "observe"};

/* --- new ------------------------------------------------------------------------------------------------ */

/* core.metric(name, kind, help, labels, bounds): lists that were checked. -5 +1 */
static int new_metric(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct family_config config = {.kind = (enum family_kind)luaL_checkoption(L, 2, NULL, kind_names),
                                 .help = text_at(L, 3),
                                 .workers = vm_workers(vm)};
  lua_settop(L, 5);
  config.label_count = (unsigned)lua_objlen(L, 4);
  config.bound_count = (unsigned)lua_objlen(L, 5);
  for (unsigned i = 0; i < config.label_count; i++) {
    lua_rawgeti(L, 4, (int)i + 1);
    config.labels[i] = text_at(L, -1);
  }
  for (unsigned i = 0; i < config.bound_count; i++) {
    lua_rawgeti(L, 5, (int)i + 1);
    config.bounds[i] = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  struct metric *metric = handle_new(L, HANDLE_METRIC, sizeof *metric);
  shared_take(L, &metric->shared, &kind, 1, &config);
  metric->worker = vm->host.worker;
  return 1;
}

struct metric_numbers metric_numbers(lua_State *L, int index, const struct str *values) {
  const struct metric *metric = handle_check(L, index, HANDLE_METRIC);
  struct family *family = metric->shared.object;
  return (struct metric_numbers){family, family_series(family, metric->worker, values)};
}

/* --- counting ------------------------------------------------------------------------------------------- */

static const char *name_of(const struct metric *metric) { return registry_name(metric->shared.entry).ptr; }

/* The metric at 1, which must be of that kind for `method`. -0 +0 */
static struct metric *check(lua_State *L, bool fine[3], const char *method) {
  struct metric *metric = handle_check(L, 1, HANDLE_METRIC);
  enum family_kind own = family_config(metric->shared.object)->kind;
  if (!fine[own])
    handle_raise(L, "%s: a %s has no method '%s': there is %s", name_of(metric), kind_names[own], method,
                 kind_methods[own]);
  return metric;
}

/* "zone, side": the names of a metric's labels. -0 +1 */
static const char *push_labels(lua_State *L, const struct family_config *config) {
  luaL_Buffer list;
  luaL_buffinit(L, &list);
  for (unsigned i = 0; i < config->label_count; i++) {
    luaL_addstring(&list, i ? ", " : "");
    luaL_addlstring(&list, config->labels[i].ptr, config->labels[i].len);
  }
  luaL_pushresult(&list);
  return lua_tostring(L, -1);
}

/* There must be a label value from 3 on for each label of the metric. -0 +0 */
static void check_labels(lua_State *L, const struct metric *metric) {
  const struct family_config *config = family_config(metric->shared.object);
  int given = lua_gettop(L) > 2 ? lua_gettop(L) - 2 : 0;
  if (given != (int)config->label_count)
    handle_raise(L, "%s: expected %d label value%s (%s) behind the number, got %d", name_of(metric),
                 (int)config->label_count, plural(config->label_count), push_labels(L, config), given);
  for (int i = 0; i < given; i++)
    if (!lua_isstring(L, i + 3))
      handle_raise(L, "%s: the value of label '%s' is an argument of its own, a string or a number; got a %s",
                   name_of(metric), config->labels[i].ptr, luaL_typename(L, i + 3));
}

/* The series for the label values from 3 on. NULL: there are too many, or `call` is put off. -0 +0 */
static struct series *series_at(lua_State *L, const struct metric *metric, lua_CFunction call) {
  struct family *family = metric->shared.object;
  struct str values[FAMILY_LABELS];
  unsigned wanted = family_config(family)->label_count;
  check_labels(L, metric);
  for (unsigned i = 0; i < wanted; i++) values[i] = text_at(L, (int)i + 3);
  if (!vm_of(L)->loading || !shared_is_foreign(L, &metric->shared))
    return family_series(family, metric->worker, values);
  shared_put_off(L, call);
  return NULL;
}

/* -0 +0 */
static double number_at_2(lua_State *L, const struct metric *metric, bool is_optional) {
  double number = is_optional ? luaL_optnumber(L, 2, 1) : luaL_checknumber(L, 2);
  if (isnan(number) || isinf(number)) handle_raise(L, "%s: expected a finite number", name_of(metric));
  return number;
}

/* metric:add([n [, label...]]) -n +0 */
static int add(lua_State *L) {
  const struct metric *metric = check(L, (bool[]){true, true, false}, "add");
  struct family *family = metric->shared.object;
  double n = number_at_2(L, metric, true);
  if (n < 0 && family_config(family)->kind == FAMILY_COUNTER)
    return handle_raise(L, "%s: a counter only grows", name_of(metric));
  struct series *series = series_at(L, metric, add);
  if (series) family_add(family, series, n);
  return 0;
}

/* gauge:set(value [, label...]) -n +0 */
static int set(lua_State *L) {
  const struct metric *metric = check(L, (bool[]){false, true, false}, "set");
  double value = number_at_2(L, metric, false);
  struct series *series = series_at(L, metric, set);
  if (series) family_set(metric->shared.object, series, value);
  return 0;
}

/* histogram:observe(value [, label...]) -n +0 */
static int observe(lua_State *L) {
  const struct metric *metric = check(L, (bool[]){false, false, true}, "observe");
  double value = number_at_2(L, metric, false);
  struct series *series = series_at(L, metric, observe);
  if (series) family_observe(metric->shared.object, series, value);
  return 0;
}

static const luaL_Reg methods[] = {{"add", add}, {"set", set}, {"observe", observe}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"metric", new_metric}, {NULL, NULL}};

void open_metrics(lua_State *L) {
  handle_define(L, HANDLE_METRIC, "perilune.metric", methods, NULL);
  handle_set_end(L, HANDLE_METRIC, shared_end);
  luaL_register(L, NULL, functions);
}
