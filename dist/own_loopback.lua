-- SPDX-License-Identifier: Apache-2.0
-- Runs a command with a network of its own, which has nothing but loopback. Specs run side by side, and a port that one
-- has left (an origin that was stopped under load) is a free one for the next: its clients would then ask the wrong
-- server. Only root may do that; others, and whoever may not bring loopback up, run the command in the network that is
-- there.
--   luajit dist/own_loopback.lua COMMAND WORD...
local ffi = require "ffi"

ffi.cdef [[
int unshare(int flags);
int setns(int fd, int type);
int open(const char *path, int flags, ...);
int socket(int domain, int type, int protocol);
int ioctl(int fd, unsigned long request, void *what);
int close(int fd);
int execvp(const char *file, char *const argv[]);
typedef struct { char name[16]; short flags; char rest[22]; } interface_flags;
]]
local C = ffi.C
local CLONE_NEWNET, AF_INET, SOCK_DGRAM, SIOCSIFFLAGS = 0x40000000, 2, 2, 0x8914
local IFF_UP, IFF_RUNNING, O_CLOEXEC = 0x1, 0x40, 0x80000

local function bring_up(name)
  local fd = C.socket(AF_INET, SOCK_DGRAM, 0)
  local flags = ffi.new("interface_flags", { name = name, flags = IFF_UP + IFF_RUNNING })
  local is_up = fd >= 0 and C.ioctl(fd, SIOCSIFFLAGS, flags) == 0
  C.close(fd)
  return is_up
end

local before = C.open("/proc/self/ns/net", O_CLOEXEC)
if C.unshare(CLONE_NEWNET) == 0 and not bring_up "lo" then
  assert(C.setns(before, CLONE_NEWNET) == 0, "the loopback interface does not come up, and there is no way back")
end
C.close(before)
local words = ffi.new("const char *[?]", #arg + 1)
for i, word in ipairs(arg) do words[i - 1] = word end
C.execvp(arg[1], ffi.cast("char *const *", words))
error("cannot run " .. arg[1])
