-- SPDX-License-Identifier: Apache-2.0
-- running: a proxy with a pid file, which commands find, and which successors may replace.
local assert = require "luassert"
local cleanup = require "cleanup"
local perilune = require "perilune"
local process = require "process"

local M = {}

M.POLICY = [[
  local perilune = require "perilune"
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    if session:path() == "/slow" then
      perilune.log.info "it has begun"
      repeat perilune.sleep(0.01) until io.open(os.getenv "GO") -- the spec makes the file
    end
    return session:respond { status = 200, body = "ok" }
  end })
]]

--- The result of a command: code, stdout, stderr.
function M.command(pid_file, ...)
  return perilune.run { args = { (...), "--pid-file", pid_file, select(2, ...) }, timeout = 60 }
end

--- Fails where `wanted` does not stand in what a command has said.
function M.has(text, wanted)
  assert.truthy(text:find(wanted, 1, true), ("%q is not in:\n%s"):format(wanted, text))
end

--- Whoever the pid file names is stopped at the end. proxy.go() lets requests for /slow of POLICY end.
---@param options table? words (more arguments), policy (text), env, workers (2), under (words before the program),
--- release (its build without sanitizers)
---@return table proxy, string pid_file, string path of the policy
function M.start(options)
  options = options or {}
  local directory = process.directory()
  local path = process.write_file(directory .. "/policy.lua", options.policy or M.POLICY)
  local pid_file = directory .. "/pid"
  local args = { "run", "--workers", tostring(options.workers or 2), "--pid-file", pid_file }
  for _, word in ipairs(options.words or {}) do args[#args + 1] = word end
  args[#args + 1] = path
  local env = { GO = directory .. "/go" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local proxy = perilune.start { args = args, env = env, under = options.under, release = options.release }
  function proxy.go() process.write_file(env.GO, "") end
  cleanup.add(1, function()
    if io.open(pid_file) then M.command(pid_file, "stop", "--now") end
  end)
  return proxy, pid_file, path
end

return M
