-- SPDX-License-Identifier: Apache-2.0
-- client: sends requests on its own connections. `request` is for the usual case; `connect` returns the connection.
local cleanup = require "perilune.test.cleanup"
local http1 = require "perilune.test.http1"
local http2_client = require "perilune.test.http2_client"
local stream = require "perilune.test.stream"

local M = {}

--- How many answers of 500 and more have come, since somebody set it to 0.
M.server_errors = 0

local Client = setmetatable({}, { __index = stream.class })
Client.__index = Client

local function note_status(response)
  if response.status >= 500 then M.server_errors = M.server_errors + 1 end
end

-- TLS where it is wanted; h2 is what it asks for by ALPN where nothing else is said.
local function start_tls(connection, options)
  local given = setmetatable({}, { __index = options.tls })
  if options.version == "2" and not given.alpn then given.alpn = "h2" end
  assert(connection:start_tls(given.name, given.ca, given))
end

--- Opens a connection: { port } or { unix = path }; ip ("127.0.0.1"), receive_buffer, timeout, tls = { name, ca, and
--- what tls.client_context and stream.start_tls take }. version = "2": it speaks HTTP/2, with settings and raw as
--- perilune.test.http2 has them.
---@return table connection a stream with read_response and request; or a perilune.test.http2_client
function M.connect(options)
  if type(options) == "number" then options = { port = options } end
  local address = options.unix and "unix:" .. options.unix or options.ip or "127.0.0.1"
  local connection, message = stream.connect(address, options.port, options)
  if not connection then error(("cannot connect to %s:%s: %s"):format(address, options.port or "", message), 2) end
  setmetatable(connection, Client)
  cleanup.add(1, function() connection:close() end)
  if options.tls then start_tls(connection, options) end
  if options.version == "2" then return http2_client.start(connection, options, note_status) end
  return connection
end

--- The next response, interim ones too. nil and why where none came.
---@param method string? of the request that is answered
function Client:read_response(method, timeout)
  local response, message, partial = http1.read_response(self, method or "GET", timeout)
  if response then note_status(response) end
  return response, message, partial
end

--- The next final response; interim ones before it are in response.interim.
function Client:read_final_response(method, timeout)
  local interim = {}
  while true do
    local response, message, partial = self:read_response(method, timeout)
    if not response then return nil, message, partial end
    if response.status >= 200 or response.status == 101 then
      response.interim = interim
      return response
    end
    interim[#interim + 1] = response
  end
end

--- Sends a request: { method, target (or path), headers, body, chunked, trailers, host }. Host is added unless
--- host = false.
function Client:send_request(options)
  local headers = http1.fields(options.headers)
  if options.host ~= false and not headers.host then
    table.insert(headers, 1, { name = "Host", value = options.host or "spec.example" })
  end
  local target = options.target or options.path or "/"
  local first = ("%s %s HTTP/%s"):format(options.method or "GET", target, options.version or "1.1")
  local body = options.body or options.trailers and ""
  return self:send(http1.write(first, headers, body, { chunked = options.chunked, trailers = options.trailers }),
    options.timeout)
end

--- Sends a request and reads the final response, on this connection.
function Client:request(options)
  options = options or {}
  self:send_request(options) -- an error shows in reading: an early answer may be there
  return self:read_final_response(options.method, options.timeout)
end

--- One request on a connection of its own: options of connect and of send_request. Raises where no response comes.
---@return table response also .closed: the proxy ended the connection behind it
function M.request(options)
  if type(options) == "number" then options = { port = options } end
  local connection = M.connect(options)
  local response, message, partial = connection:request(options)
  if not response then
    connection:close()
    error(("no response: %s %q"):format(message, partial or ""), 2)
  end
  local says_close = (response.headers.connection or ""):lower():find("close", 1, true) -- never in HTTP/2
  response.closed = says_close ~= nil and connection:is_closed()
  connection:close()
  return response
end

return M
