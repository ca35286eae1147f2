-- SPDX-License-Identifier: Apache-2.0
-- bounded_hash: like consistent_hash, but if a backend has more than 5/4 of its share of the current requests,
-- further ones go to the next backend: a single frequent key does not overload a backend.
--
--   local upstreams = bounded_hash.new { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select(session:path())

return require("perilune.balancer").define("bounded_hash", "bounded")
