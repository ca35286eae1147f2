-- SPDX-License-Identifier: Apache-2.0
-- Backends that are keys of etcd, one each: "/services/app/1" with the value "10.0.0.1:80 weight=2". They may change at
-- any time; while etcd is away the last list stays, on the disk as well.
--
--   ETCD=http://10.0.0.5:2379 PREFIX=/services/app/ perilune run examples/etcd.lua

local perilune    = require "perilune"
local discovery   = require "perilune.discovery"
local round_robin = require "perilune.round_robin"

local upstreams = round_robin.new { name = "app" }
discovery.etcd(upstreams, os.getenv "PREFIX" or "/services/app/", {
  endpoints = os.getenv "ETCD" or "http://127.0.0.1:2379",
  cache = os.getenv "CACHE",
})

local policy = {}

function policy.upstream_peer()
  return { address = upstreams:select() }
end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy)
