-- SPDX-License-Identifier: Apache-2.0
-- grpc: calls of gRPC over streams of HTTP/2, client's and server's side. Messages are texts: what is in them is the
-- spec's business. A call sends and receives any number of them, in any order, and ends with a status.
local Fields = require "perilune.test.fields"
local frames = require "perilune.test.http2_frames"
local heads = require "perilune.test.http2_heads"

local M = {}

M.statuses = { [0] = "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
  "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED" }
local UNIMPLEMENTED = 12

--- The bytes of one message.
function M.frame(message) return "\0" .. frames.u32(#message) .. message end

local function encode_text(text)
  return (text:gsub("[^ -$&-~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end
local function decode_text(text)
  return text and (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

--- --- messages, of both sides ---------------------------------------------------------------------------------------

local Call = {}
Call.__index = Call

local function take_message(self)
  local have = self.buffer
  if #have < 5 then return nil end
  local length = frames.read_u32(have, 2)
  if #have < 5 + length then return nil end
  if have:byte(1) ~= 0 then error("a compressed message, which a spec does not read", 0) end
  self.buffer = have:sub(6 + length)
  return have:sub(6, 5 + length)
end

--- The next message; nil when the other side has sent all, and nil and why where it was cut.
function Call:receive(timeout)
  while true do
    local message = take_message(self)
    if message then return message end
    local piece, why = self.stream:read(timeout)
    if not piece and self.buffer ~= "" then return nil, why or "closed within a message" end
    if not piece then return nil, why end
    self.buffer = self.buffer .. piece
  end
end

--- All messages that are still to come, for a loop.
function Call:messages()
  return function() return (self:receive()) end
end

--- --- the client's side ---------------------------------------------------------------------------------------------

local ClientCall = setmetatable({}, { __index = Call })
ClientCall.__index = ClientCall

--- Begins a call on a client's connection.
---@param options table? metadata, deadline ("1S": what grpc-timeout says), host
function M.call(connection, path, options)
  options = options or {}
  local headers = Fields.new(options.metadata)
  local own = { { "content-type", "application/grpc" }, { "te", "trailers" } }
  if options.deadline then own[3] = { "grpc-timeout", options.deadline } end
  for i, field in ipairs(Fields.new(own)) do table.insert(headers, i, field) end
  local stream = connection:open { method = "POST", path = path, headers = headers, host = options.host, ends = false }
  return setmetatable({ stream = stream, buffer = "" }, ClientCall)
end

function ClientCall:send(message) return self.stream:send(M.frame(message)) end
--- Nothing more will be sent.
function ClientCall:finish() return self.stream:finish() end
function ClientCall:cancel() return self.stream:reset "cancel" end

--- What the call came to, once it has ended, and the same later: { status, reason (grpc-message), http_status, headers,
--- trailers, messages (those not yet received), message (the first of them) }. `failure`: why there is no status, or no
--- end.
function ClientCall:result(timeout)
  if not self.outcome then self.outcome = self:await_outcome(timeout) end
  return self.outcome
end

function ClientCall:await_outcome(timeout)
  local stream = self.stream
  local head, why
  repeat head, why = stream:read_head(timeout) until not head or head.status >= 200
  if not head then return { failure = why, messages = {} } end
  local result = { http_status = head.status, headers = head.headers, messages = {} }
  repeat
    local message
    message, why = self:receive(timeout)
    result.messages[#result.messages + 1] = message
  until not message
  result.message, result.trailers = result.messages[1], stream.trailers
  local last = stream.trailers or head.headers
  result.status, result.reason = tonumber(last.grpc_status), decode_text(last.grpc_message)
  result.is_trailers_only = stream.trailers == nil and last.grpc_status ~= nil
  result.failure = why or not result.status and "it has ended without grpc-status" or nil
  return result
end

--- A whole call: sends these messages, nothing more, and waits for the result.
---@param options table? message or messages, and as of M.call; timeout: seconds to wait for each part of the answer
function M.ask(connection, path, options)
  options = options or {}
  local call = M.call(connection, path, options)
  for _, message in ipairs(options.messages or { options.message or "" }) do call:send(message) end
  call:finish()
  return call:result(options.timeout)
end

--- --- the server's side ---------------------------------------------------------------------------------------------

local ServerCall = setmetatable({}, { __index = Call })
ServerCall.__index = ServerCall

local function head_of(fields)
  local list = heads.of_fields(fields)
  table.insert(list, 1, { ":status", 200 })
  table.insert(list, 2, { "content-type", "application/grpc" })
  return list
end

--- The head of the answer, before the first message.
---@param metadata table?
function ServerCall:send_head(metadata)
  if self.has_head then return true end
  self.has_head = true
  return self.stream:send_fields(head_of(metadata))
end

function ServerCall:send(message)
  self:send_head()
  return self.stream:send(M.frame(message))
end

--- Ends the call; trailers-only where nothing was sent before.
---@param status integer? 0
---@param reason string?
---@param trailers table?
function ServerCall:finish(status, reason, trailers)
  if self.stream.has_sent_end then return true end
  local fields = Fields.new(trailers)
  if reason then table.insert(fields, 1, { name = "grpc-message", value = encode_text(reason) }) end
  table.insert(fields, 1, { name = "grpc-status", value = tostring(status or 0) })
  if self.has_head then return self.stream:finish(fields) end
  return self.stream:send_fields(head_of(fields), true)
end

--- Ends it by RST_STREAM instead.
function ServerCall:reset(code) return self.stream:reset(code) end
function ServerCall:sleep(seconds) return self.stream:sleep(seconds) end

-- What a method gives for an answer: a message, or { message, messages, status, reason, trailers, metadata, delay }.
local function respond(call, answer)
  if answer == nil then return call:finish() end
  if type(answer) == "string" then answer = { message = answer } end
  if answer.delay then call.stream:sleep(answer.delay) end
  if answer.reset then return call:reset(answer.reset == true and "internal_error" or answer.reset) end
  local messages = answer.messages or { answer.message }
  if #messages > 0 or answer.metadata then call:send_head(answer.metadata) end
  for _, message in ipairs(messages) do call:send(message) end
  return call:finish(answer.status, answer.reason, answer.trailers)
end

--- What serves the streams of an origin by methods: ["/package.Service/Method"] = an answer, or a function(call) that
--- sends and receives, and may give an answer at its end. Requests are recorded with the messages that were received.
function M.server(methods)
  return function(stream)
    local call = setmetatable({ stream = stream, buffer = "", metadata = stream.request.headers }, ServerCall)
    local method = methods[stream.request.target]
    if method == nil then return call:finish(UNIMPLEMENTED, "no such method: " .. stream.request.target) end
    if type(method) == "function" then return respond(call, method(call)) end
    stream.request.messages = {}
    for message in call:messages() do table.insert(stream.request.messages, message) end
    return respond(call, method)
  end
end

return M
