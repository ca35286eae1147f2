-- SPDX-License-Identifier: Apache-2.0
-- perilune.blame: finds the policy's line of an error that has none. The usual cause is a tail call, as in `return
-- session:respond { ... }`: Lua keeps nothing of the function that made it. Only the function that was called and its
-- arguments are known. So this looks at the tail calls in the hook's bytecode, and drops those that cannot have made
-- this call. If several remain, all their lines are named.
--
-- lua/vm/hook_failure.c loads it at the first such error; before that it costs nothing.

local bytecode = require "perilune.bytecode"
local registers = require "perilune.registers"
local core = require "perilune.core"

local blame = {}

local getinfo, getlocal, getupvalue = debug.getinfo, debug.getlocal, debug.getupvalue
local DEEPEST, MOST_LINES = 5, 3

-- The frames of a coroutine that has failed, the innermost first.
local function frames_of(co)
  local frames = {}
  for level = 0, 200 do
    local info = getinfo(co, level, "Slf")
    if not info then break end
    frames[#frames + 1] = info
  end
  return frames
end

-- The value of what bytecode says of a callee; nil where only a run could tell.
local function value_of(fn, what)
  if what.kind == "upvalue" and type(fn) == "function" then return (select(2, getupvalue(fn, what.index + 1))) end
  if what.kind == "global" then return rawget(_G, what.name) end
  if what.kind ~= "field" then return nil end
  local of = value_of(fn, what.of)
  if type(of) ~= "table" and type(of) ~= "userdata" then return nil end
  local ok, value = pcall(function() return of[what.name] end)
  return ok and value or nil
end

local function called_by(value)
  local metatable = type(value) == "table" and getmetatable(value)
  return type(metatable) == "table" and metatable.__call or value
end

-- Could what was given as an argument be what the call says? 2: nothing in it speaks against it, and no field of it is
-- one that only a run can tell; 1: nothing speaks against it; nil: it cannot.
local function fits(call, position, given)
  local what = call.argument(position)
  if what.kind == "plain" then return type(given) == what.type and 1 or nil end
  if what.kind ~= "template" then return 1 end
  if type(given) ~= "table" then return nil end
  for key, value in pairs(what.value) do
    if rawget(given, key) ~= value then return nil end
  end
  local is_whole = true
  for key in next, given do
    if type(key) == "string" and what.names and not what.names[key] then return nil end
    is_whole = is_whole and what.value[key] ~= nil
  end
  return is_whole and 2 or 1
end

-- Is it that function, or one of our own modules that hands over to it in a tail call?
local function leads_to(value, callee, depth)
  if value == callee then return true end
  if type(value) ~= "function" or depth > 3 or not core.is_own_source(getinfo(value, "S").source) then return false end
  for _, call in ipairs(registers.calls(value)) do
    if call.is_tail and leads_to(called_by(value_of(value, call.callee)), callee, depth + 1) then return true end
  end
  return false
end

-- 2: it called that function; 1: it may have; nil: it did not.
local function likelihood(fn, call, callee)
  local value = called_by(value_of(fn, call.callee))
  if value ~= nil then return leads_to(value, callee, 1) and 2 or nil end
  if call.callee.kind ~= "field" then return 1 end
  local method = rawget(core.session_methods(), call.callee.name)
  if method == nil then return 1 end
  return leads_to(method, callee, 1) and 2 or nil
end

-- Adds the tail calls of a function, and of the policy's functions that it calls so, to the search.
local function add_calls(search, fn, depth)
  if depth > DEEPEST or search.seen[fn] then return end
  search.seen[fn] = true
  local source = bytecode.info(fn).source
  for _, call in ipairs(registers.calls(fn)) do
    local value = call.is_tail and called_by(value_of(fn, call.callee))
    local rank = call.is_tail and likelihood(fn, call, search.callee)
    local fit = rank and (not search.knows_given and 1 or fits(call, 2, search.given))
    if fit then
      search.found[#search.found + 1] =
        { source = source, line = call.line, name = call.callee.name, is_method = call.is_method,
          rank = rank * 2 + fit }
    elseif type(value) == "function" and bytecode.is_policys(value) then
      add_calls(search, value, depth + 1)
    end
    if rank == 1 then search.is_open = true end
  end
end

local function short(source) return getinfo(loadstring("", source), "S").short_src end

-- Of calls that are equally likely each line once, in order.
local function likeliest(list)
  local best, found, seen = 0, {}, {}
  for _, call in ipairs(list) do best = math.max(best, call.rank) end
  for _, call in ipairs(list) do
    local place = call.source .. ":" .. call.line
    if call.rank == best and not seen[place] then
      seen[place], found[#found + 1] = true, call
    end
  end
  table.sort(found, function(a, b) return a.line < b.line end)
  return found
end

-- "policy.lua:12" or "policy.lua:12 or 15"; the name of what was called, where all call the same.
local function describe(calls)
  local lines, name, is_method = {}, calls[1].name, calls[1].is_method
  for i, call in ipairs(calls) do
    if call.source ~= calls[1].source then return nil end
    lines[i] = call.line
    if call.name ~= name then name = nil end
    is_method = is_method and call.is_method
  end
  return short(calls[1].source) .. ":" .. table.concat(lines, " or "), name, is_method or false
end

--- Where in the policy the error of a coroutine comes from, that has ended with it, and what it had called last; nil:
--- nobody knows. `hook` is the function that it ran.
---@param co thread
---@param hook function
---@return string? place, string? called, boolean? is_method whether that was called with a colon
function blame.place(co, hook)
  local frames = frames_of(co)
  for _, frame in ipairs(frames) do
    if bytecode.is_policys(frame.func) then return ("%s:%d"):format(frame.short_src, frame.currentline) end
  end
  local outermost = frames[#frames]
  if not outermost then return nil end
  local _, given = getlocal(co, #frames - 1, 2)
  local search = { callee = outermost.func, given = given, found = {}, seen = {} }
  search.knows_given = outermost.what == "C" -- of a Lua function they may have been changed
  add_calls(search, hook, 1)
  if search.is_open then -- it calls what only a run can tell, such as a handler out of a table
    for _, fn in ipairs(bytecode.reachable({ hook }, bytecode.is_policys)) do add_calls(search, fn, DEEPEST) end
  end
  local list = likeliest(search.found)
  if #list == 0 or #list > MOST_LINES then return nil end
  return describe(list)
end

return blame
