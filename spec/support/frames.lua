-- SPDX-License-Identifier: Apache-2.0
-- frames: HTTP/2 as frames that a spec writes and reads by hand (RFC 9113 section 4), over a client's connection. Heads
-- are sent as literals without an index (RFC 7541 section 6.2.2); of those that come only the frames are looked at.
local client = require "client"

local M = {}

M.types = { [0] = "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
  "WINDOW_UPDATE", "CONTINUATION" }
M.codes = { [0] = "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
  "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM" }
M.END_STREAM, M.END_HEADERS, M.ACK = 1, 4, 1

local numbers = {}
for number, name in pairs(M.types) do numbers[name] = number end

local function u32(number)
  return string.char(math.floor(number / 0x1000000) % 256, math.floor(number / 0x10000) % 256,
    math.floor(number / 0x100) % 256, number % 256)
end
local function read_u32(text, at)
  local a, b, c, d = text:byte(at, at + 3)
  return (a % 128) * 0x1000000 + b * 0x10000 + c * 0x100 + d
end
M.u32 = u32

local Connection = {}
Connection.__index = Connection

--- A connection that has begun: our preface and SETTINGS are sent. { port, tls, settings }
function M.connect(options)
  local wire = client.connect(options)
  local connection = setmetatable({ wire = wire }, Connection)
  wire:send "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  connection:send("SETTINGS", 0, 0, options.settings or "")
  return connection
end

function Connection:send(kind, flags, stream, payload)
  self.wire:send(u32(#payload):sub(2) .. string.char(numbers[kind], flags) .. u32(stream) .. payload)
end

local function text_of(text)
  assert(#text < 127)
  return string.char(#text) .. text
end

--- A header block of { name, value } pairs.
function M.block(fields)
  local parts = {}
  for i, field in ipairs(fields) do parts[i] = "\0" .. text_of(field[1]) .. text_of(field[2]) end
  return table.concat(parts)
end

--- Sends a request's head: { method, path, fields }; `ends` unless it is false.
function Connection:request(stream, options)
  options = options or {}
  local fields = { { ":method", options.method or "GET" }, { ":scheme", "http" }, { ":path", options.path or "/" },
    { ":authority", "spec.example" } }
  for _, field in ipairs(options.fields or {}) do fields[#fields + 1] = field end
  local flags = M.END_HEADERS + (options.ends == false and 0 or M.END_STREAM)
  self:send("HEADERS", flags, stream, M.block(fields))
end

--- The next frame: { type, flags, stream, payload, code, last }. nil where the connection has ended.
function Connection:read(timeout)
  local head = self.wire:read(9, timeout)
  if not head or #head < 9 then return nil end
  local a, b, c, kind, flags = head:byte(1, 5)
  local length = a * 0x10000 + b * 0x100 + c
  local frame = { type = M.types[kind] or tostring(kind), flags = flags, stream = read_u32(head, 6),
    payload = length > 0 and self.wire:read(length, timeout) or "" }
  if frame.type == "RST_STREAM" then frame.code = M.codes[read_u32(frame.payload, 1)] end
  if frame.type == "GOAWAY" then
    frame.last, frame.code = read_u32(frame.payload, 1), M.codes[read_u32(frame.payload, 5)]
  end
  return frame
end

--- The next frame of that type, on that stream if one is given; others are passed over, SETTINGS and PING answered.
function Connection:await(kind, stream)
  while true do
    local frame = self:read()
    if not frame then return nil end
    if frame.type == kind and (not stream or frame.stream == stream) then return frame end
    if frame.type == "SETTINGS" and frame.flags == 0 then self:send("SETTINGS", M.ACK, 0, "") end
  end
end

--- The body of the answer on a stream, to its end; nil and the code of its reset.
function Connection:body(stream)
  local parts = {}
  while true do
    local frame = self:read()
    if not frame then return nil, "closed" end
    if frame.type == "SETTINGS" and frame.flags == 0 then self:send("SETTINGS", M.ACK, 0, "") end
    if frame.stream == stream then
      if frame.type == "RST_STREAM" then return nil, frame.code end
      if frame.type == "DATA" then parts[#parts + 1] = frame.payload end
      local ends = (frame.type == "DATA" or frame.type == "HEADERS") and frame.flags % 2 == 1
      if ends then return table.concat(parts) end
    end
  end
end

function Connection:close() self.wire:close() end

return M
