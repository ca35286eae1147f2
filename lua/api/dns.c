// SPDX-License-Identifier: Apache-2.0
// dns: names for policies: core.dns_open starts a lookup, core.dns_wait parks the task, core.dns_result
// returns the result. lua/perilune/dns.lua calls them. An answer of c-ares exists only during the callback, in
// which no Lua may run; so it is copied.
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "lua/api/dns.h"
#include "lua/api/options.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "net/resolver.h"
#include "exchange/proxy.h"

struct lookup {
  struct handle handle;
  struct resolver_query *query; /* while it runs */
  struct task *task;            /* borrowed; that waits for it */
  struct resolver_answer answer;
  struct addr *addresses;            /* owned; of the answer, or */
  struct resolver_service *services; /* owned */
  char why[80];
};

/* --- open ----------------------------------------------------------------------------------------------- */

static void *copy(const void *from, size_t bytes) {
  void *to = memory_alloc(bytes);
  memcpy(to, from, bytes);
  return to;
}

static void on_done(void *owner, const struct resolver_answer *answer) {
  struct lookup *lookup = owner;
  lookup->query = NULL;
  lookup->answer = *answer;
  if (answer->addresses)
    lookup->addresses = copy(answer->addresses, answer->count * sizeof *answer->addresses);
  if (answer->services) lookup->services = copy(answer->services, answer->count * sizeof *answer->services);
  snprintf(lookup->why, sizeof lookup->why, "%s", answer->why ? answer->why : "");
  if (lookup->task) task_wake_soon(lookup->task);
  lookup->task = NULL;
}

/* core.dns_open(name, port, family, fresh): its addresses with the port; without a port its services. -4 +1 */
static int dns_open(lua_State *L) {
  struct resolver_question question = {
      .host = luaL_checkstring(L, 1),
      .port = (unsigned short)luaL_optinteger(L, 2, 0),
      .family = (enum resolver_family)luaL_checkoption(L, 3, "any", option_families),
      .is_fresh = lua_toboolean(L, 4)};
  task_to_park(L, "perilune.dns");
  struct resolver *resolver = vm_of(L)->host.proxy->resolver;
  struct lookup *lookup = handle_new(L, HANDLE_LOOKUP, sizeof *lookup);
  lookup->query = question.port ? resolver_lookup(resolver, &question, on_done, lookup)
                                : resolver_lookup_services(resolver, &question, on_done, lookup);
  return 1;
}

/* --- wait and result ------------------------------------------------------------------------------------ */

static void cancel(void *what) {
  struct lookup *lookup = what;
  lookup->task = NULL;
  if (lookup->query) resolver_cancel(lookup->query);
  lookup->query = NULL;
}

/* core.dns_wait(lookup) -1 +0 (yields) */
static int dns_wait(lua_State *L) {
  struct lookup *lookup = handle_check(L, 1, HANDLE_LOOKUP);
  lookup->task = task_to_park(L, "perilune.dns");
  return task_wait(L, cancel, lookup);
}

/* -0 +1 */
static void push_address(lua_State *L, const struct addr *addr) {
  char text[ADDR_TEXT];
  lua_pushlstring(L, text, addr_format(addr, text));
}

/* { address = "name:80", priority = 1, weight = 5 } -0 +1 */
static void push_service(lua_State *L, const struct resolver_service *service) {
  lua_createtable(L, 0, 3);
  push_address(L, &service->address);
  lua_setfield(L, -2, "address");
  lua_pushinteger(L, service->priority);
  lua_setfield(L, -2, "priority");
  lua_pushinteger(L, service->weight);
  lua_setfield(L, -2, "weight");
}

/* core.dns_result(lookup): the list and its time to live in seconds, or nil and why. -1 +2 */
static int dns_result(lua_State *L) {
  const struct lookup *lookup = handle_check(L, 1, HANDLE_LOOKUP);
  if (lookup->answer.count == 0) return push_nil_why(L, lookup->why);
  lua_createtable(L, (int)lookup->answer.count, 0);
  for (unsigned i = 0; i < lookup->answer.count; i++) {
    if (lookup->services)
      push_service(L, &lookup->services[i]);
    else
      push_address(L, &lookup->addresses[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_pushinteger(L, (lua_Integer)lookup->answer.ttl_s);
  return 2;
}

/* A coroutine that waited for it may be gone, and not its task. */
static void end(void *ended) {
  struct lookup *lookup = ended;
  if (lookup->task) task_wake_soon(lookup->task);
  cancel(lookup);
  free(lookup->addresses);
  free(lookup->services);
  lookup->addresses = NULL;
  lookup->services = NULL;
}

/* core.dns_set_servers("127.0.0.1:53,[::1]"): true, or nil and why. A setting of the generation: they are asked once it
 * is in force, by all its workers (dns_start). -1 +2 */
static int dns_set_servers(lua_State *L) {
  struct vm *vm = vm_of(L);
  const char *servers = luaL_checkstring(L, 1);
  char *why = NULL;
  if (!vm->loading)
    return handle_raise(L,
                        "dns.set_servers is for the policy's main chunk, not for hooks and background work");
  if (!resolver_check_servers(servers, &why)) return push_true_or_owned(L, why);
  free(vm->name_servers);
  vm->name_servers = str_to_cstring(str_of(servers));
  lua_pushboolean(L, true);
  return 1;
}

void dns_start(struct vm *vm) {
  char *why = NULL;
  if (!vm->host.proxy || resolver_set_servers(vm->host.proxy->resolver, vm->name_servers, &why)) return;
  log_error("dns.set_servers: '%s': %s", vm->name_servers, why);
  free(why);
}

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"dns_open", dns_open},
                                     {"dns_wait", dns_wait},
                                     {"dns_result", dns_result},
                                     {"dns_set_servers", dns_set_servers},
                                     {NULL, NULL}};

void open_dns(lua_State *L) {
  handle_define(L, HANDLE_LOOKUP, "perilune.lookup", no_methods, NULL);
  handle_set_end(L, HANDLE_LOOKUP, end);
  luaL_register(L, NULL, functions);
}
