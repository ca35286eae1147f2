-- SPDX-License-Identifier: Apache-2.0
-- frames: HTTP/2 as frames that a spec writes and reads by hand (RFC 9113 section 4), over a client's connection. Heads
-- are sent as literals without an index (RFC 7541 section 6.2.2); of those that come only the frames are looked at.
local client = require "client"

local format = require "perilune.test.http2_frames"

local M = {}

M.types, M.codes, M.u32 = format.types, format.codes, format.u32
M.END_STREAM, M.END_HEADERS, M.ACK = format.END_STREAM, format.END_HEADERS, format.ACK

local Connection = {}
Connection.__index = Connection

--- A connection that has begun: our preface and SETTINGS are sent. { port, tls, settings }
function M.connect(options)
  local wire = client.connect(options)
  local connection = setmetatable({ wire = wire }, Connection)
  wire:send(format.PREFACE)
  connection:send("SETTINGS", 0, 0, options.settings or "")
  return connection
end

function Connection:send(kind, flags, stream, payload)
  self.wire:send(format.write(kind, flags, stream, payload))
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

--- The same, which the receiver puts into its table (RFC 7541 section 6.2.1).
function M.indexed(fields)
  local parts = {}
  for i, field in ipairs(fields) do parts[i] = "\64" .. text_of(field[1]) .. text_of(field[2]) end
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
function Connection:read(timeout) return (format.read(self.wire, timeout)) end

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

-- Fields that no message may have: { sentence, name, value }.
local MALFORMED = {
  { "an upper case name (RFC 9113 8.2.1)", "X-A" },
  { "an empty name (RFC 9113 8.2.1)", "" },
  { "a space in a name (RFC 9113 8.2.1)", "x a" },
  { "a colon in a name (RFC 9113 8.2.1)", "x:a" },
  { "a tab in a name (RFC 9113 8.2.1)", "x\t" },
  { "CR in a name (RFC 9113 8.2.1)", "x\r" },
  { "LF in a name (RFC 9113 8.2.1)", "x\ny" },
  { "NUL in a name (RFC 9113 8.2.1)", "x\0" },
  { "DEL in a name (RFC 9113 8.2.1)", "x\127" },
  { "obs-text in a name (RFC 9113 8.2.1)", "x\195\164" },
  { "a parenthesis in a name (RFC 9110 5.1)", "x(y)" },
  { "CR in a value (RFC 9113 8.2.1)", "x", "a\rb" },
  { "LF in a value (RFC 9113 8.2.1)", "x", "a\nb" },
  { "NUL in a value (RFC 9113 8.2.1)", "x", "a\0b" },
  { "a control character in a value (RFC 9110 5.5)", "x", "a\1b" },
  { "a space before a value (RFC 9113 8.2.1)", "x", " a" },
  { "a space behind a value (RFC 9113 8.2.1)", "x", "a " },
  { "a tab before a value (RFC 9113 8.2.1)", "x", "\ta" },
  { "a tab behind a value (RFC 9113 8.2.1)", "x", "a\t" },
  { "Connection (RFC 9113 8.2.2)", "connection", "close" },
  { "Keep-Alive (RFC 9113 8.2.2)", "keep-alive" },
  { "Proxy-Connection (RFC 9113 8.2.2)", "proxy-connection" },
  { "Transfer-Encoding (RFC 9113 8.2.2)", "transfer-encoding", "chunked" },
  { "Upgrade (RFC 9113 8.2.2)", "upgrade", "websocket" },
}

--- Adds a case for each malformed field to a table of { sentence, code, frames }; `field(name, value)` makes frames.
function M.add_malformed(faults, field)
  for _, case in ipairs(MALFORMED) do
    faults[#faults + 1] = { case[1], "PROTOCOL_ERROR", field(case[2], case[3]) }
  end
end

return M
