// SPDX-License-Identifier: Apache-2.0
// policy: a script loaded for a unit, and exchanges made by hand to call its hooks with: no sockets, no
// proxy.
#ifndef PERILUNE_SPEC_POLICY_H
#define PERILUNE_SPEC_POLICY_H

#include "lua/vm/policy.h"
#include "net/timer.h"
#include "exchange/stream.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "unit.h"

struct policy_under_test {
  char path[UNIT_PATH_BYTES]; /* of the script, until policy_close */
  struct ev_loop *loop;
  struct proxy proxy;
  struct registry *registry;
  struct policy_host host;
  struct policy *policy; /* NULL: refused, why says why */
  char *why;
  const struct policy_listener *listeners;
  unsigned listener_count;
};

/* Runs the script as the only worker, which is the control worker. */
void policy_open(struct policy_under_test *t, const char *script);
void policy_close(struct policy_under_test *t);

/* GET `target` for Example.org:8080, under the hooks of the first listener, begun. */
struct exchange *exchange_open(struct policy_under_test *t, const char *target);
/* Calls a hook as the proxy does. After HOOK_WAIT, x->hook_state becomes HOOK_FINISHED once it is woken. */
enum hook_status exchange_call(struct exchange *x, enum hook hook, hook_fn *function);
#define CALL(x, name) exchange_call((x), HOOK_##name, (x)->hooks->name)
/* Ends it, and frees it. */
void exchange_close(struct exchange *x);

#endif
