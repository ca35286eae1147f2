-- SPDX-License-Identifier: Apache-2.0
-- http2: one connection of HTTP/2, client's or origin's side, over a stream of bytes that is connected (RFC 9113). A
-- task reads its frames, notes them and hands them to their streams; SETTINGS and PING are answered, and windows given
-- back, unless the connection is `raw`: then a spec does all of it by frames. What breaks the rules of a connection
-- ends it, and connection.fault says what it was.
local frames = require "perilune.test.http2_frames"
local hpack = require "perilune.test.hpack"
local scheduler = require "perilune.test.scheduler"
local streams = require "perilune.test.http2_stream"

---@class http2_connection
---@field frames table[] all that came and await_frame has not taken, without the payload of DATA
---@field settings_of_peer table by name
---@field goaway table? last, code, text of the latest GOAWAY that came
---@field fault string? what the other side did wrong
local Connection = {}
Connection.__index = Connection

local M = { class = Connection }

local WINDOW, FRAME = 65535, 16384

--- --- sending -------------------------------------------------------------------------------------------------------

-- Frames of several tasks must not mix: the first task writes for all until there is no more.
local function flush(self)
  if self.is_writing then return true end
  self.is_writing = true
  while #self.unsent > 0 and not self.is_closed do
    local bytes = table.concat(self.unsent)
    self.unsent = {}
    local ok, why = self.wire:send(bytes)
    if not ok then self.write_failure = why end
    if not ok then break end
  end
  self.is_writing = false
  return not self.write_failure and not self.is_closed or nil, self.write_failure or "closed"
end

--- Sends bytes as they are.
function Connection:send_bytes(bytes)
  self.unsent[#self.unsent + 1] = bytes
  return flush(self)
end

--- Sends a frame: its name or number, flags, stream, payload.
function Connection:send_frame(kind, flags, stream, payload)
  return self:send_bytes(frames.write(kind, flags or 0, stream or 0, payload or ""))
end

--- A header block on a stream, with CONTINUATION where it is longer than a frame.
function Connection:send_fields(stream, fields, ends)
  local block, most = self.encoder:encode(fields), self.settings_of_peer.max_frame_size
  local parts, kind = {}, "HEADERS"
  for at = 1, math.max(1, #block), most do
    local flags = (at + most > #block and frames.END_HEADERS or 0)
      + (ends and kind == "HEADERS" and frames.END_STREAM or 0)
    parts[#parts + 1] = frames.write(kind, flags, stream, block:sub(at, at + most - 1))
    kind = "CONTINUATION"
  end
  return self:send_bytes(table.concat(parts))
end

local function move_windows(self, change)
  for _, stream in pairs(self.streams) do stream.receive_window = stream.receive_window + change end
end

--- Announces settings, by name: { max_concurrent_streams = 1 }. A larger window of streams counts at once, a smaller
--- one when the other side has acknowledged it.
function Connection:send_settings(settings)
  local old = self.settings.initial_window_size or WINDOW
  for name, value in pairs(settings) do self.settings[name] = value end
  local change = (self.settings.initial_window_size or WINDOW) - old
  move_windows(self, math.max(change, 0))
  table.insert(self.narrowing, math.min(change, 0))
  return self:send_frame("SETTINGS", 0, 0, frames.settings_payload(settings))
end

--- GOAWAY: the last stream that counts, all that have begun where nothing is said; code "no_error".
function Connection:send_goaway(last, code, text)
  return self:send_frame("GOAWAY", 0, 0,
    frames.u32(last or self.highest) .. frames.u32(frames.code_number(code or "no_error")) .. (text or ""))
end

--- A PING and its answer: the seconds that it took; nil and why where none came.
function Connection:ping(timeout)
  self.pings = self.pings + 1
  local begun, payload = scheduler.now(), ("ping%04d"):format(self.pings % 10000)
  self:send_frame("PING", 0, 0, payload)
  local function is_back() return self.last_pong == payload or self.is_closed end
  if not scheduler.wait_until(is_back, scheduler.deadline(timeout)) then return nil, "timeout" end
  if self.last_pong ~= payload then return nil, self.ending end
  return scheduler.now() - begun
end

--- Gives the other side so much more window on the whole connection.
function Connection:add_window(bytes) return self:send_frame("WINDOW_UPDATE", 0, 0, frames.u32(bytes)) end

--- Called by a stream that has taken so many bytes.
function Connection:credit(stream, bytes)
  if self.is_raw or self.is_closed then return end
  if not stream.has_ended and stream.is_open then stream:add_window(bytes) end
end

--- --- what comes ----------------------------------------------------------------------------------------------------

local function fault(self, code, text)
  self.fault = text
  self:send_goaway(self.highest, code, text)
  self.wire:close()
end

local function begin_stream(self, id)
  local stream = streams.new(self, id)
  self.streams[id], self.highest = stream, math.max(self.highest, id)
  return stream
end

local function end_block(self)
  local block = self.block
  self.block = nil
  local fields = self.decoder:decode(table.concat(block.parts))
  if not fields then return fault(self, "compression_error", "a header block that cannot be decoded") end
  local stream, is_new = self.streams[block.stream], false
  if not stream and self.is_server and block.stream % 2 == 1 and block.stream > self.highest then
    stream, is_new = begin_stream(self, block.stream), true
  end
  if not stream then return fault(self, "protocol_error", "HEADERS on a stream that has not begun") end
  if stream.has_ended then return fault(self, "stream_closed", "HEADERS behind END_STREAM") end
  stream:take_fields(fields, block.ends)
  if block.ends then stream:take_end() end
  if is_new and self.on_stream then self.on_stream(stream) end
end

local function take_settings(self, settings)
  local old = self.settings_of_peer.initial_window_size
  for name, value in pairs(settings) do self.settings_of_peer[name] = value end
  if settings.header_table_size then self.encoder:set_table_bytes(settings.header_table_size) end
  local change = self.settings_of_peer.initial_window_size - old
  for _, stream in pairs(self.streams) do stream.send_window = stream.send_window + change end
  self.has_settings = true
  if not self.is_raw then self:send_frame("SETTINGS", frames.ACK, 0, "") end
end

local TAKE = {}

function TAKE.HEADERS(self, frame)
  local content = frames.content(frame)
  if not content or frame.stream == 0 then return fault(self, "protocol_error", "malformed HEADERS") end
  self.block = { stream = frame.stream, ends = frame.ends, parts = { content } }
  if frames.has(frame.flags, frames.END_HEADERS) then end_block(self) end
end

function TAKE.CONTINUATION(self, frame)
  table.insert(self.block.parts, frame.payload)
  if frames.has(frame.flags, frames.END_HEADERS) then end_block(self) end
end

function TAKE.DATA(self, frame)
  local stream, content = self.streams[frame.stream], frames.content(frame)
  self.receive_window = self.receive_window - frame.length
  if self.receive_window < 0 then return fault(self, "flow_control_error", "more DATA than the window allows") end
  if not stream or not content then return fault(self, "protocol_error", "malformed DATA") end
  if stream.has_ended then return fault(self, "stream_closed", "DATA behind END_STREAM") end
  if not self.is_raw and frame.length > 0 then
    self.receive_window = self.receive_window + frame.length
    self:add_window(frame.length)
  end
  stream:take_data(content, frame.length)
  if frame.ends then stream:take_end() end
end

function TAKE.RST_STREAM(self, frame)
  local stream = self.streams[frame.stream]
  if not stream or not frame.code then return fault(self, "protocol_error", "malformed RST_STREAM") end
  stream:take_reset(frame.code)
end

function TAKE.SETTINGS(self, frame)
  if not frames.has(frame.flags, frames.ACK) then return take_settings(self, frame.settings) end
  self.settings_acks = self.settings_acks + 1
  move_windows(self, table.remove(self.narrowing, 1) or 0)
end

function TAKE.PING(self, frame)
  if frames.has(frame.flags, frames.ACK) then
    self.last_pong = frame.payload
  elseif not self.is_raw then
    self:send_frame("PING", frames.ACK, 0, frame.payload)
  end
end

function TAKE.GOAWAY(self, frame) self.goaway = { last = frame.last, code = frame.code, text = frame.text } end

function TAKE.WINDOW_UPDATE(self, frame)
  local one = frame.stream == 0 and self or self.streams[frame.stream]
  if one and frame.increment then one.send_window = one.send_window + frame.increment end
end

function TAKE.PUSH_PROMISE(self) fault(self, "protocol_error", "PUSH_PROMISE, which nobody asked for") end

local function take(self, frame)
  if frame.length > (self.settings.max_frame_size or FRAME) then
    return fault(self, "frame_size_error", "a frame longer than allowed")
  end
  local continues = frame.type == "CONTINUATION" and self.block and frame.stream == self.block.stream
  if continues ~= (self.block ~= nil) or frame.type == "CONTINUATION" and not continues then
    return fault(self, "protocol_error", "a header block that is torn by " .. frame.type)
  end
  if TAKE[frame.type] then TAKE[frame.type](self, frame) end
  if frame.type == "DATA" and not self.is_raw then frame.payload = nil end
  self.frames[#self.frames + 1] = frame
end

local function read_frames(self)
  if self.is_server then
    local preface, why = self.wire:read(#frames.PREFACE)
    if preface ~= frames.PREFACE then return preface and "a preface that is not HTTP/2's" or why end
  end
  while true do
    local frame, why = frames.read(self.wire)
    if not frame then return self.fault or why end
    take(self, frame)
  end
end

local function serve(self)
  self.ending = read_frames(self)
  self.is_closed = true
  for _, stream in pairs(self.streams) do stream:take_close(self.ending) end
  self.wire:close()
end

--- --- life ----------------------------------------------------------------------------------------------------------

--- Begins to speak, as a client or `is_server`, over a perilune.test.stream. Our preface is sent, theirs not awaited.
---@param options table? settings (by name; false: no SETTINGS is sent), raw, is_server, on_start(connection): before
--- anything is read; on_stream(stream): a request's head has come
function M.start(wire, options)
  options = options or {}
  local self = setmetatable({
    wire = wire, is_server = options.is_server, is_raw = options.raw, on_stream = options.on_stream, streams = {},
    frames = {}, unsent = {}, settings = {}, pings = 0, settings_acks = 0, highest = 0, next_id = 1,
    send_window = WINDOW, receive_window = WINDOW, narrowing = {}, encoder = hpack.encoder(), decoder = hpack.decoder(),
    settings_of_peer = { initial_window_size = WINDOW, max_frame_size = FRAME, header_table_size = 4096 },
  }, Connection)
  if not self.is_server then self:send_bytes(frames.PREFACE) end
  if options.settings ~= false then self:send_settings(options.settings or {}) end
  if options.on_start then options.on_start(self) end
  self.task = scheduler.spawn(serve, self)
  return self
end

--- Of a client: a stream that has not begun; its first head begins it. On a connection that has ended it has, too.
function Connection:new_stream()
  local stream = begin_stream(self, self.next_id)
  self.next_id = self.next_id + 2
  if self.is_closed then stream:take_close(self.ending) end
  return stream
end

--- The next frame of this kind that has come and was not taken before, on `stream` (a stream or its number) if one is
--- given. nil and why where none comes.
function Connection:await_frame(kind, stream, timeout)
  local id = type(stream) == "table" and stream.id or stream
  local found
  local function has_come()
    for i, frame in ipairs(self.frames) do
      if frame.type == kind and (not id or frame.stream == id) then
        found = table.remove(self.frames, i)
        return true
      end
    end
    return self.is_closed
  end
  if not scheduler.wait_until(has_come, scheduler.deadline(timeout)) then return nil, "timeout" end
  return found, not found and self.ending or nil
end

--- Has the other side closed the connection within the time?
function Connection:await_close(timeout)
  return scheduler.wait_until(function() return self.is_closed end, scheduler.deadline(timeout))
end

function Connection:close()
  if self.is_closed then return end
  if self.task then scheduler.cancel(self.task) end -- not in its first turn: then it ends by itself
  self.is_closed, self.ending = true, "closed"
  self.wire:close()
  for _, stream in pairs(self.streams) do stream:take_close "closed" end
end

return M
