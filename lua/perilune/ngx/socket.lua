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

local cosocket_fault, cosocket_take = core.cosocket_fault, core.cosocket_take
local cosocket_send, cosocket_sent = core.cosocket_send, core.cosocket_sent
local cosocket_keep = core.cosocket_keep
local cosocket_receive, cosocket_received = core.cosocket_receive, core.cosocket_received

local DEFAULT_MS = 60000

local kinds = { connect_timeout = "timeout", connect_refused = "connection refused", tls_timeout = "timeout" }
local system = { ["Connection reset by peer"] = "connection reset by peer", ["Broken pipe"] = "broken pipe",
  ["Connection refused"] = "connection refused" }

local function seconds_of(ms, name)
  if type(ms) == "number" and ms >= 1 and ms <= 1e9 then return ms / 1000 end
  if ms == nil or ms == 0 then return DEFAULT_MS / 1000 end
  ms = tonumber(ms)
  if not (ms and ms >= 0 and ms <= 1e9) then core.raise(('ngx.socket: bad "%s" argument'):format(name)) end
  return ms < 1 and 0.001 or ms / 1000
end

function Tcp:settimeouts(connect, send, read)
  if connect == send and send == read then return self:settimeout(read) end
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

-- The native socket; nil and why it may not be used: to read, to write, or at all.
local function ready(self, to_read, to_write)
  if self.busy == "connect" then return nil, "socket busy connecting" end
  local socket = self.socket
  if not socket then return nil, "closed" end
  local is_strangers = self.family and self.family ~= state.owner()
  local fault = is_strangers and "bad request" or cosocket_fault(socket, to_read, to_write)
  if fault then return nil, fault end
  return socket
end

local function drop(self)
  local socket = self.socket
  self.socket = nil
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

local keys, key_count = {}, 0 -- of pools, by host and port

-- The key of the pool of an address: "=host:port". nil and what is wrong with it.
local function key_of(host, port)
  local of_host = keys[host]
  local key = of_host and of_host[port or false]
  if key then return key end
  local address, fault = address_of(host, port)
  fault = fault or core.check_address(address)
  if fault then return nil, fault end
  if key_count >= 1000 then keys, key_count = {}, 0 end
  key, key_count = "=" .. address, key_count + 1
  keys[host] = keys[host] or {}
  keys[host][port or false] = key
  return key
end

local function explain(address, why, kind)
  if kind == "pool_full" then return why end
  if kind == "resolve_failed" then return ("%s could not be resolved (%s)"):format(address:match "^(.*):%d+$", why) end
  return kinds[kind] or system[why] or why
end

-- A new connection.
local function open(self, address, pool, options)
  local given = { connect_timeout = self.connect_s, send_timeout = self.send_s, receive_timeout = self.read_s,
    pool_key = pool, pool_size = options and options.pool_size, backlog = options and options.backlog }
  if given.backlog and not given.pool_size then given.pool_size = 30 end
  self.busy = "connect"
  local socket, why, kind = tcp.connect(address, given)
  self.busy = nil
  if not socket then return nil, explain(address, why, kind) end
  self.socket = socket
  local owner = state.owner()
  if type(owner) == "table" then self.family = owner else core.cosocket_own(socket) end
  return 1
end

--- connect(host, port [, options]) or connect("unix:/path" [, options])
function Tcp:connect(host, port, options)
  if type(port) == "table" and type(host) == "string" and host:find "^unix:" then options, port = port, nil end
  if type(options) ~= "table" then options = nil end
  if self.busy == "connect" then return nil, "socket busy connecting" end
  local key, fault = key_of(host, port)
  if not key then return nil, fault end
  if self.socket then drop(self) end
  local address, pool = key, options and options.pool
  if pool then key = "=" .. tostring(pool) end
  self.address, self.family, self.most = address, nil, options and options.pool_size
  local socket, is_exchanges = cosocket_take(key, self.send_s, self.read_s)
  if not socket then return open(self, address:sub(2), key:sub(2), options) end
  self.socket = socket
  if not is_exchanges then self.family = state.owner() end
  return 1
end

-- What failed closes the socket unless it was the time.
local function failed(self, why, partial)
  if why ~= "timeout" then drop(self) end
  return nil, system[why] or why, partial
end

function Tcp:send(data)
  local socket, fault = self.socket
  if not socket or self.family then
    socket, fault = ready(self, false, true)
    if not socket then return nil, fault end
  end
  local bytes, why
  fault, bytes = cosocket_send(socket, data)
  if bytes then return bytes end
  if fault then return nil, fault end
  bytes, why = cosocket_sent(socket)
  if bytes then return bytes end
  drop(self)
  return nil, system[why] or why
end

function Tcp:receive(pattern)
  local socket, fault = self.socket
  if not socket or self.family then
    socket, fault = ready(self, true)
    if not socket then return nil, fault end
  end
  local data, why, partial
  fault, data = cosocket_receive(socket, pattern)
  if data then return data end
  if fault then return nil, fault end
  data, why, partial = cosocket_received(socket)
  if data then return data end
  return failed(self, why, partial)
end

-- A result of the native socket.
local function received(self, data, why, partial)
  if data then return data end
  return failed(self, why, partial)
end

function Tcp:receiveany(most)
  local socket, fault = ready(self, true)
  if not socket then return nil, fault end
  if type(most) ~= "number" or most < 1 then core.raise 'ngx.socket: receiveany: bad argument "max"' end
  return received(self, socket:receive("any", most))
end

--- An iterator: with a size it gives pieces, then nil, nil, nil once, where the mark was.
function Tcp:receiveuntil(mark, options)
  if type(mark) ~= "string" then mark = tostring(mark) end
  if mark == "" then return nil, "pattern is empty" end
  if options ~= nil and type(options) ~= "table" then core.raise "ngx.socket: receiveuntil: bad options argument" end
  local inclusive, is_over = options and options.inclusive or false, false
  return function(size)
    local socket, fault = ready(self, true)
    if not socket then return nil, fault end
    if is_over then
      is_over = false
      return nil, nil, nil
    end
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
  local socket, fault = self.socket
  if not socket or self.family then
    socket, fault = ready(self, true, true)
    if not socket then return nil, fault end
  end
  if type(ms) ~= "number" then ms = tonumber(ms) or DEFAULT_MS end
  most = tonumber(most or self.most) or 30
  local ok, why = cosocket_keep(socket, ms == 0 and 1e6 or ms < 1 and 0.001 or ms < 1e9 and ms / 1000 or 1e6, most)
  if ok == nil then return nil, why end
  self.socket = nil
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
  return session or { of = self.address:sub(2) }
end

local M = {}

function M.tcp()
  local seconds = DEFAULT_MS / 1000
  return setmetatable({ connect_s = seconds, send_s = seconds, read_s = seconds }, Tcp)
end

function M.connect(host, port, options)
  local socket = M.tcp()
  local ok, why = socket:connect(host, port, options)
  if ok then return socket end
  return nil, why
end

return M
