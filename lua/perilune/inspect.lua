-- SPDX-License-Identifier: Apache-2.0
-- perilune.inspect: Lua text that a person evaluates in a running VM (perilune repl, and the debugger's prompt), and
-- values as text. What it says is bounded: a table of a million rows is shown by its first ones.

local perilune = require "perilune"

local inspect = {}

local STRING_MOST, ROWS_MOST, DEPTH_MOST, TEXT_MOST = 200, 20, 3, 16384
local FUNCTIONS_MOST = 1000

-- A string as one would write it; long ones are cut.
local function quote(text)
  local cut = #text > STRING_MOST and ("... (%d bytes)"):format(#text) or ""
  local shown = text:sub(1, STRING_MOST):gsub('[%c"\\\127-\255]', function(c)
    if c == "\n" then return "\\n" end
    if c == '"' or c == "\\" then return "\\" .. c end
    return ("\\%03d"):format(c:byte())
  end)
  return '"' .. shown .. '"' .. cut
end

local function describe_function(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return "function in C" end
  return ("function %s:%d"):format(info.source:gsub("^[@=]", ""), info.linedefined)
end

local describe

local function describe_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return key end
  return "[" .. describe(key, DEPTH_MOST) .. "]"
end

-- Rows of the array first, without their numbers.
local function describe_table(value, depth)
  local rows, count, length = {}, 0, #value
  for key, item in next, value do
    count = count + 1
    if count > ROWS_MOST then
      rows[#rows + 1] = "..."
      break
    end
    local is_row = type(key) == "number" and key >= 1 and key <= length and key == count
    rows[#rows + 1] = (is_row and "" or describe_key(key) .. " = ") .. describe(item, depth + 1)
  end
  return count == 0 and "{}" or "{ " .. table.concat(rows, ", ") .. " }"
end

--- A value as text of one line.
function inspect.describe(value) return describe(value, 0) end

function describe(value, depth)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind == "number" then return ("%.14g"):format(value) end
  if kind == "function" then return describe_function(value) end
  local meta = debug.getmetatable(value)
  if kind == "table" and not (type(meta) == "table" and rawget(meta, "__tostring")) then
    return depth < DEPTH_MOST and describe_table(value, depth) or "{...}"
  end
  local fine, text = pcall(tostring, value)
  return fine and type(text) == "string" and text:sub(1, STRING_MOST):gsub("%c", " ") or kind
end

-- Output that is bounded: add(text) adds, whole() is what there is.
local function collector()
  local parts, bytes = {}, 0
  local output = {}
  function output.add(text)
    if bytes <= TEXT_MOST then parts[#parts + 1] = text end
    bytes = bytes + #text
  end
  function output.whole()
    local text = table.concat(parts)
    if #text <= TEXT_MOST then return text end
    return text:sub(1, TEXT_MOST) .. ("\n... (%d bytes in all)\n"):format(bytes)
  end
  return output
end

-- A line with each of the values as text.
local function add_line(output, as_text, ...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = as_text((select(i, ...))) end
  output.add(table.concat(words, "\t") .. "\n")
end

local function show_results(output, fine, ...)
  if not fine then
    local value = ...
    output.add("error: " .. (type(value) == "string" and value or inspect.describe(value)) .. "\n")
    return "error"
  end
  if select("#", ...) > 0 then add_line(output, inspect.describe, ...) end
end

-- It is not compiled to machine code: an endless loop there could be ended only with its whole VM.
local function compile(text, environment)
  local chunk, why = load("return " .. text, "=input", "t", environment)
  if not chunk then chunk, why = load(text, "=input", "t", environment) end
  if chunk then jit.off(chunk, true) end
  return chunk, why
end

--- Runs text with names that `find` and `assign` know: find(name) gives the value, assign(name, value) sets it.
---@return string text what it printed and returned, or the error
---@return string? what "error"; or "more" where the text is the begin of a longer one
function inspect.run(text, find, assign, ...)
  local output = collector()
  local environment = setmetatable({}, {
    __index = function(_, name)
      if name == "print" then return function(...) add_line(output, tostring, ...) end end
      return find(name)
    end,
    __newindex = function(_, name, value) assign(name, value) end,
  })
  local chunk, why = compile(text, environment)
  if not chunk then return "error: " .. why .. "\n", why:find "'<eof>'" and "more" or "error" end
  local what = show_results(output, pcall(chunk, ...))
  return output.whole(), what
end

local function next_upvalue(fn, number)
  local name, value = debug.getupvalue(fn, number + 1)
  if name then return number + 1, name, value end
end

--- Of the upvalues of a function: number, name and value.
function inspect.upvalues(fn) return next_upvalue, fn, 0 end

-- The upvalue of that name in one of the policy's functions: the function, its number, and its value.
local function find_upvalue(hooks, name)
  local seen, queue = {}, {}
  local function visit(fn)
    if type(fn) ~= "function" or seen[fn] or #queue >= FUNCTIONS_MOST then return end
    seen[fn], queue[#queue + 1] = true, fn
  end
  for _, hook in ipairs(hooks) do visit(hook.fn) end
  local at = 1
  while queue[at] do
    for number, found, value in inspect.upvalues(queue[at]) do
      if found == name then return queue[at], number, value end
      visit(value)
    end
    at = at + 1
  end
end

local session = {} -- what the repl has assigned, until the policy is loaded again

--- One text of `perilune repl`. Names are those that it has assigned, then the locals of the policy's main chunk that
--- its hooks use, then globals.
---@param hooks table { { name = ..., fn = ... }, ... }
---@return string text
---@return string? what as run's
function inspect.evaluate(text, hooks)
  local function find(name)
    if session[name] ~= nil then return session[name] end
    local fn, _, value = find_upvalue(hooks, name)
    if fn then return value end
    if _G[name] ~= nil then return _G[name] end
    if name == "perilune" then return perilune end
  end
  local function assign(name, value)
    local fn, number = find_upvalue(hooks, name)
    if fn then return debug.setupvalue(fn, number, value) end
    session[name] = value
  end
  return inspect.run(text, find, assign)
end

return inspect
