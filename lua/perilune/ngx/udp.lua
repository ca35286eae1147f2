-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.udp: ngx.socket.udp over perilune.udp.

local core = require "perilune.core"
local network = require "perilune.network"
local state = require "perilune.ngx.state"
local udp = require "perilune.udp"

local Udp = {}
Udp.__index = Udp

function Udp:settimeout(ms)
  ms = tonumber(ms) or 60000
  self.seconds = ms < 1 and 60 or ms / 1000
  if self.socket then self.socket:set_timeout(self.seconds) end
end

local function ready(self)
  if not self.socket then return nil, "closed" end
  if self.owner and self.owner ~= state.owner() then return nil, "bad request" end
  return self.socket
end

function Udp:setpeername(host, port)
  if type(host) ~= "string" or host == "" then return nil, "bad host: a string is expected" end
  local address = host
  if not host:find "^unix:" then
    if not tonumber(port) then return nil, "bad port number: " .. tostring(port) end
    address = network.join(host, port)
  end
  local fault = core.check_address(address)
  if fault then return nil, fault end
  if self.socket then self.socket:close() end
  local socket, why = udp.connect(address, { timeout = self.seconds })
  self.socket, self.owner = socket, state.owner()
  if socket then return 1 end
  return nil, why
end

local function flat(data, into)
  for _, value in ipairs(data) do
    if type(value) == "table" then flat(value, into) else into[#into + 1] = tostring(value) end
  end
  return into
end

function Udp:send(data)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if type(data) == "table" then data = table.concat(flat(data, {})) end
  local ok, why = socket:send(tostring(data))
  if ok then return 1 end
  return nil, why:lower()
end

function Udp:receive(most)
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  if self.reading then return nil, "socket busy reading" end
  self.reading = true
  local data, why = socket:receive(most and math.min(tonumber(most) or 8192, 65536) or 8192)
  self.reading = nil
  if data then return data end
  return nil, why:lower()
end

function Udp:close()
  local socket, fault = ready(self)
  if not socket then return nil, fault end
  self.socket = nil
  socket:close()
  return 1
end

return function() return setmetatable({ seconds = 60 }, Udp) end
