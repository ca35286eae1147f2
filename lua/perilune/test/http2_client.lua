-- SPDX-License-Identifier: Apache-2.0
-- http2_client: a client's connection of HTTP/2 as specs use it: requests as over HTTP/1.1, streams that stay open, and
-- calls of gRPC, many side by side.
local cleanup = require "perilune.test.cleanup"
local grpc = require "perilune.test.grpc"
local heads = require "perilune.test.http2_heads"
local http2 = require "perilune.test.http2"

local M = {}

local Client = setmetatable({}, { __index = http2.class })
Client.__index = Client

--- Begins to speak over a connected perilune.test.stream: { settings, raw }, and `tls` where that is what it speaks.
---@param on_response fun(response: table) each final response of request and read_response
function M.start(wire, options, on_response)
  local chosen = not wire.tls and "h2" or wire.tls:alpn() or "nothing"
  if chosen ~= "h2" then
    wire:close()
    error("the server has not chosen h2 by ALPN, but " .. chosen, 0)
  end
  local connection = http2.start(wire, { settings = options.settings, raw = options.raw })
  connection.on_response, connection.scheme = on_response, wire.tls and "https" or "http"
  cleanup.add(1, function() connection:close() end)
  return setmetatable(connection, Client)
end

--- Sends the head of a request, and its body where there is one: { method, target (or path), headers, host, body,
--- trailers, protocol, scheme, fields }. The stream ends, unless ends = false: then send and finish go on.
---@return http2_stream
function Client:open(options)
  options = options or {}
  local stream, body = self:new_stream(), options.body
  stream.method = options.method or "GET"
  local all = setmetatable({ scheme = options.scheme or self.scheme }, { __index = options })
  local stays_open = options.ends == false or options.trailers ~= nil
  local ok, why = stream:send_fields(heads.of_request(all), not stays_open and (not body or body == ""))
  if ok and body and body ~= "" then ok, why = stream:send(body, not stays_open, options.timeout) end
  if ok and options.trailers then ok, why = stream:finish(options.trailers) end
  stream.send_failure = not ok and why or nil -- shows in reading: an early answer may be there
  return stream
end

--- Sends a request on a stream of its own and reads the final response. nil and why where none comes.
function Client:request(options) return self:open(options):read_response((options or {}).timeout) end

--- Begins a call of gRPC: see perilune.test.grpc.
---@param path string "/package.Service/Method"
---@param options table? metadata, deadline ("1S"), host
function Client:call(path, options) return grpc.call(self, path, options) end

return M
