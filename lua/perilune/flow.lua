-- SPDX-License-Identifier: Apache-2.0
-- perilune.flow: the paths through a compiled Lua function: which returns can be reached, and which instructions are
-- on every path. It follows the instructions of perilune.bytecode from the first, along both branches of each
-- condition. A condition on an upvalue that is a function or an object counts as true. Apart from that it misses no
-- path, but it may find paths that never occur.

local bytecode = require "perilune.bytecode"
local registers = require "perilune.registers"

local flow = {}

-- Is it known of a tested value that it is true? That of an upvalue which is a function or an object.
local function is_surely_true(fn, value)
  if not value or value.kind ~= "upvalue" or type(fn) ~= "function" then return false end
  local _, held = debug.getupvalue(fn, value.index + 1)
  return type(held) == "function" or type(held) == "table" or type(held) == "userdata"
end

-- A jump follows, which is taken or left out.
local function behind_condition(fn, instructions, i)
  local value, jumps_if = registers.tested(fn, instructions, i)
  if not is_surely_true(fn, value) then return i.at + 1, i.at + 2 end
  return jumps_if and i.at + 1 or i.at + 2
end

-- The instructions behind one: where it falls through to, and where it jumps to.
local function next_of(fn, instructions, i)
  local kind = bytecode.jump_kind(i)
  if kind == "return" then return nil end
  if kind == "condition" then return behind_condition(fn, instructions, i) end
  if kind == "jump" then return i.target end
  return i.at + 1, not bytecode.is_loop_mark(i) and i.target or nil
end

-- Visits all instructions from the first on, but none behind those of `stops`. on_return(at), where given, is called
-- for each return.
local function walk(fn, stops, on_return)
  local instructions, seen, queue = bytecode.instructions(fn), {}, { 1 }
  while #queue > 0 do
    local at = table.remove(queue)
    local i = instructions[at]
    if i and not seen[at] and not stops[at] then
      seen[at] = true
      local through, target = next_of(fn, instructions, i)
      if through then queue[#queue + 1] = through end
      if target then queue[#queue + 1] = target end
      if not through and on_return then on_return(at) end
    end
  end
  return seen
end

--- The returns that can be reached: an array of { at, line, value }, as registers.return_at has them. Where is_stop is
--- given, those without passing a call for which is_stop(call) holds, nor an instruction of `stops`, { [at] = true }.
function flow.ends(fn, is_stop, stops)
  local ends, instructions, all = {}, bytecode.instructions(fn), {}
  for at in pairs(stops or {}) do all[at] = true end
  for _, call in ipairs(is_stop and registers.calls(fn) or {}) do all[call.at] = is_stop(call) or all[call.at] end
  walk(fn, all, function(at) ends[#ends + 1] = registers.return_at(fn, instructions, at) end)
  return ends
end

--- Does every path to the instruction at `to` pass the one at `from`?
function flow.is_certain(fn, from, to)
  if from == nil then return false end
  local targets, is_straight = bytecode.targets(fn), from < to
  for at = from + 1, is_straight and to or from do is_straight = is_straight and not targets[at] end
  return is_straight or not walk(fn, { [from] = true })[to]
end

return flow
