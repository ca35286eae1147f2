-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_calls: what `perilune check` finds in the calls of a function and in the fields that it reads and
-- writes: methods and fields that an object does not have, and constants that the called function always refuses. It is
-- given a function; or the prototype of one in a file, of whose upvalues only the names are known.

local bytecode = require "perilune.bytecode"
local check = require "perilune.check"
local findings = require "perilune.findings"
local kinds = require "perilune.kinds"
local known = require "perilune.known"
local lint_constants = require "perilune.lint_constants"
local lint_libraries = require "perilune.lint_libraries"
local registers = require "perilune.registers"

local lint_calls = {}

local ARTICLES = { error = "an error", hello = "the parameter of certificate", trailers = "an object of trailers" }
local function a(kind) return ARTICLES[kind] or "a " .. kind end

local fault, doubt = findings.fault, findings.doubt

--- --- methods and fields -------------------------------------------------------------------------------------------

-- The kind of object that a value is (perilune.kinds); nil: it is not known.
local function kind_of(look, value)
  if value.kind == "parameter" then return look.hook and kinds.of_parameter(look.hook, value.index + 1) end
  if value.kind == "plain" then return value.type == "string" and "string" or nil end
  if value.kind == "upvalue" then return look.kinds and look.kinds[value.name] end
  local call = value.kind == "result" and look.calls[value.from]
  if not call or not call.is_method then return nil end
  local kind = kind_of(look, call.callee.of)
  return kind and kinds.of_result(kind, call.callee.name)
end

-- session.path(session) is right, though nobody writes it; and what only a run can tell may be.
local function is_given(argument, of)
  if argument.kind == "parameter" then return of.kind == "parameter" and argument.index == of.index end
  return argument.kind ~= "plain" and argument.kind ~= "primitive" and argument.kind ~= "template"
    and argument.kind ~= "closure" and (argument.kind ~= "unknown" or of.kind ~= "parameter")
end

local function look_at_method(look, call, kind)
  local name = call.callee.name
  local has = kinds.has_method(kind, name)
  if has == nil and kinds.has_field(kind, name) then
    fault(look, call.line, "%s of %s is a field: write %s.%s, without brackets", name, a(kind), kind, name)
  elseif has == nil then
    local instead = (kind == "session" or kind == "request" or kind == "response") and kinds.instead(name)
    local meant = instead and ": " .. instead or check.meant(name, kinds.names(kind))
    fault(look, call.line, "%s has no '%s'%s", a(kind), name, meant)
  elseif not call.is_method then
    if has and kind ~= "string" and not is_given(call.argument(1), call.callee.of) then
      fault(look, call.line, "methods are called with a colon: %s:%s(...)", kind, name)
    end
  elseif not has then
    fault(look, call.line, "%s has no %s: use %s", a(kind), name, kinds.who_has(kind, name))
  end
end

-- Is it a table of the policy's own, without a metatable?
local function is_plain(value)
  return type(value) == "table" and not debug.getmetatable(value) and not known.library(value)
end

local function look_at_form(look, call, fn)
  local info, name = debug.getinfo(fn, "uS"), call.callee.name
  if info.isvararg or info.nparams == 0 or lint_libraries.has(info.source) then return end
  local takes_self = debug.getlocal(fn, 1) == "self"
  if call.is_method and not takes_self and call.count > info.nparams then
    doubt(look, call.line, "%s is defined with a dot and called with a colon, so its first parameter gets the table: "
      .. "write .%s(...)", name, name)
  elseif not call.is_method and takes_self and call.count < info.nparams then
    doubt(look, call.line, "%s is defined with a colon and called with a dot, so self gets the first argument: "
      .. "write :%s(...)", name, name)
  end
end

-- A call of a function in a table of the policy's own: a slip in its name, or a colon for a dot. What the table does
-- not have may be put there later, so there must be a function of a similar name.
local function look_at_own(look, call, held)
  local name, names = call.callee.name, {}
  local fn = rawget(held, name)
  if type(fn) == "function" and bytecode.is_policys(fn) then look_at_form(look, call, fn) end
  if fn ~= nil then return end
  for known_name, value in next, held do
    if type(known_name) == "string" and type(value) == "function" then names[#names + 1] = known_name end
  end
  local hint = check.hint(name, names)
  if hint ~= "" then fault(look, call.line, "there is no function '%s'%s", name, hint) end
end

-- Is the first argument, where no colon gives one, a constant or a table that is made here?
local function is_surely_another(look, call)
  if call.is_method then return false end
  local first = call.argument(1)
  return call.count == 0 or first.kind == "template" or known.constant(look, first, call.at) ~= nil
end

-- A name that an object or a module of ours does not have: these raise, and say it themselves. A library does not.
local function look_at_known(look, call)
  local of, name = call.callee.of, call.callee.name
  local is_known, held = known.value(look, of)
  if not is_known or type(held) ~= "table" and type(held) ~= "userdata" or known.asks_policy(held) then return end
  local ok, member = pcall(function() return held[name] end)
  if not ok then
    fault(look, call.line, "%s", (tostring(member):gsub("^.-:%d+: ", "")))
  elseif is_plain(held) then
    look_at_own(look, call, held)
  elseif type(member) == "function" and known.object_name(held) and is_surely_another(look, call) then
    fault(look, call.line, "methods are called with a colon: %s:%s(...)", of.name or known.object_name(held), name)
  elseif member == nil and of.kind ~= "global" and known.library(held) then
    fault(look, call.line, "%s has no '%s'%s", known.library(held), name, check.meant(name, check.names(held)))
  end
end

-- function policy:request_filter(): is it the first parameter of such a hook?
local function is_self(look, value)
  return value.kind == "parameter" and value.index == 0 and debug.getlocal(look.fn, 1) == "self"
end

local function look_at_read(look, read, line)
  local kind = kind_of(look, read.of)
  if not kind or kind == "string" or kinds.has_field(kind, read.name) then return end
  local has = kinds.has_method(kind, read.name)
  if has and read.compares then
    fault(look, line, "%s.%s is a method: write %s:%s()", kind, read.name, kind, read.name)
  elseif not has then
    local hint = check.hint(read.name, kinds.names(kind))
    if hint == "" and kind == "session" then hint = ": keep data of your own in ctx" end
    if is_self(look, read.of) then hint = hint .. "; self is the session here: define hooks with a dot" end
    fault(look, line, "%s has no '%s'%s", a(kind), read.name, hint)
  end
end

local function look_at_write(look, write, line)
  local kind = kind_of(look, write.of)
  if kind == "error" and write.name ~= "retry" then
    fault(look, line, "of an error only the field 'retry' can be set")
  elseif kind == "session" or kind == "request" or kind == "response" or kind == "trailers" then
    local setter = "set_" .. tostring(write.name)
    local instead = kinds.has_method(kind, setter) and ("write %s:%s(...)"):format(kind, setter)
      or ("keep '%s' in ctx"):format(write.name)
    fault(look, line, "%s takes no fields: %s", a(kind), instead)
  end
end

-- response.headers["X"]: what is indexed must not be a method.
local function look_at_indexed(look, access, line, is_written)
  local of = access.of
  local kind = of.kind == "field" and kind_of(look, of.of)
  if not kind or kind == "string" or not kinds.has_method(kind, of.name) then return end
  local is_of_fields = of.name == "headers" or of.name == "get_header" or of.name == "set_header"
  local setter = (kinds.has_method(kind, "set_header") and "" or ":request()") .. ":set_header(name, value)"
  local instead = is_of_fields and (is_written and setter or ":get_header(name)") or (":%s()"):format(of.name)
  fault(look, line, "%s.%s is a method, not a table: write %s%s", kind, of.name, kind, instead)
end

-- The fields that are read and written, but for those that are called.
local function look_at_fields(look)
  local called = {}
  for _, call in pairs(look.calls) do
    if call.callee.from then called[call.callee.from] = true end
  end
  for at = 1, #bytecode.instructions(look.fn) do
    local read = not called[at] and registers.field_read(look.fn, at)
    local write = not read and registers.field_written(look.fn, at)
    if read then look_at_read(look, read, bytecode.line(look.fn, at)) end
    if write then look_at_write(look, write, bytecode.line(look.fn, at)) end
    if read or write then look_at_indexed(look, read or write, bytecode.line(look.fn, at), not read) end
  end
end

--- --- all of it ----------------------------------------------------------------------------------------------------

local function look_at_call(look, call)
  local kind
  if call.callee.kind == "field" then
    kind = kind_of(look, call.callee.of)
    if kind then look_at_method(look, call, kind) else look_at_known(look, call) end
  end
  lint_constants.look(look, call, kind)
end

local function look_at_function(look)
  look.calls = {}
  for _, call in ipairs(registers.calls(look.fn)) do look.calls[call.at] = call end
  for _, call in pairs(look.calls) do look_at_call(look, call) end
  if look.hook or look.kinds then look_at_fields(look) end
end

-- Our modules and objects that a function holds, by the names of its upvalues.
local function ours_in(look)
  local ours = {}
  for n = 1, 255 do
    local name, value = debug.getupvalue(look.fn, n)
    if not name then break end
    local is_ours = known.module_name(value) or known.object_name(value)
    if is_ours and not known.asks_policy(value) then ours[name] = value end
  end
  return ours
end

-- The kinds of a hook's parameters, by their names.
local function kinds_of_parameters(look)
  local of = {}
  for n = 1, look.hook and bytecode.info(look.fn).parameters or 0 do
    of[debug.getlocal(look.fn, n)] = kinds.of_parameter(look.hook, n)
  end
  return of
end

--- Looks at a function, and at those that are made in it. `look` has: fn; path, of its file; found = { faults,
--- warnings }; hook, its name where it is one; is_set(name): is an upvalue of this name set in the file?; modules: of a
--- prototype, our modules by upvalue.
function lint_calls.look(look)
  look_at_function(look)
  local modules, of = look.modules, look.kinds
  if type(look.fn) == "function" and not modules then modules, of = ours_in(look), kinds_of_parameters(look) end
  for _, child in ipairs(bytecode.children(look.fn)) do
    lint_calls.look { fn = child, path = look.path, found = look.found, is_set = look.is_set, modules = modules,
      kinds = of }
  end
end

return lint_calls
