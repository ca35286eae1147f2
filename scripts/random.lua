-- SPDX-License-Identifier: Apache-2.0
-- random: a set of backends, chosen at random by weight.
--
--   local upstreams = random.new { "10.0.0.1:80", { address = "10.0.0.2:80", weight = 3 } }
--   upstreams:select()

return require("perilune.balancer").define("random", "random")
