-- SPDX-License-Identifier: Apache-2.0
-- perilune.tcp: connections that a policy opens itself, plain or TLS. The calls wait without blocking anything else.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

---@type perilune.tcp
local tcp = {}

local none = {}

-- In `perilune test` no loop waits for sockets: it would look as if nobody answered.
local function refuse_on_bench(call)
  if core.test_open then check.raise(call .. ": the test bench does not simulate perilune.tcp: use test.harness") end
end

--- Connects, or takes a spare connection that socket:keep has put by. Options: timeout (seconds for each of TCP,
--- TLS, a send, a receive; 5), connect_timeout, send_timeout, receive_timeout, tls, sni, verify, verify_name, ca, pool
--- (a name that keeps spare connections apart), fresh (true: no spare one), family (of a name's addresses: "any",
--- "prefer_ipv4", "ipv4" or "ipv6"). Gives a socket; or nil, a sentence and the name of the error as error:kind() has
--- it. Misuse raises.
function tcp.connect(address, given)
  check.string("tcp.connect", 1, address)
  local socket, misuse = core.tcp_open(address, check.table("tcp.connect", 2, given, none))
  if not socket then check.raise("tcp.connect: " .. misuse) end
  refuse_on_bench "tcp.connect"
  return core.tcp_connected(socket)
end

--- Can it be connected to? Gives true; or nil, a sentence and the name of the error.
function tcp.check(address, given)
  local wanted = { fresh = true }
  check.string("tcp.check", 1, address)
  for name, value in pairs(check.table("tcp.check", 2, given, none)) do wanted[name] = value end
  local socket, misuse = core.tcp_open(address, wanted)
  if not socket then check.raise("tcp.check: " .. misuse) end
  refuse_on_bench "tcp.check"
  local ok, why, kind = core.tcp_connected(socket)
  if not ok then return nil, why, kind end
  socket:close()
  return true
end

options.declare(tcp.connect, "tcp.connect", 2, core.tcp_fault)
options.declare(tcp.check, "tcp.check", 2, core.tcp_fault)

return tcp
