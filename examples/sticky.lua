-- SPDX-License-Identifier: Apache-2.0
-- Each user stays at one backend, known by the cookie "user" or else by address. When a backend goes, only its users
-- move, and a user with very many requests overflows to the next.
--
--   PEERS=10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 perilune run examples/sticky.lua

local perilune     = require "perilune"
local bounded_hash = require "perilune.bounded_hash"

local peers = {}
for address in (os.getenv "PEERS" or "127.0.0.1:8001,127.0.0.1:8002"):gmatch "[^,]+" do peers[#peers + 1] = address end
local upstreams = bounded_hash.new(peers)

local policy = {}

function policy.upstream_peer(session)
  local cookies = session:get_header "Cookie" or ""
  local user = cookies:match "%f[%w]user=([^;]+)" or session:client_ip()
  return { address = upstreams:select(user) }
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
