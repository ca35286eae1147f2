// SPDX-License-Identifier: Apache-2.0
// private_files: a test may run a policy while a proxy serves with the same policy (perilune.test.harness). If the
// environment variable PERILUNE_PRIVATE_FILES names a directory, the policy's files (pid_file, socket, logs) are
// written there, under the last part of their names; settings that would change the process (daemon, user, group) are
// ignored.
#ifndef PERILUNE_LUA_PRIVATE_FILES_H
#define PERILUNE_LUA_PRIVATE_FILES_H

#include <lua.h>
#include <stdbool.h>

/* Of a file or the target of a log: where it lies then, or the same text. stdout and stderr stay; syslog becomes a
 * file. -0 +1 */
const char *private_file(lua_State *L, const char *target);
/* Is the value of this setting the name of a file or the target of a log? */
bool private_is_file(int config_id);
/* Is this setting left out? */
bool private_leaves_out(int config_id);

#endif
