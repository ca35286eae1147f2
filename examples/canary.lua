-- SPDX-License-Identifier: Apache-2.0
-- Sends one in twenty clients to a new version, and keeps them there by a cookie. With "canary=1" a tester chooses it,
-- with "canary=0" somebody else leaves it.
--
--   OLD=127.0.0.1:8000 NEW=127.0.0.1:8001 PERCENT=5 perilune run examples/canary.lua

local perilune = require "perilune"

local old, new = os.getenv "OLD" or "127.0.0.1:8000", os.getenv "NEW" or "127.0.0.1:8001"
local canary = require("perilune.canary").new { percent = tonumber(os.getenv "PERCENT") or 5, cookie = "canary" }
local policy = {}

function policy.upstream_peer(session, ctx)
  return canary:is_chosen(session, ctx) and new or old
end

function policy.response_filter(_, response, ctx)
  canary:remember(response, ctx)
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
