// SPDX-License-Identifier: Apache-2.0
// testing: runs lua/perilune/test/runner.lua. It does not run as a task: the tests start tasks, and wait for
// them by letting virtual time pass; so nothing in them can wait by itself.
#include "lua/test/testing.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "lua/api/timer.h"
#include "lua/vm/cap.h"
#include "lua/vm/policy.h"
#include "lua/vm/state.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "runtime/server.h"
#include "runtime/testing.h"

/* What a test run may hold: harnesses keep whole bodies. */
#define MEMORY_CAP_BYTES ((size_t)2 << 30)

struct run {
  char **words; /* borrowed */
  int exit_code;
};

/* require "perilune.test.runner" (words): the exit code. The run is the light userdata at 1. */
static int run_tests(lua_State *L) {
  struct run *run = lua_touserdata(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "perilune.test.runner");
  lua_call(L, 1, 1);
  lua_newtable(L);
  for (int i = 0; run->words[i]; i++) {
    lua_pushstring(L, run->words[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_call(L, 1, 1);
  run->exit_code = (int)lua_tointeger(L, -1);
  return 0;
}

static void *load(const void *source, const struct policy_host *host, char **why) {
  struct run *const *run = source;
  struct policy *policy = memory_zalloc(sizeof *policy);
  policy->vm = state_new(host, policy, "", why);
  if (policy->vm) {
    cap_set(policy->vm, MEMORY_CAP_BYTES);
    jobs_start(policy->vm);
    *why = task_protect(policy->vm, run_tests, *run);
  }
  if (!*why) return policy;
  lua_policy.close(policy);
  return NULL;
}

static void end(void *policy) { lua_policy.close(policy); }

static const struct policy_kind kind = {.load = load, .close = end};

int testing_main(char **words) {
  struct run run = {words, EXIT_FAILED};
  struct run *source = &run;
  char *why = NULL;
  if (!testing_run(&(struct policy_source){&kind, &source, "test"}, &why)) {
    fprintf(stderr, "perilune: %s\n", why);
    free(why);
    return EXIT_FAILED;
  }
  return run.exit_code;
}
