-- SPDX-License-Identifier: Apache-2.0
-- Sends a copy of one in ten requests to a second server, to see how it does; clients never notice.
--
--   ORIGIN=127.0.0.1:8000 SHADOW=http://127.0.0.1:8001 perilune run examples/mirror.lua

local perilune = require "perilune"

local mirror = require("perilune.mirror").new {
  to = os.getenv "SHADOW" or "http://127.0.0.1:8001",
  percent = tonumber(os.getenv "PERCENT") or 10,
}
local policy = {}

function policy.request_filter(session)
  mirror(session)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
