-- SPDX-License-Identifier: Apache-2.0
-- perilune.flow: how a compiled Lua function can end: which of its returns can be reached, and with what value. It
-- walks the instructions of perilune.bytecode from the first on, along both ways of each condition. A condition on an
-- upvalue that is a function or an object is taken as true; otherwise it misses no way, but it finds ways that no run
-- takes.

local bytecode = require "perilune.bytecode"

local flow = {}

-- Is it known of a tested value that it is true? That of an upvalue which is a function or an object.
local function is_surely_true(fn, value)
  local _, held = nil, nil
  if value and value.kind == "upvalue" then _, held = debug.getupvalue(fn, value.index + 1) end
  return type(held) == "function" or type(held) == "table" or type(held) == "userdata"
end

-- A jump follows, which is taken or left out.
local function behind_condition(fn, instructions, i)
  local value, jumps_if = bytecode.tested(fn, instructions, i)
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

--- The returns that can be reached, where is_stop is given without passing a call for which is_stop(call) holds: an
--- array of { line, value }, as bytecode.return_at has them.
function flow.ends(fn, is_stop)
  local instructions, stops, seen, ends = bytecode.instructions(fn), {}, {}, {}
  for _, call in ipairs(is_stop and bytecode.calls(fn) or {}) do stops[call.at] = is_stop(call) or nil end
  local queue = { 1 }
  while #queue > 0 do
    local at = table.remove(queue)
    local i = instructions[at]
    if i and not seen[at] and not stops[at] then
      seen[at] = true
      local through, target = next_of(fn, instructions, i)
      if through then queue[#queue + 1] = through end
      if target then queue[#queue + 1] = target end
      if not through then ends[#ends + 1] = bytecode.return_at(fn, instructions, at) end
    end
  end
  return ends
end

return flow
