// SPDX-License-Identifier: Apache-2.0
// files_command: `perilune files DIR`: the command line as a policy, a script of a few lines.
#ifndef PERILUNE_CLI_FILES_COMMAND_H
#define PERILUNE_CLI_FILES_COMMAND_H

#include "cli/arguments.h"

/* The script, malloc'd. NULL: what is wrong was said. */
char *files_script(const struct arguments *a);

#endif
