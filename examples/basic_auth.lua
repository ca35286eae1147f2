-- SPDX-License-Identifier: Apache-2.0
-- Asks for a user name and password, and tells the peer who it is. Use it with TLS (certificate and key). Many users
-- belong in a file: file = "users.htpasswd" instead of the table.
--
--   perilune run examples/basic_auth.lua
--   curl -u ada:lovelace 127.0.0.1:6188

local perilune   = require "perilune"
local basic_auth = require "perilune.basic_auth"

local login = basic_auth.new {
  realm = "difference engine",
  users = { ada = "$2y$10$abcdefghijklmnopqrstuudVH6UADxocdjRbtFP9WKJkGORRNx2fy" }, -- htpasswd -nB ada
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
