-- SPDX-License-Identifier: Apache-2.0
-- http2_frames: frames of HTTP/2 as bytes (RFC 9113 sections 4, 6 and 7): their names, writing and reading one. What
-- a connection makes of them is perilune.test.http2's.
local M = {}

M.types = { [0] = "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
  "WINDOW_UPDATE", "CONTINUATION" }
M.codes = { [0] = "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
  "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED" }
M.settings = { "header_table_size", "enable_push", "max_concurrent_streams", "initial_window_size", "max_frame_size",
  "max_header_list_size", [8] = "enable_connect_protocol", [9] = "no_rfc7540_priorities" }

M.END_STREAM, M.ACK, M.END_HEADERS, M.PADDED, M.PRIORITY = 1, 1, 4, 8, 32
M.PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

local function by_name(list)
  local numbers = {}
  for number, name in pairs(list) do numbers[name] = number end
  return numbers
end
local type_numbers, code_numbers, setting_numbers = by_name(M.types), by_name(M.codes), by_name(M.settings)

function M.u16(number) return string.char(math.floor(number / 256) % 256, number % 256) end
function M.u32(number) return M.u16(math.floor(number / 65536) % 65536) .. M.u16(number % 65536) end

local function read_u32(text, at)
  local a, b, c, d = text:byte(at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end
M.read_u32 = read_u32

--- Is a flag among those of a number?
function M.has(flags, flag) return math.floor(flags / flag) % 2 == 1 end

--- The number of an error code by its name in any case ("cancel"), or as a number.
function M.code_number(code)
  local number = type(code) == "number" and code or code_numbers[tostring(code):upper()]
  return number or error(("there is no error code '%s' in HTTP/2"):format(tostring(code)), 0)
end
local function code_name(number) return M.codes[number] or tostring(number) end

--- The payload of SETTINGS: by name, in the order of their numbers, or a list of { number, value }.
function M.settings_payload(settings)
  local parts = {}
  for _, pair in ipairs(settings) do parts[#parts + 1] = M.u16(pair[1]) .. M.u32(pair[2]) end
  for name in pairs(settings) do
    if type(name) == "string" and not setting_numbers[name] then
      error(("there is no setting '%s' in HTTP/2"):format(name), 0)
    end
  end
  for number = 1, 9 do
    local value = M.settings[number] and settings[M.settings[number]]
    if value then parts[#parts + 1] = M.u16(number) .. M.u32(value) end
  end
  return table.concat(parts)
end

--- The bytes of one frame. `kind`: its name, or the number of its type.
function M.write(kind, flags, stream, payload)
  local number = type_numbers[kind] or tonumber(kind) or error(("there is no frame '%s'"):format(tostring(kind)), 0)
  return M.u32(#payload):sub(2) .. string.char(number, flags) .. M.u32(stream) .. payload
end

local function read_settings(payload)
  local settings = {}
  for at = 1, #payload - 5, 6 do
    local number = payload:byte(at) * 256 + payload:byte(at + 1)
    settings[M.settings[number] or number] = read_u32(payload, at + 2)
  end
  return settings
end

-- What a frame says, beside its payload.
local DETAILS = {
  RST_STREAM = function(frame) frame.code = code_name(read_u32(frame.payload, 1)) end,
  GOAWAY = function(frame)
    frame.last, frame.code = read_u32(frame.payload, 1) % 0x80000000, code_name(read_u32(frame.payload, 5))
    frame.text = frame.payload:sub(9)
  end,
  WINDOW_UPDATE = function(frame) frame.increment = read_u32(frame.payload, 1) % 0x80000000 end,
  SETTINGS = function(frame) frame.settings = read_settings(frame.payload) end,
}
local LEAST = { RST_STREAM = 4, GOAWAY = 8, WINDOW_UPDATE = 4 }

--- The next frame of a stream of bytes: { type, flags, stream, payload, ends (END_STREAM) }, and what it says: code,
--- last, text, increment, settings. nil and why where there is none.
function M.read(wire, timeout)
  local head, why = wire:read(9, timeout)
  if not head then return nil, why end
  local a, b, c, number, flags = head:byte(1, 5)
  local length, payload = (a * 256 + b) * 256 + c, ""
  if length > 0 then payload, why = wire:read(length, timeout) end
  if not payload then return nil, why end
  local kind = M.types[number] or tostring(number)
  local frame = { type = kind, flags = flags, stream = read_u32(head, 6) % 0x80000000, payload = payload,
    length = length, ends = (kind == "DATA" or kind == "HEADERS") and M.has(flags, M.END_STREAM) }
  if DETAILS[kind] and length >= (LEAST[kind] or 0) then DETAILS[kind](frame) end
  return frame
end

--- The payload of DATA or HEADERS without padding and priority; nil where they do not fit.
function M.content(frame)
  local payload, padding = frame.payload, 0
  if M.has(frame.flags, M.PADDED) then
    if payload == "" then return nil end
    padding, payload = payload:byte(1), payload:sub(2)
  end
  if frame.type == "HEADERS" and M.has(frame.flags, M.PRIORITY) then
    if #payload < 5 then return nil end
    payload = payload:sub(6)
  end
  if padding > #payload then return nil end
  return payload:sub(1, #payload - padding)
end

return M
