// SPDX-License-Identifier: Apache-2.0
// background: a count in three places: for the vm, for the policy's use, and for the worker.
#include "lua/vm/background.h"

#include "base/check.h"
#include "base/log.h"
#include "lua/vm/vm.h"
#include "exchange/hooks.h"
#include "exchange/proxy.h"

void background_begin(struct vm *vm) {
  struct policy_use *use = vm->host.use;
  CHECK(vm->background.state != BACKGROUND_CUT);
  vm->background.under_way++;
  if (vm->host.proxy) proxy_begin_background(vm->host.proxy);
  if (!use) return;
  use->exchanges++;
  use->jobs++;
}

void background_end(struct vm *vm) {
  struct policy_use *use = vm->host.use;
  CHECK(vm->background.under_way > 0);
  vm->background.under_way--;
  if (use) {
    CHECK(use->jobs > 0 && use->exchanges >= use->jobs);
    use->jobs--;
    if (--use->exchanges == 0 && use->on_unused) use->on_unused(use);
  }
  if (vm->host.proxy) proxy_end_background(vm->host.proxy);
}

void background_report(struct vm *vm) {
  unsigned count = vm->background.dropped;
  vm->background.dropped = 0;
  if (count)
    log_warn(
        "%u functions of perilune.after that were due later are dropped, for their policy ends; one with a "
        "parameter is called at once instead, with true",
        count);
}
