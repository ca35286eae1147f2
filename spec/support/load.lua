-- SPDX-License-Identifier: Apache-2.0
-- load: wrk against a proxy until enough requests have been served. Bounded in time: the load ends by number, at the
-- latest by a deadline.
local cleanup = require "cleanup"
local process = require "process"
local scheduler = require "scheduler"

local M = {}

local CONNECTIONS, THREADS, SECONDS = 64, 2, 240

-- Statuses other than 200, and what wrk itself counts as errors.
local SCRIPT = [[
function response(status)
  if status ~= 200 then unexpected = (unexpected or 0) + 1 end
end
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function done(summary)
  local errors, unexpected = summary.errors, 0
  for _, thread in ipairs(threads) do unexpected = unexpected + (thread:get("unexpected") or 0) end
  print(("requests %d errors %d statuses %d"):format(summary.requests,
    errors.connect + errors.read + errors.write + errors.timeout, unexpected))
end
]]

--- wrk knows a duration only: it is interrupted when the condition holds.
---@return table result requests, errors, statuses: others than 200
function M.until_(condition, port)
  local directory = process.directory()
  local script = process.write_file(directory .. "/load.lua", SCRIPT)
  local wrk = process.start({
    "wrk", "-t" .. THREADS, "-c" .. CONNECTIONS, "-d" .. SECONDS .. "s", "--timeout", "30s", "-s", script,
    "http://127.0.0.1:" .. port .. "/",
  }, { directory = directory })
  cleanup.add(1, function() wrk:kill() end)
  scheduler.eventually(condition, SECONDS, "end of the load")
  wrk:signal "INT"
  if wrk:wait(30) ~= 0 then error("wrk failed: " .. wrk:stderr(), 2) end
  local told = wrk:stdout()
  local requests, errors, statuses = told:match "requests (%d+) errors (%d+) statuses (%d+)"
  return { requests = tonumber(requests), errors = tonumber(errors), statuses = tonumber(statuses), told = told }
end

return M
