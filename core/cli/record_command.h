// SPDX-License-Identifier: Apache-2.0
// record_command: `perilune record`: writes what a proxy tells of its requests into a file (shared/recording.h).
#ifndef PERILUNE_CLI_RECORD_COMMAND_H
#define PERILUNE_CLI_RECORD_COMMAND_H

#include "cli/arguments.h"

/* The exit code. */
int record_command(struct arguments *a);

#endif
