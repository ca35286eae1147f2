-- SPDX-License-Identifier: Apache-2.0
-- A gateway for gRPC: servers say themselves how they are, pages of browsers ask by gRPC-Web, and another server is
-- asked where one is not available. A call may be silent for an hour; its client bounds it by grpc-timeout.
--
--   PEERS=10.0.0.1:50051,10.0.0.2:50051 perilune run examples/grpc.lua

local perilune          = require "perilune"
local grpc_web          = require "perilune.grpc_web"
local health_check      = require "perilune.health_check"
local least_connections = require "perilune.least_connections"

local peers = { retry_budget = { share = 0.2 } }
for address in (os.getenv "PEERS" or "127.0.0.1:50051"):gmatch "[^,]+" do peers[#peers + 1] = address end
local upstreams = least_connections.new(peers)
health_check.grpc(upstreams, { interval = 2 })

local policy, cors = {}, require("perilune.cors").new {
  origins = { "https://app.example" }, expose = { "grpc-status", "grpc-message" },
}
grpc_web.new().install(policy)

function policy.request_filter(session) return cors.preflight(session) end
function policy.answer_filter(session, response) cors.mark(session, response) end

function policy.upstream_peer()
  return { address = upstreams:select(), http2 = true, read_timeout = 3600, first_byte_timeout = 3600 }
end

-- A status in the only head: the server has sent no message. UNAVAILABLE says that the call may be made again.
function policy.upstream_response_filter(_, response, ctx)
  ctx.is_unavailable = response:get_header "grpc-status" == "14"
  if ctx.is_unavailable then error { status = 503 } end
end

function policy.error_while_proxy(_, _, failure, ctx)
  if ctx.is_unavailable then failure.retry = true end
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy, {
  h2c = true, body_timeout = 3600, min_receive_rate = 0, -- the client may be silent, too
})
