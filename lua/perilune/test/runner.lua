-- SPDX-License-Identifier: Apache-2.0
-- runner: runs busted with a command line, and returns its exit code. Modules that are loaded here stay loaded for
-- all spec files; otherwise busted gives each of them a separate package.loaded.

local core = require "perilune.core"
local lfs = require "lfs"
local files = require "perilune.test.files"
local scope = require "perilune.test.scope"
local test = require "perilune.test"
local watch = require "perilune.test.watch"
require "perilune.test.assertions"

local function has_busted()
  if pcall(require, "busted.runner") then return true end
  io.stderr:write("perilune: busted was not found: install it, on Debian with `apt-get install lua-busted`\n")
  return false
end

-- Busted ends the process; here it only ends.
local function replace_exit()
  require("busted.compatibility").exit = function(code) error({ exit_code = code == 0 and 0 or 1 }, 0) end
end

-- At the root of all: before_each comes first there, after_each last, and what it raises fails the test.
local function bracket_tests(busted)
  busted.executors.before_each(scope.begin_test)
  busted.executors.after_each(function()
    scope.inside = false
    test.reset()
  end)
end

local function end_file(file)
  core.test_end_background() -- of a policy that was loaded for the whole file
  local ok, message = pcall(scope.end_file)
  if not ok then io.stderr:write(("perilune test: at the end of %s: %s\n"):format(file.name, tostring(message))) end
end

local MOST_LINES = 8

-- What hooks on the bench have raised, and what the log warns of: a backend that is out, a peer that could not be used.
local function bench_trouble()
  local lines = {}
  for _, entry in ipairs(test.log.entries()) do
    if entry.level == "error" or entry.level == "warn" then
      lines[#lines + 1] = ("  %s: %s"):format(entry.level, (entry.text:gsub("\n", "\n  ")))
    end
  end
  if #lines == 0 then return "" end
  local more = #lines - MOST_LINES
  return "\nErrors and warnings in the log of this test:\n"
    .. table.concat(lines, "\n", 1, math.min(#lines, MOST_LINES))
    .. (more > 0 and ("\n  and %d more"):format(more) or "")
end

-- A test that has failed also says what the policy did wrong in it, before all that belongs to it ends.
local function explain_failures(busted)
  local publish = busted.publish
  function busted.publish(channel, element, parent, message, trace, ...)
    local is_bad = channel[1] == "failure" or channel[1] == "error"
    if is_bad and scope.inside and type(message) == "string" then
      message = message .. bench_trouble() .. scope.testimony()
    end
    return publish(channel, element, parent, message, trace, ...)
  end
end

-- For `perilune test --watch`: the result of the run, and which files it read.
local counts = { success = 0, failure = 0, error = 0, pending = 0 }

local function count_tests(busted)
  busted.subscribe({ "test", "end" }, function(_, _, status)
    counts[status] = (counts[status] or 0) + 1
    return nil, true
  end)
  busted.subscribe({ "error", "file" }, function()
    counts.error = counts.error + 1
    return nil, true
  end)
end

local function watch_busted()
  local make = require "busted.core"
  package.loaded["busted.core"] = function()
    local busted = make()
    explain_failures(busted)
    count_tests(busted)
    busted.subscribe({ "file", "start" }, function(file)
      files.enter(file.name)
      return nil, true
    end)
    busted.subscribe({ "suite", "start" }, function()
      bracket_tests(busted)
      return nil, true
    end)
    busted.subscribe({ "file", "end" }, function(file)
      end_file(file)
      return nil, true
    end)
    return busted
  end
end

-- Busted takes its name in messages from the chunk that calls it.
local run_busted = loadstring('require "busted.runner" { standalone = false }', "@perilune test")

local function run(words)
  _G.arg = words
  words[0] = "perilune test"
  replace_exit()
  watch_busted()
  scope.inside = false
  package.loaded["busted.runner"] = nil -- it has taken the functions that were replaced
  core.test_catch_log(true)
  local ok, ended = xpcall(run_busted, function(message)
    return type(message) == "table" and message or debug.traceback(message)
  end)
  core.test_catch_log(false)
  test.reset()
  watch.report(counts, files.noted())
  if ok then return 0 end
  if type(ended) == "table" then return ended.exit_code end
  io.stderr:write("perilune test: ", tostring(ended), "\n")
  return 1
end

local function is_spec(name) return name:find "_spec%.lua$" ~= nil end

-- The specs of the working directory, and of ./spec with all that is below it (busted looks there itself).
local function default_specs()
  local found = {}
  for name in lfs.dir "." do
    if is_spec(name) and lfs.attributes(name, "mode") == "file" then found[#found + 1] = name end
  end
  table.sort(found)
  if lfs.attributes("spec", "mode") == "directory" then found[#found + 1] = "spec" end
  return found
end

-- Options of busted that take a word behind them: it is no spec.
local TAKES_WORD = "^%-[opretmEcfC]$"
local LONG_TAKES_WORD = { ["--output"] = true, ["--pattern"] = true, ["--filter"] = true, ["--filter-out"] = true,
  ["--tags"] = true, ["--exclude-tags"] = true, ["--repeat"] = true, ["--seed"] = true, ["--lpath"] = true,
  ["--cpath"] = true, ["--helper"] = true, ["--loaders"] = true, ["--run"] = true, ["--lang"] = true,
  ["--directory"] = true, ["--config-file"] = true, ["--name"] = true, ["--exclude-pattern"] = true }

local function names_specs(words)
  local is_value = false
  for _, word in ipairs(words) do
    if not is_value and word:sub(1, 1) ~= "-" then return true end
    if word == "--help" or word == "-h" or word == "--version" then return true end
    is_value = LONG_TAKES_WORD[word] or word:find(TAKES_WORD) ~= nil
  end
  return lfs.attributes(".busted", "mode") ~= nil -- which says it
end

-- True where there is something to run: what the words say, or else what lies here.
local function find_specs(words)
  if names_specs(words) then return true end
  local found = default_specs()
  for _, spec in ipairs(found) do words[#words + 1] = spec end
  if #found > 0 then return true end
  io.stderr:write(("perilune test: no spec is named, and there is none here: no *_spec.lua in %s, nor a folder "
    .. "'spec'; write perilune test SPEC\n"):format(lfs.currentdir()))
  return false
end

-- The first spec that is named and is not there: busted says more than one thing of that, and its exit code is that of
-- a spec that has failed.
local function fault_of_specs(words)
  local is_value = false
  for _, word in ipairs(words) do
    if word:find "^%-C" or word:find "^%-%-directory" then return nil end -- they are below another folder
    local is_spec_name = not is_value and word:sub(1, 1) ~= "-"
    if is_spec_name and not lfs.attributes(word, "mode") then
      return ("there is no spec '%s' in %s"):format(word, lfs.currentdir())
    end
    is_value = LONG_TAKES_WORD[word] or word:find(TAKES_WORD) ~= nil
  end
end

return function(words)
  if not has_busted() then return 1 end
  if not find_specs(words) then return 2 end
  local fault = fault_of_specs(words)
  if fault then
    io.stderr:write("perilune test: ", fault, "\n")
    return 2
  end
  local rest = watch.wanted(words)
  return rest and watch.run(rest) or run(words)
end
