-- SPDX-License-Identifier: Apache-2.0
-- What peers/nginx_tls.conf says, for Perilune: TLS with clients, and with the origins where UPSTREAM_CA is set.
-- Without CERTIFICATE: HTTP/2 with clients, in clear text, and with the origins where UPSTREAM_H2 is set.
-- From the environment: LISTEN, ORIGINS (comma-separated), CERTIFICATE, KEY, UPSTREAM_CA, UPSTREAM_H2.

local perilune    = require "perilune"
local round_robin = require "perilune.round_robin"

local ca = os.getenv "UPSTREAM_CA"
local origins, peers = {}, {}
for origin in os.getenv("ORIGINS"):gmatch "[^,]+" do
  origins[#origins + 1] = origin
  peers[origin] = { address = origin, tls = ca and true, sni = ca and "one.one.one.one", ca = ca,
    http2 = os.getenv "UPSTREAM_H2" and true }
end

local upstreams = round_robin.new(origins)

local proxy = {}

function proxy.upstream_peer() return peers[upstreams:select()] end

function proxy.upstream_request_filter(_, request) request:set_header("Host", "one.one.one.one") end

local certificate = os.getenv "CERTIFICATE"
perilune.listen(os.getenv "LISTEN", proxy, { certificate = certificate, key = os.getenv "KEY", h2c = not certificate })
