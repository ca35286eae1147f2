// SPDX-License-Identifier: Apache-2.0
// private_files: tests run a policy beside the proxy that serves by it (perilune.test.harness). Where the environment
// names a directory in PERILUNE_PRIVATE_FILES, the files that the policy has written (pid_file, socket, logs) lie in
// it, by the last part of their names; and what would change the process (daemon, user, group) is left out.
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
