-- SPDX-License-Identifier: Apache-2.0
-- Lets only known networks in; everybody else gets 403 before a peer is asked.
--
--   ALLOW=10.0.0.0/8,::1 perilune run examples/access_control.lua

local perilune       = require "perilune"
local access_control = require "perilune.access_control"

local networks = {}
for network in (os.getenv "ALLOW" or "127.0.0.0/8,::1"):gmatch "[^,]+" do networks[#networks + 1] = network end

local guard = access_control.new { allow = networks, deny = { "127.6.6.6" } }
local policy = {}

function policy.request_filter(session)
  return guard(session)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
