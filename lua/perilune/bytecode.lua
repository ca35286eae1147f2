-- SPDX-License-Identifier: Apache-2.0
-- perilune.bytecode: looks at compiled Lua functions: which globals they read and write, what they call and where.
-- It is for messages about mistakes (perilune.blame), and for the look at a policy that has loaded (perilune.lint).
-- While requests are served without a mistake it is not used.
--
-- Numbers of instructions differ between versions of LuaJIT, so they are found out from small functions that have them.
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
    at = at, writes = register == DESTINATION or register == BASE, op = band(word, 0xff),
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
  GGET = op_of("local a = b", 1),
  GSET = op_of("local a = ...; b = a", 2),
  TGETS = op_of("local a = ...; local b = a.b", 2),
  TDUP = op_of("local a = { b = 1 }", 1),
  TNEW = op_of("local a = {}", 1),
  TSETS = op_of("local a = ...; a.b = a", 2),
  TSETV = op_of("local a = ...; a[a] = a", 2),
  KSTR = op_of("local a = 'b'", 1),
  KSHORT = op_of("local a = 1", 1),
  KNUM = op_of("local a = 1.5", 1),
  NOT = op_of("local a = ...; return not a", 2),
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

-- Where the first argument of a call is, counted from the function: behind its frame.
local FIRST = (function()
  local move = decode(loadstring "local a = ...; a(a)", 3)
  local call = decode(loadstring "local a = ...; a(a)", 4)
  return move.a - call.a
end)()

local function constant(fn, number) return util.funck(fn, -number - 1) end

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
local last = { fn = nil, instructions = nil }

--- All instructions, in order; not to be changed.
function bytecode.instructions(fn)
  if last.fn == fn then return last.instructions end
  local list = {}
  for at = 1, math.huge do
    list[at] = decode(fn, at)
    if not list[at] then break end
  end
  last.fn, last.instructions = fn, list
  return list
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
      list[#list + 1] = { name = constant(fn, i.d), line = bytecode.line(fn, at), is_written = i.op == ops.GSET }
    end
  end
  return list
end

-- The last instruction before `at` that puts something into a register; nil: a parameter, or unknown.
local function load_of(instructions, register, at)
  for position = at - 1, 1, -1 do
    local i = instructions[position]
    if i.a == register and i.writes then return i end
  end
end

-- A table that was made at i from a template: its constant fields, and the names of all that it has.
local function template_of(fn, instructions, i, at)
  local value = i.op == ops.TDUP and constant(fn, i.d) or {}
  local names, is_open = {}, false
  for key in pairs(value) do names[key] = true end
  for position = i.at + 1, at - 1 do
    local set = instructions[position]
    if set.op == ops.TSETS and set.b == i.a then names[constant(fn, set.c)] = true end
    if set.op == ops.TSETV and set.b == i.a then is_open = true end
  end
  return { kind = "template", value = value, names = not is_open and names or nil, at = i.at }
end

local PRIMITIVES = { [1] = false, [2] = true }
local PLAIN = { [ops.KSTR] = "string", [ops.KSHORT] = "number", [ops.KNUM] = "number" }

-- What is in a register at a position: { kind = "upvalue", index }, { kind = "global", name },
-- { kind = "field", of, name }, { kind = "parameter", index }, { kind = "template", value, names } of a table that
-- was made there (without names where they are not known), { kind = "plain", type } of a string or number that stands
-- there, { kind = "primitive", value } of nil, true and false, { kind = "closure" }, { kind = "unknown" }.
local function value_in(fn, instructions, register, at, depth)
  local i = (depth or 0) < 8 and load_of(instructions, register, at) or nil
  if not i then
    return register < bytecode.info(fn).parameters and { kind = "parameter", index = register } or { kind = "unknown" }
  end
  if i.op == ops.MOV then return value_in(fn, instructions, i.d, i.at, (depth or 0) + 1) end
  if i.op == ops.UGET then return { kind = "upvalue", index = i.d, name = util.funcuvname(fn, i.d) } end
  if i.op == ops.GGET then return { kind = "global", name = constant(fn, i.d) } end
  if i.op == ops.KPRI then return { kind = "primitive", value = PRIMITIVES[i.d] } end
  if i.op == ops.FNEW then return { kind = "closure" } end
  if PLAIN[i.op] then return { kind = "plain", type = PLAIN[i.op] } end
  if i.op == ops.TDUP or i.op == ops.TNEW then return template_of(fn, instructions, i, at) end
  if i.op == ops.TGETS then
    return { kind = "field", name = constant(fn, i.c), at = i.at,
      of = value_in(fn, instructions, i.b, i.at, (depth or 0) + 1) }
  end
  return { kind = "unknown" }
end

local TESTS = { [ops.ISF] = false, [ops.ISF - 1] = true, [ops.ISF - 2] = false, [ops.ISF - 3] = true }
local RETURNS = { [ops.RET] = true, [ops.RETM] = true, [ops.RET0] = true, [ops.RET1] = true }
local CALLS = { [ops.CALL] = "call", [ops.CALLM] = "call", [ops.CALLT] = "tail", [ops.CALLMT] = "tail" }

-- Is it called with a colon? Then what the function was taken from is the first argument.
local function is_method(instructions, call, callee)
  local object = load_of(instructions, call.a + FIRST, call.at)
  if callee.kind ~= "field" or not object or object.op ~= ops.MOV then return false end
  local got = load_of(instructions, call.a, call.at)
  return got.op == ops.TGETS and got.b == object.d and object.at == got.at - 1
end

--- Its calls: an array of { at, line, is_tail, callee = what is called, is_method, count = of the arguments that stand
--- there, argument(n) = what the n-th argument is }.
function bytecode.calls(fn)
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
function bytecode.global_fields(fn)
  local list, instructions, called = {}, bytecode.instructions(fn), {}
  for _, call in ipairs(bytecode.calls(fn)) do
    if call.callee.at and not call.is_method then called[call.callee.at] = true end
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

--- Where an instruction leads: "return", "jump" to its target alone, "condition" for the jump that follows; nil: to the
--- next one, and to its target where it has one.
function bytecode.jump_kind(i)
  if RETURNS[i.op] or CALLS[i.op] == "tail" then return "return" end
  if i.op == ops.JMP or i.op == ops.UCLO then return "jump" end
  if i.op <= ops.ISF then return "condition" end -- comparisons and tests come first of all instructions
end

--- What a condition tests for being true or false, and for which of them the jump behind it is taken; nil: it compares.
function bytecode.tested(fn, instructions, i)
  local on = TESTS[i.op]
  if on ~= nil then return value_in(fn, instructions, i.d, i.at), on end
end

--- Whether the loop is compiled is all that this one's target is for.
function bytecode.is_loop_mark(i) return i.op == ops.LOOP end

--- What the return at a position gives first: { line, value }; a value of kind "nothing" where nothing stands there.
function bytecode.return_at(fn, instructions, at)
  local i, value = instructions[at], { kind = "unknown" }
  if i.op == ops.RET0 then value = { kind = "nothing" } end
  if i.op == ops.RET1 or i.op == ops.RET then value = value_in(fn, instructions, i.a, at) end
  return { line = bytecode.line(fn, at), value = value }
end

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
