// SPDX-License-Identifier: Apache-2.0
// policy: loads a script, keeps its listeners, starts and ends its background work. Loading opens nothing, so a
// policy that fails to load leaves no trace, and `perilune check` only has to load it.
#include "lua/vm/policy.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "lua/api/dns.h"
#include "lua/api/shared.h"
#include "lua/api/timer.h"
#include "lua/api/trace.h"
#include "lua/vm/debugger.h"
#include "lua/vm/evaluation.h"
#include "lua/vm/fence.h"
#include "lua/vm/limits.h"
#include "lua/vm/line_watch.h"
#include "lua/vm/modules.h"
#include "lua/vm/profiler.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/state.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"

static void *load(const void *source, const struct policy_host *host, char **why);
static void *load_text(const void *source, const struct policy_host *host, char **why);
static bool adopt(void *policy, const struct policy_host *host);
static void around_fork(const void *source, bool is_over);
static struct policy_listener *listeners(void *policy, unsigned *count);
static void bind(void *policy, struct ev_loop *loop, struct proxy *proxy);
static void start(void *policy);
static void retire(void *policy);
static void cut(void *policy);
static char *files(void *policy);
static char *faults(void *policy, char **doubts);
static void end(void *policy);
static size_t memory(void *policy);
static const char *profile(void *policy, struct profile *into);
static void lines(void *policy, void (*on_line)(void *owner, const char *place), void *owner);
static void reseed(void *policy, uint64_t seed);
static void evaluate(void *policy, const char *text, policy_evaluated *on_end, void *owner);

#define POLICY_KIND(loads)                                                                                   \
  {                                                                                                          \
    .adopt = adopt, .fork = around_fork, .load = loads, .listeners = listeners, .bind = bind,                \
    .start = start, .retire = retire, .cut = cut, .files = files, .close = end, .memory = memory,            \
    .doing = watch_doing, .hurry = watch_hurry_loads, .faults = faults, .profile = profile,                  \
    .end_profile = profiler_end, .lines = lines, .reseed = reseed, .debug = debugger_obey,                   \
    .evaluate = evaluate                                                                                     \
  }
const struct policy_kind lua_policy = POLICY_KIND(load);
const struct policy_kind lua_text_policy = POLICY_KIND(load_text);

/* Compiles the script of the policy that is the light userdata at 1. -1 +1 */
static int compile(lua_State *L) {
  const struct policy *policy = lua_touserdata(L, 1);
  if (policy->text) {
    lua_pushfstring(L, "=%s", policy->script);
    if (luaL_loadbufferx(L, policy->text, strlen(policy->text), lua_tostring(L, -1), "t") != 0)
      return lua_error(L);
  } else if (fence_load_file(L, policy->script) != 0) {
    return lua_error(L);
  }
  return 1;
}

/* One line of a message: where `require` has looked is cut off, other line ends become spaces. */
static char *in_one_line(char *message) {
  char *places = strstr(message, ":\n\tno f");
  if (places) *places = '\0';
  for (char *c = message; *c; c++)
    if (*c == '\n' || *c == '\t') *c = ' ';
  return message;
}

/* Runs the function on top of the task's stack and leaves its results there. NULL or a malloc'd message. */
static char *run(struct task *task, int arguments) {
  char place[256];
  if (task_start(task, arguments) == TASK_DONE) return NULL;
  char *why = in_one_line(task_error(task, false).text);
  if (task_error_has_place(why) || !task_error_place(task, place, sizeof place)) return why;
  char *placed = why_text("%s: %s", place, why);
  free(why);
  return placed;
}

/* A message that does not name the script, as of error("...", 0), is put behind its name. Takes over `why`. */
static char *in_script(const char *path, char *why) {
  if (!why || strstr(why, path)) return why;
  char *text = why_text("%s: %s", path, why);
  free(why);
  return text;
}

static char *run_script(struct policy *policy) {
  struct task *task = task_new(policy->vm, NULL, NULL);
  if (!task) return why_text("no memory to run the policy");
  lua_pushcfunction(task->co, compile);
  lua_pushlightuserdata(task->co, policy);
  char *why = run(task, 1);
  if (!why) why = run(task, 0);
  task_free(task);
  return in_script(policy->script, why);
}

static char *check_listeners(const struct policy *policy, const char *path) {
  if (policy->count > 0) return NULL;
  return why_text("%s: the policy never calls perilune.listen", path);
}

static bool mentions_tls(const char *path) {
  char bytes[1 << 15];
  int file = safe_open_to_read(path);
  ssize_t length = file >= 0 ? read(file, bytes, sizeof bytes) : 0;
  if (file >= 0) close(file);
  if (length <= 0) return false;
  return memmem(bytes, (size_t)length, "tls", 3) || memmem(bytes, (size_t)length, "https", 5);
}

/* Peers are made by hooks, which cannot wait for the system's store of certificates: a policy that speaks of TLS has it
 * loaded here, where nobody waits. */
static void prepare_trust(struct policy *policy, const struct policy_host *host) {
  char *lines = host->is_control && !host->is_check ? files(policy) : NULL, *why = NULL;
  struct str rest = str_of(lines), path;
  bool found = false;
  while (lines && !found && str_split(&rest, '\n', &path)) {
    char *name = str_to_cstring(path);
    found = path.len && !str_starts_with(path, policy->vm->library) && mentions_tls(name);
    free(name);
  }
  free(lines);
  if (!found) return;
  tls_context_release(tls_context_client(&(struct tls_client_options){.ca = STR("")}, &why));
  free(why);
}

static void *load_script(const char *script, const char *text, const struct policy_host *host, char **why) {
  struct policy *policy = memory_zalloc(sizeof *policy);
  arena_init_roaming(&policy->arena); /* loaded by one thread, closed by another */
  policy->script = script;
  policy->text = text;
  policy->vm = state_new(host, policy, script, why);
  if (policy->vm) {
    limits_begin_load(policy->vm);
    *why = run_script(policy);
    limits_end_load(policy->vm);
    watch_loaded(policy->vm);
    if (!*why) *why = check_listeners(policy, script);
    if (!*why) prepare_trust(policy, host);
    tracing_apply(policy);
    task_collect(policy->vm); /* what compiling has left is nearly half of a small policy's memory */
  }
  if (!*why) return policy;
  end(policy);
  return NULL;
}

static void *load(const void *source, const struct policy_host *host, char **why) {
  return load_script(source, NULL, host, why);
}

static void *load_text(const void *source, const struct policy_host *host, char **why) {
  const struct policy_text *text = source;
  return load_script(text->name, text->text, host, why);
}

static bool adopt(void *policy, const struct policy_host *host) {
  struct vm *vm = ((struct policy *)policy)->vm;
  struct policy_use *use = vm->host.use;
  CHECK(!vm->started && !vm->loading && !host->config);
  if (vm->workers_told && vm->workers_told != host->workers) return false;
  vm->host = *host;
  vm->host.use = use;
  if (!vm->host.clock) vm->host.clock = &clock_system;
  return true;
}

static void around_fork(const void *source, bool is_over) {
  (void)source;
  watch_fork(is_over);
}

static struct policy_listener *listeners(void *policy, unsigned *count) {
  *count = ((struct policy *)policy)->count;
  return ((struct policy *)policy)->listeners;
}

static void bind(void *policy, struct ev_loop *loop, struct proxy *proxy) {
  struct vm *vm = ((struct policy *)policy)->vm;
  vm->host.loop = loop;
  vm->host.proxy = proxy;
  tasks_bind(vm);
  jobs_bind(vm);
  debugger_begin(vm);
}

static void start(void *policy) {
  struct vm *vm = ((struct policy *)policy)->vm;
  dns_start(vm);
  shared_start(vm);
  jobs_start(vm);
}

static void retire(void *policy) { jobs_retire(((struct policy *)policy)->vm); }

static void cut(void *policy) { jobs_cut(((struct policy *)policy)->vm); }

/* What `require`, dofile and loadfile have found so far, as a text of lines. */
static const char list_files[] = "local read, lines = ..., {}\n"
                                 "for file in pairs(read) do lines[#lines + 1] = file .. '\\n' end\n"
                                 "for name in pairs(package.loaded) do\n"
                                 "  local file = package.searchpath(name, package.path)\n"
                                 "  if file then lines[#lines + 1] = file .. '\\n' end\n"
                                 "end\n"
                                 "return table.concat(lines)\n";

/* Puts a malloc'd copy of the text where the light userdata at 1 points. -1 +0 */
static int copy_files(lua_State *L) {
  char **text = lua_touserdata(L, 1);
  push_code(L, list_files);
  modules_push_files(L);
  lua_call(L, 1, 1);
  *text = str_to_cstring(str_of(lua_tostring(L, -1)));
  return 0;
}

static void put_file(FILE *out, struct str file) {
  if (file.len && !tls_is_text(file)) fprintf(out, "%.*s\n", STR_ARG(file));
}

static void put_certificates(FILE *out, const struct tls_server_options *tls) {
  for (unsigned i = 0; i < tls->count; i++) {
    put_file(out, tls->certificates[i].certificate);
    put_file(out, tls->certificates[i].key);
    put_file(out, tls->certificates[i].ocsp);
  }
  put_file(out, tls->client_ca);
}

/* The script first, then the modules, then what its listeners show. */
static char *files(void *loaded) {
  struct policy *policy = loaded;
  char *modules = NULL, *text = NULL, *why = task_protect(policy->vm, copy_files, &modules);
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  if (!policy->text) fprintf(out, "%s\n", policy->script);
  fprintf(out, "%s", modules ? modules : "");
  for (unsigned i = 0; i < policy->count; i++) put_certificates(out, &policy->listeners[i].tls);
  fclose(out);
  free(modules);
  free(why);
  return text;
}

/* --- a closer look ------------------------------------------------------------------------------------------ */

struct look {
  struct policy *policy;
  const char *files;
  char *faults, *doubts; /* malloc'd; NULL: none */
};

/* All hooks of all listeners as { { name = ..., fn = ..., listener = number }, ... } -0 +1 */
static void push_hooks(lua_State *L, const struct policy *policy) {
  int count = 0;
  lua_newtable(L);
  for (unsigned i = 0; i < policy->count; i++) {
    const struct lua_hooks *hooks = script_hooks(policy->listeners[i].hooks);
    for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
      if (!hooks->each[hook].function) continue;
      lua_createtable(L, 0, 3);
      lua_pushstring(L, hook_name(hook));
      lua_setfield(L, -2, "name");
      lua_rawgeti(L, LUA_REGISTRYINDEX, hooks->each[hook].function);
      lua_setfield(L, -2, "fn");
      set_number(L, "listener", i + 1);
      lua_rawseti(L, -2, ++count);
    }
  }
}

/* Of files beyond that the hooks alone are looked at, but by `check`: what a program has written, such as a table of
 * 100,000 rows, is not to load slower for it. */
enum { LOOK_MOST_BYTES = 128 << 10 };
/* What the look leaves is much of a small policy's memory, and little of a large one's, where collecting takes long. */
enum { COLLECT_MOST_BYTES = 8 << 20 };

/* faults, doubts = require("perilune.lint").look(files, hooks, most_bytes) -1 +0 */
static int look_closer(lua_State *L) {
  struct look *look = lua_touserdata(L, 1);
  push_function(L, "perilune.lint", "look");
  lua_pushstring(L, look->files);
  push_hooks(L, look->policy);
  lua_pushnumber(L, look->policy->vm->host.is_check ? HUGE_VAL : LOOK_MOST_BYTES);
  lua_call(L, 3, 2);
  if (lua_objlen(L, -2)) look->faults = str_to_cstring(str_of(lua_tostring(L, -2)));
  if (lua_objlen(L, -1)) look->doubts = str_to_cstring(str_of(lua_tostring(L, -1)));
  return 0;
}

static char *faults(void *loaded, char **doubts) {
  struct policy *policy = loaded;
  char *lines = files(policy);
  struct look look = {.policy = policy, .files = lines};
  char *why = task_protect(policy->vm, look_closer, &look);
  free(lines);
  *doubts = look.doubts;
  if (policy->vm->memory.used_bytes < COLLECT_MOST_BYTES) task_collect(policy->vm);
  if (!why || look.faults) return look.faults;
  return why; /* the look itself failed: that must not pass for a policy without faults */
}

static void end(void *closing) {
  struct policy *policy = closing;
  if (policy->vm) state_free(policy->vm);
  arena_free(&policy->arena);
  free(policy->listeners);
  free(policy);
}

static size_t memory(void *policy) { return ((struct policy *)policy)->vm->memory.used_bytes; }

static const char *profile(void *policy, struct profile *into) {
  return profiler_begin(((struct policy *)policy)->vm, into);
}

static void lines(void *policy, void (*on_line)(void *owner, const char *place), void *owner) {
  line_watch(((struct policy *)policy)->vm, on_line, owner);
}

/* math.randomseed(the number that is the light userdata at 1), unless the policy has put a function of its own there.
 * -1 +0 */
static int seed_math(lua_State *L) {
  const uint64_t *seed = lua_touserdata(L, 1);
  lua_getglobal(L, "math");
  if (!lua_istable(L, -1)) return 0;
  lua_pushliteral(L, "randomseed");
  lua_rawget(L, -2);
  if (!lua_iscfunction(L, -1)) return 0;
  lua_pushnumber(L, (lua_Number)*seed);
  lua_call(L, 1, 0);
  return 0;
}

static void reseed(void *policy, uint64_t seed) {
  struct vm *vm = ((struct policy *)policy)->vm;
  if (!vm->lost.why) free(task_protect(vm, seed_math, &seed));
}

/* -0 +1 */
static void push_own_hooks(lua_State *L, void *unused) {
  (void)unused;
  push_hooks(L, vm_of(L)->policy);
}

static void evaluate(void *policy, const char *text, policy_evaluated *on_end, void *owner) {
  evaluation_of_text(((struct policy *)policy)->vm, text, push_own_hooks, on_end, owner);
}

struct policy_listener *policy_add_listener(struct policy *policy) {
  if (policy->count == policy->cap) {
    policy->cap = policy->cap ? policy->cap * 2 : 4;
    policy->listeners = memory_realloc(policy->listeners, policy->cap * sizeof *policy->listeners);
  }
  struct policy_listener *listener = &policy->listeners[policy->count++];
  *listener = (struct policy_listener){0};
  return listener;
}
