-- SPDX-License-Identifier: Apache-2.0
-- The load balancer of the tutorial: round robin over TLS peers with Host and SNI, as README shows it.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local NAME = "one.one.one.one"

local function tutorial(peers, values)
  values = values or {}
  return perilune.start {
    workers = values.workers or 2,
    policy = policies.fill(policies.tutorial, {
      PEERS = peers, CA = tls.authority().certificate, INTERVAL = values.interval or 1, MAX = 1,
    }),
  }
end

local function counts(proxy, requests)
  local count = {}
  for _ = 1, requests do
    local response = client.request(proxy.port)
    assert.equal(200, response.status)
    count[response.body] = (count[response.body] or 0) + 1
  end
  return count
end

describe("the load balancer of the tutorial", function()
  it("alternates between the live peers", function()
    local a, b = origins.start("a", { names = { NAME } }), origins.start("b", { names = { NAME } })
    local proxy = tutorial { a.address, b.address }
    local before = client.request(proxy.port).body
    for _ = 1, 6 do
      local body = client.request(proxy.port).body
      assert.not_equal(before, body)
      before = body
    end
  end)

  it("sends Host and the server name that the policy gives", function()
    local origin = origins.start("a", { names = { NAME } })
    local proxy = tutorial { origin.address }
    client.request { port = proxy.port, host = "something.else" }
    local request = origin.requests[1]
    assert.same({ NAME }, request.headers:all "host")
    assert.equal(NAME, request.sni)
  end)

  it("gives a dead peer no request after the first check", function()
    local a, b = origins.start("a", { names = { NAME } }), origins.start("b", { names = { NAME } })
    local dead = origins.dead_address()
    local proxy = tutorial { a.address, b.address, dead }
    proxy:wait_log(dead:gsub("%p", "%%%0") .. "[^\n]*unhealthy")
    assert.same({ a = 10, b = 10 }, counts(proxy, 20))
  end)

  it("answers 503 when no peer is healthy", function()
    local dead = origins.dead_address()
    local proxy = tutorial { dead }
    proxy:wait_log "unhealthy"
    local response = client.request(proxy.port)
    assert.equal(503, response.status)
    proxy:wait_log "set '[^\n]*': none of 1 backend is healthy %(GET / of client 127[^\n]*%)"
  end)

  it("answers 502 for a peer whose certificate is for another name, and logs why", function()
    local origin = origins.start("a", { names = { "another.example" } })
    local proxy = tutorial { origin.address }
    local response = client.request(proxy.port)
    assert.equal(502, response.status)
    assert.equal(0, #origin.requests)
    proxy:wait_log "[Hh]ost ?name mismatch"
  end)

  it("gives each peer its share by weight", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = perilune.start {
      policy = policies.fill([[
        local perilune = require "perilune"
        local round_robin = require "perilune.round_robin"
        local upstreams = round_robin.new { { address = "$A", weight = 3 }, { address = "$B" } }
        perilune.listen("127.0.0.1:0", {
          upstream_peer = function() return { address = upstreams:select() } end,
        })
      ]], { A = a.address, B = b.address }),
    }
    assert.same({ a = 9, b = 3 }, counts(proxy, 12))
  end)

  it("turns the wheel once for all workers", function()
    local a, b = origins.start("a", { names = { NAME } }), origins.start("b", { names = { NAME } })
    local proxy = tutorial({ a.address, b.address }, { workers = 4 })
    assert.same({ a = 20, b = 20 }, counts(proxy, 40))
  end)
end)

describe("examples/load_balancer.lua", function()
  it("balances over the peers of PEERS and logs which one is asked", function()
    local a, b = origins.start("a", { names = { NAME } }), origins.start("b", { names = { NAME } })
    local dead = origins.dead_address()
    local proxy = perilune.start {
      script = "examples/load_balancer.lua", workers = 2,
      env = {
        LISTEN = "127.0.0.1:0", PERILUNE_CA = tls.authority().certificate,
        PEERS = table.concat({ a.address, b.address, dead }, ","),
      },
    }
    proxy:wait_log(dead:gsub("%p", "%%%0") .. "[^\n]*unhealthy")
    assert.same({ a = 3, b = 3 }, counts(proxy, 6))
    assert.same({ NAME }, a.requests[1].headers:all "host")
    assert.equal(6, proxy:count_log "upstream peer is: ")
    local function limited() return client.request({ port = proxy.port, headers = { appid = "1" } }).status end
    assert.equal(200, limited())
    scheduler.eventually(function() return limited() == 429 end)
  end)
end)
