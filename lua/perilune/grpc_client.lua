-- SPDX-License-Identifier: Apache-2.0
-- grpc_client: one unary call of gRPC for health checks: what came over HTTP/2 (perilune.http), said in gRPC's terms.

local grpc_frame = require "perilune.grpc_frame"
local http = require "perilune.http"

local grpc_client = {}

local NAMES = { [0] = "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" }

local function find(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

-- The only message of a body; nil where there is none.
local function message_in(body)
  if #body < 5 or body:byte(1) ~= 0 then return nil end
  local a, b, c, d = body:byte(2, 5)
  local length = ((a * 256 + b) * 256 + c) * 256 + d
  return #body >= 5 + length and body:sub(6, 5 + length) or nil
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end):gsub("%c", " "))
end

local function answer_of(response)
  if response.status ~= 200 then return nil, "it answered " .. response.status end
  local last = #response.trailers > 0 and response.trailers or response.fields
  local status = tonumber(find(last, "grpc-status"))
  if not status then return nil, "its answer has no grpc-status" end
  local reason = find(last, "grpc-message")
  return { status = status, name = NAMES[status] or tostring(status), message = message_in(response.body),
    reason = reason and decode(reason) }
end

--- What an address is called in a request that has no other host.
function grpc_client.host_of(address)
  return address:find "^unix:" and "localhost" or (address:gsub("^:", "localhost:"))
end

--- Asks for "/package.Service/Method". Gives { status, name (of the status), reason, message }; or nil, a sentence and
--- the name of the error where there was no connection.
---@param options table timeout, host, and of tcp.connect tls, sni, verify, verify_name, ca, family
function grpc_client.ask(address, path, message, options)
  local host = options.host or grpc_client.host_of(address)
  local response, why, kind = http.request {
    url = (options.tls and "https://" or "http://") .. host .. path, address = address, method = "POST",
    http2 = not options.tls, alpn = options.tls and "h2" or nil, keep = false, timeout = options.timeout,
    headers = { ["content-type"] = "application/grpc" }, body = grpc_frame.write("\0", message),
    sni = options.sni, verify = options.verify, verify_name = options.verify_name, ca = options.ca,
    family = options.family,
  }
  if not response then return nil, why, kind end
  return answer_of(response)
end

return grpc_client
