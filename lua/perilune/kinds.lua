-- SPDX-License-Identifier: Apache-2.0
-- perilune.kinds: the kinds of objects that hooks get, with their methods and fields, and the kinds of what methods
-- return. For perilune.lint_calls. Kinds: session, request, response, trailers, peer, error, hello, string.

local check = require "perilune.check"
local core = require "perilune.core"

local kinds = {}

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

--- --- what hooks are given -----------------------------------------------------------------------------------------

local PARAMETERS = { -- of each hook; all others get a session first
  certificate = { "hello" },
  fail_to_connect = { "session", "peer", nil, "error" },
  connected_to_upstream = { "session", nil, "peer" },
  error_while_proxy = { "session", "peer", "error" },
  fail_to_proxy = { "session", "error" },
  logging = { "session", "error" },
  upstream_request_filter = { "session", "request" },
  upstream_response_filter = { "session", "response" },
  cache_hit_filter = { "session", "response" },
  response_cache_filter = { "session", "response" },
  should_serve_stale = { "session", "error" },
  response_filter = { "session", "response" },
  answer_filter = { "session", "response" },
  response_trailer_filter = { "session", "trailers" },
  request_body_filter = { "session", "string" },
  upstream_response_body_filter = { "session", "string" },
  response_body_filter = { "session", "string" },
}

--- The kind of a hook's parameter, from 1; nil: it is none of these.
function kinds.of_parameter(hook, position)
  local parameters = PARAMETERS[hook]
  if parameters then return parameters[position] end
  return position == 1 and "session" or nil
end

--- --- what they have -----------------------------------------------------------------------------------------------

local CHANGES = words "set_header add_header remove_header"
local OF_RESPONSES = words "status reason set_status set_compression set_decoded"
local OF_MESSAGES = words "get_header get_headers headers"
local OF_REQUESTS = words "method target path version set_method set_target"
local OF_ERRORS = words "kind side text status retryable"
local FIELDS = { peer = words "address tls sni group", hello = words "server_name client_address",
  error = words "retry" }

-- Does a session, a request or a response have the method? Nil: none of them has.
local function has_message_method(kind, name)
  if rawget(core.session_methods(), name) == nil then return nil end
  if OF_MESSAGES[name] then return true end
  if kind == "session" then return not CHANGES[name] and not OF_RESPONSES[name] and name ~= "set_target" end
  if CHANGES[name] then return true end
  if kind == "request" then return OF_REQUESTS[name] == true end
  return kind == "response" and OF_RESPONSES[name] == true
end

--- Does something of that kind have the method? Nil: nothing like it has.
function kinds.has_method(kind, name)
  if kind == "string" then return string[name] ~= nil or nil end
  if kind == "error" then return OF_ERRORS[name] end
  if kind == "peer" or kind == "hello" then return nil end
  return has_message_method(kind, name)
end

--- Does it have the field, which is no method?
function kinds.has_field(kind, name) return FIELDS[kind] ~= nil and FIELDS[kind][name] == true end

--- The names of its methods and fields.
function kinds.names(kind)
  local there = {}
  for name in pairs(FIELDS[kind] or {}) do there[name] = true end
  for name in pairs(kind == "string" and string or kind == "error" and OF_ERRORS or core.session_methods()) do
    there[name] = there[name] or kinds.has_method(kind, name) or nil
  end
  return check.names(there)
end

-- Methods that people expect of a session, and what does it here.
local INSTEAD = {
  set_cookie = 'write response:add_header("Set-Cookie", perilune.cookie.build(name, value))',
  set_path = 'write session:request():set_target("/path")', rewrite = 'write session:request():set_target("/path")',
  ip = "write session:client_ip()", remote_addr = "write session:client_ip()",
  header = "write session:get_header(name)", get_body = "write session:read_body()",
  set_timeout = "timeouts are options of perilune.listen, and of the peer that upstream_peer returns",
}

--- What to write instead of a method that none of them has: a text; nil: nothing is known.
function kinds.instead(name) return INSTEAD[name] end

--- What has a method that this kind lacks: "session:request():set_header".
function kinds.who_has(kind, name)
  if kind == "session" and (CHANGES[name] or name == "set_target") then return "session:request():" .. name end
  if CHANGES[name] then return "request:" .. name end
  return (OF_RESPONSES[name] and "response:" or "session:") .. name
end

--- --- results ------------------------------------------------------------------------------------------------------

local TEXTS = words ("method target path scheme client_address client_ip read_body phase get_header reason kind side "
  .. "text")
local STRINGS = words "upper lower sub gsub rep reverse format"

--- The kind of what a method returns; nil: it is none of these.
function kinds.of_result(kind, name)
  if kind == "session" and name == "request" then return "request" end
  if kind == "string" then return STRINGS[name] and "string" or nil end
  return kind ~= "peer" and kind ~= "hello" and TEXTS[name] and "string" or nil
end

return kinds
