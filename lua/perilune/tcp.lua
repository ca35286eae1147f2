-- SPDX-License-Identifier: Apache-2.0
-- perilune.tcp: connections of a policy's own, plain or TLS. The calls wait without blocking anything else.

local core = require "perilune.core"

---@type perilune.tcp
local tcp = {}

--- Connects, or takes a spare connection that socket:keep has put by. Options: timeout (seconds for each of TCP,
--- TLS, a send, a receive; 5), connect_timeout, send_timeout, receive_timeout, tls, sni, verify, verify_name, ca, pool
--- (a name that keeps spare connections apart), fresh (true: no spare one). Gives a socket, or nil and a sentence;
--- misuse raises.
function tcp.connect(address, options)
  local socket, misuse = core.tcp_open(address, options or {})
  if not socket then error("tcp.connect: " .. misuse, 2) end
  return core.tcp_connected(socket)
end

--- Can it be connected to? Gives true, or nil and a sentence.
function tcp.check(address, options)
  local wanted = { fresh = true }
  for name, value in pairs(options or {}) do wanted[name] = value end
  local socket, misuse = core.tcp_open(address, wanted)
  if not socket then error("tcp.check: " .. misuse, 2) end
  local ok, why = core.tcp_connected(socket)
  if not ok then return nil, why end
  socket:close()
  return true
end

return tcp
