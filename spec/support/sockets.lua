-- SPDX-License-Identifier: Apache-2.0
-- sockets: WebSockets as bytes, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441), behind one face: `send`, `read(count)`,
-- `receive`, `finish`, `is_over`, `cut`. What is sent in them is nobody's business but the two ends'.
local base64 = require "base64"
local client = require "client"
local ffi = require "ffi"

ffi.cdef "unsigned char *SHA1(const unsigned char *text, size_t length, unsigned char *digest);"
local crypto = ffi.load "libcrypto.so.3"

local M = {}

M.KEY = "dGhlIHNhbXBsZSBub25jZQ==" -- of RFC 6455, section 1.3

--- What a server answers to a key (RFC 6455, section 4.2.2).
function M.accept_of(key)
  local text = key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  local digest = ffi.new "unsigned char[20]"
  crypto.SHA1(text, #text, digest)
  return base64.encode(ffi.string(digest, 20))
end

--- --- HTTP/1.1 ------------------------------------------------------------------------------------------------------

local Plain = {}
Plain.__index = Plain

function Plain:send(text) return self.at:send(text) end
function Plain:read(count, timeout) return self.at:read(count, timeout) end
function Plain:receive(timeout) return self.at:receive_some(nil, timeout) end
function Plain:finish() self.at:half_close() end
function Plain:cut() self.at:reset() end
--- Has the other side ended? "closed", or "reset: ..." where it was cut.
function Plain:is_over(timeout)
  local bytes, why = self.at:receive_some(1, timeout)
  return not bytes and why
end

local function plain(at) return setmetatable({ at = at }, Plain) end

--- --- HTTP/2 --------------------------------------------------------------------------------------------------------

local Framed = {}
Framed.__index = Framed

function Framed:send(text) return self.stream:send(text) end
function Framed:read(count, timeout)
  while #self.text < count do
    local piece, why = self.stream:read(timeout)
    if not piece then return nil, why or "closed" end
    self.text = self.text .. piece
  end
  local text = self.text:sub(1, count)
  self.text = self.text:sub(count + 1)
  return text
end
function Framed:receive(timeout) return self.stream:read(timeout) end
function Framed:finish() return self.stream:finish() end
function Framed:cut() return self.stream:reset "cancel" end
function Framed:is_over(timeout)
  local piece, why = self.stream:read(timeout)
  return not piece and (why or "closed")
end

local function framed(stream) return setmetatable({ stream = stream, text = "" }, Framed) end

--- --- both ends -----------------------------------------------------------------------------------------------------

local ASKS = { ["Sec-WebSocket-Version"] = "13", ["Sec-WebSocket-Protocol"] = "chat", Origin = "http://a.example" }

local function with(fields, more)
  local all = {}
  for name, value in pairs(fields) do all[name] = value end
  for name, value in pairs(more or {}) do all[name] = value or nil end
  return all
end

local function open_http1(proxy, options)
  local at = client.connect(proxy.port)
  local fields = { Connection = "Upgrade", Upgrade = options.protocol or "websocket" }
  if options.key ~= false then fields["Sec-WebSocket-Key"] = options.key or M.KEY end
  at:send_request { target = "/chat", host = "a.example", method = options.method, body = options.body,
    headers = with(with(ASKS, fields), options.headers) }
  local response = assert(at:read_final_response(options.method or "GET"))
  return plain(at), response
end

local function open_http2(proxy, options)
  local connection = options.connection or client.connect { port = proxy.port, version = "2" }
  local stream = connection:open { method = "CONNECT", protocol = options.protocol or "websocket", target = "/chat",
    host = "a.example", headers = with(ASKS, options.headers), ends = false }
  local response = assert(stream:read_head())
  if response.status ~= 200 then response.body = stream:read_all() end
  return framed(stream), response
end

--- Asks for one through a proxy, as a client of `version`. The socket, and the response.
---@param options table? protocol, headers, key (false: none), method, body (HTTP/1.1); connection (HTTP/2)
function M.open(version, proxy, options)
  return (version == "2" and open_http2 or open_http1)(proxy, options or {})
end

--- A handler of an origin, of either version: it accepts each WebSocket and gives it to `serve(socket, request)`.
---@param options table? accept(key), headers
function M.accepting(serve, options)
  options = options or {}
  return function(at)
    local request = at.request or at:read_request()
    if not request then return end
    if request.version == "2" then
      at:send_fields({ { ":status", "200" }, { "sec-websocket-protocol", "chat" } }, false)
      return serve(framed(at), request)
    end
    local accept = (options.accept or M.accept_of)(request.headers.sec_websocket_key or "")
    at:send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " .. request.headers.upgrade ..
      "\r\nSec-WebSocket-Accept: " .. accept .. "\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    serve(plain(at), request)
  end
end

--- Sends all back, and the end behind it.
function M.echo(socket)
  while true do
    local text = socket:receive()
    if not text then break end
    socket:send(text)
  end
  socket:finish()
end

return M
