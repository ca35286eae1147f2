-- SPDX-License-Identifier: Apache-2.0
-- activated: luajit activated.lua FDS PROGRAM ARGUMENTS...: what systemd does for a service with sockets. The program
-- gets the descriptors of FDS ("7,9") as its own from 3 on, and is told so.
local ffi = require "ffi"
ffi.cdef [[
  int dup2(int, int); int getpid(void); int setenv(const char *, const char *, int);
  int execvp(const char *, const char *const *);
]]

local count = 0
for fd in arg[1]:gmatch "%d+" do
  ffi.C.dup2(tonumber(fd), 100 + count)
  count = count + 1
end
for i = 0, count - 1 do ffi.C.dup2(100 + i, 3 + i) end
ffi.C.setenv("LISTEN_FDS", tostring(count), 1)
ffi.C.setenv("LISTEN_PID", tostring(ffi.C.getpid()), 1)
local argv = ffi.new("const char *[?]", #arg)
for i = 2, #arg do argv[i - 2] = arg[i] end
ffi.C.execvp(arg[2], argv)
os.exit(127)
