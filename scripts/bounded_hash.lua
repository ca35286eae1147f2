-- SPDX-License-Identifier: Apache-2.0
-- bounded_hash: consistent_hash, but a backend that has a quarter more than its share of the requests under way passes
-- further ones to the next: one hot key does not overload it.
--
--   local upstreams = bounded_hash.new { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select(session:path())

return require("perilune.balancer").define("bounded_hash", "bounded")
