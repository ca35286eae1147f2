-- SPDX-License-Identifier: Apache-2.0
-- perilune.dns: looks names up without blocking anything else; in hooks and background work.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

---@type perilune.dns
local dns = {}

local address_options = { family = { "family", "any" }, fresh = { "boolean" } }
local service_options = { fresh = { "boolean" } }

local function look_up(name, port, wanted)
  if core.test_open then return nil, "the test bench does not simulate perilune.dns: use test.harness" end
  local lookup = core.dns_open(name, port, wanted.family, wanted.fresh)
  core.dns_wait(lookup)
  return core.dns_result(lookup)
end

--- The addresses of "name:80", as "1.2.3.4:80", in the order to try, and for how many seconds they hold (0: nobody
--- said). Nil and a sentence where there are none. Options: family ("any", "prefer_ipv4", "ipv4" or "ipv6"), fresh
--- (true: a server is asked, even where the last answer still holds).
function dns.addresses(address, given)
  local name, port = check.string("dns.addresses", 1, address):match "^(.+):(%d+)$"
  port = tonumber(port)
  if not port or port < 1 or port > 65535 then
    error("dns.addresses: expected a name with a port, like 'name:80'", 2)
  end
  return look_up(name, port, options.read("dns.addresses", given, address_options))
end

--- The SRV records of a name like "_http._tcp.example.org": a list of { address = "name:80", priority =, weight = },
--- and for how many seconds they hold. Nil and a sentence where there are none. Option: fresh.
function dns.services(name, given)
  if type(name) ~= "string" or name == "" then
    error("dns.services: expected a name, like '_http._tcp.example.org'", 2)
  end
  return look_up(name, nil, options.read("dns.services", given, service_options))
end

--- Asks these servers instead of the system's: "10.0.0.2" or "127.0.0.1:5353,[::1]". For all that this policy's workers
--- look up once it is in force, also for the names of peers; in the main chunk.
function dns.set_servers(servers)
  local ok, why = core.dns_set_servers(check.string("dns.set_servers", 1, servers))
  if not ok then error(("dns.set_servers: '%s': %s"):format(servers, why), 2) end
end

options.declare(dns.addresses, "dns.addresses", 2, address_options)
options.declare(dns.services, "dns.services", 2, service_options)

return dns
