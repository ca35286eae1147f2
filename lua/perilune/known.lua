-- SPDX-License-Identifier: Apache-2.0
-- perilune.known: which values of a function are known before it runs: constants, our modules and objects, and the
-- values of upvalues that nothing sets later. For `perilune check`. `look` is described at perilune.lint_calls.look.

local bytecode = require "perilune.bytecode"
local flow = require "perilune.flow"

local known = {}

--- Would the policy's own code be run for a name that the value does not have?
function known.asks_policy(value)
  for _ = 1, 100 do
    local metatable = debug.getmetatable(value)
    local index = type(metatable) == "table" and rawget(metatable, "__index")
    if type(index) == "function" then return bytecode.is_policys(index) end
    if type(index) ~= "table" then return false end
    value = index
  end
  return true
end

local value_of

-- What an upvalue holds, if nothing in its file sets it later. That of a prototype is known if it is our module.
local function known_upvalue(look, value)
  if look.is_set(value.name) then return false end
  if type(look.fn) ~= "function" then return look.modules[value.name] ~= nil, look.modules[value.name] end
  return true, (select(2, debug.getupvalue(look.fn, value.index + 1)))
end

-- The module that a call of require gives, if it is one of ours.
local function known_result(look, value)
  local call = look.calls[value.from]
  local name = call and call.callee.kind == "global" and call.callee.name == "require" and call.argument(1).value
  if type(name) ~= "string" or not name:find "^perilune" then return false end
  local ok, module = pcall(require, name)
  return ok, module
end

local function known_field(look, value, depth)
  local is_known, of = value_of(look, value.of, depth)
  if not is_known or type(of) ~= "table" and type(of) ~= "userdata" or known.asks_policy(of) then return false end
  return pcall(function() return of[value.name] end)
end

function value_of(look, value, depth)
  depth = (depth or 0) + 1
  if depth > 5 then return false end
  if value.kind == "plain" or value.kind == "primitive" then return true, value.value end
  if value.kind == "upvalue" then return known_upvalue(look, value) end
  if value.kind == "global" then return rawget(_G, value.name) ~= nil, rawget(_G, value.name) end
  if value.kind == "field" then return known_field(look, value, depth) end
  if value.kind == "result" then return known_result(look, value) end
  return false
end

--- Is it known what a value is (of perilune.registers), and what is it?
function known.value(look, value) return value_of(look, value) end

--- A constant that is there on each path to the instruction at `at`; nil: there is none, or it is nil.
function known.constant(look, value, at)
  local is_known, held = value_of(look, value)
  if not is_known or type(held) == "table" or type(held) == "userdata" then return nil end
  if value.kind == "upvalue" and type(held) == "function" then return nil end
  if held == nil or not (flow.is_certain(look.fn, value.at, at) and flow.is_certain(look.fn, value.from, at)) then
    return nil
  end
  return held
end

--- The constant fields of a table that is made in the function, by name; the names of all that it has; and whether
--- it is known that it has no others.
function known.fields(look, template, at)
  local constants, names = {}, {}
  local is_certain = flow.is_certain(look.fn, template.at, at) and flow.is_certain(look.fn, template.from, at)
  if not is_certain or template.is_shared or not template.names then
    return constants, names, false
  end
  for name in pairs(template.names) do names[name] = true end
  for name, value in pairs(template.value) do constants[name] = value end
  for name, value in pairs(template.fields) do
    if flow.is_certain(look.fn, value.set_at, at) then constants[name] = known.constant(look, value, value.set_at) end
  end
  return constants, names, true
end

local LIBRARIES = { "string", "table", "math", "os", "io", "bit", "coroutine", "debug" }

--- The name of a library of LuaJIT; nil: it is none.
function known.library(value)
  for _, name in ipairs(LIBRARIES) do
    if rawequal(rawget(_G, name), value) then return name end
  end
end

--- The name of one of our modules; nil: it is none.
function known.module_name(value)
  if type(value) ~= "table" then return nil end
  for name, module in pairs(package.loaded) do
    if rawequal(module, value) and (name:find "^perilune" or known.library(value)) then return name end
  end
end

--- What a known object is called by its metatable: "perilune.dict".
function known.object_name(value)
  local metatable = (type(value) == "table" or type(value) == "userdata") and debug.getmetatable(value)
  local name = type(metatable) == "table" and rawget(metatable, "__name") or metatable -- the name stands for ours
  return type(name) == "string" and name or nil
end

return known
