-- SPDX-License-Identifier: Apache-2.0
-- stream: a connection of a spec, of a client or an origin, plain or TLS. Received bytes are kept in `buffer` until
-- they are used. If a function fails, it returns nil and "timeout", "closed", "reset" or another text.
local scheduler = require "perilune.test.scheduler"
local sys = require "perilune.test.sys"
local tls = require "perilune.test.tls"

---@class stream
---@field fd integer?
---@field buffer string
local Stream = {}
Stream.__index = Stream

local M = {}

function M.new(fd) return setmetatable({ fd = fd, buffer = "" }, Stream) end
--- For classes that are streams too.
M.class = Stream

local function error_of(message, errno)
  if errno == sys.ECONNRESET or errno == sys.EPIPE then return "reset" end
  return message
end

--- Connects to "127.0.0.1", "::1" or "unix:/path".
---@param options table? timeout, receive_buffer (bytes)
function M.connect(host, port, options)
  options = options or {}
  local fd, message = sys.connect(host, port, options.receive_buffer)
  if not fd then return nil, message end
  local deadline = sys.now() + (options.timeout or scheduler.TIMEOUT)
  local ready = scheduler.wait(fd, sys.WRITE, deadline)
  local errno = ready and sys.socket_error(fd)
  if errno == 0 then return M.new(fd) end
  sys.close(fd)
  return nil, ready and sys.error_text(errno) or "timeout"
end

-- Repeats a step that does not wait until it is done. It waits for `events`, unless TLS says what it needs.
local function drive(self, step, events, deadline)
  while true do
    if not self.fd then return nil, "closed" end
    local result, message, errno = step()
    if result then return result end
    local needs = events
    if message == "read" then needs = sys.READ
    elseif message == "write" then needs = sys.WRITE
    elseif errno ~= sys.EAGAIN then return nil, error_of(message, errno) end
    if not scheduler.wait(self.fd, needs, deadline) then return nil, "timeout" end
  end
end

function Stream:handshake(session, timeout)
  local deadline = scheduler.deadline(timeout or scheduler.TIMEOUT)
  local _, message = drive(self, function() return session:handshake() end, sys.READ, deadline)
  if message then return nil, message end
  self.tls = session
  return true
end

--- As a TLS server with these files (tls.certificate).
function Stream:accept_tls(context) return self:handshake(tls.server(context, self.fd)) end
--- As a TLS client; verifies against `ca` when that is given.
---@param options table? of tls.client_context; and ticket, to resume a session
function Stream:start_tls(name, ca, options)
  local context = tls.client_context(ca, options)
  return self:handshake(tls.client(context, self.fd, name, options and options.ticket))
end

--- Sends all of it.
function Stream:send(bytes, timeout)
  local deadline, sent = scheduler.deadline(timeout), 0
  while sent < #bytes do
    local count, message = drive(self, function()
      if self.tls then return self.tls:send(bytes, sent) end
      return sys.send(self.fd, bytes, sent)
    end, sys.WRITE, deadline)
    if not count then return nil, message, sent end
    sent = sent + count
  end
  return true
end

local function receive_once(self, limit, deadline)
  local bytes, message = drive(self, function()
    if self.tls then return self.tls:receive(limit) end
    return sys.receive(self.fd, limit)
  end, sys.READ, deadline)
  if bytes == "" then return nil, "closed" end
  return bytes, message
end

--- What is there, as soon as there is something.
function Stream:receive_some(limit, timeout)
  if self.buffer ~= "" then
    local bytes = self.buffer:sub(1, limit or -1)
    self.buffer = self.buffer:sub(#bytes + 1)
    return bytes
  end
  return receive_once(self, limit, scheduler.deadline(timeout))
end

--- Exactly `count` bytes.
---@return string? bytes, string? message, string? partial
function Stream:read(count, timeout)
  local deadline, parts, have = scheduler.deadline(timeout), { self.buffer }, #self.buffer
  while have < count do
    local bytes, message = receive_once(self, nil, deadline)
    if not bytes then
      self.buffer = table.concat(parts)
      return nil, message, self.buffer
    end
    parts[#parts + 1] = bytes
    have = have + #bytes
  end
  local all = table.concat(parts)
  self.buffer = all:sub(count + 1)
  return all:sub(1, count)
end

--- Up to and including `text`.
function Stream:read_until(text, timeout)
  local deadline, from = scheduler.deadline(timeout), 1
  while true do
    local _, last = self.buffer:find(text, from, true)
    if last then return self:read(last) end
    from = math.max(1, #self.buffer - #text + 2)
    local bytes, message = receive_once(self, nil, deadline)
    if not bytes then return nil, message, self.buffer end
    self.buffer = self.buffer .. bytes
  end
end

--- Everything until the other side closes.
---@return string bytes, string ending "closed", "reset" or "timeout"
function Stream:receive_all(timeout)
  local deadline, parts = scheduler.deadline(timeout), { self.buffer }
  self.buffer = ""
  while true do
    local bytes, message = receive_once(self, nil, deadline)
    if not bytes then return table.concat(parts), message end
    parts[#parts + 1] = bytes
  end
end

--- Has the other side closed (or reset), with nothing more to read, within the time?
function Stream:is_closed(timeout)
  if self.buffer ~= "" then return false end
  local bytes, message = receive_once(self, nil, scheduler.deadline(timeout))
  if bytes then self.buffer = bytes end
  return not bytes and message ~= "timeout"
end

function Stream:half_close()
  if self.tls then self.tls:shutdown() end
  sys.half_close(self.fd)
end

local function forget(self)
  self.tls, self.fd = nil, nil
end

function Stream:close()
  if not self.fd then return end
  if self.tls then self.tls:shutdown() end
  sys.close(self.fd)
  forget(self)
end

--- Closes with a reset.
function Stream:reset()
  if not self.fd then return end
  sys.reset(self.fd)
  forget(self)
end

--- Lets time pass for this connection only.
function Stream.sleep(_, seconds) scheduler.sleep(seconds) end

return M
