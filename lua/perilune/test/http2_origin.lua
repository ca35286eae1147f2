-- SPDX-License-Identifier: Apache-2.0
-- http2_origin: what an origin does with a connection of HTTP/2: a task for each stream, with the request in
-- stream.request, which is recorded as those of HTTP/1.1 are.
local http2 = require "perilune.test.http2"
local scheduler = require "perilune.test.scheduler"
local streams = require "perilune.test.http2_stream"

local M = {}

local Stream = setmetatable({}, { __index = streams.class })
Stream.__index = Stream

--- The request, whole. nil and why where it was cut: what came of it is in stream.request.
function Stream:read_request(timeout)
  local request = self:read_request_body(timeout)
  if request.failure then return nil, request.failure end
  return request
end

--- Answers, with what perilune.test.answer describes. The body is left out for HEAD.
function Stream:respond(response)
  local answer, why = self.read_answer(response)
  if not answer then error("the answer of an origin: " .. why, 2) end
  return self:send_answer(answer)
end

local function record(origin, at, stream)
  local request, wire = stream.request, at.wire
  request.connection, request.stream, request.sni = wire.number, stream.id, wire.sni
  request.client_name, request.tls_version = wire.client_name, wire.tls_version
  origin.requests[#origin.requests + 1] = request
end

local function handle(origin, at, stream)
  local head, why = stream:read_head()
  if not head then
    origin.faults[#origin.faults + 1] = why
    return stream:reset "protocol_error"
  end
  stream.request = head
  record(origin, at, stream)
  origin.handler(stream, at)
end

-- A stream whose handler raised is reset, so that its client does not wait.
local function serve_stream(origin, at, stream)
  local ok, message = xpcall(handle, debug.traceback, origin, at, stream)
  if ok then return end
  if stream.is_open then stream:reset "internal_error" end
  error(message, 0)
end

--- Speaks HTTP/2 on an accepted connection until it ends; returns then. origin.faults: what its client did wrong.
---@param options table settings, raw; on_connection(connection) before anything is read
---@param read_answer fun(given: any): table?, string?
function M.serve(origin, wire, options, read_answer)
  local function begin(stream)
    setmetatable(stream, Stream)
    stream.read_answer = read_answer
    local task, tasks = scheduler.spawn(serve_stream, origin, stream.connection, stream), stream.connection.tasks
    if not task.is_done then tasks[#tasks + 1] = task end
  end
  local function note(connection)
    wire.http2, connection.tasks = connection, {}
    if options.on_connection then options.on_connection(connection) end
  end
  local connection = http2.start(wire, { is_server = true, settings = options.settings, raw = options.raw,
    on_stream = begin, on_start = note })
  connection:await_close(math.huge)
  if connection.fault then origin.faults[#origin.faults + 1] = connection.fault end
end

--- Ends it, with the tasks of its streams.
function M.close(connection)
  for _, task in ipairs(connection.tasks) do scheduler.cancel(task) end
  connection:close()
end

return M
