-- SPDX-License-Identifier: Apache-2.0
-- What one backend fails at, another one does. A set does so by itself where a request may be sent twice; here for
-- fewer statuses and within a smaller budget; and a backend that keeps failing is left out for a while. Nobody
-- waits longer than two seconds for one that hangs.
--
--   PEERS=10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 perilune run examples/retry.lua

local perilune      = require "perilune"
local least_latency = require "perilune.least_latency"

local peers = {
  passive = { failures = 3, error_share = 0.5 }, slow_start = 10,
  retry_on = { "failure", 502, 503 }, retry_budget = { share = 0.2 },
}
for address in (os.getenv "PEERS" or "127.0.0.1:8001,127.0.0.1:8002"):gmatch "[^,]+" do peers[#peers + 1] = address end
local upstreams = least_latency.new(peers)

local policy = {}

function policy.upstream_peer()
  return { address = upstreams:select(), first_byte_timeout = 2 }
end

-- Each retry is asked about here, also one because of a status (its error:kind() is then "answered_error"). A PUT may
-- be sent twice as well, but what it writes here is large.
function policy.error_while_proxy(session, _, failure)
  if session:method() == "PUT" then failure.retry = false end
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
