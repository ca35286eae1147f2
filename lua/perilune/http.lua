-- SPDX-License-Identifier: Apache-2.0
-- perilune.http: a client of HTTP/1.1 and HTTP/2 for hooks and background work. Connections are pooled; responses are
-- parsed as strictly as those of the proxy's peers; redirects are not followed. What differs between the protocols is
-- in http1_request and h2_request: `ask` sends a request and reads the head of its response.

local check = require "perilune.check"
local core = require "perilune.core"
local h2_request = require "perilune.h2_request"
local http1_request = require "perilune.http1_request"
local options = require "perilune.options"
local tcp = require "perilune.tcp"
local token_file = require "perilune.token_file"

local http = {}

local LIMIT = 1048576 -- bytes of a body that is not streamed

-- Options of a request, with those of tcp.connect.
local valid = {
  method = { "string", "GET" },
  url = { "string", options.required },
  headers = { "table" },
  body = { "any" },
  holder = { "table" },
  stream = { "boolean", false },
  limit = { "count", LIMIT },
  address = { "string" },
  keep = { "boolean", true },
  idle_timeout = { "seconds", 55 },
  pool_size = { "positive", 32 },
  timeout = { "seconds", 5 }, connect_timeout = { "seconds" }, send_timeout = { "seconds" },
  receive_timeout = { "seconds" }, pool = { "string" }, sni = { "string" }, verify = { "boolean" },
  verify_name = { "string" }, ca = { "string" }, family = { "family" }, lenient = { "lenient" },
  http2 = { "boolean", false }, alpn = { "alpn", "http/1.1" },
  certificate = { "string" }, key = { "string" }, token_file = { "string" },
}
local connect_options = {
  "timeout", "connect_timeout", "send_timeout", "receive_timeout", "pool", "sni", "verify", "verify_name", "ca",
  "certificate", "key", "family",
}
local repeatable = { GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true }

--- ---------------------------------------------------------------------------------------------------------------
--- the request

-- { tls, host (with the port, where that is not the usual one), address, target }; or nil and what is wrong.
local function parse_url(url)
  local scheme, authority, target = url:match "^(%a+)://([^/?#]+)([^#]*)"
  scheme = scheme and scheme:lower()
  if scheme ~= "http" and scheme ~= "https" then return nil, "expected http:// or https:// and a host" end
  if authority:find "@" then return nil, "a user in an URL is not sent; set the field Authorization" end
  if (authority .. target):find "[%z\1-\32\127-\255]" then
    return nil, "a space, control or non-ASCII character must be percent-encoded"
  end
  if target:sub(1, 1) ~= "/" then target = "/" .. target end
  local tls = scheme == "https"
  local address = authority:find ":%d+$" and authority or authority .. (tls and ":443" or ":80")
  return { tls = tls, host = authority, address = address, target = target }
end

-- Adds a field to { name, value, ... }; or gives what is wrong with it.
local function add_field(fields, name, value)
  if type(name) ~= "string" or (type(value) ~= "string" and type(value) ~= "number") then
    return "headers are names with strings, numbers or arrays of them"
  end
  if type(value) == "number" and value - value ~= 0 then
    return ("the value of field %s is a number that is not finite"):format(name)
  end
  value = core.text(value)
  fields[#fields + 1], fields[#fields + 2] = name, value
  return core.http_check_field(name, value)
end

-- The fields of the policy without its Host, and that; or nil and what is wrong with them.
local function read_fields(headers)
  local fields, host, has_agent, is_authorized = {}, nil, false, false
  for name, value in pairs(headers or {}) do
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local wrong = add_field(fields, name, one)
      if wrong then return nil, wrong end
      local lower = name:lower()
      if lower == "host" then
        if host then return nil, "a request has one Host" end
        host = table.remove(fields)
        table.remove(fields)
      end
      has_agent = has_agent or lower == "user-agent"
      is_authorized = is_authorized or lower == "authorization"
    end
  end
  if not has_agent then fields[#fields + 1], fields[#fields + 2] = "User-Agent", "perilune" end
  return fields, host, is_authorized
end

-- Adds the token in a file. Nil and why there is none.
local function authorize(wanted)
  if not wanted.token_file then return true end
  local token, why = token_file.read(wanted.token_file)
  if not token then return nil, "token_file " .. why end
  wanted.fields[#wanted.fields + 1], wanted.fields[#wanted.fields + 2] = "Authorization", "Bearer " .. token
  return true
end

--- ---------------------------------------------------------------------------------------------------------------
--- the response

local Response = { __name = "perilune.http.response" }
Response.__index = Response

-- headers.name: any spelling of the name; several values are joined by a comma.
local Headers = {
  __index = function(headers, name)
    return type(name) == "string" and rawget(headers, name:lower()) or nil
  end,
}

local function index_fields(fields)
  local headers = {}
  for i = 1, #fields, 2 do
    local name = fields[i]:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. fields[i + 1] or fields[i + 1]
  end
  return setmetatable(headers, Headers)
end

--- All values of a field, in order.
function Response:get_headers(name)
  local values = {}
  for i = 1, #self.fields, 2 do
    if self.fields[i]:lower() == name:lower() then values[#values + 1] = self.fields[i + 1] end
  end
  return values
end

-- The body is through: the connection goes back into the pool, or ends.
local function finish(self)
  local socket = self.socket
  self.socket = nil
  if self.keep_alive and self.wanted.keep then
    socket:keep(self.wanted.idle_timeout, self.wanted.pool_size)
  else
    socket:close()
  end
end

--- The next piece of the body; nil at its end; nil and a sentence where it broke off.
function Response:read()
  if not self.socket then return nil, self.failure end
  local piece, is_last = self.next_piece(self.socket)
  if not piece then
    self.failure = is_last
    self:close()
    return nil, self.failure
  end
  if is_last then finish(self) end
  return piece ~= "" and piece or nil
end

--- All that is left of it; nil, a sentence and what there was of it where it broke off, or is longer than the limit.
function Response:read_all(limit)
  local parts, bytes = {}, 0
  limit = limit or self.wanted.limit
  for piece in self.read, self do
    parts[#parts + 1] = piece
    bytes = bytes + #piece
    if bytes > limit then
      self.failure = ("the body is longer than %d bytes"):format(limit)
      self:close()
    end
  end
  local body = table.concat(parts)
  if self.failure then return nil, self.failure, body end
  return body
end

--- Ends the response and its connection; harmless when it was read to its end.
function Response:close()
  if self.socket then self.socket:close() end
  self.socket = nil
end

local function make_response(head, socket, wanted)
  head.headers = index_fields(head.fields)
  head.socket, head.wanted = socket, wanted
  return setmetatable(head, Response)
end

--- ---------------------------------------------------------------------------------------------------------------
--- both

-- The number of the span of the call. The server is told of the trace of the request that a hook works for, unless the
-- policy says it itself.
local function begin_span(wanted, url)
  local scheme = url.tls and "https://" or "http://"
  local span, parent, state = core.trace_call(wanted.method, url.address, scheme .. url.host .. url.target)
  local fields = wanted.fields
  if not span then return nil end
  for i = 1, #fields, 2 do
    if fields[i]:lower() == "traceparent" then return span end
  end
  fields[#fields + 1], fields[#fields + 2] = "traceparent", parent
  if state then fields[#fields + 1], fields[#fields + 2] = "tracestate", state end
  return span
end

-- Lets others end the request, wherever it waits.
local function hold(socket, holder)
  function holder.cancel()
    holder.is_cancelled = true
    socket:close()
  end
end

local function exchange(socket, url, wanted)
  if wanted.holder then hold(socket, wanted.holder) end
  local protocol = h2_request.is_spoken(socket, url, wanted) and h2_request or http1_request
  local head, why, was_refused = protocol.ask(socket, url, wanted)
  if head then return make_response(head, socket, wanted) end
  socket:close()
  return nil, why, was_refused
end

-- A spare connection may have been closed by the server while the request was on its way: then once more, on a new
-- one.
local function attempt(url, wanted, connect)
  local socket, why, kind = tcp.connect(wanted.address or url.address, connect)
  if not socket then return nil, why, kind end
  local was_spare = socket:reused() > 0
  local response, failure, was_refused = exchange(socket, url, wanted)
  local may_repeat = was_spare and failure ~= "timeout" and type(wanted.body) ~= "function"
    and (was_refused or repeatable[wanted.method]) and not (wanted.holder and wanted.holder.is_cancelled)
  if response or not may_repeat then return response, failure end
  connect.fresh = true
  socket, why, kind = tcp.connect(wanted.address or url.address, connect)
  if not socket then return nil, why, kind end
  response, failure = exchange(socket, url, wanted)
  return response, failure
end

-- In `perilune test` no server is asked: perilune.test.http answers, with the head and what stands for the socket.
local function ask_test(url, wanted)
  local head, socket, kind = core.test_http(url, wanted)
  if not head then return nil, socket, kind end
  return make_response(head, socket, wanted)
end

-- The deviations that are taken, { name = true or false } or { "name" }, as a number (core/http/lenient.h). How TLS
-- ends is none of them here.
local function lenient_bits(given)
  local allowed, bits = {}, 0
  for name, is_allowed in pairs(core.lenient_default) do allowed[name] = is_allowed end
  allowed.no_close_notify = nil
  for key, value in pairs(given or {}) do
    if type(key) == "number" then allowed[value] = true else allowed[key] = value end
  end
  for name, is_allowed in pairs(allowed) do bits = bits + (is_allowed and core.lenient_bits[name] or 0) end
  return bits
end

-- What is wrong with a request, beyond single options; it gets its fields and its host.
local function prepare(wanted, url)
  local kind = type(wanted.body)
  if kind == "table" then
    local pieces = {}
    for i = 1, #wanted.body do
      local kind_of_piece = type(wanted.body[i])
      if kind_of_piece ~= "string" and kind_of_piece ~= "number" then
        return nil, ("piece %d of the body is a %s value, not a string"):format(i, kind_of_piece)
      end
      pieces[i] = core.text(wanted.body[i])
    end
    wanted.body = table.concat(pieces)
  end
  if kind ~= "nil" and kind ~= "string" and kind ~= "function" and kind ~= "table" then
    return nil, ("the body must be a string, an array of strings or a function, got a %s value"):format(kind)
  end
  if wanted.http2 and url.tls then return nil, "http2 is for http://; for https:// set alpn = \"h2\"" end
  wanted.lenient = lenient_bits(wanted.lenient)
  if not wanted.method:find "^%u+$" then return nil, "the method must be in upper case: " .. wanted.method end
  local fields, host, is_authorized = read_fields(wanted.headers)
  if not fields then return nil, host end
  if is_authorized and wanted.token_file then return nil, "give either token_file or the field Authorization" end
  wanted.fields, wanted.host = fields, host or url.host
  return true
end

-- The options of tcp.connect. At another address it is still the URL's host whose certificate is wanted.
local function connect_to(url, wanted)
  local connect = { tls = url.tls, http2 = wanted.http2, http1 = wanted.alpn == "h2,http/1.1" }
  if url.tls then connect.http2 = wanted.alpn ~= "http/1.1" end
  for _, name in ipairs(connect_options) do connect[name] = wanted[name] end
  if url.tls and wanted.address then
    connect.sni = wanted.sni or url.host:gsub(":%d+$", ""):gsub("[%[%]]", "")
  end
  return connect
end

-- Called as a tail call, so that the policy's line is one level up.
local function perform(call, given)
  local wanted = options.read(call, given, valid)
  local url, wrong = parse_url(wanted.url)
  if not url then return nil, ("%s: %s"):format(wanted.url:gsub("%c", "?"), wrong) end
  local is_fine, misuse = prepare(wanted, url)
  if not is_fine then error(call .. ": " .. misuse, 2) end
  local is_known, unknown = authorize(wanted)
  if not is_known then return nil, ("%s: %s"):format(url.host, unknown) end
  local span = begin_span(wanted, url)
  local response, why, kind
  if core.test_http then
    response, why, kind = ask_test(url, wanted)
  else
    response, why, kind = attempt(url, wanted, connect_to(url, wanted))
  end
  local broken
  if response and not wanted.stream then response.body, broken = response:read_all() end
  if span then core.trace_call_end(span, response and response.status, kind or why or broken) end
  if not response then return nil, ("%s: %s"):format(url.host, why), kind end
  if broken then return nil, ("%s: %s"):format(url.host, broken) end
  return response
end

--- Sends a request: { url = "http://host:port/path", method, headers, body, ... }; lua/perilune/types.lua has them all.
--- Gives the response; or nil and a sentence where none came, and the name of the error where there was no connection.
function http.request(given) return perform("http.request", given) end

local none = {}

-- The arguments of http.get and http.post as one table; `position` is that of the options.
local function with(call, position, given, method, url, body)
  local all = { method = method, url = check.string(call, 1, url), body = body }
  for name, value in pairs(check.table(call, position, given, none)) do all[name] = value end
  return all
end

function http.get(url, given) return perform("http.get", with("http.get", 2, given, "GET", url)) end

function http.post(url, body, given) return perform("http.post", with("http.post", 3, given, "POST", url, body)) end

options.declare(http.request, "http.request", 1, valid)
options.declare(http.get, "http.get", 2, valid)
options.declare(http.post, "http.post", 3, valid)

return http
