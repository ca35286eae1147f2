-- SPDX-License-Identifier: Apache-2.0
-- Asks for a user name and password, and tells the peer who it is. Use it with TLS (certificate and key).
--
--   perilune run examples/basic_auth.lua
--   curl -u ada:lovelace 127.0.0.1:6188

local perilune   = require "perilune"
local basic_auth = require "perilune.basic_auth"

local login = basic_auth.new {
  realm = "difference engine",
  users = { ada = "sha256:" .. -- printf lovelace | sha256sum
    "fb1e7ec987523d2cb9e022cec1d6ae7c99dc46edfae4fe51254025fe4bea571f" },
}
local policy = {}

function policy.request_filter(session, ctx)
  return login(session, ctx)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.upstream_request_filter(_, request, ctx)
  request:remove_header("Authorization")
  request:set_header("X-User", ctx.user)
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
