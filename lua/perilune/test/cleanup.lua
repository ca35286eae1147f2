-- SPDX-License-Identifier: Apache-2.0
-- cleanup: closes everything that a spec has opened, also if it failed. A spec file needs once:
--   after_each(require("perilune.test.cleanup").run)
local scope = require "perilune.test.scope"
local scheduler = require "perilune.test.scheduler"
local sys = require "perilune.test.sys"

local M = {}
local ending, lasting = {}, {} -- what was opened in a test, and what outside of one
local directory

--- Calls `body` after the spec, the newest first. `order` groups: clients (1) end before proxies (2), origins (3) last.
function M.add(order, body)
  local list = scope.inside and ending or lasting
  list[#list + 1] = { order = order, serial = #list, body = body }
end

local function end_all(list)
  local failure
  table.sort(list, function(a, b)
    if a.order ~= b.order then return a.order < b.order end
    return a.serial > b.serial
  end)
  for _, entry in ipairs(list) do
    local ok, message = pcall(entry.body)
    if not ok then failure = failure or message end
  end
  return failure
end

--- Ends everything of a test, then raises the first error: of ending, or of a task.
function M.run()
  local list = ending
  ending = {}
  local failure = end_all(list)
  scheduler.reset()
  failure = scheduler.take_failure() or failure
  if failure then error(failure, 0) end
end

--- Ends also what was opened outside of tests: in setup, for all tests of a file.
function M.run_all()
  local ok, failure = pcall(M.run)
  local list = lasting
  lasting = {}
  failure = end_all(list) or not ok and failure or nil
  scheduler.reset(true)
  M.finish()
  if failure then error(failure, 0) end
end

--- The directory for temporary files of this test run.
function M.directory()
  directory = directory or assert(sys.temporary_directory())
  return directory
end

--- After the last spec: removes the temporary files.
function M.finish()
  if directory and not os.getenv "SPEC_KEEP" then os.execute("rm -rf '" .. directory .. "'") end
  directory = nil
end

scope.register(M.run, M.run_all)

return M
