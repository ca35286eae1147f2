-- SPDX-License-Identifier: Apache-2.0
-- The policy of the bench, for Perilune: a rate limit by the field "appid", round robin over the origins, Host
-- rewritten, one response field added. From the environment: LISTEN, ORIGINS (comma-separated), MAX_REQ.

local perilune    = require "perilune"
local round_robin = require "perilune.round_robin"
local rate_limit  = require "perilune.rate_limit"

local origins = {}
for origin in os.getenv("ORIGINS"):gmatch "[^,]+" do origins[#origins + 1] = origin end

local upstreams = round_robin.new(origins)
local most = tonumber(os.getenv "MAX_REQ") or 1e9
local limit = rate_limit.new { header = "appid", max = most, interval = 1, close = false }

local lb = {}

function lb.request_filter(session) return limit(session) end

function lb.upstream_peer() return { address = upstreams:select() } end

function lb.upstream_request_filter(_, request) request:set_header("Host", "one.one.one.one") end

function lb.response_filter(_, response) response:set_header("X-Served-By", "bench") end

perilune.listen(os.getenv "LISTEN", lb)
