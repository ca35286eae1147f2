-- SPDX-License-Identifier: Apache-2.0
-- http2_stream: one stream of HTTP/2, client's or origin's side. Heads and pieces of the body are kept in order until
-- they are taken; what was taken gives its window back, so that a side that does not read stops the other one.
-- Functions return nil and "timeout", "closed", "reset: CANCEL" or another text where they could not do it.
local frames = require "perilune.test.http2_frames"
local heads = require "perilune.test.http2_heads"
local scheduler = require "perilune.test.scheduler"

---@class http2_stream
---@field id integer
---@field connection table
---@field reset_code string? "CANCEL": the other side has reset it
local Stream = {}
Stream.__index = Stream

local M = { class = Stream }

local WINDOW = 65535

-- What the other side may send on a new stream: a client may begin one before it has seen our settings.
function M.own_window(connection)
  local announced = connection.settings.initial_window_size or WINDOW
  if connection.is_server and connection.settings_acks == 0 then return math.max(announced, WINDOW) end
  return announced
end

function M.new(connection, id)
  local windows = connection.settings_of_peer.initial_window_size
  return setmetatable({ id = id, connection = connection, heads = {}, pieces = {}, send_window = windows,
    receive_window = M.own_window(connection), received = 0, is_open = true }, Stream)
end

--- --- what comes, told by the connection ----------------------------------------------------------------------------

-- The first fault is the message's: what came before stays readable.
local function fail(self, why) self.failure = self.failure or why end

--- A head: of a request or an answer, or trailers behind a body.
function Stream:take_fields(fields, ends)
  local is_trailers = self.final ~= nil
  local head, why
  if is_trailers then head, why = heads.trailers(fields)
  elseif self.connection.is_server then head, why = heads.request(fields)
  else head, why = heads.response(fields) end
  if not head then fail(self, why) return end
  if is_trailers then
    self.trailers = head
    if not ends then fail(self, "malformed: trailers that do not end the stream") end
    return
  end
  local is_interim = head.status and head.status < 200
  if is_interim and ends then fail(self, "malformed: an interim response that ends the stream") end
  if not is_interim then self.final = head end
  self.heads[#self.heads + 1] = head
end

function Stream:take_data(data, length)
  self.receive_window = self.receive_window - length
  if self.receive_window < 0 then return fail(self, "malformed: more DATA than the window of the stream allows") end
  if not self.final then return fail(self, "malformed: DATA before a head") end
  self.received = self.received + #data
  if length > #data then self.connection:credit(self, length - #data) end
  if data ~= "" then self.pieces[#self.pieces + 1] = data end
end

local function check_length(self)
  local length = self.final and self.final.headers.content_length
  if not length or self.method == "HEAD" or self.final.status == 304 then return end
  if tonumber(length) ~= self.received then
    fail(self, ("malformed: Content-Length %s with %d bytes of DATA"):format(length, self.received))
  end
end

function Stream:take_end()
  self.has_ended = true
  check_length(self)
end

function Stream:take_reset(code)
  self.reset_code, self.is_open = code, false
  if not self.has_ended then fail(self, "reset: " .. code) end
end

--- The connection is gone.
function Stream:take_close(why)
  self.is_open = false
  if not self.has_ended then fail(self, why) end
end

--- --- reading -------------------------------------------------------------------------------------------------------

local function await(condition, timeout)
  return scheduler.wait_until(condition, scheduler.deadline(timeout)) or nil
end

--- The next head that has not been taken; interim ones, too.
function Stream:read_head(timeout)
  if not await(function() return self.heads[1] or self.failure or self.has_ended end, timeout) then
    return nil, "timeout"
  end
  local head = table.remove(self.heads, 1)
  if head then return head end
  return nil, self.failure or "closed"
end

--- The next piece of the body, as it came; nil at its end, and nil and why where it was cut.
function Stream:read(timeout)
  if not await(function() return self.pieces[1] or self.failure or self.has_ended end, timeout) then
    return nil, "timeout"
  end
  local piece = table.remove(self.pieces, 1)
  if not piece then return nil, self.failure end
  self.connection:credit(self, #piece)
  return piece
end

--- The rest of the body; nil, why, and what came of it where it was cut. The trailers are in stream.trailers then.
function Stream:read_all(timeout)
  local parts, deadline = {}, scheduler.deadline(timeout)
  while true do
    local piece, why = self:read(deadline < math.huge and math.max(0, deadline - scheduler.now()) or nil)
    if not piece and why then return nil, why, table.concat(parts) end
    if not piece then return table.concat(parts) end
    parts[#parts + 1] = piece
  end
end

-- Body, trailers and what went wrong, to their head.
local function complete(self, head, timeout)
  local body, why, partial = self:read_all(timeout)
  head.body, head.failure, head.reset = body or partial, not body and why or nil, self.reset_code
  head.trailers = self.trailers
  return head
end

--- The final response, whole: { status, headers, body, trailers, interim, failure }, as of HTTP/1; `reset` is the code
--- of the reset. nil and why where no head came.
function Stream:read_response(timeout)
  local interim = {}
  while true do
    local head, why = self:read_head(timeout)
    if not head then return nil, why end
    if head.status >= 200 then
      head.interim = interim
      if self.connection.on_response then self.connection.on_response(head) end
      return complete(self, head, timeout)
    end
    interim[#interim + 1] = head
  end
end

--- Of an origin: the body and trailers of the request, into stream.request.
function Stream:read_request_body(timeout) return complete(self, self.request, timeout) end

--- Waits until it is reset. The code, or nil and "timeout" or how it ended else.
function Stream:await_reset(timeout)
  local is_over = await(function() return not self.is_open or self.has_ended and self.has_sent_end end, timeout)
  if self.reset_code then return self.reset_code end
  return nil, is_over and "closed" or "timeout"
end

--- --- sending -------------------------------------------------------------------------------------------------------

local function sent_end(self)
  self.has_sent_end = true
  return true
end

--- Sends a head as it is: a list of { name, value }.
function Stream:send_fields(fields, ends)
  local ok, why = self.connection:send_fields(self.id, fields, ends)
  if ok and ends then sent_end(self) end
  return ok, why
end

-- What may go out now of so many bytes; nil and why where nothing ever will.
local function room(self, wanted, deadline)
  local connection = self.connection
  local function has_room() return not self.is_open or self.send_window > 0 and connection.send_window > 0 end
  if not scheduler.wait_until(has_room, deadline) then return nil, "timeout" end
  if not self.is_open then return nil, self.failure or "reset: " .. tostring(self.reset_code) end
  return math.min(wanted, self.send_window, connection.send_window, connection.settings_of_peer.max_frame_size)
end

--- Sends bytes of the body, as the windows of the other side allow; `ends`: END_STREAM is on the last of them.
function Stream:send(data, ends, timeout)
  local deadline, at = scheduler.deadline(timeout), 0
  repeat
    local count, why = 0, nil
    if at < #data then count, why = room(self, #data - at, deadline) end
    if not count then return nil, why end
    self.send_window = self.send_window - count
    self.connection.send_window = self.connection.send_window - count
    local is_last = ends and at + count == #data
    local ok, fault = self.connection:send_frame("DATA", is_last and frames.END_STREAM or 0, self.id,
      data:sub(at + 1, at + count))
    if not ok then return nil, fault end
    at = at + count
  until at >= #data
  return not ends or sent_end(self)
end

--- Ends what we send: with trailers where there are some.
function Stream:finish(trailers)
  if self.has_sent_end then return true end
  if trailers then return self:send_fields(heads.of_fields(trailers), true) end
  return self:send("", true)
end

--- RST_STREAM; "cancel" where nothing is said.
function Stream:reset(code)
  local number = frames.code_number(code or "cancel")
  self.is_open = false
  fail(self, "closed")
  return self.connection:send_frame("RST_STREAM", 0, self.id, frames.u32(number))
end

--- Gives the other side so much more window, beside what reading gives.
function Stream:add_window(bytes)
  self.receive_window = self.receive_window + bytes
  return self.connection:send_frame("WINDOW_UPDATE", 0, self.id, frames.u32(bytes))
end

-- Each piece by itself, so that whoever reads has a chance to see it alone.
local function send_pieces(self, pieces, ends)
  local ok, why = true, nil
  for i, piece in ipairs(pieces) do
    local is_last = i == #pieces
    if ok and (piece ~= "" or is_last) then ok, why = self:send(piece, ends and is_last) end
    if not is_last then scheduler.sleep(0) end
  end
  return ok, why
end

--- Of an origin: answers, with what perilune.test.answer has read.
function Stream:send_answer(answer)
  if answer.delay then scheduler.sleep(answer.delay) end
  if answer.reset then return self:reset(answer.reset == true and "internal_error" or answer.reset) end
  local fields, has_body = heads.of_response(answer, self.request and self.request.method)
  has_body = has_body and (answer.body ~= "" or answer.is_list)
  local is_interim = answer.status < 200
  local ok, why = self:send_fields(fields, not has_body and not answer.trailers and not is_interim)
  if ok and has_body then ok, why = send_pieces(self, answer.pieces, not answer.trailers) end
  if ok and answer.trailers and not is_interim then ok, why = self:finish(answer.trailers) end
  return ok, why
end

--- Lets time pass for this stream only.
function Stream.sleep(_, seconds) scheduler.sleep(seconds) end

return M
