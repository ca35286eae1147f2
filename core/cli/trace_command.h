// SPDX-License-Identifier: Apache-2.0
// trace_command: `perilune trace`.
#ifndef PERILUNE_CLI_TRACE_COMMAND_H
#define PERILUNE_CLI_TRACE_COMMAND_H

struct arguments;

int trace_command(struct arguments *a);

#endif
