// SPDX-License-Identifier: Apache-2.0
// replay_command: `perilune replay`: what a policy decides for the requests of a recording.
#ifndef PERILUNE_CLI_REPLAY_COMMAND_H
#define PERILUNE_CLI_REPLAY_COMMAND_H

#include "cli/arguments.h"
#include "runtime/policy.h"

/* The exit code: 0: the same decisions, 1: others, 2: it could not be done. `kind` is that of the scripts. */
int replay_command(struct arguments *a, const struct policy_kind *kind);

#endif
