// SPDX-License-Identifier: Apache-2.0
// top: `perilune top`.
#ifndef PERILUNE_CLI_TOP_TOP_H
#define PERILUNE_CLI_TOP_TOP_H

struct arguments;

int top_command(struct arguments *a);

#endif
