-- SPDX-License-Identifier: Apache-2.0
-- preload: a library of C that takes the place of calls of the system, for machines that lack what this one has. It is
-- for the release build: sanitizers want to be the first library.
local process = require "process"

local M = {}

--- Compiles `source`. The environment that puts the library before all others, and a folder that is the spec's.
---@return table env, string directory
function M.library(source)
  local directory = process.directory()
  local library = directory .. "/preloaded.so"
  local path = process.write_file(directory .. "/preloaded.c", "#define _GNU_SOURCE\n#include <dlfcn.h>\n" .. source)
  assert(os.execute(("cc -shared -fPIC -o '%s' '%s' -ldl"):format(library, path)) == 0)
  return { LD_PRELOAD = library }, directory
end

--- The same of a source that asks is_on("NAME"): is there a file of that name in the folder now?
function M.failing(source)
  local env, directory = M.library([[
    #include <stdio.h>
    #include <stdlib.h>
    #include <unistd.h>
    static int is_on(const char *call) {
      char path[4096];
      snprintf(path, sizeof path, "%s/%s", getenv("FAIL_DIRECTORY"), call);
      return access(path, F_OK) == 0;
    }
  ]] .. source)
  env.FAIL_DIRECTORY = directory
  return env, directory
end

return M
