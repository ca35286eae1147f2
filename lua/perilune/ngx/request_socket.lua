-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.request_socket: ngx.req.socket(): the body of the request, read as from a socket. The call waits for
-- all of it: it is in memory then, up to BODY_MOST of request.lua (beyond, 413), and lives as long as the socket.

local core = require "perilune.core"

local Body = {}
Body.__index = Body

-- What is left, which is too little.
local function closed(self)
  local rest = self.text:sub(self.at)
  self.at = #self.text + 1
  return nil, "closed", rest
end

local function take(self, bytes, skipped)
  local from = self.at
  self.at = from + bytes + (skipped or 0)
  return self.text:sub(from, from + bytes - 1)
end

local function receive_line(self)
  local at = self.text:find("\n", self.at, true)
  if not at then return closed(self) end
  return (take(self, at - self.at, 1):gsub("\r", ""))
end

--- receive([pattern]): "*l" (or nothing), "*a", or how many bytes.
function Body:receive(pattern)
  if pattern == nil or pattern == "*l" or pattern == "l" then return receive_line(self) end
  local left = #self.text + 1 - self.at
  if pattern == "*a" or pattern == "a" then return take(self, left) end
  local bytes = tonumber(pattern)
  if not bytes or bytes < 0 then
    core.raise "ngx.req.socket: receive: bad argument: a size, '*l' or '*a' is expected"
  end
  if bytes > left then return closed(self) end
  return take(self, bytes)
end

function Body:receiveany(most)
  local left = #self.text + 1 - self.at
  if type(most) ~= "number" or most < 1 then core.raise 'ngx.req.socket: receiveany: bad argument "max"' end
  if left == 0 then return nil, "closed", "" end
  return take(self, math.min(left, most))
end

--- As that of ngx.socket.tcp: with a size it gives pieces, then nil, nil, nil once, where the mark was.
function Body:receiveuntil(mark, options)
  mark = tostring(mark)
  if mark == "" then return nil, "pattern is empty" end
  local kept, is_over = options and options.inclusive and #mark or 0, false
  return function(size)
    if is_over then
      is_over = false
      return nil, nil, nil
    end
    local at = self.text:find(mark, self.at, true)
    local before = at and at - self.at + kept
    if size and (before or #self.text + 1 - self.at) > size then return take(self, size) end
    if not at then return closed(self) end
    is_over = size ~= nil
    return take(self, before, #mark - kept)
  end
end

-- Times are those of the listener.
function Body.settimeout() end
function Body.settimeouts() end

local function refuse() return nil, "the socket of a request only reads its body (docs/from_openresty.md)" end
for _, name in ipairs { "send", "setkeepalive", "close", "connect", "sslhandshake" } do Body[name] = refuse end

--- The socket of the request of that state; nil and why there is none.
return function(of, is_raw, most)
  if is_raw then
    return nil, "raw request sockets are not in Perilune: a peer answers an Upgrade (docs/from_openresty.md)"
  end
  if of.body_was_read then return nil, "request body already exists" end
  local text = of.session:read_body(most)
  of.body_was_read = true
  if text == "" then return nil, "no body" end
  return setmetatable({ text = text, at = 1 }, Body)
end
