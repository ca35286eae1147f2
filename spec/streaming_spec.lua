-- SPDX-License-Identifier: Apache-2.0
-- Bodies of any size pass through in bounded memory, both ways at once where the two sides want that.
local client = require "client"
local http1 = require "http1"
local kernel = require "kernel"
local noise = require "noise"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local MEGABYTE = 1024 * 1024

-- What is under way between two sides that do not read: in two connections, and a little in the proxy. A body is
-- longer than that by far.
local UNDER_WAY = 2 * kernel.connection_bytes() + MEGABYTE
local LONG = 4 * UNDER_WAY

describe("a body", function()
  it("of 20 MB arrives whole, up and down, by length", function()
    local origin = origins.start(scene.echo_bodies)
    local proxy = perilune.start { to = { origin.address } }
    local body = noise(20 * MEGABYTE)
    local response = client.request { port = proxy.port, method = "POST", body = body, timeout = 60 }
    assert.equal(#body, #origin.requests[1].body)
    assert.is_true(origin.requests[1].body == body, "the body came changed to the origin")
    assert.is_true(response.body == body, "the body came back changed")
    assert.equal("length", response.framing)
  end)

  it("of 20 MB arrives whole, up and down, chunked", function()
    local origin = origins.start(scene.echo_bodies)
    local proxy = perilune.start { to = { origin.address } }
    local body = noise(20 * MEGABYTE)
    local response = client.request { port = proxy.port, method = "POST", body = body, chunked = true, timeout = 60 }
    assert.is_true(origin.requests[1].body == body, "the body came changed to the origin")
    assert.equal("chunked", origin.requests[1].framing)
    assert.is_true(response.body == body, "the body came back changed")
    assert.equal("chunked", response.framing)
  end)

  it("of 20 MB up and down keeps the process under 40 MB with 4 workers", function()
    local origin = origins.start(scene.echo_bodies)
    local proxy = perilune.start { to = { origin.address }, workers = 4, release = true }
    local body = noise(20 * MEGABYTE)
    local highest = 0
    local transfers = {}
    for i = 1, 4 do
      transfers[i] = function()
        local response = client.request { port = proxy.port, method = "POST", body = body, timeout = 60 }
        return response.body == body
      end
    end
    transfers[5] = function()
      for _ = 1, 20 do
        highest = math.max(highest, proxy:rss())
        scheduler.sleep(0.02)
      end
      return true
    end
    assert.same({ true, true, true, true, true }, scheduler.all(transfers, 300))
    highest = math.max(highest, proxy:rss())
    assert.is_true(highest < 40 * MEGABYTE, ("%.1f MB"):format(highest / MEGABYTE))
  end)

  it("stops being read from the origin while the client does not read", function()
    local sent, block = 0, ("x"):rep(65536)
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nContent-Length: " .. LONG .. "\r\n\r\n")
      for _ = 1, LONG / #block do
        if not connection:send(block) then return end
        sent = sent + #block
      end
    end)
    local proxy = perilune.start { to = { origin.address }, release = true }
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send_request {}
    local before
    scheduler.eventually(function() -- until nothing moves any more
      if sent == before then return sent > 0 end
      before = sent
      scheduler.sleep(0.3)
    end)
    assert.is_true(sent <= UNDER_WAY, ("%.1f MB were taken from the origin"):format(sent / MEGABYTE))
    assert.is_true(proxy:rss() < 40 * MEGABYTE)
  end)

  it("stops being read from the client while the origin does not read", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:sleep(60)
    end)
    local proxy = perilune.start { to = { origin.address }, release = true }
    local connection = client.connect(proxy.port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " .. LONG .. "\r\n\r\n")
    local sent, block = 0, ("x"):rep(65536)
    while connection:send(block, 0.5) do sent = sent + #block end
    assert.is_true(sent <= UNDER_WAY, ("%.1f MB were taken from the client"):format(sent / MEGABYTE))
    assert.is_true(proxy:rss() < 40 * MEGABYTE)
    origin:stop() -- else the proxy waits for it, and does not see that its client is gone
  end)

  it("goes both ways at once: the response may begin before the request has ended (RFC 9110 7.6)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      for _ = 1, 3 do connection:send(http1.chunk(connection:read(4))) end
      connection:send(http1.chunk "")
    end)
    local proxy = perilune.start { to = { origin.address } }
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n"
    connection:send "ping"
    assert.is_truthy(connection:read_until "ping")
    connection:send "pong"
    assert.is_truthy(connection:read_until "pong")
    connection:send "last"
    assert.is_truthy(connection:read_until "0\r\n\r\n")
  end)

  it("without a length becomes chunked for the client (RFC 9112 6.3)", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { body = "until the end", no_length = true }
    end)
    local proxy = perilune.start { to = { origin.address } }
    local response = client.request(proxy.port)
    assert.equal("until the end", response.body)
    assert.equal("chunked", response.framing)
    assert.is_nil(response.failure)
  end)

  it("without a length ends with the connection for a client of HTTP/1.0 (RFC 9112 6.1)", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      connection:send(http1.chunk "until the end" .. http1.chunk "")
    end)
    local proxy = perilune.start { to = { origin.address } }
    local response = client.request { port = proxy.port, version = "1.0" }
    assert.equal("until the end", response.body)
    assert.equal("close", response.framing)
  end)

  it("of a response to HEAD, and of 204 and 304, does not exist (RFC 9110 6.4.1)", function()
    local statuses = { 200, 204, 304 }
    local origin = origins.start(function(connection)
      for _, status in ipairs(statuses) do
        connection:read_request()
        connection:respond { status = status, body = "twelve bytes" }
      end
    end)
    local proxy = perilune.start { to = { origin.address } }
    local connection = client.connect(proxy.port)
    local head = connection:request { method = "HEAD" }
    assert.equal(200, head.status)
    assert.equal("12", head.headers["content-length"])
    assert.equal(204, connection:request().status)
    assert.equal(304, connection:request().status)
    assert.equal("", connection.buffer)
  end)
end)

describe("events that body_replace looks through", function()
  it("come one by one, each as soon as it was sent, with their replacements", function()
    local said = 0
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
      for i = 1, 3 do
        scheduler.eventually(function() return said == i - 1 end)
        connection:send(("data: http://inside.example/%d\n\n"):format(i))
      end
      scheduler.eventually(function() return said == 3 end)
    end)
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { hooks = [[
      require("perilune.body_replace").new {
        texts = { ["http://inside.example"] = "https://www.example", ["http://inside.example.org/and/more"] = "x" },
      }.install(policy)]] }) }
    local connection = client.connect(proxy.port)
    connection:send "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    connection:read_until "\r\n\r\n"
    for i = 1, 3 do
      local event = connection:read_until "\n\n"
      assert.matches("data: https://www.example/" .. i, event)
      said = i
    end
    connection:close()
  end)
end)
