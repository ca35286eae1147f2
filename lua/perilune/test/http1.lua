-- SPDX-License-Identifier: Apache-2.0
-- http1: HTTP/1.1 messages as specs read and write them. It follows RFC 9112 and does not use the proxy's code:
-- malformed messages are errors and are not repaired, so that a spec sees what the proxy really sent.
local Fields = require "perilune.test.fields"

local M = {}

--- From { { "Name", "value" }, ... } or { Name = "value" }; see perilune.test.fields.
M.fields = Fields.new

local function parse_fields(section)
  local fields = Fields.new()
  local rest = section
  while rest ~= "\r\n" do
    local line, after = rest:match "^([^\r\n]*)\r\n(.*)$"
    if not line then return nil, "malformed line ending: " .. rest end
    local name, value = line:match "^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$"
    if not name then return nil, "malformed field line: " .. line end
    fields[#fields + 1] = { name = name, value = value }
    rest = after
  end
  return fields
end

-- A head is text up to an empty line: the first line, then fields.
local function read_head(stream, timeout)
  local head, message, partial = stream:read_until("\r\n\r\n", timeout)
  if not head then
    if partial ~= "" and message ~= "timeout" then message = message .. " in mid-head" end
    return nil, message, partial
  end
  local first, rest = head:match "^([^\r\n]*)\r\n(.*)$"
  if not first then return nil, "malformed head: " .. head end
  local fields, why = parse_fields(rest)
  if not fields then return nil, why end
  return first, fields, head
end

local function read_chunked(stream, timeout)
  local parts = {}
  while true do
    local line, message = stream:read_until("\r\n", timeout)
    if not line then return nil, message, table.concat(parts) end
    local size = line:match "^(%x+)\r\n$"
    if not size then return nil, "malformed chunk size: " .. line end
    size = tonumber(size, 16)
    if size == 0 then break end
    local data, why, partial = stream:read(size + 2, timeout)
    if not data then
      parts[#parts + 1] = partial
      return nil, why, table.concat(parts)
    end
    if data:sub(-2) ~= "\r\n" then return nil, "a chunk without CRLF behind it" end
    parts[#parts + 1] = data:sub(1, -3)
  end
  local section = ""
  repeat
    local line, message = stream:read_until("\r\n", timeout)
    if not line then return nil, message, table.concat(parts) end
    section = section .. line
  until line == "\r\n"
  local trailers, why = parse_fields(section)
  if not trailers then return nil, why end
  return table.concat(parts), trailers
end

local function framing_of(fields)
  local lengths, codings = fields:all "content-length", fields:all "transfer-encoding"
  if #codings > 0 and #lengths > 0 then return nil, "both Transfer-Encoding and Content-Length" end
  if #codings > 1 or (codings[1] and codings[1] ~= "chunked") then return nil, "strange Transfer-Encoding" end
  if #lengths > 1 or (lengths[1] and not lengths[1]:match "^%d+$") then return nil, "strange Content-Length" end
  if codings[1] then return "chunked" end
  if lengths[1] then return "length", tonumber(lengths[1]) end
  return "none"
end

-- Fills in message.body (what came of it), .trailers; message.failure says why it is not whole.
local function read_body(stream, message, kind, length, timeout)
  local body, detail, partial
  if kind == "chunked" then
    body, detail, partial = read_chunked(stream, timeout)
    if body then message.trailers = detail end
  elseif kind == "length" then
    body, detail, partial = stream:read(length, timeout)
    if not body then stream.buffer = "" end
  elseif kind == "close" then
    body, detail = stream:receive_all(timeout)
    if detail ~= "closed" then body, partial = nil, body end
  else
    body = ""
  end
  message.body = body or partial or ""
  message.failure = not body and detail or nil
  message.framing = kind
  return message
end

--- Reads one request head, and with it a table in which the body is still missing.
function M.read_request_head(stream, timeout)
  local first, fields, head = read_head(stream, timeout)
  if not first then return nil, fields, head end
  local method, target, version = first:match "^(%S+) (%S+) HTTP/(%d%.%d)$"
  if not method then return nil, "malformed request line: " .. first end
  return { method = method, target = target, version = version, headers = fields, head = head, body = "" }
end

--- Reads the body that belongs to a head.
function M.read_request_body(stream, request, timeout)
  local kind, length = framing_of(request.headers)
  if not kind then
    request.failure = length
    return request
  end
  return read_body(stream, request, kind, length, timeout)
end

--- A whole request: { method, target, version, headers, body, trailers, head }, nil and why where there is none.
--- A body that did not come whole is kept, and request.failure says what happened.
function M.read_request(stream, timeout)
  local request, message, partial = M.read_request_head(stream, timeout)
  if not request then return nil, message, partial end
  return M.read_request_body(stream, request, timeout)
end

local function response_framing(response, method)
  local status = response.status
  if method == "HEAD" or status < 200 or status == 204 or status == 304 then return "none" end
  local kind, length = framing_of(response.headers)
  if kind == "none" then return "close" end
  return kind, length
end

--- A whole response to a request of `method`: { status, reason, version, headers, body, trailers, head }; `failure`
--- as in read_request. Interim responses are responses like others.
function M.read_response(stream, method, timeout)
  local first, fields, head = read_head(stream, timeout)
  if not first then return nil, fields, head end
  local version, status, reason = first:match "^HTTP/(%d%.%d) (%d%d%d) (.*)$"
  if not version then return nil, "malformed status line: " .. first end
  local response = { status = tonumber(status), reason = reason, version = version, headers = fields, head = head }
  local kind, length = response_framing(response, method)
  if not kind then
    response.failure = length
    return response
  end
  return read_body(stream, response, kind, length, timeout)
end

--- "5\r\nhello\r\n"; of an empty text: the last chunk and the end.
function M.chunk(text)
  if text == "" then return "0\r\n\r\n" end
  return ("%x\r\n%s\r\n"):format(#text, text)
end

--- The bytes of a message. Adds Content-Length, or chunks the body when options.chunked or options.trailers, unless
--- there is no body.
---@param first string "GET / HTTP/1.1"
function M.write(first, headers, body, options)
  local parts = { first }
  for _, field in ipairs(M.fields(headers)) do parts[#parts + 1] = field.name .. ": " .. field.value end
  options = options or {}
  local chunked = options.chunked or options.trailers
  if chunked then parts[#parts + 1] = "Transfer-Encoding: chunked"
  elseif body then parts[#parts + 1] = "Content-Length: " .. #body end
  local head = table.concat(parts, "\r\n") .. "\r\n\r\n"
  if options.no_body or not body then return head end
  if not chunked then return head .. body end
  return head .. (body ~= "" and M.chunk(body) or "") .. "0\r\n" .. Fields.lines(Fields.new(options.trailers))
end

return M
