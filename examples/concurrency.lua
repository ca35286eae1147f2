-- SPDX-License-Identifier: Apache-2.0
-- At most four requests of a client at a time, over all workers; and a client that fails to log in ten times within a
-- minute is shut out for an hour.
--
--   perilune run examples/concurrency.lua

local perilune = require "perilune"

local under_way = perilune.inflight "requests of a client"
local failures = perilune.rate("failed logins", { interval = 60 })
local shut_out = perilune.dict("shut out", { size = 10e6 })
local policy = {}

function policy.request_filter(session)
  local client = session:client_ip()
  if shut_out:get(client) then return session:respond { status = 403, close = true } end
  if not under_way:acquire(session, client, 4) then
    return session:respond { status = 429, headers = { ["Retry-After"] = 1 } }
  end
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.response_filter(session, response)
  local client = session:client_ip()
  if response:status() == 401 and failures:observe(client) >= 10 then shut_out:set(client, true, 3600) end
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
