-- SPDX-License-Identifier: Apache-2.0
-- http2_heads: lists of fields to heads of messages and back (RFC 9113 section 8). What comes is held to the rules, and
-- never repaired, so that a spec sees what the proxy really sent; what goes out is what the spec says.
local Fields = require "perilune.test.fields"

local M = {}

local PSEUDO = {
  request = { [":method"] = true, [":scheme"] = true, [":authority"] = true, [":path"] = true, [":protocol"] = true },
  response = { [":status"] = true },
  trailers = {},
}
local OF_CONNECTIONS = { connection = true, ["keep-alive"] = true, ["proxy-connection"] = true,
  ["transfer-encoding"] = true, upgrade = true }

-- Nil, or what is wrong with a field that is no pseudo-field.
local function fault_of(name, value)
  if not name:find "^[%w!#$%%&'*+.^_`|~-]+$" or name:find "%u" then return "a name that is no token in lower case" end
  if value:find "[%z\r\n]" then return "a value with CR, LF or NUL" end
  if value:find "^[ \t]" or value:find "[ \t]$" then return "a value with white space around it" end
  if OF_CONNECTIONS[name] then return "a field of HTTP/1 connections" end
  if name == "te" and value:lower() ~= "trailers" then return "a TE other than trailers" end
end

-- Splits fields into pseudo-fields, by name, and the others. Or nil and what is malformed.
local function split(fields, kind)
  local pseudo, others = {}, Fields.new()
  for _, field in ipairs(fields) do
    local name, value = field.name, field.value
    local fault
    if name:sub(1, 1) ~= ":" then
      fault = fault_of(name, value)
      others[#others + 1] = { name = name, value = value, sensitive = field.sensitive }
    elseif not PSEUDO[kind][name] then fault = "a pseudo-field that does not belong here"
    elseif #others > 0 then fault = "a pseudo-field behind others"
    elseif pseudo[name] then fault = "a pseudo-field twice"
    else
      pseudo[name] = value
    end
    if fault then return nil, ("malformed head: %s: %s: %s"):format(fault, name, value) end
  end
  return pseudo, others
end

-- A head as people read it.
local function text_of(fields) return Fields.lines(fields):sub(1, -3) end

--- { method, target, scheme, authority, protocol, headers } of what came on a new stream. Or nil and why.
function M.request(fields)
  local pseudo, headers = split(fields, "request")
  if not pseudo then return nil, headers end
  local method, path, scheme = pseudo[":method"], pseudo[":path"], pseudo[":scheme"]
  local is_tunnel = method == "CONNECT" and not pseudo[":protocol"]
  if not method or method == "" then return nil, "malformed head: no :method" end
  if is_tunnel and (path or scheme) then return nil, "malformed head: CONNECT with :path or :scheme" end
  local is_whole = is_tunnel or scheme and path and path ~= ""
  if not is_whole then return nil, "malformed head: no :scheme or no :path" end
  return { method = method, target = path or pseudo[":authority"], scheme = scheme, authority = pseudo[":authority"],
    protocol = pseudo[":protocol"], version = "2", headers = headers, fields = fields, head = text_of(fields),
    body = "" }
end

--- { status, headers } of the next head of an answer. Or nil and why.
function M.response(fields)
  local pseudo, headers = split(fields, "response")
  if not pseudo then return nil, headers end
  local status = (pseudo[":status"] or ""):match "^%d%d%d$"
  if not status or status == "101" then return nil, "malformed head: no valid :status" end
  return { status = tonumber(status), reason = "", version = "2", headers = headers, fields = fields,
    head = text_of(fields), body = "" }
end

--- The fields behind a body. Or nil and why.
function M.trailers(fields)
  local pseudo, trailers = split(fields, "trailers")
  if not pseudo then return nil, trailers end
  return trailers
end

local function add(list, given)
  for _, field in ipairs(Fields.new(given)) do
    list[#list + 1] = { name = field.name:lower(), value = field.value }
  end
  return list
end

--- From { method, target (or path), scheme, host (:authority; false: none), protocol, headers, body }; `fields` takes
--- the place of all of them and is sent as it is.
function M.of_request(options)
  if options.fields then return options.fields end
  local method = options.method or "GET"
  local is_tunnel = method == "CONNECT" and not options.protocol
  local list = { { ":method", method } }
  if not is_tunnel then
    list[2] = { ":scheme", options.scheme or options.tls and "https" or "http" }
    list[3] = { ":path", options.target or options.path or "/" }
  end
  if options.host ~= false then list[#list + 1] = { ":authority", options.host or "spec.example" } end
  if options.protocol then list[#list + 1] = { ":protocol", options.protocol } end
  add(list, options.headers)
  local is_open = options.ends == false or options.chunked or options.trailers
  if options.body and not is_open and not Fields.new(options.headers).content_length then
    list[#list + 1] = { "content-length", #options.body }
  end
  return list
end

--- From an answer, as perilune.test.answer reads it. A body in pieces has no length, unless the answer gives one.
function M.of_response(answer, method)
  local list = add({ { ":status", answer.status } }, answer.headers)
  local may_have_body = answer.status >= 200 and answer.status ~= 204 and answer.status ~= 304
  local is_open = answer.is_list or answer.chunked or answer.no_length or answer.trailers
  if may_have_body and answer.has_body and not is_open and not Fields.new(answer.headers).content_length then
    list[#list + 1] = { "content-length", #answer.body }
  end
  return list, may_have_body and method ~= "HEAD"
end

--- Trailers, or any other list, as it goes out.
function M.of_fields(given) return add({}, given) end

return M
