-- SPDX-License-Identifier: Apache-2.0
-- least_connections: the backend with the fewest current requests of all workers, by weight.
--
--   local upstreams = least_connections.new { "10.0.0.1:80", { address = "10.0.0.2:80", weight = 3 } }
--   upstreams:select()

return require("perilune.balancer").define("least_connections", "least_connections")
