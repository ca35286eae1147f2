-- SPDX-License-Identifier: Apache-2.0
-- h2_request: one request over HTTP/2 on a connection of its own, for health checks. The frames are core.h2_request's;
-- here bytes are moved, as far as somebody wants to know what comes.

local core = require "perilune.core"
local tcp = require "perilune.tcp"

local h2_request = {}

local Request = {}
Request.__index = Request

local TLS = { "timeout", "tls", "sni", "verify", "verify_name", "ca", "family" }

--- What an address is called in a request that has no other host.
function h2_request.host_of(address)
  return address:find "^unix:" and "localhost" or (address:gsub("^:", "localhost:"))
end

--- Connects and begins it. nil, a sentence, and the name of the error where there was no connection.
---@param wanted table method, host, path, fields ({ name, value, ... }), body (nil: none); connect: the options of
--- tcp.connect that are listed above
function h2_request.open(address, wanted)
  local connect = { fresh = true, http2 = wanted.connect.tls }
  for _, name in ipairs(TLS) do connect[name] = wanted.connect[name] end
  local frames = core.h2_request(wanted.method, connect.tls and "https" or "http", wanted.host, wanted.path,
    wanted.fields, wanted.body)
  if not frames then return nil, "the request cannot be written" end
  local socket, why, kind = tcp.connect(address, connect)
  if not socket then return nil, why, kind end
  return setmetatable({ socket = socket, frames = frames }, Request)
end

local function say(fault) return fault:find "^[%u_]+$" and "it has reset the stream: " .. fault or fault end

-- Moves bytes until more has come. True; or nil and why nothing will.
function Request:step()
  local bytes = self.frames:out()
  if bytes ~= "" then
    local ok, why = self.socket:send(bytes)
    if not ok then return nil, why end
  end
  local came, why = self.socket:receive "any"
  if not came then return nil, why end
  self.is_over = self.frames:feed(came)
  return true
end

--- The final head: { status }; nil and why where none came.
function Request:head()
  while true do
    local head = self.frames:head()
    if head then return head end
    if self.is_over then
      local _, fault = self.frames:result()
      return nil, fault and say(fault) or "it has ended without an answer"
    end
    local ok, why = self:step()
    if not ok then return nil, why end
  end
end

--- The next piece of the body; nil at its end, however it ends.
function Request:read()
  while true do
    local piece = self.frames:take()
    if piece ~= "" then return piece end
    if self.is_over or not self:step() then return nil end
  end
end

function Request:close() self.socket:close() end

--- The whole answer, and the end of it all: { status, fields, trailers, body }; nil and why.
function Request:result()
  local ok, why = true, nil
  while ok and not self.is_over do ok, why = self:step() end
  self:close()
  if not ok then return nil, why end
  local result, fault = self.frames:result()
  return result, fault and say(fault) or nil
end

return h2_request
