-- SPDX-License-Identifier: Apache-2.0
-- consistent_hash: equal keys go to the same backend; if a backend is removed, only its keys move (Ketama, with the
-- same result as in nginx).
--
--   local upstreams = consistent_hash.new { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" }
--   upstreams:select(session:path())

return require("perilune.balancer").define("consistent_hash", "consistent")
