// SPDX-License-Identifier: Apache-2.0
// names: what steps and hooks are called, in logs, metrics and traces, and by policies.
#include "exchange/exchange.h"
#include "exchange/walk.h"

static const struct str step_names[] = {
#define X(name) {#name, sizeof #name - 1},
    STEP_TABLE(X)
#undef X
};

static const char *const hook_names[] = {
#define X(name) #name,
    HOOK_TABLE(X) BODY_HOOK_TABLE(X) GREETING_HOOK_TABLE(X)
#undef X
};

struct str exchange_step_name(enum exchange_step step) {
  return step_names[step];
}

const char *hook_name(enum hook hook) { return hook_names[hook]; }
