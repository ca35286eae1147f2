-- SPDX-License-Identifier: Apache-2.0
-- blocked: a proxy one of whose workers is held in a call that nothing interrupts, until proxy.go() or the spec's end.
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local running = require "running"
local scheduler = require "scheduler"

local M = {}

--- For a hook of (session).
M.BLOCK = [[
  if session:path() == "/block" then
    os.execute("until [ -e '" .. os.getenv "GO" .. "' ]; do sleep 0.05; done")
  end
]]

--- Has an admin listener; its policy has BLOCK in it.
---@param options table policy, workers, words: as running.start takes them
---@return table proxy, string pid_file, string path of the policy
function M.start(options)
  local words = { "--admin", "127.0.0.1:0", unpack(options.words or {}) }
  local proxy, pid_file, path = running.start { workers = options.workers, policy = options.policy, words = words }
  cleanup.add(1, proxy.go) -- also where a spec fails: nothing is left running
  return proxy, pid_file, path
end

--- Blocks a worker. The connection whose request does.
function M.ask(proxy)
  local connection = client.connect(proxy.port)
  connection:send "GET /block HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
  return connection
end

--- Waits until another worker accepts for a blocked one, and returns that as status.json has it.
function M.await_helper(proxy)
  return scheduler.eventually(function()
    for _, worker in ipairs(metrics.status(proxy).workers) do
      if worker.is_stuck and worker.helper then return worker end
    end
  end, 10, "a stuck worker that has a helper")
end

return M
