-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_hooks: what `perilune check` finds in the hooks of a policy and in the functions that they call:
-- methods that sessions, requests and responses do not have, fields that an answer or a peer does not have, and hooks
-- that may end without the result that a request needs. It reads their bytecode and looks at the values that they hold;
-- none is run.

local bytecode = require "perilune.bytecode"
local check = require "perilune.check"
local core = require "perilune.core"
local findings = require "perilune.findings"
local flow = require "perilune.flow"

local lint_hooks = {}

local add, getupvalue = findings.add, debug.getupvalue

local function path_of(fn) return bytecode.info(fn).source:sub(2) end

--- --- methods of what hooks are given ------------------------------------------------------------------------------

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

local CHANGES = words "set_header add_header remove_header"
local OF_RESPONSES = words "status reason set_status"
local OF_MESSAGES = words "get_header get_headers headers"
local OF_REQUESTS = words "method target path version set_method set_target"

-- Does something of that kind have the method? Nil: it is the method of none.
local function has_method(kind, name)
  if rawget(core.session_methods(), name) == nil then return nil end
  if OF_MESSAGES[name] then return true end
  if kind == "session" then return not CHANGES[name] and not OF_RESPONSES[name] and name ~= "set_target" end
  if CHANGES[name] then return true end
  if kind == "request" then return OF_REQUESTS[name] == true end
  return kind == "response" and OF_RESPONSES[name] == true
end

local function whose(kind, name)
  if kind == "session" and (CHANGES[name] or name == "set_target") then return "session:request():" .. name end
  if CHANGES[name] then return "request:" .. name end
  return (OF_RESPONSES[name] and "response:" or "session:") .. name
end

local KINDS = { -- of the parameters of hooks, where they are no session
  upstream_request_filter = { [2] = "request" }, upstream_response_filter = { [2] = "response" },
  response_filter = { [2] = "response" }, answer_filter = { [2] = "response" },
  response_trailer_filter = { [2] = "trailers" },
}

-- session.path(session) is right, though nobody writes it; and what only a run can tell may be.
local function is_given(argument, position)
  if argument.kind == "parameter" then return argument.index + 1 == position end
  return argument.kind == "field" or argument.kind == "upvalue"
end

local function look_at_method(found, fn, call, hook)
  local of = call.callee.kind == "field" and call.callee.of
  if not of or of.kind ~= "parameter" then return end
  local position, name = of.index + 1, call.callee.name
  local kind = position == 1 and "session" or (KINDS[hook] or {})[position]
  if not kind or hook == "certificate" then return end
  local has = has_method(kind, name)
  local path = path_of(fn)
  if not call.is_method then
    if has and not is_given(call.argument(1), position) then
      add(found.faults, path, call.line, "methods are called with a colon: %s:%s(...)", kind, name)
    end
    return
  end
  if has == nil then
    local there = {}
    for known in pairs(core.session_methods()) do there[known] = has_method(kind, known) or nil end
    add(found.faults, path, call.line, "a %s has no '%s'%s", kind, name, check.meant(name, check.names(there)))
  elseif not has then
    add(found.faults, path, call.line, "a %s has no %s: use %s", kind, name, whose(kind, name))
  end
end

--- --- tables that are an answer or a peer --------------------------------------------------------------------------

local ANSWER = words "status reason headers body close"

local function names_in(template)
  local names = {}
  for name in pairs(template.names or template.value) do names[name] = true end
  return names
end

-- session:respond { staus = 200 }, as far as it stands there.
local function look_at_answer(found, fn, call)
  local given = call.is_method and call.callee.name == "respond" and call.argument(2)
  if not given or given.kind ~= "template" then return end
  for name in pairs(names_in(given)) do
    if not ANSWER[name] then
      add(found.faults, path_of(fn), call.line, "session:respond: unknown field '%s'%s", tostring(name),
        check.hint(name, check.names(ANSWER)))
    end
  end
  local status = given.value.status
  if status and not (type(status) == "number" and status >= 200 and status <= 599) then
    add(found.faults, path_of(fn), call.line, "session:respond: status must be a number from 200 to 599, got %s",
      type(status) == "string" and ("%q"):format(status) or tostring(status))
  end
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

-- What is wrong with what upstream_peer returns, as far as that is known; nil: nothing.
local function fault_of_peer(fn, value)
  if value.kind == "template" then return fault_of_template(value) end
  local of = value.kind == "field" and value.of or value
  if of.kind ~= "upvalue" then return nil end
  local _, held = getupvalue(fn, of.index + 1)
  if of ~= value then held = type(held) == "table" and rawget(held, value.name) end
  if type(held) == "table" and not getmetatable(held) then return core.peer_fault(held) end
end

--- --- what the hooks hold ------------------------------------------------------------------------------------------

-- Would the policy's own code be run for a name that the value does not have?
local function asks_policy(value)
  for _ = 1, 100 do
    local metatable = debug.getmetatable(value)
    local index = type(metatable) == "table" and rawget(metatable, "__index")
    if type(index) == "function" then return bytecode.is_policys(index) end
    if type(index) ~= "table" then return false end
    value = index
  end
  return true
end

-- A name of an upvalue that is an object or a module of ours: those say themselves what they do not have.
local function look_at_upvalue(found, fn, call)
  local of = call.callee.kind == "field" and call.callee.of
  if not of or of.kind ~= "upvalue" then return end
  local _, value = getupvalue(fn, of.index + 1)
  if type(value) ~= "table" and type(value) ~= "userdata" or asks_policy(value) then return end
  local ok, why = pcall(function() return value[call.callee.name] end)
  if ok then return end
  why = tostring(why):gsub("^.-:%d+: ", "")
  add(found.faults, path_of(fn), call.line, "%s", why)
end

local function look_at_calls(found, fn, hook)
  for _, call in ipairs(bytecode.calls(fn)) do
    if hook then look_at_method(found, fn, call, hook) end
    look_at_answer(found, fn, call)
    look_at_upvalue(found, fn, call)
  end
end

--- --- how hooks end ------------------------------------------------------------------------------------------------

-- A call that may have answered, or does not come back: what has the session, or a function made here, may do so.
local function may_answer(fn)
  return function(call)
    local callee = call.callee
    if callee.name == "respond" and call.is_method then return true end
    if callee.kind == "global" and callee.name == "error" then return true end
    if callee.kind == "upvalue" and select(2, getupvalue(fn, callee.index + 1)) == error then return true end
    for n = call.is_method and 2 or 1, call.count do
      local kind = call.argument(n).kind
      if kind == "parameter" or kind == "closure" then return true end
    end
    return false
  end
end

-- The first line where a hook may end with nothing that counts; nil: there is none.
local function idle_end(fn)
  local first
  for _, one in ipairs(flow.ends(fn, may_answer(fn))) do
    local is_nothing = one.value.kind == "nothing" or one.value.kind == "primitive" and not one.value.value
    if is_nothing and (not first or one.line < first) then first = one.line end
  end
  return first
end

local FILTERS = words "early_request_filter request_filter proxy_upstream_filter"

-- Without upstream_peer one of the filters has to answer each request.
local function look_for_answers(found, listener)
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

local function look_at_peers(found, fn)
  for _, one in ipairs(flow.ends(fn)) do
    local why = fault_of_peer(fn, one.value)
    if why then add(found.faults, path_of(fn), one.line, "upstream_peer: %s", why) end
  end
  local line = idle_end(fn)
  if line then
    add(found.warnings, path_of(fn), line, "upstream_peer may end here without a peer, so the request gets 500: return "
      .. "one, such as set:select(), or answer by return session:respond { ... }")
  end
end

-- policy:request_filter(session): the session comes in as `self`, and what is called session is nil or ctx.
local function look_at_colon(found, hook)
  if debug.getlocal(hook.fn, 1) ~= "self" then return end
  local names = {}
  for n = 2, bytecode.info(hook.fn).parameters do names[#names + 1] = debug.getlocal(hook.fn, n) end
  if #names == 0 then return end
  local line = debug.getinfo(hook.fn, "S").linedefined
  add(found.warnings, path_of(hook.fn), line, "%s is defined with a colon, so it gets the session as self: write "
    .. "function policy.%s(%s)", hook.name, hook.name, table.concat(names, ", "))
end

--- --- the report ---------------------------------------------------------------------------------------------------

--- Looks at the functions of the policy, { name, fn, listener = number }, and adds to found.faults and found.warnings.
function lint_hooks.look(found, hooks)
  local names, roots, listeners = {}, {}, {}
  for _, hook in ipairs(hooks) do
    local listener = listeners[hook.listener] or {}
    listeners[hook.listener], listener[hook.name] = listener, hook.fn
    if bytecode.is_policys(hook.fn) then
      names[hook.fn] = names[hook.fn] or hook.name
      roots[#roots + 1] = hook.fn
      look_at_colon(found, hook)
    end
  end
  for _, fn in ipairs(bytecode.reachable(roots, bytecode.is_policys)) do
    look_at_calls(found, fn, names[fn])
    if names[fn] == "upstream_peer" then look_at_peers(found, fn) end
  end
  for _, listener in pairs(listeners) do
    if not listener.upstream_peer then look_for_answers(found, listener) end
  end
end

return lint_hooks
