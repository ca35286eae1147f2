-- SPDX-License-Identifier: Apache-2.0
-- perilune.debugger: the orders of the prompt of `perilune run --break`, for a coroutine that is stopped. It reads and
-- changes the coroutine's frames; lua/vm/debugger.c lets it go on.
--
-- Words. stop: { co, names, line, what, level }: the coroutine, the names of the locals of its first frame by their
-- places, the line that frame is at, what runs, and the frame that the person looks at (0: the first).

local core = require "perilune.core"
local inspect = require "perilune.inspect"

local debugger = {}

local FRAMES_MOST, LINES_AROUND, FILE_MOST = 50, 5, 100

local HELP = [[
step (s), next (n), out: to the next line, of any function, of this one, of the one that called it
continue (c): let it go on; quit (q): let everything go on, and debug no more
backtrace (bt), frame N: which functions are under way; look at another one
locals (l), list [LINE]: the variables of the frame, with upvalues; the lines around
print EXPR (p), or any Lua: in the frame. NAME = VALUE changes a variable
An empty line repeats the last step or next. Other requests go on meanwhile; timeouts of this one do not run.
]]

-- The frame at a level: debug.getinfo's, with the right line; nil: there is none.
local function frame_of(stop, level)
  local info = debug.getinfo(stop.co, level, "Slnf")
  if info and level == 0 then info.currentline = stop.line end
  return info
end

local function path_of(info) return (info.source:gsub("^[@=]", "")) end

-- Of the locals of a frame: name and place, in order.
local function each_local(stop, level, visit)
  if level == 0 then
    local last = 0
    for place in pairs(stop.names) do last = math.max(last, place) end
    for place = 1, last do
      if stop.names[place] then visit(stop.names[place], place) end
    end
    return
  end
  for place = 1, math.huge do
    local name = debug.getlocal(stop.co, level, place)
    if not name then return end
    if not name:find "^%(" then visit(name, place) end
  end
end

local function local_value(stop, level, place) return select(2, debug.getlocal(stop.co, level, place)) end

-- Where a name is: "local" and its place (the innermost of that name), or "upvalue" and its number.
local function find_name(stop, name)
  local found
  each_local(stop, stop.level, function(known, place)
    if known == name then found = place end
  end)
  if found then return "local", found end
  local fn = frame_of(stop, stop.level).func
  for number, known in inspect.upvalues(fn) do
    if known == name then return "upvalue", number end
  end
end

local function varargs(stop)
  local values, count = {}, 0
  while debug.getlocal(stop.co, stop.level, -count - 1) do
    count = count + 1
    values[count] = local_value(stop, stop.level, -count)
  end
  return unpack(values, 1, count)
end

local function evaluate(stop, text, set_local)
  local fn = frame_of(stop, stop.level).func
  local is_lua = debug.getinfo(fn, "S").what ~= "C"
  local globals = is_lua and getfenv(fn) or _G
  local function find(name)
    local kind, number = find_name(stop, name)
    if kind == "local" then return local_value(stop, stop.level, number) end
    if kind == "upvalue" then return select(2, debug.getupvalue(fn, number)) end
    return globals[name]
  end
  local function assign(name, value)
    local kind, number = find_name(stop, name)
    if kind == "local" then return set_local(stop.co, stop.level, number, value) end
    if kind == "upvalue" then return debug.setupvalue(fn, number, value) end
    globals[name] = value
  end
  return (inspect.run(text, find, assign, varargs(stop)))
end

local function list(stop, around)
  local info = frame_of(stop, stop.level)
  if info.what == "C" then return "it is a function in C\n" end
  local text, why = core.read_file(path_of(info))
  if not text then return "cannot show it: " .. why .. "\n" end
  local out, number = {}, 0
  local from, to = around - LINES_AROUND, around + LINES_AROUND
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if number > to then break end
    local mark = number == info.currentline and "->" or "  "
    if number >= from then out[#out + 1] = ("%s %4d  %s\n"):format(mark, number, line:sub(1, FILE_MOST)) end
  end
  return #out > 0 and table.concat(out) or ("%s has %d lines\n"):format(path_of(info), number)
end

local function name_of(info)
  if info.what == "C" then return ("%s (in C)"):format(info.name or "?") end
  local is_own = core.is_own_source(info.source) and " (of Perilune)" or ""
  return ("%s at %s:%d%s"):format(info.name or "the function", path_of(info), info.currentline, is_own)
end

local function where(stop)
  local info = frame_of(stop, stop.level)
  return ("%s\n%s"):format(name_of(info), info.what == "C" and "" or list(stop, info.currentline))
end

local orders = {}

function orders.help() return HELP end

function orders.stopped(stop)
  local info = frame_of(stop, 0)
  return ("%s, at %s:%d\n%s"):format(stop.what, path_of(info), stop.line, list(stop, stop.line))
end

function orders.backtrace(stop)
  local out = {}
  for level = 0, FRAMES_MOST do
    local info = frame_of(stop, level)
    if not info then break end
    out[#out + 1] = ("%s %2d  %s\n"):format(level == stop.level and "->" or "  ", level, name_of(info))
  end
  return table.concat(out)
end

function orders.frame(stop, word)
  local level = tonumber(word)
  local info = level and level >= 0 and level % 1 == 0 and frame_of(stop, level)
  if not info then return "frame wants a number that backtrace shows\n" end
  stop.level = level
  return where(stop)
end

function orders.locals(stop)
  local out = {}
  each_local(stop, stop.level, function(name, place)
    out[#out + 1] = ("  %s = %s\n"):format(name, inspect.describe(local_value(stop, stop.level, place)))
  end)
  local fn = frame_of(stop, stop.level).func
  for _, name, value in inspect.upvalues(fn) do
    if name ~= "" then out[#out + 1] = ("  %s = %s (upvalue)\n"):format(name, inspect.describe(value)) end
  end
  return #out > 0 and table.concat(out) or "there are none\n"
end

function orders.list(stop, word)
  local line = word ~= "" and tonumber(word) or frame_of(stop, stop.level).currentline
  return list(stop, line)
end

function orders.print(stop, text, set_local)
  if text == "" then return "print wants an expression\n" end
  return evaluate(stop, text, set_local)
end

for _, action in ipairs { "continue", "step", "next", "out" } do
  orders[action] = function() return "", action end
end

local SHORT = { s = "step", n = "next", c = "continue", bt = "backtrace", l = "locals", p = "print", h = "help",
  ["?"] = "help", where = "backtrace", finish = "out", info = "locals" }

-- "next = 5" and "list(1)" are Lua, "next" and "list 5" are orders.
local function order_of(line)
  local word, rest = line:match "^%s*([%a?]+)%s*(.-)%s*$"
  if not word or rest:find "^[=(%[.:,]" then return nil end
  local order = orders[SHORT[word] or word]
  local takes_text = order == orders.print or order == orders.frame or order == orders.list
  if rest ~= "" and not takes_text then return nil end
  return order, rest
end

--- Does what a line of the prompt asks for.
---@param line string
---@param stop table
---@param set_local fun(co: thread, level: integer, place: integer, value: any)
---@return string text
---@return string? action "continue", "step", "next" or "out"
function debugger.obey(line, stop, set_local)
  local order, rest = order_of(line)
  if order then return order(stop, rest, set_local) end
  return evaluate(stop, line, set_local)
end

return debugger
