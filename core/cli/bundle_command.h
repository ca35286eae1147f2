// SPDX-License-Identifier: Apache-2.0
// bundle_command: `perilune bundle DIR`: a folder of policy files as one signed file, for `perilune run --bundle`.
#ifndef PERILUNE_CLI_BUNDLE_COMMAND_H
#define PERILUNE_CLI_BUNDLE_COMMAND_H

struct arguments;

/* Returns the exit code; has said what was wrong. */
int bundle_command(struct arguments *a);

#endif
