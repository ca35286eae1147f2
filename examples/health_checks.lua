-- SPDX-License-Identifier: Apache-2.0
-- Backends serve once they have said that they are well, and no longer than that: they are asked every second, two bad
-- answers take one out, three good ones take it in again, with a share that grows for ten seconds. When fewer than a
-- third are left, all are used: the checks may be what is wrong.
--
--   PEERS=10.0.0.1:80,10.0.0.2:80 perilune run examples/health_checks.lua

local perilune     = require "perilune"
local health_check = require "perilune.health_check"
local round_robin  = require "perilune.round_robin"

local peers = { slow_start = 10, panic = 0.33 }
for address in (os.getenv "PEERS" or "127.0.0.1:8001,127.0.0.1:8002"):gmatch "[^,]+" do peers[#peers + 1] = address end
local upstreams = round_robin.new(peers)

health_check.http(upstreams, {
  path = "/health", statuses = { "200-299" }, interval = 1, failures = 2, successes = 3, start = "unhealthy",
  on_change = function() perilune.log.info(upstreams:ready_count() .. " backends are ready") end,
})

local policy = {}

function policy.upstream_peer()
  return { address = upstreams:select() }
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
