-- SPDX-License-Identifier: Apache-2.0
-- shortage: a machine that lacks something while a spec says so: calls of the system fail by chance (shortage.c).
local ffi = require "ffi"
local process = require "process"

local M = {}
local RECORD = 16 -- bytes: how many of a thousand, with what, how often it has failed

-- As in shortage.c.
local CALLS = { "socket", "connect", "accept", "send", "sendmsg", "recv", "read", "write", "writev", "open", "pipe",
  "dup", "epoll_ctl", "eventfd", "memfd", "pread", "pwrite", "truncate", "rename", "fsync", "mmap", "sendfile",
  "opendir", "inotify", "setsockopt", "thread", "fork", "fstat", "mkdir", "unlink", "mkstemp", "bind", "splice" }
M.codes = { EMFILE = 24, ENFILE = 23, ENOBUFS = 105, ENOMEM = 12, EADDRNOTAVAIL = 99, ENOSPC = 28,
  EIO = 5, EAGAIN = 11 }

local Shortage = {}
Shortage.__index = Shortage

local function number(value) return ffi.string(ffi.new("uint32_t[1]", value), 4) end

local function index_of(call)
  for i, name in ipairs(CALLS) do
    if name == call then return i - 1 end
  end
  error("no such call: " .. call, 3)
end

--- `share` (0 to 1) of these calls fail from now on, with a code such as "EMFILE".
function Shortage:begin(call, code, share)
  local file = assert(io.open(self.path, "r+b"))
  file:seek("set", index_of(call) * RECORD)
  file:write(number(share * 1000), number(assert(M.codes[code], code)), number(0))
  file:close()
end

--- All calls work again.
function Shortage:over()
  for _, call in ipairs(CALLS) do
    local file = assert(io.open(self.path, "r+b"))
    file:seek("set", index_of(call) * RECORD)
    file:write(number(0))
    file:close()
  end
end

--- How often the call has failed since it began to.
function Shortage:count(call)
  local bytes = process.read_file(self.path)
  local at = index_of(call) * RECORD + 8
  return tonumber(ffi.cast("const uint32_t *", bytes:sub(at + 1, at + 4))[0])
end

--- What a process is started with, that it can be told to lack something.
function M.new()
  local directory = process.directory()
  local library, path = directory .. "/shortage.so", directory .. "/calls"
  assert(os.execute(("cc -shared -fPIC -O1 -o '%s' spec/support/shortage.c -ldl"):format(library)) == 0)
  process.write_file(path, ("\0"):rep(RECORD * #CALLS))
  -- A sanitizer wants to be the first library; that ours is in front of it does no harm.
  local options = os.getenv "ASAN_OPTIONS"
  return setmetatable({ path = path, env = { LD_PRELOAD = library, SHORTAGE = path,
    ASAN_OPTIONS = (options and options .. ":" or "") .. "verify_asan_link_order=0" } }, Shortage)
end

return M
