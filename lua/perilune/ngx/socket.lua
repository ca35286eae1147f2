-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.socket: ngx.socket.tcp and ngx.socket.connect over perilune.tcp, with the words and the order of results
-- that libraries for OpenResty rely on. Times are milliseconds. A socket belongs to the request or timer that opened
-- it. What fails closes it, but for a receive that takes too long.

local core = require "perilune.core"
local network = require "perilune.network"
local settings = require "perilune.ngx.settings"
local state = require "perilune.ngx.state"
local tcp = require "perilune.tcp"

local Tcp = {}
Tcp.__index = Tcp

local DEFAULT_MS, LINE_MOST, ALL_MOST = 60000, 8 * 1024 * 1024, 64 * 1024 * 1024

local kinds = { connect_timeout = "timeout", connect_refused = "connection refused", tls_timeout = "timeout" }
local system = { ["Connection reset by peer"] = "connection reset by peer", ["Broken pipe"] = "broken pipe",
  ["Connection refused"] = "connection refused" }

local function seconds_of(ms, name)
  if ms == nil or ms == 0 then return DEFAULT_MS / 1000 end
  ms = tonumber(ms)
  if not ms or ms < 0 or ms > 1e9 then core.raise(('ngx.socket: bad "%s" argument'):format(name)) end
  return ms < 1 and 0.001 or ms / 1000
end

function Tcp:settimeouts(connect, send, read)
  self.connect_s, self.send_s = seconds_of(connect, "connect_timeout"), seconds_of(send, "send_timeout")
  self.read_s = seconds_of(read, "read_timeout")
  if self.socket then self.socket:set_timeouts(self.send_s, self.read_s) end
end

function Tcp:settimeout(ms)
  local seconds = seconds_of(ms, "timeout")
  if self.read_s == seconds and self.send_s == seconds and self.connect_s == seconds then return end
  self.connect_s, self.send_s, self.read_s = seconds, seconds, seconds
  if self.socket then self.socket:set_timeouts(seconds, seconds) end
end

function Tcp.setoption() return true end

-- The native socket; nil and why not.
local function ready(self)
  if self.busy == "connect" then return nil, "socket busy connecting" end
  if not self.socket then return nil, "closed" end
  if self.owner and self.owner ~= state.owner() then return nil, "bad request" end
  return self.socket
end

local function drop(self)
  local socket = self.socket
  self.socket, self.reading, self.writing = nil, nil, nil
  if socket then socket:close() end
end

local function address_of(host, port)
  if type(host) ~= "string" or host == "" then return nil, "bad host: a string is expected" end
  if host:find "^unix:" then return host end
  local number = tonumber(port)
  if not number or number % 1 ~= 0 or number < 1 or number > 65535 then
    return nil, "bad port number: " .. tostring(port)
  end
  return network.join(host, number)
end

local function explain(address, why, kind)
  if kind == "pool_full" then return why end
  if kind == "resolve_failed" then return ("%s could not be resolved (%s)"):format(address:match "^(.*):%d+$", why) end
  return kinds[kind] or system[why] or why
end

--- connect(host, port [, options]) or connect("unix:/path" [, options])
function Tcp:connect(host, port, options)
  if type(host) == "string" and host:find "^unix:" and (type(port) == "table" or port == nil) then
    options, port = port, nil
  end
  if self.busy == "connect" then return nil, "socket busy connecting" end
  local address, fault = address_of(host, port)
  fault = fault or core.check_address(address)
  if fault then return nil, fault end
  drop(self)
  local given = self.given
  given.connect_timeout, given.send_timeout, given.receive_timeout = self.connect_s, self.send_s, self.read_s
  given.pool_key = options and options.pool or address
  given.pool_size, given.backlog = options and options.pool_size, options and options.backlog
  self.most = options and options.pool_size
  if type(given.pool_key) ~= "string" then given.pool_key = tostring(given.pool_key) end
  if given.backlog and not given.pool_size then given.pool_size = 30 end
  self.busy, self.address = "connect", address
  local socket, why, kind = tcp.connect(address, given)
  self.busy = nil
  if not socket then return nil, explain(address, why, kind) end
  self.socket, self.owner = socket, state.owner()
  return 1
end

-- An array with other values in it than strings and numbers, flat.
local function flatten(data, into)
  for _, value in ipairs(data) do
    if type(value) == "table" then
      flatten(value, into)
    else
      into[#into + 1] = type(value) == "number" and value or tostring(value)
    end
  end
  return into
end

-- How many bytes an array has; nil: there are other values in it.
local function count_of(data)
  local count = 0
  for i = 1, #data do
    local value = data[i]
    local kind = type(value)
    if kind == "string" then
      count = count + #value
    elseif kind == "number" then
      count = count + #core.text(value)
    elseif kind == "table" then
      local inner = count_of(value)
      if not inner then return nil end
      count = count + inner
    else
      return nil
    end
  end
  return count
end

function Tcp:send(data)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if self.writing then return nil, "socket busy writing" end
  if type(data) ~= "string" then
    if type(data) ~= "table" then data = { type(data) == "number" and data or tostring(data) } end
    if not count_of(data) then data = flatten(data, {}) end
  end
  self.writing = true
  local ok, why = socket:send(data)
  self.writing = nil
  if ok then return type(data) == "string" and #data or count_of(data) end
  drop(self)
  return nil, system[why] or why
end

-- A result of the native socket, which a failure closes unless it was the time.
local function received(self, data, why, partial)
  self.reading = nil
  if data then return data end
  if why ~= "timeout" then drop(self) end
  return nil, system[why] or why, partial
end

local patterns = { ["*l"] = "line", ["*a"] = "all" }

function Tcp:receive(pattern)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if self.reading then return nil, "socket busy reading" end
  local what, most = patterns[pattern or "*l"], LINE_MOST
  if not what then
    what = tonumber(pattern)
    if not what or what < 0 then core.raise("ngx.socket: receive: bad pattern argument: " .. tostring(pattern)) end
    what = math.floor(what)
    most = what > LINE_MOST and what or LINE_MOST
  elseif what == "all" then
    most = ALL_MOST
  end
  self.reading = true
  return received(self, socket:receive(what, most))
end

function Tcp:receiveany(most)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if self.reading then return nil, "socket busy reading" end
  if type(most) ~= "number" or most < 1 then core.raise 'ngx.socket: receiveany: bad argument "max"' end
  self.reading = true
  return received(self, socket:receive("any", most))
end

--- An iterator: with a size it gives pieces, then nil, nil, nil once, where the mark was.
function Tcp:receiveuntil(mark, options)
  if type(mark) ~= "string" then mark = tostring(mark) end
  if mark == "" then return nil, "pattern is empty" end
  local inclusive, is_over = options and options.inclusive or false, false
  return function(size)
    local socket, fault = ready(self)
    if not socket then return nil, fault end
    if self.reading then return nil, "socket busy reading" end
    if is_over then
      is_over = false
      return nil, nil, nil
    end
    self.reading = true
    local data, at_mark, partial = socket:receive_until(mark, size, inclusive)
    is_over = size and data and at_mark or false
    return received(self, data, at_mark, partial)
  end
end

function Tcp:close()
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  drop(self)
  return 1
end

--- Into the pool of its key, for `ms` (0: for ever; 60000).
function Tcp:setkeepalive(ms, most)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if self.reading or self.writing then return nil, "socket busy " .. (self.reading and "reading" or "writing") end
  ms = ms and tonumber(ms) or DEFAULT_MS
  self.socket = nil
  local ok, why = socket:keep(ms == 0 and 1e6 or ms < 1 and 0.001 or ms / 1000, most or self.most or 30)
  if ok then return 1 end
  return nil, why == "closed" and why or "connection in dubious state"
end

function Tcp:getreusedtimes()
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  return socket:reused()
end

function Tcp:setclientcert(chain, key)
  if chain == nil and key == nil then
    self.chain, self.key = nil, nil
    return true
  end
  local certificate, private = settings.pem_of(chain), settings.pem_of(key)
  if not certificate or not private then
    return nil, "a certificate and its key are expected, as ngx.ssl.parse_pem_cert and parse_pem_priv_key give them"
  end
  self.chain, self.key = certificate, private
  return true
end

--- sslhandshake([session [, name [, verify]]]): a session, or true where `session` is false.
function Tcp:sslhandshake(session, name, verify)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  local ok, why = socket:start_tls { sni = name ~= "" and name or nil, verify = verify and true or false,
    ca = settings.ca, certificate = self.chain, key = self.key, timeout = self.connect_s }
  if not ok then
    self.socket = nil
    return nil, system[why] or why
  end
  if session == false then return true end
  return session or { of = self.address }
end

local M = {}

function M.tcp()
  local seconds = DEFAULT_MS / 1000
  return setmetatable({ given = {}, connect_s = seconds, send_s = seconds, read_s = seconds }, Tcp)
end

function M.connect(host, port, options)
  local socket = M.tcp()
  local ok, why = socket:connect(host, port, options)
  if ok then return socket end
  return nil, why
end

return M
