// SPDX-License-Identifier: Apache-2.0
// Units for runtime/deploy/canary: the verdict.
#include "runtime/deploy/canary.h"

#include "exchange/hooks.h"
#include "unit.h"

static struct policy_tally tally(uint64_t exchanges, uint64_t script_errors, uint64_t server_errors,
                                 uint64_t mean_ms) {
  return (struct policy_tally){exchanges, script_errors, server_errors, exchanges * mean_ms * 1000};
}

static bool is_fault(struct policy_tally old, struct policy_tally new, bool is_over, const char *fault) {
  const char *said = canary_fault(&old, &new, 100, is_over);
  return fault ? said && strstr(said, fault) : !said;
}

IT("finds nothing in a policy that does as well") {
  CHECK(is_fault(tally(1000, 0, 0, 5), tally(50, 0, 0, 5), true, NULL));
  CHECK(is_fault(tally(1000, 0, 50, 5), tally(1000, 0, 55, 5), true, NULL));
}

IT("finds errors before the time is over, once they can hardly be chance") {
  struct policy_tally old = tally(1000, 0, 0, 5);
  CHECK(is_fault(old, tally(19, 19, 19, 5), false, NULL));
  CHECK(is_fault(old, tally(20, 1, 1, 5), false, NULL));
  CHECK(is_fault(old, tally(20, 2, 2, 5), false, "script errors"));
  CHECK(is_fault(old, tally(300, 30, 30, 5), false, "script errors"));
  CHECK(is_fault(old, tally(40, 0, 8, 5), false, "500 and above"));
}

IT("does not blame a policy for what goes wrong with the other as well") {
  CHECK(is_fault(tally(1000, 0, 200, 5), tally(50, 0, 12, 5), false, NULL));
  CHECK(is_fault(tally(1000, 200, 200, 5), tally(100, 20, 20, 5), true, NULL));
}

IT("finds more errors than are allowed when the time is over, however few there were") {
  CHECK(is_fault(tally(1000, 0, 0, 5), tally(20, 1, 1, 5), true, "script errors"));
  CHECK(is_fault(tally(1000, 0, 0, 5), tally(200, 2, 2, 5), true, NULL));
  CHECK(is_fault(tally(1000, 0, 0, 5), tally(200, 0, 3, 5), true, "500 and above"));
}

IT("finds a policy that is slow, when the time is over") {
  CHECK(is_fault(tally(1000, 0, 0, 10), tally(100, 0, 0, 30), true, NULL));
  CHECK(is_fault(tally(1000, 0, 0, 10), tally(100, 0, 0, 50), true, "slow"));
  CHECK(is_fault(tally(1000, 0, 0, 10), tally(100, 0, 0, 50), false, NULL));
}

IT("knows nothing of a policy that nobody came to") {
  CHECK(is_fault(tally(1000, 0, 0, 5), tally(0, 0, 0, 0), true, "no request"));
  CHECK(is_fault(tally(0, 0, 0, 0), tally(0, 0, 0, 0), false, NULL));
}
