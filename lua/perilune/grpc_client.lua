-- SPDX-License-Identifier: Apache-2.0
-- grpc_client: one unary call of gRPC on a connection of its own, for health checks: what came over HTTP/2
-- (perilune.h2_request), said in gRPC's terms.

local grpc_frame = require "perilune.grpc_frame"
local h2_request = require "perilune.h2_request"

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

local function answer_of(result)
  if result.status ~= 200 then return nil, "it answered " .. result.status end
  local last = #result.trailers > 0 and result.trailers or result.fields
  local status = tonumber(find(last, "grpc-status"))
  if not status then return nil, "its answer has no grpc-status" end
  local reason = find(last, "grpc-message")
  return { status = status, name = NAMES[status] or tostring(status), message = message_in(result.body),
    reason = reason and decode(reason) }
end

--- Asks for "/package.Service/Method". Gives { status, name (of the status), reason, message }; or nil, a sentence and
--- the name of the error where there was no connection.
---@param options table timeout, host, and of tcp.connect tls, sni, verify, verify_name, ca, family
function grpc_client.ask(address, path, message, options)
  local fields = { "content-type", "application/grpc", "user-agent", "perilune" }
  local request, why, kind = h2_request.open(address, {
    method = "POST", host = options.host or h2_request.host_of(address), path = path, fields = fields,
    body = grpc_frame.write("\0", message), connect = options })
  if not request then return nil, why, kind end
  local result, broken = request:result()
  if not result then return nil, broken end
  return answer_of(result)
end

return grpc_client
