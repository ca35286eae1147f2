-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_results: what `perilune check` finds in the results of hooks: returns without the answer, the peer or
-- the piece of a body that is needed there; constants that the proxy refuses as the result of that hook; and peers with
-- options that do not fit.

local bytecode = require "perilune.bytecode"
local core = require "perilune.core"
local findings = require "perilune.findings"
local flow = require "perilune.flow"
local kinds = require "perilune.kinds"
local registers = require "perilune.registers"
local times = require "perilune.times"

local lint_results = {}

local add, getupvalue = findings.add, debug.getupvalue

local function path_of(fn) return bytecode.info(fn).source:sub(2) end

--- --- returns without an answer ------------------------------------------------------------------------------------

local function is_error(fn, callee)
  if callee.kind == "global" then return callee.name == "error" end
  return callee.kind == "upvalue" and select(2, getupvalue(fn, callee.index + 1)) == error
end

local ANSWERING = { respond = true, start_response = true, reset = true } -- methods of a session

-- A call that may have answered, or does not come back: what has the session, or a function made here, may do so.
local function may_answer(fn)
  return function(call)
    local answers = call.is_method and ANSWERING[call.callee.name]
    if answers or is_error(fn, call.callee) then return true end
    for n = call.is_method and 2 or 1, call.count do
      local kind = call.argument(n).kind
      if kind == "parameter" or kind == "closure" then return true end
    end
    return false
  end
end

local function is_nothing(value)
  return value.kind == "nothing" or value.kind == "primitive" and not value.value
end

-- The first line where a hook may end with nothing that counts; nil: there is none.
local function idle_end(fn)
  local first
  for _, one in ipairs(flow.ends(fn, may_answer(fn))) do
    if is_nothing(one.value) and (not first or one.line < first) then first = one.line end
  end
  return first
end

local FILTERS = { early_request_filter = true, request_filter = true, proxy_upstream_filter = true }

--- Without upstream_peer one of the filters has to answer each request. `listener`: the hooks of one by name.
function lint_results.look_for_answers(found, listener)
  local place
  for name, fn in pairs(listener) do
    local line = FILTERS[name] and bytecode.is_policys(fn) and idle_end(fn)
    if FILTERS[name] and not line then return end
    if line and (not place or name == "request_filter") then
      place = { path = path_of(fn), line = line, name = name }
    end
  end
  if not place then return end
  add(found.warnings, place.path, place.line, "%s may end here without an answer, and there is no upstream_peer: such "
    .. "requests get 500; end with return session:respond { ... }, or define upstream_peer", place.name)
end

--- --- constants ----------------------------------------------------------------------------------------------------

local NOTHING = "nothing, for nothing can be answered here"
local ANSWER = "nothing, or what session:respond gives"
local WANTED = { -- of hooks that want something else than ANSWER
  proxy_upstream_filter = "true, false or nothing, or what session:respond gives",
  fail_to_proxy = "a status from 400 to 599, nothing, or what session:respond gives",
  answer_filter = NOTHING, logging = NOTHING,
  response_trailer_filter = "a string, an array of strings, or nothing",
  request_body_filter = "a string, an array of strings, or nothing",
  upstream_response_body_filter = "a string, an array of strings, or nothing",
  response_body_filter = "a string, an array of strings, or nothing",
  request_cache_filter = "true, false, a table, nothing, or what session:respond gives",
  response_cache_filter = "true, false, a table, nothing, or what session:respond gives",
  cache_key_callback = "a text, nothing, or what session:respond gives",
  cache_vary_filter = "a text, nothing, or what session:respond gives",
  cache_hit_filter = '"fresh", "expired", "miss", nothing, or what session:respond gives',
  should_serve_stale = "true, false or nothing",
}
local FORCES = { fresh = true, expired = true, miss = true } -- of cache_hit_filter
local REFUSE_FALSE = { cache_key_callback = true, cache_vary_filter = true, cache_hit_filter = true }

-- A constant result as a value of Lua; a table stands for each that is made there. Nil: it is none, or nothing.
local function constant(fn, one)
  local value = one.value
  local is_constant = value.kind == "plain" or value.kind == "primitive" or value.kind == "template"
  if not is_constant or not flow.is_certain(fn, value.at, one.at) or not flow.is_certain(fn, value.from, one.at) then
    return nil
  end
  if value.kind == "template" then return {} end
  return value.value
end

local function fits(hook, value)
  local kind, wanted = type(value), WANTED[hook]
  if hook == "cache_hit_filter" then return FORCES[value] == true end
  if value == false and not hook:find "body_filter$" then return not REFUSE_FALSE[hook] end
  if hook == "should_serve_stale" then return kind == "boolean" end
  if hook == "request_cache_filter" or hook == "response_cache_filter" then return kind == "table" or value == true end
  if hook == "cache_key_callback" or hook == "cache_vary_filter" then return kind == "string" and value ~= "" end
  if hook == "proxy_upstream_filter" then return kind == "boolean" end
  if hook == "fail_to_proxy" and kind == "number" then return value >= 400 and value <= 599 end
  return wanted ~= nil and wanted:find("string", 1, true) ~= nil and (kind == "string" or kind == "table")
end

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  return type(value) == "table" and "a table" or tostring(value)
end

-- "return response": what a hook is given is changed in place, and is no result. Pieces of bodies are.
local function object_returned(one, hook)
  local value = one.value
  local kind = value.kind == "parameter" and kinds.of_parameter(hook, value.index + 1)
  return kind and kind ~= "string" and kind or nil
end

-- Returns of a constant that is refused there. true is fine behind an answer, where the hook can give one.
local function look_at_constants(found, fn, hook)
  local can_answer = not WANTED[hook] or WANTED[hook]:find("respond", 1, true)
  local is_stop = can_answer and may_answer(fn) or function(call) return is_error(fn, call.callee) end
  for _, one in ipairs(flow.ends(fn, is_stop)) do
    local value, kind = constant(fn, one), object_returned(one, hook)
    if kind then
      add(found.faults, path_of(fn), one.line, "%s returns its %s, which is refused: what is changed in it counts "
        .. "anyway; end the hook without a result", hook, kind)
    elseif value ~= nil and not fits(hook, value) then
      add(found.faults, path_of(fn), one.line, "%s returns %s%s, which is refused: expected %s%s", hook, show(value),
        can_answer and value == true and " without an answer" or "", WANTED[hook] or ANSWER,
        WANTED[hook] and "" or ", as in return session:respond { status = 403 }")
    end
  end
end

--- --- pieces of bodies ---------------------------------------------------------------------------------------------

local CHUNK, IS_LAST = 1, 2 -- parameters, from 0

local function is_parameter(value, index) return value.kind == "parameter" and value.index == index end

local function is_string_library(callee)
  return callee.kind == "field" and callee.of.kind == "global" and callee.of.name == "string"
end

-- Does a call get the piece, other than as a string that is looked at? Then it may be kept for later.
local function takes_chunk(call)
  if is_string_library(call.callee) then return false end
  for n = call.is_method and 2 or 1, call.count do
    if is_parameter(call.argument(n), CHUNK) then return true end
  end
  return false
end

-- Is it the piece, its length, or what a function of the string library says of it?
local function is_about_chunk(calls, value)
  if value.kind == "length" then value = value.of end
  local call = value.kind == "result" and calls[value.from]
  for n = 1, call and call.count or 0 do
    if is_parameter(call.argument(n), CHUNK) then return true end
  end
  return is_parameter(value, CHUNK)
end

-- Instructions behind which the piece may be kept, or behind which it is known whether it is the last; and these
-- together with the conditions on what the piece holds.
local function uses_of_chunk(fn)
  local uses, looks, calls = {}, {}, {}
  for _, call in ipairs(registers.calls(fn)) do calls[call.at] = call end
  for at in ipairs(bytecode.instructions(fn)) do
    local asked = registers.asked(fn, at)
    uses[at] = asked and is_parameter(asked, IS_LAST) or registers.keeps(fn, at, CHUNK) or nil
    looks[at] = uses[at] or asked and is_about_chunk(calls, asked) or nil
  end
  return uses, looks
end

-- A body filter without a result drops the piece. That is meant where the piece was kept; where the function has tested
-- is_last; where a condition on the piece leads to a return; and where it returns nil by name. The function's last
-- instruction is the end that no return of the policy leads to.
local function look_at_pieces(found, fn, hook)
  local is_stop = function(call) return is_error(fn, call.callee) or takes_chunk(call) end
  local gives, drops, first = false, false, nil
  for _, one in ipairs(flow.ends(fn, function(call) return is_error(fn, call.callee) end)) do
    if one.value.kind == "nothing" then drops = true else gives = true end
  end
  local uses, looks = uses_of_chunk(fn)
  local last = #bytecode.instructions(fn)
  for stops, is_end in pairs { [uses] = true, [looks] = false } do
    for _, one in ipairs(flow.ends(fn, is_stop, stops)) do
      local counts = one.value.kind == "nothing" and (one.at == last) == is_end
      if counts and (not first or one.line < first) then first = one.line end
    end
  end
  if drops and not gives then
    add(found.warnings, path_of(fn), debug.getinfo(fn, "S").linedefined, "%s returns nothing, so it drops each piece "
      .. "and the body is empty: end it with return chunk to pass the pieces on", hook)
  elseif first then
    add(found.warnings, path_of(fn), first, "%s may end here without a result, which drops the piece: return chunk to "
      .. "pass it on, or nil if it is to be dropped", hook)
  end
end

--- --- peers --------------------------------------------------------------------------------------------------------

local function names_in(template)
  local names = {}
  for name in pairs(template.names or template.value) do names[name] = true end
  return names
end

-- Of a table that stands in the function: its constants, and the names of all others.
local function fault_of_template(given)
  local why = core.peer_fault(given.value)
  if why then return why end
  for name in pairs(names_in(given)) do
    why = given.value[name] == nil and core.peer_fault { [name] = true }
    if why and why:find "^unknown option" then return why end
  end
end

local function is_plain(value) return type(value) == "table" and not getmetatable(value) end

-- The tables that a result may be, without those that are made in the function: what an upvalue holds, its field of a
-- known name, or any of its fields where the name is not known.
local function held_by(fn, value)
  local of = (value.kind == "field" or value.kind == "element") and value.of or value
  if of.kind ~= "upvalue" then return {} end
  local _, held = getupvalue(fn, of.index + 1)
  if not is_plain(held) then return {} end
  if of == value then return { held } end
  if value.kind == "field" then return { rawget(held, value.name) } end
  local list = {}
  for _, one in next, held do list[#list + 1] = is_plain(one) and one or nil end
  return list
end

-- What is wrong with a text that is given as a peer; nil: nothing. A number or true is refused, whatever it is.
local function fault_of_constant(fn, one)
  local value = constant(fn, one)
  if value == nil or type(value) == "table" then return nil end
  if type(value) ~= "string" then return ("expected a peer, got %s"):format(show(value)) end
  local why = core.check_address(value)
  return why and ("'%s': %s"):format(value, why) or nil
end

-- What is wrong with what upstream_peer returns, as far as that is known; nil: nothing.
local function fault_of_peer(fn, one)
  local why = fault_of_constant(fn, one)
  if why or one.value.kind == "plain" or one.value.kind == "primitive" then return why end
  if one.value.kind == "template" then return not one.value.is_shared and fault_of_template(one.value) or nil end
  for _, held in ipairs(held_by(fn, one.value)) do
    why = is_plain(held) and core.peer_fault(held)
    if why then return why end
  end
end

local function look_at_times(found, fn, one)
  local is_made_here = one.value.kind == "template" and not one.value.is_shared
  local tables = is_made_here and { one.value.value } or held_by(fn, one.value)
  for _, held in ipairs(tables) do
    for name, value in next, is_plain(held) and held or {} do
      local why = times.doubt(name, value)
      if why then add(found.warnings, path_of(fn), one.line, "upstream_peer: %s", why) end
    end
  end
end

local function look_at_peers(found, fn)
  for _, one in ipairs(flow.ends(fn)) do
    look_at_times(found, fn, one)
  end
  for _, one in ipairs(flow.ends(fn, may_answer(fn))) do
    local why = fault_of_peer(fn, one)
    if why then add(found.faults, path_of(fn), one.line, "upstream_peer: %s", why) end
  end
  local line = idle_end(fn)
  if line then
    add(found.warnings, path_of(fn), line, "upstream_peer may end here without a peer, so the request gets 500: return "
      .. "one, such as set:select(), or answer by return session:respond { ... }")
  end
end

--- Looks at the returns of a hook of that name.
function lint_results.look(found, fn, hook)
  if hook == "upstream_peer" then
    look_at_peers(found, fn)
  elseif hook ~= "certificate" then
    look_at_constants(found, fn, hook)
  end
  if hook:find "body_filter$" then look_at_pieces(found, fn, hook) end
end

return lint_results
