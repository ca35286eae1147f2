-- SPDX-License-Identifier: Apache-2.0
-- hash: equal keys go to the same backend, by weight. If the list changes, most keys move; see consistent_hash.
--
--   local upstreams = hash.new { "10.0.0.1:80", "10.0.0.2:80" }
--   upstreams:select(session:path())

return require("perilune.balancer").define("hash", "hash")
