-- SPDX-License-Identifier: Apache-2.0
-- perilune.luasocket: a module "socket" of LuaSocket's shape over perilune.tcp and perilune.udp, so that libraries
-- which were written for that (redis-lua, and others) wait without blocking. `require "perilune.luasocket"` puts it
-- where require "socket" finds it, in this policy only.

local core = require "perilune.core"
local network = require "perilune.network"
local tcp = require "perilune.tcp"

local socket = { _VERSION = "LuaSocket 3.0 (Perilune)", BLOCKSIZE = 2048 }

function socket.gettime() return core.time() end
function socket.sleep(seconds) core.sleep(math.max(tonumber(seconds) or 0, 0)) end

-- Gives what failed as an error that protect catches, as LuaSocket does it.
function socket.newtry(finalizer)
  return function(...)
    if (...) then return ... end
    if finalizer then pcall(finalizer) end
    error({ (select(2, ...)) }, 0)
  end
end
socket.try = socket.newtry()
local function unprotect(ok, ...)
  if ok then return ... end
  if type((...)) == "table" then return nil, (...)[1] end
  error((...), 0)
end
function socket.protect(fn)
  return function(...) return unprotect(pcall(fn, ...)) end
end
function socket.skip(count, ...) return select(count + 1, ...) end

local Tcp = {}
Tcp.__index = Tcp

local forever = 1e6

--- Seconds of each call; nil or below 0: no limit.
function Tcp:settimeout(seconds)
  seconds = tonumber(seconds)
  self.seconds = seconds and seconds >= 0 and math.max(seconds, 0.001) or forever
  if self.socket then self.socket:set_timeouts(self.seconds, self.seconds) end
  return 1
end

function Tcp:connect(host, port)
  local address = port and network.join(host, port) or host
  local fault = core.check_address(address)
  if fault then return nil, fault end
  local kind
  self.socket, fault, kind = tcp.connect(address, { timeout = self.seconds, fresh = true })
  if self.socket then return 1 end
  return nil, kind == "connect_timeout" and "timeout" or kind == "connect_refused" and "connection refused" or fault
end

--- The number of the last byte that was sent; nil, a message, and 0.
function Tcp:send(text, from, to)
  if not self.socket then return nil, "closed", 0 end
  text = tostring(text)
  from, to = from or 1, to or #text
  local ok, why = self.socket:send(text:sub(from, to))
  if ok then return to < 0 and #text + 1 + to or math.min(to, #text) end
  return nil, why, 0
end

local patterns = { ["*l"] = "line", ["*a"] = "all", l = "line", a = "all" }

--- A line ("*l"), all ("*a") or a number of bytes, behind a prefix; nil, a message and what there is.
function Tcp:receive(pattern, prefix)
  if not self.socket then return nil, "closed", prefix or "" end
  local what = patterns[pattern or "*l"] or tonumber(pattern)
  if not what then core.raise("socket: receive: invalid pattern " .. tostring(pattern)) end
  prefix = prefix or ""
  if type(what) == "number" then what = math.max(what - #prefix, 0) end
  local data, why, partial = self.socket:receive(what)
  if data then return prefix .. data end
  return nil, why, prefix .. (partial or "")
end

function Tcp:close()
  if self.socket then self.socket:close() end
  self.socket = nil
  return 1
end
Tcp.shutdown = Tcp.close
function Tcp.setoption() return 1 end
function Tcp.getpeername() return nil, "not known" end

--- TLS on it, as LuaSec's wrapped sockets have it: true, or nil and a message.
function Tcp:starttls(options) return self.socket:start_tls(options) end

function socket.tcp() return setmetatable({ seconds = forever }, Tcp) end
socket.tcp4, socket.tcp6 = socket.tcp, socket.tcp

function socket.connect(host, port)
  local new = socket.tcp()
  local ok, why = new:connect(host, port)
  if ok then return new end
  return nil, why
end

local Udp = {}
Udp.__index = Udp
function Udp:settimeout(seconds)
  self.seconds = math.max(tonumber(seconds) or 5, 0.001)
  if self.socket then self.socket:set_timeout(self.seconds) end
  return 1
end
function Udp:setpeername(host, port)
  local why
  self.socket, why = require("perilune.udp").connect(network.join(host, port), { timeout = self.seconds })
  if self.socket then return 1 end
  return nil, why
end
function Udp:send(text)
  if not self.socket then return nil, "closed" end
  local ok, why = self.socket:send(text)
  if ok then return 1 end
  return nil, why
end
function Udp:receive(bytes)
  if not self.socket then return nil, "closed" end
  return self.socket:receive(bytes)
end
function Udp:close()
  if self.socket then self.socket:close() end
  self.socket = nil
  return 1
end
function socket.udp() return setmetatable({ seconds = 5 }, Udp) end

package.preload.socket = function() return socket end
package.preload["socket.core"] = package.preload.socket
package.loaded.socket, package.loaded["socket.core"] = socket, socket

return socket
