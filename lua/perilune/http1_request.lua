-- SPDX-License-Identifier: Apache-2.0
-- http1_request: how perilune.http asks over HTTP/1.1: a request is written, and the head of its response is read.

local core = require "perilune.core"

local http1_request = {}

local INTERIM_MOST = 16

-- How the body is framed.
local function framing_of(method, body)
  if type(body) == "function" then return "Transfer-Encoding: chunked\r\n" end
  if body then return "Content-Length: " .. #body .. "\r\n" end
  return (method == "POST" or method == "PUT" or method == "PATCH") and "Content-Length: 0\r\n" or ""
end

local function write_head(wanted, url)
  local lines = { wanted.method, " ", url.target, " HTTP/1.1\r\nHost: ", wanted.host, "\r\n" }
  for i = 1, #wanted.fields, 2 do
    local at = #lines
    lines[at + 1], lines[at + 2], lines[at + 3], lines[at + 4] = wanted.fields[i], ": ", wanted.fields[i + 1], "\r\n"
  end
  lines[#lines + 1] = framing_of(wanted.method, wanted.body)
  lines[#lines + 1] = wanted.keep and "\r\n" or "Connection: close\r\n\r\n"
  return table.concat(lines)
end

-- A body that a function gives, piece by piece, until nil.
local function send_pieces(socket, pieces)
  for piece in pieces do
    if piece ~= "" then
      local ok, why = socket:send { ("%x\r\n"):format(#piece), piece, "\r\n" }
      if not ok then return nil, why end
    end
  end
  return socket:send "0\r\n\r\n"
end

local function send_request(socket, head, body)
  if type(body) ~= "function" then return socket:send { head, body or "" } end
  local ok, why = socket:send(head)
  if not ok then return nil, why end
  return send_pieces(socket, body)
end

-- The final response's head; interim ones are passed over.
local function read_head(socket, method, lenient)
  for _ = 1, INTERIM_MOST do
    local head, why = core.http_head(socket, method, lenient)
    if not head then return nil, why end
    if head.status == 101 then return nil, "the server switched protocols without being asked" end
    if head.status >= 200 then return head end
  end
  return nil, "too many interim responses"
end

--- The head of the response, { status, reason, fields, keep_alive, next_piece }; or nil and a sentence.
function http1_request.ask(socket, url, wanted)
  local ok, sent = send_request(socket, write_head(wanted, url), wanted.body)
  -- An early answer may be there although sending failed.
  local head, why = read_head(socket, wanted.method, wanted.lenient)
  if not head then return nil, ok and why or sent end
  head.keep_alive = head.keep_alive and ok
  head.next_piece = core.http_body
  return head
end

return http1_request
