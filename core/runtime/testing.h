// SPDX-License-Identifier: Apache-2.0
// testing: a place for tests of policies: one worker, which is the control worker too, in the calling thread,
// without sockets of its own, on virtual time.
#ifndef PERILUNE_RUNTIME_TESTING_H
#define PERILUNE_RUNTIME_TESTING_H

#include "runtime/policy.h"

/* Loads the source, which runs the tests, and closes it. False: *why is a malloc'd message. */
bool testing_run(const struct policy_source *source, char **why);

#endif
