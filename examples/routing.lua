-- SPDX-License-Identifier: Apache-2.0
-- Chooses the peer by the path, passes a part of the path on as a field, and answers some paths itself.
--
--   perilune run examples/routing.lua

local perilune = require "perilune"
local router   = require "perilune.router"

local routes = router.new {
  ["/health"]        = { answer = "fine\n" },
  ["GET /users/:id"] = { peer = "127.0.0.1:8001" },
  ["/static/*"]      = { peer = "127.0.0.1:8002", prefix = "/static" },
  ["*"]              = { peer = "127.0.0.1:8000" },
}
local policy = {}

function policy.request_filter(session, ctx)
  ctx.route, ctx.parameters = routes:match(session:method(), session:path())
  if ctx.route.answer then return session:respond { status = 200, body = ctx.route.answer } end
end

function policy.upstream_peer(_, ctx)
  return ctx.route.peer
end

function policy.upstream_request_filter(_, request, ctx)
  if ctx.parameters.id then request:set_header("X-User-Id", ctx.parameters.id) end
  if ctx.route.prefix then request:set_target(request:target():sub(#ctx.route.prefix + 1)) end
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
