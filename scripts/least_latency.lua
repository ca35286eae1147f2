-- SPDX-License-Identifier: Apache-2.0
-- least_latency: chooses two backends at random, and takes the one with the lower product of latency and current
-- requests. The latency is a moving average that rises at once with a peak ("peak EWMA") and falls slowly.
--
--   local upstreams = least_latency.new { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select()

return require("perilune.balancer").define("least_latency", "least_latency")
