// SPDX-License-Identifier: Apache-2.0
// code_lines: which lines of a Lua file a debugger can stop at: those with code in a function. What runs while the file
// is loaded, which is the rest of it, cannot be stopped.
#ifndef PERILUNE_LUA_CODE_LINES_H
#define PERILUNE_LUA_CODE_LINES_H

#include <stdbool.h>

#include "runtime/policy.h"

/* False: *why is a malloc'd sentence, which names the nearest lines where there are some. In any thread. */
bool code_lines_has(const char *path, unsigned line, char **why);
/* Reads "FILE:LINE": the file is looked for beside the script, and from here. False: *why is a malloc'd message. The
 * texts of *point are the caller's. */
bool code_lines_point(const char *text, const char *script, struct breakpoint *point, char **why);

#endif
