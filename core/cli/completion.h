// SPDX-License-Identifier: Apache-2.0
// completion: scripts that complete the command line in a shell, from the tables of words.
#ifndef PERILUNE_CLI_COMPLETION_H
#define PERILUNE_CLI_COMPLETION_H

#include <stdbool.h>
#include <stdio.h>

/* "bash", "zsh" or "fish". False: there is no other. */
bool completion_print(FILE *out, const char *shell);

#endif
