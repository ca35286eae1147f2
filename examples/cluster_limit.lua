-- SPDX-License-Identifier: Apache-2.0
-- One limit for all proxies of a fleet, through Redis: 1000 requests a second by API key. Logins are counted exactly,
-- five a minute by address. If Redis is away, each proxy goes on with its part of the limits.
--
--   STORE=10.0.0.2:6379 PEER=10.0.0.1:80 perilune run examples/cluster_limit.lua

local perilune   = require "perilune"
local redis      = require "perilune.redis"
local rate_limit = require "perilune.rate_limit"

local store = redis.new(os.getenv "STORE" or "127.0.0.1:6379")

local requests = rate_limit.cluster { store = store, name = "api", header = "X-Api-Key", max = 1000, fields = "draft" }
local logins = rate_limit.cluster {
  store = store, name = "login", by = "address", max = 5, interval = 60, mode = "exact", fields = "draft",
}

local policy = {}

function policy.request_filter(session, ctx)
  if session:path() == "/login" and logins(session, ctx) then return true end
  return requests(session, ctx)
end

function policy.upstream_peer()
  return { address = os.getenv "PEER" or "127.0.0.1:8001" }
end

function policy.response_filter(_, response, ctx)
  requests:tell(response, ctx)
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:8080", policy)
