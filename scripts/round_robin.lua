-- SPDX-License-Identifier: Apache-2.0
-- round_robin: a set of backends, chosen in turn. All workers share the set and the turn; they survive a reload.
--
--   local upstreams = round_robin.new { "10.0.0.1:80", { address = "10.0.0.2:80", weight = 3 } }
--   upstreams:select()   --> "10.0.0.1:80"; nil if none is healthy

return require("perilune.balancer").define("round_robin", "round_robin")
