// SPDX-License-Identifier: Apache-2.0
// commands: the commands of the command socket (command.h), one line each.
#ifndef PERILUNE_RUNTIME_COMMANDS_H
#define PERILUNE_RUNTIME_COMMANDS_H

#include "runtime/command.h"

command_obey commands_obey;

#endif
