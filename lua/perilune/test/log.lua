-- SPDX-License-Identifier: Apache-2.0
-- log: the log of this process since the test began: entries { level, text }.

local core = require "perilune.core"

local misuse = require "perilune.test.misuse"

local M = {}
local entries = {}

local function check_text(call, example, text)
  if type(text) == "string" then return end
  local got = text == M and "it is called with a dot" or "got a " .. type(text) .. " value"
  misuse.raise(("test.log.%s: %s: test.log.%s(%s)"):format(call, got, call, example))
end

local function take()
  local list = core.test_take_log()
  for i = 1, #list, 2 do entries[#entries + 1] = { level = list[i], text = list[i + 1] } end
  return entries
end

--- All entries, or those of a level.
function M.entries(level)
  if level ~= nil then check_text("entries", '"warn"', level) end
  local found = {}
  for _, entry in ipairs(take()) do
    if not level or entry.level == level then found[#found + 1] = entry end
  end
  return found
end

--- The last entry of a level.
function M.last(level)
  check_text("last", '"error"', level)
  local found = M.entries(level)
  return found[#found]
end

--- The first text with a Lua pattern; nil where there is none.
function M.find(pattern)
  check_text("find", '"unhealthy"', pattern)
  for _, entry in ipairs(take()) do
    if entry.text:find(pattern) then return entry.text end
  end
end

--- Forgets them.
function M.clear()
  take()
  entries = {}
end

return misuse.guard(M, "test.log")
