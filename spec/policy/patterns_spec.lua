-- SPDX-License-Identifier: Apache-2.0
-- Patterns that may take long are matched by the proxy, so that they can be interrupted. They must match what LuaJIT's
-- own functions match: random patterns are given to both.

-- What the proxy's functions call where that cannot take long.
local function original(name) return (select(2, debug.getupvalue(string[name], 1))) end

local ITEMS = {
  "a", "b", ".", "%a", "%d", "%s", "%w", "%S", "[ab]", "[^a]", "[a-c]", "[%d_]", "[]a]", "[^]]", "%.", "%z", "%p", "%x",
  "%u", "%c", "%g", "[a-]", "[%a-]", "-", "x",
}
local REPEATS = { "", "", "*", "+", "-", "?" }
local SPECIAL = { "()", "%b()", "%bab", "%f[%w]", "%f[^a]", "$", "^" }

local function pick(list) return list[math.random(#list)] end

-- Always with so many repetitions that LuaJIT's functions are not called.
local function random_pattern()
  local parts, open, captures = {}, 0, 0
  if math.random(4) == 1 then parts[1] = "^" end
  for _ = 1, math.random(6) do
    local kind = math.random(8)
    if kind == 1 then parts[#parts + 1] = pick(SPECIAL)
    elseif kind == 2 and captures < 3 then
      parts[#parts + 1], open, captures = "(", open + 1, captures + 1
    elseif kind == 3 and open > 0 then
      parts[#parts + 1], open = ")", open - 1
    elseif kind == 4 and captures > open and open == 0 then parts[#parts + 1] = "%1"
    else parts[#parts + 1] = pick(ITEMS) .. pick(REPEATS) end
  end
  parts[#parts + 1] = (")"):rep(open) .. ("q*"):rep(5)
  if math.random(4) == 1 then parts[#parts + 1] = "$" end
  return table.concat(parts)
end

local LETTERS = { "a", "b", "c", "1", "_", " ", "(", ")", "]", "-", "A", ".", "\0", "\200", "\n" }
local function random_subject()
  local parts = {}
  for i = 1, math.random(0, 30) do parts[i] = pick(LETTERS) end
  return table.concat(parts) .. ("z"):rep(12)
end

local function show(ok, ...)
  if not ok then return (tostring((...)):gsub("^.-:%d+: ", ""):gsub("%(.*%)", "")) end
  local list = { select("#", ...) }
  for i = 1, select("#", ...) do list[i + 1] = tostring((select(i, ...))) end
  return table.concat(list, "|")
end

local function all_matches(gmatch, subject, pattern)
  local list = {}
  for a, b in gmatch(subject, pattern) do
    list[#list + 1] = tostring(a) .. ":" .. tostring(b)
    if #list > 100 then break end
  end
  return table.concat(list, "|")
end

local function same(name, call, subject, pattern, ...)
  local ours = show(pcall(call, string[name], subject, pattern, ...))
  local theirs = show(pcall(call, original(name), subject, pattern, ...))
  assert(ours == theirs, ("%s(%q, %q) gave %q, not %q"):format(name, subject, pattern, ours, theirs))
end

local function direct(f, ...) return f(...) end

describe("a pattern", function()
  it("matches as LuaJIT's own functions do", function()
    math.randomseed(4711)
    for _ = 1, 3000 do
      local subject, pattern = random_subject(), random_pattern()
      same("find", direct, subject, pattern)
      same("find", direct, subject, pattern, math.random(-40, 40))
      same("match", direct, subject, pattern)
      same("gmatch", all_matches, subject, pattern)
      same("gsub", direct, subject, pattern, "<%0>")
      same("gsub", direct, subject, pattern, "<%1%%>", math.random(0, 3))
      same("gsub", direct, subject, pattern, { a = "table", b = false, [""] = 7 })
      same("gsub", direct, subject, pattern, function(a) return a and #tostring(a) % 2 == 0 and "even" end)
    end
  end)

  it("that is malformed raises", function()
    local subject = ("x"):rep(100)
    for pattern, why in pairs {
      ["x*x*x*x*["] = "missing ']'", ["x*x*x*x*%"] = "ends with '%%'", ["x*x*x*x*%f"] = "missing '%['",
      ["x*x*x*x*(x"] = "unfinished capture", ["x*x*x*x*)"] = "invalid pattern capture",
      ["x*x*x*x*%1"] = "invalid capture index",
    } do
      local ok, message = pcall(string.find, subject, pattern)
      assert.is_false(ok)
      assert.matches(why, message)
    end
  end)
end)
