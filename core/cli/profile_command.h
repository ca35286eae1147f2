// SPDX-License-Identifier: Apache-2.0
// profile_command: `perilune profile`: asks a proxy for a profile, writes it as a picture or as text, and prints the
// lines of the policy that took most.
#ifndef PERILUNE_CLI_PROFILE_COMMAND_H
#define PERILUNE_CLI_PROFILE_COMMAND_H

#include "cli/arguments.h"

/* The exit code. */
int profile_command(struct arguments *a);

#endif
