-- SPDX-License-Identifier: Apache-2.0
-- TLS to the peers: verified by default, and what a policy can say of it.
local ffi = require "ffi"

local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

local function start(origin, peer)
  return perilune.start { workers = 1, policy = policies.to(origin, { peer = ", tls = true" .. peer }) }
end

local function with_ca(rest) return (", ca = %q"):format(tls.authority().certificate) .. (rest or "") end

-- Sends pieces in a record each, but all of them in one segment.
local function send_records(connection, ...)
  local TCP, TCP_CORK = 6, 3
  local function cork(on) ffi.C.setsockopt(connection.fd, TCP, TCP_CORK, ffi.new("int[1]", on), 4) end
  cork(1)
  for _, piece in ipairs { ... } do connection:send(piece) end
  cork(0)
end

describe("a TLS peer", function()
  it("is asked when its certificate is for the server name and of a trusted authority", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, with_ca ', sni = "one.example"')
    assert.equal("secret", client.request(proxy.port).body)
    assert.equal("one.example", origin.requests[1].sni)
  end)

  it("is not asked when its authority is not trusted", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, ', sni = "one.example"')
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(0, #origin.requests)
    proxy:wait_log("certificate")
  end)

  it("is not asked when its certificate is for another name", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, with_ca ', sni = "two.example"')
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(0, #origin.requests)
    proxy:wait_log "[Hh]ost ?name mismatch"
  end)

  it("is verified by its address when there is no server name", function()
    local good = origins.start("secret", { names = { "127.0.0.1" } })
    assert.equal("secret", client.request(start(good, with_ca()).port).body)
    assert.is_nil(good.requests[1].sni)
    local bad = origins.start("secret", { names = { "one.example" } })
    assert.equal(502, client.request(start(bad, with_ca()).port).status)
  end)

  it("is verified against verify_name instead of the server name when that is given", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, with_ca ', sni = "two.example", verify_name = "one.example"')
    assert.equal("secret", client.request(proxy.port).body)
    assert.equal("two.example", origin.requests[1].sni)
  end)

  it("is not verified with verify = false", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, ', sni = "two.example", verify = false')
    assert.equal("secret", client.request(proxy.port).body)
  end)

  it("that speaks no TLS gives 502, and the log says why", function()
    local origin = origins.start(function(connection) connection:send "this is no TLS at all\r\n" end)
    local proxy = start(origin, ', verify = false')
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "TLS handshake"
  end)

  it("that never answers the handshake gives 504", function()
    local origin = origins.start(function(connection) connection:receive_all() end)
    local proxy = start(origin, ", verify = false, handshake_timeout = 0.3")
    assert.equal(504, client.request(proxy.port).status)
  end)

  it("carries large bodies both ways", function()
    local origin = origins.start(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        connection:respond { body = request.body }
      end
    end, { names = { "one.example" } })
    local proxy = start(origin, with_ca ', sni = "one.example"')
    local body = ("0123456789abcdef"):rep(65536 * 4)
    assert.is_true(client.request { port = proxy.port, method = "POST", body = body }.body == body)
  end)

  it("keeps its connections for further requests, but never across different verification", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = perilune.start {
      workers = 1,
      policy = policies.fill([[
        local perilune = require "perilune"
        local count = 0
        local policy = {}
        function policy.upstream_peer()
          count = count + 1
          return { address = "$ADDRESS", tls = true, sni = "one.example", ca = "$CA", verify = count > 2 }
        end
        perilune.listen("127.0.0.1:0", policy)
      ]], { ADDRESS = origin.address, CA = origin.files.ca }),
    }
    for _ = 1, 4 do assert.equal(200, client.request(proxy.port).status) end
    local connections = {}
    for i, request in ipairs(origin.requests) do connections[i] = request.connection end
    assert.same({ 1, 1, 2, 2 }, connections)
  end)

  it("keeps its connection for the next request at once, in however many records a response comes", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        send_records(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello")
      end
    end, { names = { "one.example" } })
    local connection = client.connect(start(origin, with_ca ', sni = "one.example"').port)
    connection:send(("GET / HTTP/1.1\r\nHost: a\r\n\r\n"):rep(50))
    for _ = 1, 50 do assert.equal("hello", connection:read_response().body) end
    assert.equal(1, origin.accepted)
  end)

  it("is not used again when a record follows its response, which nobody gets (RFC 9112 6.3)", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        local head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        send_records(connection, head .. "mine!", head .. "evil!")
      end
    end, { names = { "one.example" } })
    local connection = client.connect(start(origin, with_ca ', sni = "one.example"').port)
    connection:send(("GET / HTTP/1.1\r\nHost: a\r\n\r\n"):rep(50))
    for _ = 1, 50 do assert.equal("mine!", connection:read_response().body) end
    assert.equal(50, origin.accepted)
  end)

  it("with a ca file that does not exist is a failure of the policy that names the file", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, (", ca = %q"):format(process.directory() .. "/missing.pem"))
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "missing%.pem"
  end)
end)
