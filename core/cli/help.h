// SPDX-License-Identifier: Apache-2.0
// help: the tables of words as texts: an overview, all of one command, and a man page.
#ifndef PERILUNE_CLI_HELP_H
#define PERILUNE_CLI_HELP_H

#include <stdio.h>

#include "cli/words.h"

void help_print(FILE *out);
void help_print_command(FILE *out, enum command_id command);
/* In the language of man(7): dist/perilune.1, which `make docs` writes. */
void help_print_man(FILE *out);

#endif
