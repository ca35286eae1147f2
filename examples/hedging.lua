-- SPDX-License-Identifier: Apache-2.0
-- A read that waits for a slow backend also asks another one, and takes the first answer: the slowest requests
-- become as fast as the usual ones, for a few requests more. The budget bounds how many more.
--
--   PEERS=10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 perilune run examples/hedging.lua

local perilune      = require "perilune"
local least_latency = require "perilune.least_latency"

local peers = { retry_budget = { share = 0.1 } }
for address in (os.getenv "PEERS" or "127.0.0.1:8001,127.0.0.1:8002"):gmatch "[^,]+" do peers[#peers + 1] = address end
local upstreams = least_latency.new(peers)

local policy = {}

function policy.upstream_peer(_, ctx)
  local address = upstreams:select(nil, { exclude = ctx.first })
  ctx.first = address
  return { address = address, hedge = 0.1 }
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
