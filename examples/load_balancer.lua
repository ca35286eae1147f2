-- SPDX-License-Identifier: Apache-2.0
-- A load balancer: round robin over TLS peers, with health checks and a rate limit by the header "appid".
--
--   perilune run examples/load_balancer.lua
--   curl 127.0.0.1:6188 -svo /dev/null
--   curl 127.0.0.1:6188 -H "appid: 1" -vi        # the second within a second gets 429
--
-- Other peers, another address, other trusted authorities: PEERS=a:443,b:443 LISTEN=:8080 PERILUNE_CA=ca.pem

local perilune     = require "perilune"
local round_robin  = require "perilune.round_robin"
local health_check = require "perilune.health_check"
local rate_limit   = require "perilune.rate_limit"

local peers = {}
for address in (os.getenv "PEERS" or "1.1.1.1:443,1.0.0.1:443,127.0.0.1:343"):gmatch "[^,%s]+" do
  peers[#peers + 1] = address
end

local upstreams = round_robin.new(peers)
health_check.tcp(upstreams, { interval = 1 })
local limit = rate_limit.new { header = "appid", max = 1, interval = 1 }

local lb = {}

function lb.request_filter(session)
  return limit(session)                       -- true: answered (429), go no further
end

function lb.upstream_peer()
  local address = upstreams:select()
  perilune.log.info("upstream peer is: " .. tostring(address))
  return { address = address, tls = true, sni = "one.one.one.one", ca = os.getenv "PERILUNE_CA" }
end

function lb.upstream_request_filter(_, request)
  request:set_header("Host", "one.one.one.one")
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", lb)
