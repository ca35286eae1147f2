// SPDX-License-Identifier: Apache-2.0
// private_files: the environment is read at each call, that is, each time a policy loads.
#include "lua/api/private_files.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/config.h"

static const char *directory(void) { return getenv("PERILUNE_PRIVATE_FILES"); }

/* "stderr", "stdout:json" */
static bool is_stream(const char *target) {
  bool is_word = strncmp(target, "stdout", 6) == 0 || strncmp(target, "stderr", 6) == 0;
  return is_word && (!target[6] || target[6] == ':');
}

const char *private_file(lua_State *L, const char *target) {
  const char *slash = strrchr(target, '/');
  if (!directory() || !*target || is_stream(target))
    lua_pushstring(L, target);
  else
    lua_pushfstring(L, "%s/%s", directory(), slash ? slash + 1 : target);
  return lua_tostring(L, -1);
}

bool private_is_file(int config_id) {
  return config_id == CONFIG_pid_file || config_id == CONFIG_socket || config_id == CONFIG_error_log ||
         config_id == CONFIG_access_log;
}

bool private_leaves_out(int config_id) {
  return directory() && (config_id == CONFIG_daemon || config_id == CONFIG_user || config_id == CONFIG_group);
}
