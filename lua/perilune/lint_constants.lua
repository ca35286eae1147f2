-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_constants: what `perilune check` finds in the arguments of calls: constants that the called function
-- always refuses, and times that were probably meant as milliseconds. `look` is described at perilune.lint_calls.look.

local arguments = require "perilune.arguments"
local check = require "perilune.check"
local core = require "perilune.core"
local findings = require "perilune.findings"
local flow = require "perilune.flow"
local known = require "perilune.known"
local options = require "perilune.options"
local times = require "perilune.times"

local lint_constants = {}

local fault, doubt = findings.fault, findings.doubt

local ANSWER = core.answer_fields()
local TYPES = { reason = "string", headers = "table", body = "string" } -- of fields of an answer

local function fault_of_header(name, value)
  if type(name) ~= "string" then
    return 'a key of headers is not the name of a field: write { ["X-Name"] = "value" }'
  end
  return arguments.fault_of_field(name, value)
end

-- What is wrong with a field of an answer, whose value may be unknown: nil.
local function fault_of_answer(name, value)
  local instead = type(name) == "string" and core.answer_instead(name)
  if instead then return ("unknown field '%s': write %s"):format(name, instead) end
  local hint = type(name) == "string" and check.hint(name, check.names(ANSWER)) or ""
  if not ANSWER[name] then return ("unknown field '%s'%s"):format(tostring(name), hint) end
  if value == nil then return nil end
  if name == "status" then
    if type(value) == "number" and value >= 200 and value <= 599 then return nil end
    local shown = type(value) == "string" and ("%q"):format(value) or tostring(value)
    return "status must be a number from 200 to 599, got " .. shown
  end
  if TYPES[name] and type(value) ~= TYPES[name] then
    return ("%s must be a %s, got a %s value"):format(name, TYPES[name], type(value))
  end
end

local function fault_of_headers(constants, names)
  for name in pairs(names) do
    local why = fault_of_header(name, constants[name])
    if why then return why end
  end
end

-- Of session:start_response, whose text comes later.
local function fault_of_streamed(constants, names)
  if names.body then return "a streamed answer has no body: write it with session:send" end
  local length = constants.length
  if length ~= nil and not (type(length) == "number" and length >= 0 and length % 1 == 0) then
    return "length must be the number of bytes that will be sent"
  end
  if constants.status ~= 204 and constants.status ~= 304 then return nil end
  return ("a response with status %d has no body: use session:respond"):format(constants.status)
end

local ANSWERING = { respond = "session:respond", start_response = "session:start_response" }

-- session:respond { staus = 200 }, as far as it stands there.
local function look_at_answer(look, call)
  local given, name = call.argument(2), ANSWERING[call.callee.name]
  local what = known.constant(look, given, call.at)
  if what ~= nil then
    fault(look, call.line, "%s: expected a table, got a %s value: write %s { status = ... }", name, type(what), name)
  end
  if given.kind ~= "template" then return end
  local constants, names, is_whole = known.fields(look, given, call.at)
  local is_streamed = call.callee.name == "start_response"
  local why = is_streamed and fault_of_streamed(constants, names) or names.length and not is_streamed
    and "length is that of the body"
  if why then return fault(look, call.line, "%s: %s", name, why) end
  for field in pairs(names) do
    why = fault_of_answer(field, constants[field])
    if why then fault(look, call.line, "%s: %s", name, why) end
  end
  local headers = given.fields.headers
  why = nil
  if headers and headers.kind == "template" then why = fault_of_headers(known.fields(look, headers, headers.set_at)) end
  if type(constants.headers) == "table" then why = fault_of_headers(constants.headers, constants.headers) end
  if why then fault(look, call.line, "%s: %s", name, why) end
  if is_whole and not names.status then fault(look, call.line, "%s: status is missing", name) end
end

-- Times of a table that one of our functions gets, also in tables within it.
local function look_at_times(look, template, at, line)
  local constants = known.fields(look, template, at)
  local function each(fields)
    for name, value in pairs(fields) do
      if type(value) == "table" then each(value) end
      local why = times.doubt(name, value)
      if why then doubt(look, line, "%s", why) end
    end
  end
  each(constants)
  for _, value in pairs(template.fields) do
    if value.kind == "template" then look_at_times(look, value, value.set_at, line) end
  end
end

-- What is wrong with an option, whose value may be unknown: nil.
local function fault_of_option(declared, name, value)
  local valid = declared.valid
  if type(valid) == "table" then
    return options.fault_of_name(declared.call, name, valid)
      or value ~= nil and options.fault_of_value(declared.call, name, value, valid) or nil
  end
  local why = valid { [name] = value == nil and true or value }
  if not why or value == nil and not why:find "^unknown option" then return nil end
  return ("%s: %s"):format(declared.call, why)
end

-- The options of a function that has declared them.
local function look_at_options(look, call, declared)
  if declared.position > call.count then return end
  local given = call.argument(declared.position)
  local what = known.constant(look, given, call.at)
  if what ~= nil then
    fault(look, call.line, "%s: expected a table of options, got a %s value", declared.call, type(what))
  end
  if given.kind ~= "template" then return end
  local constants, names = known.fields(look, given, call.at)
  for name in pairs(names) do
    local why = fault_of_option(declared, name, constants[name])
    if why then fault(look, call.line, "%s", why) end
  end
  local why = declared.together and declared.together(function(name)
    if names[name] then return constants[name], true end
    return declared.valid[name][2], false
  end)
  if why then doubt(look, call.line, "%s: %s", declared.call, why) end
end

-- Arguments of a function of the module `owner`, or of a method of such an object.
local function look_at_arguments(look, call, owner, is_method)
  local shift = is_method and 1 or 0
  for position = 1, math.min(call.count - shift, 4) do
    local given = call.argument(position + shift)
    local value = known.constant(look, given, call.at)
    if given.kind == "template" and flow.is_certain(look.fn, given.at, call.at) then value = {} end
    if value ~= nil then
      local name = call.callee.name
      local why = arguments.fault(owner, name, position, value, is_method, call.count - shift)
      if why then fault(look, call.line, "%s", why) end
      why = arguments.doubt(owner, name, position, value, is_method)
      if why then doubt(look, call.line, "%s", why) end
    end
  end
end

local CHANGES = { set_header = true, add_header = true }

local function look_at_header(look, call, kind)
  local name, value = known.constant(look, call.argument(2), call.at), known.constant(look, call.argument(3), call.at)
  if type(name) ~= "string" then return end
  local why = arguments.fault_of_field(name, value, kind == "request")
  if why then fault(look, call.line, "%s: %s", call.callee.name, why) end
end

local function look_at_owned(look, call)
  local is_known, of = known.value(look, call.callee.of)
  local owner = is_known and (call.is_method and known.object_name(of) or not call.is_method and known.module_name(of))
  if not owner then return end
  look_at_arguments(look, call, owner, call.is_method)
  for n = 1, math.min(call.count, 4) do
    local given = call.argument(n)
    if owner:find "^perilune" and given.kind == "template" then look_at_times(look, given, call.at, call.line) end
  end
end

--- Looks at the arguments of a call. `kind`: that of the object whose method is called (perilune.kinds); nil: it is not
--- known.
function lint_constants.look(look, call, kind)
  local is_known, fn = known.value(look, call.callee)
  local declared = is_known and options.declared(fn)
  if declared then look_at_options(look, call, declared) end
  if call.is_method and ANSWERING[call.callee.name] then look_at_answer(look, call) end
  if kind and call.is_method then
    look_at_arguments(look, call, kind, true)
    if CHANGES[call.callee.name] then look_at_header(look, call, kind) end
  elseif not kind and call.callee.kind == "field" then
    look_at_owned(look, call)
  end
end

return lint_constants
