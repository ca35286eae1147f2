-- SPDX-License-Identifier: Apache-2.0
-- misuse: calls a function of the API with what it does not expect. Nothing of that may crash, and what raises does so
-- at the caller's line, which is in this file, with a sentence of ours: neither at a line of our modules, nor with
-- LuaJIT's "attempt to".
local ffi = require "ffi"

local M = {}

local loop = {}
loop[1], loop.x = loop, loop

local VALUES = {
  ["true"] = true, zero = 0, minus = -1, half = 0.5, nan = 0 / 0, inf = 1 / 0, huge_number = 1e300, two_to_32 = 2 ^ 32,
  least = -2 ^ 63, empty = "", word = "x", nul = "a\0b", line_end = "a\r\nX: y", high = "\255\254", percent = "%",
  pattern = "(((", number_text = "12", url = "http://127.0.0.1:1/", address = "127.0.0.1:1", long = ("h"):rep(10000),
  table = {}, numbers = { 1, 2 }, strings = { "a", "b" }, loop = loop, mixed = { a = 1, [2] = {}, [true] = false },
  locked = setmetatable({}, { __metatable = 5 }), ["function"] = function() end, coroutine = coroutine.create(print),
  file = io.stdout, proxy = newproxy(true), int64 = 1LL, array = ffi.new "int[4]", null = ffi.cast("void *", 0),
}
local FIRST = { "word", "table", "url", "zero", "function", "strings" }

local function at_caller(why)
  if type(why) ~= "string" then return false end
  return why:find "^[^:]*misuse%.lua:%d+: " ~= nil and not why:find "attempt to"
end

-- Calls it in each way; what is wrong with the errors goes into the list.
function M.try_all(name, fn, self, faults)
  local function try(...)
    local arguments, count = { ... }, select("#", ...)
    local ok, why = pcall(function()
      local result = fn(unpack(arguments, 1, count))
      return result
    end)
    if not ok and not at_caller(why) then faults[#faults + 1] = name .. ": " .. tostring(why) end
  end
  try()
  for _, value in pairs(VALUES) do
    try(value)
    if self then try(self, value) end
    for _, first in ipairs(FIRST) do
      if self then try(self, VALUES[first], value) else try(VALUES[first], value) end
    end
  end
end

return M
