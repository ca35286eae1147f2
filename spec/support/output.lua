-- SPDX-License-Identifier: Apache-2.0
-- output: how busted reports here: a line for each spec file, failures with the end of the proxy's log, and in the
-- file that SPEC_COUNTS names the counts, for the closing line of `make test`, and how long each spec took.
package.path = "./spec/support/?.lua;" .. package.path .. ";./lua/?.lua"
-- The harness is what users test their policies with; here its parts have short names.
local PARTS = { "cleanup", "client", "http1", "metrics", "name_server", "origins", "process", "scheduler", "stream",
  "sys", "tls" }
for _, name in ipairs(PARTS) do
  package.preload[name] = function() return require("perilune.test." .. name) end
end
local perilune = require "perilune"
local sys = require "sys"

local MARKS = { success = ".", pending = "-" }

local function write(...)
  io.stdout:write(...)
  io.stdout:flush()
end

local function show(entry)
  local message = entry.message
  if type(message) ~= "string" then message = require("pl.pretty").write(message or "no message") end
  local trace = entry.element.trace or {}
  write(("\nFAILED %s\n  %s:%s\n  %s\n"):format(entry.name, trace.short_src or "?", trace.currentline or "?",
    message:gsub("\n", "\n  ")))
  local proxy = perilune.latest
  if not proxy or message:find "sanitizer reported" then return end
  write("  end of the latest proxy's log:\n    ", (proxy:log():sub(-3000):gsub("\n", "\n    ")), "\n")
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local started, times, file_started, untold = {}, {}, 0, nil

  local function on_file_start(file)
    untold, file_started = file.name, sys.now()
    return nil, true
  end
  local function on_file_end()
    if not untold then write((" %.1f s\n"):format(sys.now() - file_started)) end
    return nil, true
  end
  local function on_test_start(element)
    perilune.latest = nil
    if untold then write(untold, " ") end -- nothing is said of files that have nothing to run
    untold = nil
    started[element] = sys.now()
    if os.getenv "SPEC_NAMES" then write("\n  ", handler.getFullName(element), " ") end
    return nil, true
  end
  local function on_test_end(element, _, status)
    local seconds = sys.now() - (started[element] or sys.now())
    write(MARKS[status] or "!", seconds > 5 and ("(%.0fs)"):format(seconds) or "")
    times[#times + 1] = ("%.3f %s\n"):format(seconds, handler.getFullName(element):gsub("%s", " "))
    return nil, true
  end
  local function on_failure() show(handler.failures[#handler.failures]) return nil, true end
  local function on_error() show(handler.errors[#handler.errors]) return nil, true end

  local function on_suite_end()
    local failed = handler.failuresCount + handler.errorsCount
    require("cleanup").finish()
    for _, entry in ipairs(handler.pendings) do
      local why = type(entry.message) == "string" and " (" .. entry.message:gsub("^[^:]+:%d+: ", "") .. ")"
      write("pending: ", entry.name, why or "", "\n")
    end
    local path = os.getenv "SPEC_COUNTS"
    if path then
      local file = assert(io.open(path, "w"))
      file:write(handler.successesCount, " ", failed, " ", handler.pendingsCount, "\n", table.concat(times))
      file:close()
    else
      write(("specs: %d passed, %d failed, %d pending\n"):format(handler.successesCount, failed, handler.pendingsCount))
    end
    return nil, true
  end

  busted.subscribe({ "file", "start" }, on_file_start)
  busted.subscribe({ "file", "end" }, on_file_end)
  busted.subscribe({ "test", "start" }, on_test_start)
  busted.subscribe({ "test", "end" }, on_test_end)
  busted.subscribe({ "failure" }, on_failure)
  busted.subscribe({ "error" }, on_error)
  busted.subscribe({ "suite", "end" }, on_suite_end)
  return handler
end
