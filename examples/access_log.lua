-- SPDX-License-Identifier: Apache-2.0
-- One line of JSON for each request on standard output, with a field of one's own.
--
--   perilune run examples/access_log.lua | jq .status

local perilune = require "perilune"

local policy = {}

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

policy.logging = require("perilune.access_log").new {
  fields = function(session)
    return { tenant = session:get_header "x-tenant", first_byte = session:timings().first_byte }
  end,
}

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
