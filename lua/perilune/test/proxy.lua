-- SPDX-License-Identifier: Apache-2.0
-- proxy: starts the real binary on free ports, and stops it: the one that PERILUNE names, else the one that runs the
-- tests. A test fails when it ends with another exit code than 0 or when a sanitizer has reported anything.
local cleanup = require "perilune.test.cleanup"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"
local sys = require "perilune.test.sys"

local M = {}
local SANITIZER_REPORTS = { "ERROR: %w+Sanitizer", "WARNING: ThreadSanitizer", "runtime error:" }

--- The sanitizer build; and the release build, for what is said of memory, which sanitizers multiply.
M.binary = os.getenv "PERILUNE" or package.loaded["perilune.core"] and sys.own_binary()
  or "build/san-address-undefined/perilune"
M.release_binary = os.getenv "PERILUNE_RELEASE" or "build/perilune"

---@class proxy: process
---@field port integer of the first TCP listener
---@field admin_port integer? of the status page
---@field ports integer[] of all TCP listeners, in the order of the policy
local Proxy = setmetatable({}, { __index = process.class })
Proxy.__index = Proxy

--- What it has logged so far (standard error).
function Proxy:log() return self:stderr() end

--- Waits until the log has `pattern`, and returns what it captures.
---@param from integer? where to begin, counted in bytes, e.g. #proxy:log() + 1 before
function Proxy:wait_log(pattern, timeout, from)
  local captures
  scheduler.eventually(function()
    captures = { self:log():match(pattern, from) }
    if captures[1] ~= nil then return true end
    if self:exit_code() then error(("it has ended with code %d:\n%s"):format(self.code, self:log()), 0) end
  end, timeout, "a line with " .. pattern .. " in the log:\n" .. self:log())
  return unpack(captures)
end

--- In how many lines of the log a pattern stands.
function Proxy:count_log(pattern)
  local count = 0
  for line in self:log():gmatch "[^\n]+" do
    if line:find(pattern) then count = count + 1 end
  end
  return count
end

local function find_ports(self)
  self.ports = {}
  for address in self:log():gmatch "listening on (%S+)" do
    local port = address:match ":(%d+)$"
    if port then self.ports[#self.ports + 1] = tonumber(port) end
  end
  self.port = self.ports[1]
  self.admin_port = tonumber(self:log():match "status page on http://%S+:(%d+)")
end

local function check_end(self)
  local log = self:log()
  for _, pattern in ipairs(SANITIZER_REPORTS) do
    local at = log:find(pattern)
    if at then error("a sanitizer reported:\n" .. log:sub(at):gsub("\nShadow bytes around.*", ""), 0) end
  end
  if self.code == 0 then return end
  error(("the proxy ended with code %d; end of its log:\n%s"):format(self.code, log:sub(-4000)), 0)
end

--- Stops it gracefully (TERM) and checks how it ended. The second call does nothing.
function Proxy:stop(timeout)
  if self.is_stopped then return end
  self.is_stopped = true
  self:signal "TERM"
  self:wait(timeout or 45) -- the grace period is 30 s
  check_end(self)
end

--- For specs that let it end in another way: its exit code is not checked, but sanitizers are.
function Proxy:ended(timeout)
  self.is_stopped = true
  local code = self:wait(timeout)
  self.code = 0
  check_end(self)
  return code
end

local function arguments_of(options, directory)
  if options.args then return options.args end
  local arguments
  if options.to then
    arguments = { "proxy", "--listen", options.listen or "127.0.0.1:0", "--to", table.concat(options.to, ",") }
  else
    arguments = { "run", options.script or process.write_file(directory .. "/policy.lua", options.policy) }
  end
  if options.workers then
    table.insert(arguments, 2, "--workers")
    table.insert(arguments, 3, tostring(options.workers))
  end
  for _, argument in ipairs(options.settings or {}) do arguments[#arguments + 1] = argument end
  return arguments
end

-- The proxy writes a byte when it is ready. True, or nil where it has ended before.
local function wait_ready(pipe, timeout)
  local ready = scheduler.wait(pipe, sys.READ, sys.now() + (timeout or scheduler.TIMEOUT))
  local byte = ready and sys.read(pipe)
  sys.close(pipe)
  return byte == "1"
end

local function command_of(options, directory)
  local command = { unpack(options.under or {}) }
  command[#command + 1] = options.release and M.release_binary or M.binary
  for _, word in ipairs(arguments_of(options, directory)) do command[#command + 1] = word end
  return command
end

local function start_process(command, options, directory)
  local env, pipe, other_end = {}, sys.pipe()
  for name, value in pairs(options.env or {}) do env[name] = value end
  if options.args then -- may be a daemon: that says so itself
    sys.close(pipe)
    pipe = nil
  else
    env.PERILUNE_READY_FD = tostring(other_end)
  end
  local process_of_it = process.start(command, { env = env, directory = directory })
  sys.close(other_end)
  return process_of_it, pipe
end

--- Starts a proxy and waits until it is ready. One of:
---   policy (text of a script), script (path), to (list of addresses: `perilune proxy`), args (all arguments)
--- and: workers, settings (more arguments, e.g. { "--admin", "127.0.0.1:0" }), env, listen (with `to`), release (true:
--- the release build), under (words before the binary, e.g. { "prlimit", "--nofile=64" }), timeout.
---@return proxy
function M.start(options)
  local directory = process.directory()
  local self, pipe = start_process(command_of(options, directory), options, directory)
  setmetatable(self, Proxy)
  M.latest = self
  cleanup.add(2, function()
    local ok, message = pcall(self.stop, self)
    if self:exit_code() == nil then self:kill() end
    if not ok then error(message, 0) end
  end)
  if pipe then wait_ready(pipe, options.timeout) end
  local ok, message = pcall(self.wait_log, self, " (ready)[:\n]", options.timeout)
  if not ok then
    self.is_stopped = true
    self:kill()
    error(message, 2)
  end
  find_ports(self)
  return self
end

--- Runs the binary to its end: for commands, and for what must not start.
---@return table result code, stdout, stderr
function M.run(...)
  local options = type((...)) == "table" and (...) or { args = { ... } }
  local directory = process.directory()
  return process.run(command_of(options, directory), {
    env = options.env, directory = directory, timeout = options.timeout,
  })
end

return M
