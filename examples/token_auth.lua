-- SPDX-License-Identifier: Apache-2.0
-- Lets requests through that carry a signed token (JWT, HS256), and some only with the right scope.
--
--   TOKEN_SECRET=... perilune run examples/token_auth.lua
--   curl -H "Authorization: Bearer $TOKEN" 127.0.0.1:6188

local perilune   = require "perilune"
local token_auth = require "perilune.token_auth"

local check = token_auth.new { secret = os.getenv "TOKEN_SECRET" or "change me", audience = "api", leeway = 5 }
local policy = {}

function policy.request_filter(session, ctx)
  if check(session, ctx) then return true end
  local may_write = ctx.claims.scope == "write"
  if session:method() ~= "GET" and not may_write then return session:respond { status = 403 } end
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.upstream_request_filter(_, request, ctx)
  request:remove_header("Authorization")
  request:set_header("X-Subject", ctx.claims.sub or "nobody")
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
