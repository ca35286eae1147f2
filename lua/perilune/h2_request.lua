-- SPDX-License-Identifier: Apache-2.0
-- h2_request: how perilune.http asks over HTTP/2: one request at a time on a connection, whose session is kept with it.
-- The frames are core.h2_request's; here bytes are moved, as far as somebody wants to know what comes.
--
-- A server may send frames for as long as it likes without answering, so each wait for a head or a piece has an end of
-- its own, beside those of each send and receive.

local core = require "perilune.core"

local h2_request = {}

local Request = {}
Request.__index = Request

local function say(fault) return fault:find "^[%u_]+$" and "it has reset the stream: " .. fault or fault end

-- Sends what there is to be sent. True; or nil and why not.
function Request:flush()
  local bytes = self.frames:out()
  if bytes == "" then return true end
  return self.socket:send(bytes)
end

-- Moves bytes until more has come. True; or nil and why nothing will.
function Request:step()
  local ok, why = self:flush()
  if not ok then return nil, why end
  local left = self.ends - core.now()
  if left <= 0 then return nil, "timeout" end
  self.socket:set_timeouts(self.send_timeout, math.max(left, 0.001))
  local came, broken = self.socket:receive "any"
  if not came then return nil, broken end
  self.is_over = self.frames:feed(came)
  return true
end

-- A body that a function gives, piece by piece, until nil; or until the answer is there before.
function Request:send_pieces(pieces)
  for piece in pieces do
    self.frames:give(piece)
    self.ends = core.now() + self.send_timeout
    local ok, why = self:flush()
    while ok and self.frames:unsent() > 0 and not self.is_over do ok, why = self:step() end
    if not ok then return nil, why end
    if self.is_over then return true end
  end
  self.frames:give(nil)
  return true
end

-- The final head; nil and why where none came.
function Request:read_head()
  self.ends = core.now() + self.receive_timeout
  while true do
    local head = self.frames:head()
    if head then return head end
    if self.is_over then
      local fault = self.frames:fault()
      return nil, fault and say(fault) or "it has ended without an answer"
    end
    local ok, why = self:step()
    if not ok then return nil, why end
  end
end

-- The connection is at its end, or waits for the next request.
function Request:leave()
  self.head.trailers = self.frames:trailers()
  self.head.keep_alive = self:flush() and self.frames:leave(self.socket)
end

--- The next piece of the body and whether it is the last; or nil and why it broke off.
function Request:next_piece()
  self.ends = core.now() + self.receive_timeout
  while true do
    local piece, fault = self.frames:take(), self.frames:fault()
    if piece ~= "" then return piece, false end
    if fault then return nil, say(fault) end
    if self.is_over then
      self:leave()
      return "", true
    end
    local ok, why = self:step()
    if not ok then return nil, why end
  end
end

--- Is it HTTP/2 that is spoken on the connection? `wanted` as in perilune.http.
function h2_request.is_spoken(socket, url, wanted)
  if url.tls then return core.h2_chosen(socket) end
  return wanted.http2
end

--- The head of the response, { status, reason, fields, keep_alive, next_piece }; or nil, a sentence, and whether the
--- server has certainly not acted on the request.
function h2_request.ask(socket, url, wanted)
  local has_pieces = type(wanted.body) == "function"
  local frames = core.h2_request(socket, wanted.method, url.tls and "https" or "http", wanted.host, url.target,
    wanted.fields, has_pieces or wanted.body)
  if not frames then return nil, "the request cannot be written in HTTP/2" end
  local request = setmetatable({ socket = socket, frames = frames,
    send_timeout = wanted.send_timeout or wanted.timeout,
    receive_timeout = wanted.receive_timeout or wanted.timeout }, Request)
  local ok, sent = true, nil
  if has_pieces then ok, sent = request:send_pieces(wanted.body) end
  local head, why
  if ok then head, why = request:read_head() end
  if not head then return nil, why or sent, frames:was_refused() end
  request.head = head
  head.next_piece = function() return request:next_piece() end
  return head
end

return h2_request
