-- SPDX-License-Identifier: Apache-2.0
-- perilune.udp: datagrams that a policy sends and receives itself, for statsd, syslog, name servers and the like. What
-- is received comes from the one address that it was connected to. Nothing says whether a datagram has arrived.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

---@type perilune.udp
local udp = {}

-- IPv4 first: "localhost" is ::1 first on most machines, while most servers behind it listen on 127.0.0.1. A datagram
-- to the wrong address is lost without an error, so the next address cannot be tried as it is for TCP.
local known = { timeout = { "seconds", 5 }, family = { "family", "prefer_ipv4" } }

-- In `perilune test` no loop waits for sockets: it would look as if nobody answered.
local function refuse_on_bench(call)
  if core.test_open then check.raise(call .. ": the test bench does not simulate perilune.udp: use test.harness") end
end

local function is_name(address)
  return not (address:find "^unix:" or address:find "^%[" or address:find "^%d+%.%d+%.%d+%.%d+:%d+$")
end

--- A socket for an address or a name: "127.0.0.1:8125", "[::1]:53", "name:53", "unix:/dev/log"; or nil and a sentence.
function udp.connect(address, given)
  check.string("udp.connect", 1, address)
  local wanted = options.read("udp.connect", given, known)
  local fault = core.check_address(address)
  if fault then check.raise(("udp.connect: '%s': %s"):format(address, fault)) end
  refuse_on_bench "udp.connect"
  if is_name(address) then
    local found, why = require("perilune.dns").addresses(address, { family = wanted.family })
    if not found then return nil, why end
    address = found[1]
  end
  return core.udp_open(address, wanted.timeout)
end

options.declare(udp.connect, "udp.connect", 2, known)

return udp
