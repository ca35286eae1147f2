-- SPDX-License-Identifier: Apache-2.0
-- smooth_round_robin: in turn, by weight; the turns of a heavy backend are spread evenly: a a b a c a a. Each worker
-- has its own turn.
--
--   local upstreams = smooth_round_robin.new { { address = "10.0.0.1:80", weight = 5 }, "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select()

return require("perilune.balancer").define("smooth_round_robin", "smooth")
