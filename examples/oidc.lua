-- SPDX-License-Identifier: Apache-2.0
-- Lets people in who have signed in at an OpenID provider, and tells the peer who they are.
--
--   ISSUER=https://login.example CLIENT_SECRET=... COOKIE_SECRET=$(openssl rand -hex 32) \
--     SITE=https://shop.example perilune run examples/oidc.lua
--
-- See docs/signin.md.

local perilune = require "perilune"
local oidc     = require "perilune.oidc"

local login = oidc.new {
  issuer = os.getenv "ISSUER" or "https://login.example",
  client_id = os.getenv "CLIENT_ID" or "shop",
  client_secret = os.getenv "CLIENT_SECRET",
  redirect_uri = (os.getenv "SITE" or "http://127.0.0.1:6188") .. "/signin/callback",
  secret = os.getenv "COOKIE_SECRET" or perilune.crypto.hex(perilune.crypto.random(32)), -- of this run alone
}
local policy = {}

function policy.request_filter(session, ctx)
  return login(session, ctx)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.upstream_request_filter(_, request, ctx)
  if ctx.claims then request:set_header("X-User", ctx.claims.sub) end
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
