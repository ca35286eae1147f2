-- SPDX-License-Identifier: Apache-2.0
-- least_latency: of two backends taken by chance, the one whose latency times its requests under way is less. Latency
-- is a moving average that follows peaks at once ("peak EWMA") and forgets them slowly.
--
--   local upstreams = least_latency.new { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select()

return require("perilune.balancer").define("least_latency", "least_latency")
