-- SPDX-License-Identifier: Apache-2.0
-- Where a proxy listens, and how it stops.
local client = require "client"
local lfs = require "lfs"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local function proxy_to(origin, listen, workers)
  return perilune.start { to = { origin.address }, listen = listen, workers = workers }
end

describe("a listener", function()
  it("takes an IPv4 address", function()
    assert.equal("hello", client.request(proxy_to(origins.start "hello", "127.0.0.1:0").port).body)
  end)

  it("takes an IPv6 address", function()
    local proxy = proxy_to(origins.start "hello", "[::1]:0")
    assert.equal("hello", client.request({ ip = "::1", port = proxy.port }).body)
  end)

  it("without a host takes every address, IPv4 and IPv6", function()
    local proxy = proxy_to(origins.start "hello", ":0")
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal("hello", client.request({ ip = "::1", port = proxy.port }).body)
  end)

  it("takes a unix socket, also where a stale one is in its way", function()
    local path = process.directory() .. "/perilune.socket"
    for _ = 1, 2 do
      local proxy = proxy_to(origins.start "hello", "unix:" .. path)
      assert.equal("hello", client.request({ unix = path }).body)
      proxy:signal "KILL"
      proxy:ended()
      assert.is_truthy(lfs.attributes(path))
    end
  end)

  it("with a certificate serves TLS", function()
    local origin = origins.start "hello"
    local files = tls.certificate("one.example")
    local proxy = perilune.start {
      policy = policies.fill([[
        local perilune = require "perilune"
        perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = "$ADDRESS" } end },
          { certificate = "$CERTIFICATE", key = "$KEY" })
      ]], { ADDRESS = origin.address, CERTIFICATE = files.certificate, KEY = files.key }),
    }
    local response = client.request { port = proxy.port, tls = { name = "one.example", ca = files.ca } }
    assert.equal("hello", response.body)
  end)

  it("may be one of several, each with its own policy", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = perilune.start {
      policy = policies.fill([[
        local perilune = require "perilune"
        perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = "$A" } end })
        perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = "$B" } end })
      ]], { A = a.address, B = b.address }),
    }
    assert.equal(2, #proxy.ports)
    assert.equal("a", client.request(proxy.ports[1]).body)
    assert.equal("b", client.request(proxy.ports[2]).body)
  end)

  it("is served by all workers", function()
    local proxy = perilune.start {
      workers = 4,
      policy = policies.fill([[
        local perilune = require "perilune"
        local policy = { upstream_peer = function() return { address = "$ADDRESS" } end }
        function policy.request_filter(session)
          return session:respond { status = 200, body = tostring(perilune.worker()) }
        end
        perilune.listen("127.0.0.1:0", policy)
      ]], { ADDRESS = "127.0.0.1:1" }),
    }
    local seen, count = {}, 0
    scheduler.eventually(function()
      local worker = client.request(proxy.port).body
      if not seen[worker] then count = count + 1 end
      seen[worker] = true
      return count == 4
    end, 40, "an answer of each of 4 workers")
  end)
end)

describe("an upstream peer", function()
  it("may be a unix socket", function()
    local path = process.directory() .. "/origin.socket"
    local origin = origins.start("hello", { host = "unix:" .. path })
    assert.equal("hello", client.request(proxy_to(origin).port).body)
  end)

  it("may be a name", function()
    local origin = origins.start "hello"
    local proxy = proxy_to { address = "localhost:" .. origin.port }
    assert.equal("hello", client.request(proxy.port).body)
  end)
end)

describe("TERM", function()
  it("lets a running exchange end, takes no new ones, and then ends with 0", function()
    local go = false
    local origin = origins.start(function(connection)
      connection:read_request()
      scheduler.eventually(function() return go end)
      connection:respond { body = "hello" }
    end)
    local proxy = proxy_to(origin)
    local connection = client.connect(proxy.port)
    connection:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    proxy:signal "TERM"
    scheduler.eventually(function() return not pcall(client.connect, proxy.port) end, 40, "end of listening")
    assert.is_nil(proxy:exit_code())
    go = true
    assert.equal("hello", connection:read_response().body)
    assert.is_true(connection:is_closed())
    assert.equal(0, proxy:ended())
  end)

  it("ends at once when there are only idle connections", function()
    local proxy = proxy_to(origins.start "hello")
    local connection = client.connect(proxy.port)
    connection:request()
    proxy:signal "TERM"
    assert.equal(0, proxy:ended())
    assert.is_true(connection:is_closed())
  end)
end)

describe("INT", function()
  it("ends at once, whatever runs", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:sleep(60)
    end)
    local proxy = proxy_to(origin)
    local connection = client.connect(proxy.port)
    connection:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    proxy:signal "INT"
    assert.equal(0, proxy:ended())
  end)
end)
