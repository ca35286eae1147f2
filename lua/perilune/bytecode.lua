-- SPDX-License-Identifier: Apache-2.0
-- perilune.bytecode: decodes compiled Lua functions: their instructions, jumps, globals and children.
-- perilune.registers says what the instructions work on. Both are for messages about mistakes (perilune.blame) and
-- for `perilune check` (perilune.lint). They are not used while requests are served without a mistake.
--
-- The numbers of instructions differ between versions of LuaJIT, so they are read from small functions that have
-- them.
--
-- Words. function: a Lua function, or the prototype of one that is made inside another; LuaJIT's jit.util takes both.

local bit = require "bit"
local core = require "perilune.core"
local util = require "jit.util"

local bytecode = {}

local band, rshift = bit.band, bit.rshift

-- What an instruction's first operand is, in LuaJIT's table of modes: a register that it writes, or the first of some.
local DESTINATION, BASE = 1, 2
-- What its last operand is where it is the place of another one, and what that counts from.
local JUMP, JUMP_BIAS = 13, 0x7fff

-- The instruction at a position (from 1), taken apart; nil behind the last.
local function decode(fn, at)
  local word, mode = util.funcbc(fn, at)
  if not word then return nil end
  local register = band(mode, 7)
  return {
    at = at, writes = register == DESTINATION or register == BASE, is_base = register == BASE, op = band(word, 0xff),
    a = band(rshift(word, 8), 0xff), b = rshift(word, 24), c = band(rshift(word, 16), 0xff), d = rshift(word, 16),
    target = band(rshift(mode, 7), 15) == JUMP and at + rshift(word, 16) - JUMP_BIAS or nil,
  }
end

-- The number of an instruction: the one at `at` in a function with this text.
local function op_of(text, at)
  local instruction = decode(loadstring(text), at)
  return instruction and instruction.op
end

local ops = {
  MOV = op_of("local a, b = ...; b = a", 2),
  UGET = decode((loadstring "local a = 1; return function() local b = a; a = b end")(), 1).op,
  USETV = decode((loadstring "local a = 1; return function(b) a = b end")(), 1).op,
  USETS = decode((loadstring "local a = 1; return function() a = 'b' end")(), 1).op,
  USETN = decode((loadstring "local a = 1; return function() a = 2 end")(), 1).op,
  USETP = decode((loadstring "local a = 1; return function() a = true end")(), 1).op,
  GGET = op_of("local a = b", 1),
  GSET = op_of("local a = ...; b = a", 2),
  TGETS = op_of("local a = ...; local b = a.b", 2),
  TDUP = op_of("local a = { b = 1 }", 1),
  TNEW = op_of("local a = {}", 1),
  TGETV = op_of("local a = ...; local b = a[a]", 2),
  TSETS = op_of("local a = ...; a.b = a", 2),
  TSETB = op_of("local a = ...; a[1] = a", 2),
  TSETV = op_of("local a = ...; a[a] = a", 2),
  KSTR = op_of("local a = 'b'", 1),
  KSHORT = op_of("local a = 1", 1),
  KNUM = op_of("local a = 1.5", 1),
  NOT = op_of("local a = ...; return not a", 2),
  LEN = op_of("local a = ...; return #a", 2),
  CAT = op_of("local a = ...; a = a .. a", 4),
  ISEQS = op_of("local a = ...; if a ~= 'b' then a() end", 2),
  ISNES = op_of("local a = ...; if a == 'b' then a() end", 2),
  KPRI = op_of("local a = true", 1),
  FNEW = op_of("local a = function() end", 1),
  ISF = op_of("local a = ...; if a then b() end", 2),
  LOOP = op_of("while true do a() end", 1),
  JMP = op_of("while true do a() end", 4),
  UCLO = op_of("do local a = 1; b = function() return a end end", 4),
  RET = op_of("return 1, 2", 3),
  RETM = op_of("return ...", 2),
  RET0 = op_of("return", 1),
  RET1 = op_of("local a = ...; return a", 2),
  CALL = op_of("local a = ...; a()", 3),
  CALLT = op_of("local a = ...; return a()", 3),
  CALLMT = op_of("local a = ...; return a(...)", 4),
  CALLM = op_of("local a = ...; a(...)", 4),
}

bytecode.ops = ops

--- A constant of the function that is no number, by its number in an instruction.
function bytecode.constant(fn, number) return util.funck(fn, -number - 1) end

--- The file that a function is in, and how many arguments it has names for.
function bytecode.info(fn)
  local info = util.funcinfo(fn)
  return { source = info.source, parameters = info.params or 0 }
end

--- Is it a function that the policy's author has written?
function bytecode.is_policys(fn)
  local info = debug.getinfo(fn, "S")
  return info.what ~= "C" and not core.is_own_source(info.source)
end

--- The line of an instruction.
function bytecode.line(fn, at) return util.funcinfo(fn, at).currentline end

-- The function that was taken apart last: questions about one come together.
local last = { fn = nil, instructions = nil, targets = nil }

--- All instructions, in order; not to be changed.
function bytecode.instructions(fn)
  if last.fn == fn then return last.instructions end
  local list = {}
  for at = 1, math.huge do
    list[at] = decode(fn, at)
    if not list[at] then break end
  end
  last.fn, last.instructions, last.targets = fn, list, nil
  return list
end

--- The instructions that others jump to, { [at] = true }; not to be changed.
function bytecode.targets(fn)
  local instructions = bytecode.instructions(fn)
  if last.targets then return last.targets end
  local targets = {}
  for _, i in ipairs(instructions) do
    if i.target then targets[i.target] = true end
  end
  last.targets = targets
  return targets
end

--- The prototypes of functions that are made in this one, directly.
function bytecode.children(fn)
  local list = {}
  for number = -1, -math.huge, -1 do
    local value = util.funck(fn, number)
    if value == nil then return list end
    if type(value) == "proto" then list[#list + 1] = value end
  end
end

--- Calls visit(fn) for the function and all that are made in it.
function bytecode.each(fn, visit)
  visit(fn)
  for _, child in ipairs(bytecode.children(fn)) do bytecode.each(child, visit) end
end

--- The globals it reads and writes: an array of { name, line, is_written }.
function bytecode.globals(fn)
  local list = {}
  for at, i in ipairs(bytecode.instructions(fn)) do
    if i.op == ops.GGET or i.op == ops.GSET then
      local name = bytecode.constant(fn, i.d)
      list[#list + 1] = { name = name, line = bytecode.line(fn, at), is_written = i.op == ops.GSET }
    end
  end
  return list
end

local SETS_UPVALUE = { [ops.USETV] = true, [ops.USETS] = true, [ops.USETN] = true, [ops.USETP] = true }
local RETURNS = { [ops.RET] = true, [ops.RETM] = true, [ops.RET0] = true, [ops.RET1] = true }

--- "call" or "tail" by the instruction's number.
bytecode.call_kinds = { [ops.CALL] = "call", [ops.CALLM] = "call", [ops.CALLT] = "tail", [ops.CALLMT] = "tail" }

--- Where an instruction leads: "return", "jump" to its target alone, "condition" for the jump that follows; nil: to the
--- next one, and to its target where it has one.
function bytecode.jump_kind(i)
  if RETURNS[i.op] or bytecode.call_kinds[i.op] == "tail" then return "return" end
  if i.op == ops.JMP or i.op == ops.UCLO then return "jump" end
  if i.op <= ops.ISF then return "condition" end -- comparisons and tests come first of all instructions
end

--- The upvalues that it sets: their names.
function bytecode.set_upvalues(fn)
  local names = {}
  for _, i in ipairs(bytecode.instructions(fn)) do
    if SETS_UPVALUE[i.op] then names[#names + 1] = util.funcuvname(fn, i.a) end
  end
  return names
end

--- Whether the loop is compiled is all that this one's target is for.
function bytecode.is_loop_mark(i) return i.op == ops.LOOP end

-- What a function or a table holds, other than under keys that are tables themselves.
local function each_held(value, visit)
  if type(value) == "table" then
    for _, held in next, value do visit(held) end
    return
  end
  for index = 1, 255 do
    local name, held = debug.getupvalue(value, index)
    if not name then return end
    visit(held)
  end
end

local MOST_VALUES = 2000

--- The functions that can be got at from these, through upvalues and tables, these included, where `is_wanted` says so.
--- Of more values than a policy has they are some.
function bytecode.reachable(roots, is_wanted)
  local queue, known, functions = {}, {}, {}
  local function take(value)
    if #queue > MOST_VALUES then return end
    local is_function = type(value) == "function" and is_wanted(value)
    if not is_function and type(value) ~= "table" or value == _G or known[value] then return end
    known[value], queue[#queue + 1] = true, value
    if is_function then functions[#functions + 1] = value end
  end
  for _, root in ipairs(roots) do take(root) end
  for _, value in ipairs(queue) do
    if #queue > MOST_VALUES then break end
    each_held(value, take)
  end
  return functions
end

return bytecode
