// SPDX-License-Identifier: Apache-2.0
// policy: see policy.h.
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/registry.h"
#include "unit.h"

void policy_open(struct policy_under_test *t, const char *script) {
  *t = (struct policy_under_test){.loop = ev_loop_new(0)};
  unit_temporary(t->path, "perilune-policy-XXXXXX");
  proxy_init(&t->proxy, t->loop, 0);
  t->registry = registry_new();
  t->host = (struct policy_host){
      .loop = t->loop, .proxy = &t->proxy, .registry = t->registry, .workers = 1, .is_control = true};
  int fd = mkstemp(t->path);
  if (write(fd, script, strlen(script)) < 0) abort();
  close(fd);
  t->policy = lua_policy.load(t->path, &t->host, &t->why);
  if (t->policy) t->listeners = lua_policy.listeners(t->policy, &t->listener_count);
}

void policy_close(struct policy_under_test *t) {
  if (t->policy) lua_policy.close(t->policy);
  unlink(t->path);
  free(t->why);
  registry_free(t->registry);
  proxy_close(&t->proxy);
  proxy_free(&t->proxy);
  ev_loop_destroy(t->loop);
}

struct exchange *exchange_open(struct policy_under_test *t, const char *target) {
  struct exchange *x = memory_zalloc(sizeof *x);
  x->proxy = &t->proxy;
  x->stream = stream_new_alone(x->proxy, NULL, NULL, 0);
  x->hooks = t->listeners[0].hooks;
  x->settings = &t->listeners[0].settings;
  x->request.method_name = STR("GET");
  x->request.method = METHOD_GET;
  x->request.minor = 1;
  x->request.target = str_of(target);
  x->request.authority = STR("Example.org:8080");
  x->times.begun = loop_now_ms(t->loop);
  x->running = true; /* so that a wake is noted and nothing is run */
  headers_init(&x->request.headers, &x->arena);
  headers_init(&x->now.request.headers, &x->arena);
  headers_init(&x->response.headers, &x->arena);
  OBJ_INIT(x, EXCHANGE_MAGIC);
  x->hooks->begin(x);
  return x;
}

enum hook_status exchange_call(struct exchange *x, enum hook hook, hook_fn *function) {
  x->hook = hook;
  x->outcome = (struct hook_outcome){0};
  enum hook_status status = function(x);
  x->hook_state = status == HOOK_WAIT ? HOOK_WAITING : HOOK_IDLE;
  return status;
}

void exchange_close(struct exchange *x) {
  if (x->outcome.peer) peer_release(x->proxy, x->outcome.peer);
  x->hooks->end(x);
  arena_free(&x->arena);
  stream_free_alone(x->stream);
  free(x);
}
