-- SPDX-License-Identifier: Apache-2.0
-- Gives each request an id, for the peer, the client and the log.
--
--   perilune run examples/request_id.lua
--   curl -i 127.0.0.1:6188

local perilune = require "perilune"

local id = require("perilune.request_id").new { trust = { "10.0.0.0/8" } }
local policy = {}

function policy.request_filter(session, ctx)
  id.request(session, ctx)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.answer_filter(_, response, ctx)
  id.response(response, ctx)
end

function policy.logging(session, failure, ctx)
  perilune.log.info("request", { id = ctx.request_id, status = session:response_status(),
    error = failure and failure:kind() })
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
