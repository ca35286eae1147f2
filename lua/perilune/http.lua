-- SPDX-License-Identifier: Apache-2.0
-- perilune.http: an HTTP/1.1 client for hooks and background work. Connections are pooled; responses are parsed as
-- strictly as those of the proxy's peers; redirects are not followed.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local tcp = require "perilune.tcp"

local http = {}

local LIMIT = 1048576 -- bytes of a body that is not streamed
local INTERIM_MOST = 16

-- Options of a request, with those of tcp.connect.
local valid = {
  method = { "string", "GET" },
  url = { "string", options.required },
  headers = { "table" },
  body = { "any" },
  stream = { "boolean", false },
  limit = { "count", LIMIT },
  address = { "string" },
  keep = { "boolean", true },
  idle_timeout = { "seconds", 55 },
  pool_size = { "positive", 32 },
  timeout = { "seconds", 5 }, connect_timeout = { "seconds" }, send_timeout = { "seconds" },
  receive_timeout = { "seconds" }, pool = { "string" }, sni = { "string" }, verify = { "boolean" },
  verify_name = { "string" }, ca = { "string" }, family = { "family" }, lenient = { "lenient" },
}
local connect_options = {
  "timeout", "connect_timeout", "send_timeout", "receive_timeout", "pool", "sni", "verify", "verify_name", "ca",
  "family",
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

-- Adds "name: value" to the lines; or gives what is wrong with them.
local function add_field(lines, name, value)
  if type(name) ~= "string" or (type(value) ~= "string" and type(value) ~= "number") then
    return "headers are names with strings, numbers or arrays of them"
  end
  if type(value) == "number" and value - value ~= 0 then
    return ("the value of field %s is a number that is not finite"):format(name)
  end
  value = core.text(value)
  lines[#lines + 1] = name .. ": " .. value .. "\r\n"
  return core.http_check_field(name, value)
end

-- The fields of the policy, and which names they have; or nil and what is wrong with them.
local function write_fields(headers)
  local lines, given = {}, {}
  for name, value in pairs(headers or {}) do
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local wrong = add_field(lines, name, one)
      if wrong then return nil, wrong end
      if given.host and name:lower() == "host" then return nil, "a request has one Host" end
      given[name:lower()] = true
    end
  end
  return table.concat(lines), given
end

-- How the body is framed.
local function framing_of(method, body)
  if type(body) == "function" then return "Transfer-Encoding: chunked\r\n" end
  if body then return "Content-Length: " .. #body .. "\r\n" end
  return (method == "POST" or method == "PUT" or method == "PATCH") and "Content-Length: 0\r\n" or ""
end

-- Without the empty line at its end.
local function write_head(wanted, url)
  local fields, given = write_fields(wanted.headers)
  if not fields then return nil, given end
  return table.concat {
    wanted.method, " ", url.target, " HTTP/1.1\r\n", given.host and "" or "Host: " .. url.host .. "\r\n", fields,
    given["user-agent"] and "" or "User-Agent: perilune\r\n", framing_of(wanted.method, wanted.body),
    wanted.keep and "" or "Connection: close\r\n",
  }
end

-- A body that a function gives, piece by piece, until nil.
local function send_pieces(socket, pieces)
  while true do
    local piece = pieces()
    if piece ~= nil and type(piece) ~= "string" then
      error("http: the function of the body gave a " .. type(piece) .. " value, neither a string nor nil", 0)
    end
    if piece ~= "" then
      local ok, why = socket:send(piece and { ("%x\r\n"):format(#piece), piece, "\r\n" } or "0\r\n\r\n")
      if not ok then return nil, why end
    end
    if not piece then return true end
  end
end

local function send_request(socket, head, body)
  if type(body) ~= "function" then return socket:send { head, body or "" } end
  local ok, why = socket:send(head)
  if not ok then return nil, why end
  return send_pieces(socket, body)
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
  local piece, is_last = (self.next_piece or core.http_body)(self.socket)
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

-- The final response's head; interim ones are passed over.
local function read_head(socket, method, lenient)
  for _ = 1, INTERIM_MOST do
    local head, why = core.http_head(socket, method, lenient)
    if not head then return nil, why end
    if head.status == 101 then return nil, "the server switched protocols without being asked" end
    if head.status >= 200 then return head end
  end
  return nil, "too many interim responses"
end

local function make_response(head, socket, wanted)
  head.headers = index_fields(head.fields)
  head.socket, head.wanted = socket, wanted
  return setmetatable(head, Response)
end

--- ---------------------------------------------------------------------------------------------------------------
--- both

-- What the server is told of the trace of the request that a hook works for, unless the policy says it itself; and the
-- number of the span.
local function begin_span(wanted, url)
  local scheme = url.tls and "https://" or "http://"
  local span, parent, state = core.trace_call(wanted.method, url.address, scheme .. url.host .. url.target)
  if not span then return nil, "" end
  for name in pairs(wanted.headers or {}) do
    if type(name) == "string" and name:lower() == "traceparent" then return span, "" end
  end
  return span, "traceparent: " .. parent .. "\r\n" .. (state and "tracestate: " .. state .. "\r\n" or "")
end

local function exchange(socket, head, wanted)
  local ok, sent = send_request(socket, head, wanted.body)
  -- An early answer may be there although sending failed.
  local response, why = read_head(socket, wanted.method, wanted.lenient)
  if response then
    response.keep_alive = response.keep_alive and ok
    return make_response(response, socket, wanted)
  end
  socket:close()
  return nil, ok and why or sent
end

-- A spare connection may have been closed by the server while the request was on its way: then once more, on a new
-- one.
local function attempt(url, head, wanted, connect)
  local socket, why, kind = tcp.connect(wanted.address or url.address, connect)
  if not socket then return nil, why, kind end
  local may_repeat = socket:reused() > 0 and repeatable[wanted.method] and type(wanted.body) ~= "function"
  local response, failure = exchange(socket, head, wanted)
  if response or not may_repeat or failure == "timeout" then return response, failure end
  connect.fresh = true
  socket, why, kind = tcp.connect(wanted.address or url.address, connect)
  if not socket then return nil, why, kind end
  return exchange(socket, head, wanted)
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

-- What is wrong with a request, beyond single options; it gets its head.
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
  wanted.lenient = lenient_bits(wanted.lenient)
  if not wanted.method:find "^%u+$" then return nil, "the method must be in upper case: " .. wanted.method end
  return write_head(wanted, url)
end

-- The options of tcp.connect. At another address it is still the URL's host whose certificate is wanted.
local function connect_to(url, wanted)
  local connect = { tls = url.tls }
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
  local head, misuse = prepare(wanted, url)
  if not head then error(call .. ": " .. misuse, 2) end
  local span, fields = begin_span(wanted, url)
  local response, why, kind
  if core.test_http then
    response, why, kind = ask_test(url, wanted)
  else
    response, why, kind = attempt(url, head .. fields .. "\r\n", wanted, connect_to(url, wanted))
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
