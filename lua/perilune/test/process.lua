-- SPDX-License-Identifier: Apache-2.0
-- process: programs that specs start, with their output in files. While a spec waits for one, origins go on.
local cleanup = require "perilune.test.cleanup"
local lfs = require "lfs"
local scheduler = require "perilune.test.scheduler"
local sys = require "perilune.test.sys"

local M = {}
local SIGNALS = { HUP = 1, INT = 2, QUIT = 3, KILL = 9, USR1 = 10, USR2 = 12, TERM = 15, CONT = 18, STOP = 19 }
local count = 0

--- A fresh directory for one program's files.
function M.directory()
  count = count + 1
  local path = cleanup.directory() .. "/" .. count
  assert(lfs.mkdir(path))
  return path
end

function M.read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

function M.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

---@class process
---@field pid integer
---@field directory string
local Process = {}
Process.__index = Process
M.class = Process

--- Starts a program. options: env, directory.
---@return process
function M.start(arguments, options)
  options = options or {}
  local self = setmetatable({ directory = options.directory or M.directory() }, Process)
  self.stdout_file, self.stderr_file = self.directory .. "/stdout", self.directory .. "/stderr"
  self.pid = assert(sys.spawn(arguments, { stdout = self.stdout_file, stderr = self.stderr_file, env = options.env }))
  return self
end

function Process:stdout() return M.read_file(self.stdout_file) end
function Process:stderr() return M.read_file(self.stderr_file) end

--- nil while it runs, then its exit code, or minus the signal that ended it.
function Process:exit_code()
  if not self.code then self.code = sys.exit_code(self.pid) end
  return self.code
end

--- Waits for its end; after the time it is killed, and that is an error.
function Process:wait(timeout)
  timeout = timeout or scheduler.TIMEOUT
  local ok = pcall(scheduler.eventually, function() return self:exit_code() end, timeout)
  if ok then return self.code end
  self:kill()
  error(("did not end within %g s; its output:\n%s%s"):format(timeout, self:stdout(), self:stderr()), 2)
end

-- A thread on another processor runs on for a moment, and may answer somebody, before the signal reaches it.
local function stands_still(pid)
  local folder = ("/proc/%d/task"):format(pid)
  if not lfs.attributes(folder) then return true end
  for thread in lfs.dir(folder) do
    local state = M.read_file(("%s/%s/stat"):format(folder, thread)):match "%) (%a)"
    if state and not state:find "[TtZX]" then return false end
  end
  return true
end

--- "TERM", "HUP", ...; behind "STOP" all of its threads stand still.
function Process:signal(name)
  if self:exit_code() ~= nil then return end
  sys.kill(self.pid, assert(SIGNALS[name], name))
  if name == "STOP" then scheduler.eventually(function() return stands_still(self.pid) end) end
end

function Process:kill()
  self:signal "KILL"
  while self:exit_code() == nil do scheduler.sleep(0.005) end
end

--- Bytes of resident memory.
function Process:rss()
  local status = M.read_file("/proc/" .. self.pid .. "/status")
  local kilobytes = assert(status:match "VmRSS:%s*(%d+) kB", "the process is gone")
  return tonumber(kilobytes) * 1024
end

--- How many descriptors lead to what `fits` (its name, as readlink gives it).
local function count_descriptors(pid, fits)
  local directory, found = "/proc/" .. pid .. "/fd/", 0
  for name in lfs.dir(directory) do
    local target = lfs.symlinkattributes(directory .. name, "target") -- nil: closed in between, or "." and ".."
    if target and fits(target) then found = found + 1 end
  end
  return found
end

--- Number of open descriptors.
function Process:open_files()
  return count_descriptors(self.pid, function() return true end)
end

--- Number of open sockets.
function Process:open_sockets()
  return count_descriptors(self.pid, function(target) return target:find "^socket:" end)
end

--- Runs a program to its end.
---@return table result code, stdout, stderr
function M.run(arguments, options)
  local process = M.start(arguments, options)
  cleanup.add(2, function() process:kill() end)
  local code = process:wait(options and options.timeout)
  return { code = code, stdout = process:stdout(), stderr = process:stderr() }
end

return M
