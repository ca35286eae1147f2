-- SPDX-License-Identifier: Apache-2.0
-- Backends by DNS name, with those of a file as backups. Both may change at any time; what fails is logged, and the
-- backends it last gave stay.
--
--   NAME=app.internal:80 FILE=backups.txt perilune run examples/discovery.lua

local perilune          = require "perilune"
local discovery         = require "perilune.discovery"
local dns               = require "perilune.dns"
local least_connections = require "perilune.least_connections"

local upstreams, backups = least_connections.new {}, least_connections.new {}
if os.getenv "NAME_SERVERS" then dns.set_servers(os.getenv "NAME_SERVERS") end
discovery.dns(upstreams, os.getenv "NAME" or "localhost:8001", { most = 30 })
discovery.file(backups, os.getenv "FILE" or "backups.txt")

local policy = {}

function policy.upstream_peer()
  return { address = upstreams:select() or backups:select() }
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
