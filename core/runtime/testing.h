// SPDX-License-Identifier: Apache-2.0
// testing: the environment for tests of policies: one worker, which is also the control worker, in the calling
// thread, without sockets, in virtual time.
#ifndef PERILUNE_RUNTIME_TESTING_H
#define PERILUNE_RUNTIME_TESTING_H

#include "runtime/policy.h"

/* Loads the source, which runs the tests, and closes it. False: *why is a malloc'd message. */
bool testing_run(const struct policy_source *source, char **why);

#endif
