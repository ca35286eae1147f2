-- SPDX-License-Identifier: Apache-2.0
-- perilune.registers: what a compiled Lua function (perilune.bytecode) has in its registers at an instruction, and
-- where the value came from. Based on that: the calls of a function, the fields that it reads and writes, and what it
-- returns. The search goes back from the instruction in the order of the text and ignores jumps; perilune.flow says
-- whether a value is there on every path to the instruction.

local bytecode = require "perilune.bytecode"
local util = require "jit.util"

local registers = {}

local ops, constant = bytecode.ops, bytecode.constant

-- Where the first argument of a call is, counted from the function: behind its frame.
local FIRST = (function()
  local move = bytecode.instructions(loadstring "local a = ...; a(a)")[3]
  local call = bytecode.instructions(loadstring "local a = ...; a(a)")[4]
  return move.a - call.a
end)()

-- How many instructions are searched; and in a function with more than LONG, which a program has written.
local FARTHEST, LONG, NEAR = 1000, 10000, 20

local function farthest(instructions) return #instructions > LONG and NEAR or FARTHEST end

-- The last instruction before `at` that puts something into a register. A call also leaves something unknown in the
-- registers behind its own. Nil: a parameter, or unknown.
local function load_of(instructions, register, at)
  for position = at - 1, math.max(1, at - farthest(instructions)), -1 do
    local i = instructions[position]
    if i.writes and (i.a == register or i.is_base and register > i.a) then return i end
  end
end

local value_in

-- Does an instruction put the value of a register somewhere else, where it may be changed?
local function shares(i, register)
  if i.op == ops.MOV then return i.d == register end
  return (i.op == ops.TSETS or i.op == ops.TSETV or i.op == ops.TSETB) and i.a == register
end

-- A table that was made at i from a template, as it is at `at`: its constant fields, the names of all that it has, and
-- where those that are no constants come from. is_shared: something else had it before, and may have changed it.
local function template_of(fn, instructions, i, at, depth)
  local value, names, fields, is_open, is_shared = {}, {}, {}, false, false
  for key, constant_value in pairs(i.op == ops.TDUP and constant(fn, i.d) or {}) do
    value[key], names[key] = constant_value, true
  end
  for position = i.at + 1, at - 1 do
    local set = instructions[position]
    if set.op == ops.TSETS and set.b == i.a then
      local name = constant(fn, set.c)
      names[name], value[name], fields[name] = true, nil, value_in(fn, instructions, set.a, position, depth)
      fields[name].set_at = position
    end
    is_open = is_open or set.op == ops.TSETV and set.b == i.a
    is_shared = is_shared or shares(set, i.a)
  end
  return { kind = "template", value = value, names = not is_open and names or nil, fields = fields,
    is_shared = is_shared }
end

local PRIMITIVES = { [1] = false, [2] = true }
local PLAIN = {
  [ops.KSTR] = function(fn, i) return constant(fn, i.d) end,
  [ops.KSHORT] = function(_, i) return i.d < 0x8000 and i.d or i.d - 0x10000 end,
  [ops.KNUM] = function(fn, i) return util.funck(fn, i.d) end,
}
local READERS = {} -- by the instruction that has put the value into its register

READERS[ops.MOV] = function(fn, instructions, i, _, depth) return value_in(fn, instructions, i.d, i.at, depth) end
READERS[ops.UGET] = function(fn, _, i) return { kind = "upvalue", index = i.d, name = util.funcuvname(fn, i.d) } end
READERS[ops.GGET] = function(fn, _, i) return { kind = "global", name = constant(fn, i.d) } end
READERS[ops.KPRI] = function(_, _, i) return { kind = "primitive", value = PRIMITIVES[i.d] } end
READERS[ops.FNEW] = function() return { kind = "closure" } end
READERS[ops.TDUP], READERS[ops.TNEW] = template_of, template_of
READERS[ops.TGETS] = function(fn, instructions, i, _, depth)
  return { kind = "field", name = constant(fn, i.c), of = value_in(fn, instructions, i.b, i.at, depth) }
end
READERS[ops.TGETV] = function(fn, instructions, i, _, depth)
  return { kind = "element", of = value_in(fn, instructions, i.b, i.at, depth) }
end
READERS[ops.LEN] = function(fn, instructions, i, _, depth)
  return { kind = "length", of = value_in(fn, instructions, i.d, i.at, depth) }
end
READERS[ops.CALL] = function() return { kind = "result" } end
for op, read in pairs(PLAIN) do
  READERS[op] = function(fn, _, i)
    local value = read(fn, i)
    return { kind = "plain", type = type(value), value = value }
  end
end

-- What is in a register at a position: { kind = "upvalue", index }, { kind = "global", name },
-- { kind = "field", of, name }, { kind = "element", of } under a key that is not known, { kind = "length", of },
-- { kind = "parameter", index },
-- { kind = "template", value, names, fields } of a table that was made there (without names where they are not known),
-- { kind = "plain", type, value } of a string or number that stands there, { kind = "primitive", value } of nil, true
-- or false, { kind = "result" } of a call, { kind = "closure" }, { kind = "unknown" }. `from` is the instruction that
-- has it from elsewhere, `at` the one that has put it into this register.
function value_in(fn, instructions, register, at, depth)
  depth = (depth or 0) + 1
  local i = depth < 10 and load_of(instructions, register, at) or nil
  if not i then
    local is_parameter = at <= farthest(instructions) and register < bytecode.info(fn).parameters
    return is_parameter and { kind = "parameter", index = register } or { kind = "unknown" }
  end
  local read = i.a == register and READERS[i.op]
  local value = read and read(fn, instructions, i, at, depth) or { kind = "unknown" }
  value.from, value.at = value.from or i.at, i.at
  return value
end

local TESTS = { [ops.ISF] = false, [ops.ISF - 1] = true, [ops.ISF - 2] = false, [ops.ISF - 3] = true }
local CALLS = bytecode.call_kinds

-- Is it called with a colon? Then what the function was taken from is the first argument.
local function is_method(instructions, call, callee)
  local object = load_of(instructions, call.a + FIRST, call.at)
  if callee.kind ~= "field" or not object or object.op ~= ops.MOV then return false end
  local got = load_of(instructions, call.a, call.at)
  return got.op == ops.TGETS and got.b == object.d and object.at == got.at - 1
end

--- Its calls: an array of { at, line, is_tail, callee = what is called, is_method, count = of the arguments that stand
--- there, argument(n) = what the n-th argument is }.
function registers.calls(fn)
  local list, instructions = {}, bytecode.instructions(fn)
  for at, i in ipairs(instructions) do
    if CALLS[i.op] then
      local callee = value_in(fn, instructions, i.a, at)
      list[#list + 1] = {
        at = at, line = bytecode.line(fn, at), is_tail = CALLS[i.op] == "tail",
        callee = callee, is_method = is_method(instructions, i, callee),
        count = i.op == ops.CALL and i.c - 1 or i.op == ops.CALLT and i.d - 1 or i.c,
        argument = function(n) return value_in(fn, instructions, i.a + FIRST + n - 1, at) end,
      }
    end
  end
  return list
end

-- Does the instruction look whether there is a value, or hand it to `type`?
local function is_test(i)
  return i ~= nil and (i.op <= ops.ISF or i.op == ops.NOT or i.op == ops.CALL or i.op == ops.CALLT)
end

--- The fields of globals that it reads or writes, as string.gsub: an array of { global, name, line, is_written,
--- is_called, is_tested }.
function registers.global_fields(fn)
  local list, instructions, called = {}, bytecode.instructions(fn), {}
  for _, call in ipairs(registers.calls(fn)) do
    if call.callee.from and not call.is_method then called[call.callee.from] = true end
  end
  for at, i in ipairs(instructions) do
    if i.op == ops.TGETS or i.op == ops.TSETS then
      local of = value_in(fn, instructions, i.b, at)
      list[#list + 1] = of.kind == "global" and {
        global = of.name, name = constant(fn, i.c), line = bytecode.line(fn, at), is_written = i.op == ops.TSETS,
        is_called = called[at], is_tested = is_test(instructions[at + 1]),
      } or nil
    end
  end
  return list
end

--- What a condition tests for being true or false, and for which of them the jump behind it is taken; nil: it compares.
function registers.tested(fn, instructions, i)
  local on = TESTS[i.op]
  if on ~= nil then return value_in(fn, instructions, i.d, i.at), on end
end

--- What a condition compares or tests, as far as it is in its first register; nil: the instruction is no condition.
function registers.asked(fn, at)
  local instructions = bytecode.instructions(fn)
  local i = instructions[at]
  if bytecode.jump_kind(i) ~= "condition" then return nil end
  local tested = registers.tested(fn, instructions, i)
  return tested or value_in(fn, instructions, i.a, at)
end

--- The field that an instruction reads: { name, of, compares = is it compared with a string next? }; nil: none.
function registers.field_read(fn, at)
  local instructions = bytecode.instructions(fn)
  local i, behind = instructions[at], instructions[at + 1]
  if i.op ~= ops.TGETS then return nil end
  local compares = behind and (behind.op == ops.ISEQS or behind.op == ops.ISNES) and behind.a == i.a
  return { name = constant(fn, i.c), of = value_in(fn, instructions, i.b, at), compares = compares }
end

--- The field that an instruction writes: { name, of, value }; nil: none.
function registers.field_written(fn, at)
  local instructions = bytecode.instructions(fn)
  local i = instructions[at]
  if i.op ~= ops.TSETS then return nil end
  return { name = constant(fn, i.c), of = value_in(fn, instructions, i.b, at),
    value = value_in(fn, instructions, i.a, at) }
end

--- Does an instruction put the value of a parameter somewhere else: into a table, an upvalue or a longer string?
function registers.keeps(fn, at, parameter)
  local instructions = bytecode.instructions(fn)
  local i = instructions[at]
  local first, last_one = i.a, i.a
  if i.op == ops.CAT then
    first, last_one = i.b, i.c
  elseif i.op == ops.USETV then
    first, last_one = i.d, i.d
  elseif i.op ~= ops.TSETS and i.op ~= ops.TSETV and i.op ~= ops.TSETB then
    return false
  end
  for register = first, last_one do
    local value = value_in(fn, instructions, register, at)
    if value.kind == "parameter" and value.index == parameter then return true end
  end
  return false
end

--- What the return at a position gives first: { at, line, value }; kind "nothing" where nothing stands there.
function registers.return_at(fn, instructions, at)
  local i, value = instructions[at], { kind = "unknown" }
  if i.op == ops.RET0 then value = { kind = "nothing" } end
  if i.op == ops.RET1 or i.op == ops.RET then value = value_in(fn, instructions, i.a, at) end
  return { at = at, line = bytecode.line(fn, at), value = value }
end

return registers
