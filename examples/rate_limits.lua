-- SPDX-License-Identifier: Apache-2.0
-- Three limits at once: an even rate by address, requests per minute by API key, and how many an address has under way.
-- Clients are told what is left, in the RateLimit fields of the IETF's draft.
--
--   PEER=10.0.0.1:80 perilune run examples/rate_limits.lua

local perilune   = require "perilune"
local rate_limit = require "perilune.rate_limit"

local limits = {
  rate_limit.bucket { by = "address", max = 10, interval = 1, burst = 20, name = "address", fields = "draft" },
  rate_limit.sliding { header = "X-Api-Key", max = 100, interval = 60, name = "key", fields = "draft" },
  rate_limit.concurrency { by = "address", max = 4, name = "parallel", fields = "draft" },
}

local policy = {}

function policy.request_filter(session, ctx)
  for _, limit in ipairs(limits) do
    if limit(session, ctx) then return true end
  end
end

function policy.upstream_peer()
  return { address = os.getenv "PEER" or "127.0.0.1:8001" }
end

function policy.response_filter(_, response, ctx)
  limits[1]:tell(response, ctx)
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
