-- SPDX-License-Identifier: Apache-2.0
-- origins: servers scripted in the spec. One handler runs as a task for each connection.
local answers = require "perilune.test.answer"
local cleanup = require "perilune.test.cleanup"
local fields = require "perilune.test.fields"
local http1 = require "perilune.test.http1"
local http2_origin = require "perilune.test.http2_origin"
local scheduler = require "perilune.test.scheduler"
local stream = require "perilune.test.stream"
local sys = require "perilune.test.sys"
local tls = require "perilune.test.tls"

local M = {}

--- A connection that an origin accepted; a stream that speaks HTTP.
local Connection = setmetatable({}, { __index = stream.class })
Connection.__index = Connection

--- The next request, whole. It is recorded in origin.requests. nil when the connection ended.
function Connection:read_request(timeout)
  local request, message = self:read_request_head(timeout)
  if not request then return nil, message end
  return self:read_request_body(timeout)
end

--- Only the head, so that the handler may answer before the body came.
function Connection:read_request_head(timeout)
  local request, message = http1.read_request_head(self, timeout)
  if not request then return nil, message end
  request.connection, request.sni, request.resumed = self.number, self.sni, self.resumed
  request.client_name, request.tls_version = self.client_name, self.tls_version
  self.request = request
  local requests = self.origin.requests
  requests[#requests + 1] = request
  return request
end

function Connection:read_request_body(timeout) return http1.read_request_body(self, self.request, timeout) end

-- A list of pieces goes out chunked, unless the answer says how it is framed.
local function is_chunked(answer)
  if answer.chunked ~= nil or answer.trailers then return answer.chunked ~= false end
  return answer.is_list and not fields.new(answer.headers).content_length
end

-- Each piece separately, so that a reader can see it alone; trailers after the last chunk.
local function send_pieces(connection, head, answer)
  local ok, why = connection:send(head)
  for _, piece in ipairs(answer.pieces) do
    if ok and piece ~= "" then ok, why = connection:send(answer.no_length and piece or http1.chunk(piece)) end
    scheduler.sleep(0)
  end
  if ok and not answer.no_length then
    ok, why = connection:send("0\r\n" .. fields.lines(fields.new(answer.trailers)))
  end
  return ok, why
end

local function write_answer(connection, answer)
  local status = answer.status
  local has_body = status >= 200 and status ~= 204 and status ~= 304
  local is_head = connection.request and connection.request.method == "HEAD"
  local chunked = is_chunked(answer)
  local options = { chunked = chunked, no_body = is_head }
  local first = ("HTTP/%s %d %s"):format(answer.version or "1.1", status, answer.reason or "Spec")
  if answer.no_length then -- ends with the connection
    return send_pieces(connection, http1.write(first, answer.headers), answer)
  end
  if (answer.is_list or answer.trailers) and chunked and has_body and not is_head then
    return send_pieces(connection, http1.write(first, answer.headers, "", { chunked = true, no_body = true }), answer)
  end
  return connection:send(http1.write(first, answer.headers, has_body and answer.body or nil, options))
end

--- Answers, with what perilune.test.answer describes. The body is left out for HEAD.
function Connection:respond(response)
  local answer, fault = M.read_answer(response)
  if not answer then error("the answer of an origin: " .. fault, 2) end
  if answer.delay then scheduler.sleep(answer.delay) end
  if answer.reset then return self:reset() end
  return write_answer(self, answer)
end

--- As perilune.test.answer reads it, of a server that has accepted a connection. Or nil and what is wrong.
function M.read_answer(given)
  local answer, fault = answers.read(given)
  if not answer then return nil, fault end
  if not answer.error then return answer end
  return nil, ("the error '%s' is for the bench (test.policy); here: reset = true ends a connection without an answer, "
    .. "and nobody listens on test.dead_address()"):format(answer.error)
end

-- A stream of HTTP/2 has one request, a connection of HTTP/1 any number.
local function answer_always(text)
  return function(at)
    while at:read_request() do
      at:respond { body = text }
      if at.id then return end
    end
  end
end

local Origin = {}
Origin.__index = Origin

-- What a connection of TLS has chosen by ALPN, and a plain one by prior knowledge.
local function speaks_http2(origin, connection)
  return origin.http2 and (not connection.tls or connection.tls:alpn() == "h2")
end

local function serve(origin, connection)
  if origin.context then
    local ok, message = connection:accept_tls(origin.context)
    if not ok then
      origin.tls_failures[#origin.tls_failures + 1] = message
      return
    end
    connection.sni, connection.resumed = connection.tls:server_name(), connection.tls:is_resumed()
    connection.client_name, connection.tls_version = connection.tls:certificate(), connection.tls:version()
  end
  if speaks_http2(origin, connection) then
    return http2_origin.serve(origin, connection, origin.http2, M.read_answer)
  end
  if not origin.http2 then return origin.handler(connection, connection.number) end
  if origin.http2.http1 then return origin.http2.http1(connection, connection.number) end
  origin.faults[#origin.faults + 1] = "the client has not chosen h2 by ALPN"
end

local function close(connection)
  if connection.http2 then http2_origin.close(connection.http2) end
  connection:close()
end

local function accept_one(origin)
  local fd = sys.accept(origin.fd)
  if not fd then return end
  origin.accepted = origin.accepted + 1
  local connection = setmetatable(stream.new(fd), Connection)
  connection.origin, connection.number = origin, origin.accepted
  connection.task = scheduler.spawn(function()
    local ok, message = xpcall(serve, debug.traceback, origin, connection)
    close(connection) -- also behind a handler that raised, so that its client does not wait
    origin.connections[connection] = nil
    if not ok then error(message, 0) end
  end)
  if connection.fd then origin.connections[connection] = true end
end

-- The port of one that was stopped: its clients may go on to ask, and nobody else is to get it.
local function release_port(origin)
  if origin.reserved then sys.close(origin.reserved) end
  origin.reserved = nil
end

--- Listens, again on the same port after stop().
function Origin:listen()
  local path = self.host:match "^unix:(.*)"
  if path then os.remove(path) end
  release_port(self)
  self.fd = scheduler.eventually(function() return sys.listen(self.host, self.port) end, 5, "listening of an origin")
  local port = sys.port(self.fd)
  if port then self.port, self.address = port, self.host .. ":" .. port end
  self.listener = scheduler.spawn(function()
    while scheduler.wait(self.fd, sys.READ) do accept_one(self) end
  end)
end

--- Stops listening and cuts all connections; others are refused from here on, until the test has ended.
function Origin:stop()
  if not self.fd then return end
  scheduler.cancel(self.listener)
  sys.close(self.fd)
  self.fd = nil
  self.reserved = not self.host:find "^unix:" and sys.reserve(self.host, self.port) or nil
  for connection in pairs(self.connections) do
    scheduler.cancel(connection.task)
    close(connection)
  end
  self.connections = {}
end

--- Connections that are open now.
function Origin:open_count()
  local count = 0
  for _ in pairs(self.connections) do count = count + 1 end
  return count
end

--- Starts an origin on a free port.
---@param handler string|fun(connection, number) a text: the body with which every request is answered; of HTTP/2:
--- fun(stream, connection) for each request
---@param options table? names (of the certificate: makes it TLS), tls (of tls.server_context), host ("127.0.0.1",
--- "unix:/path"), port; http2: true, or { settings, raw, on_connection(connection), http1(connection): for clients of
--- TLS that have not chosen h2 }
---@return table origin port, address, requests, accepted, tls_failures, faults (against HTTP/2)
function M.start(handler, options)
  options = options or {}
  if type(handler) == "string" then handler = answer_always(handler) end
  local host, http2 = options.host or "127.0.0.1", options.http2 == true and {} or options.http2 or nil
  local origin = setmetatable({
    handler = handler, host = host, port = options.port or 0, address = host, http2 = http2,
    requests = {}, connections = {}, accepted = 0, tls_failures = {}, faults = {},
  }, Origin)
  if options.names then
    origin.files = tls.certificate(unpack(options.names))
    origin.context = tls.server_context(origin.files, options.tls, http2 and (http2.http1 and "h2,http/1.1" or "h2"))
  end
  origin:listen()
  cleanup.add(3, function()
    origin:stop()
    release_port(origin)
  end)
  return origin
end

-- Below the range from which Linux takes the ports of connections (32768 and up): those may be in use at any moment.
local LOWEST, PORTS = 10000, 20000
local next_port = math.floor(tonumber(tostring({}):match "0x(%x+)", 16) / 16) -- another one in each process

--- An address that is free at the moment, for a program that cannot be told to take any.
function M.free_address()
  for _ = 1, 100 do
    next_port = next_port + 1
    local port = LOWEST + next_port % PORTS
    local fd = sys.listen("127.0.0.1", port)
    if fd then
      sys.close(fd)
      return "127.0.0.1:" .. port
    end
  end
  error "no port is free"
end

--- An address on which nobody listens, nor will before the test has ended.
function M.dead_address()
  local fd = assert(sys.reserve "127.0.0.1")
  cleanup.add(3, function() sys.close(fd) end)
  return "127.0.0.1:" .. sys.port(fd)
end

--- An address at which a connection is neither accepted nor refused: the few places of its queue are taken.
function M.mute_address()
  local fd = assert(sys.listen("127.0.0.1", 0, 0))
  local port = sys.port(fd)
  local fillers = {}
  for i = 1, 4 do fillers[i] = assert(sys.connect("127.0.0.1", port)) end
  cleanup.add(3, function()
    for _, filler in ipairs(fillers) do sys.close(filler) end
    sys.close(fd)
  end)
  return "127.0.0.1:" .. port
end

return M
