-- SPDX-License-Identifier: Apache-2.0
-- A maintenance page, which is switched on a second, private address:
--
--   perilune run examples/maintenance.lua
--   curl -X POST '127.0.0.1:6189/on?seconds=600'        # and /off

local perilune = require "perilune"

local closed = require("perilune.maintenance").new {
  page = "<!doctype html><title>Closed</title><p>We are back soon.",
  retry_after = 600,
  allow = { "10.0.0.0/8" }, -- those who work on it
}
local policy = {}

function policy.request_filter(session)
  return closed(session)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)

perilune.listen(os.getenv "ADMIN" or "127.0.0.1:6189", { request_filter = function(session)
  if session:method() == "POST" then
    closed:turn(session:path() == "/on", tonumber(session:query_arg "seconds"))
  end
  return session:respond { status = 200, body = closed:is_on() and "on\n" or "off\n" }
end })
