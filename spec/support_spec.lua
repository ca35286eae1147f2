-- SPDX-License-Identifier: Apache-2.0
-- The harness itself, an origin and a client without the proxy between them.
local cleanup = require "cleanup"
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(cleanup.run)

describe("an origin of a spec", function()
  it("answers requests and records them", function()
    local origin = origins.start "hello"
    local headers = { { "X-One", "1" }, { "X-One", "2" } }
    local response = client.request { port = origin.port, path = "/a?b", headers = headers }
    assert.equal(200, response.status)
    assert.equal("hello", response.body)
    local request = origin.requests[1]
    assert.equal("/a?b", request.target)
    assert.same({ "1", "2" }, request.headers:all "x-one")
    assert.equal("spec.example", request.headers.host)
  end)

  it("serves many requests of one connection, and many connections side by side", function()
    local origin = origins.start "hello"
    local connection = client.connect(origin.port)
    for _ = 1, 3 do assert.equal("hello", connection:request().body) end
    assert.equal(1, origin.accepted)
    local bodies = {}
    for i = 1, 50 do bodies[i] = function() return client.request(origin.port).status end end
    for _, status in ipairs(scheduler.all(bodies)) do assert.equal(200, status) end
    assert.equal(51, origin.accepted)
  end)

  it("moves large bodies both ways, by length and chunked", function()
    local origin = origins.start(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        connection:respond { body = request.body, chunked = request.framing == "chunked" }
      end
    end)
    local body = ("0123456789abcdef"):rep(65536 * 4)
    assert.is_true(client.request { port = origin.port, method = "POST", body = body }.body == body)
    local response = client.request { port = origin.port, method = "POST", body = body, chunked = true }
    assert.is_true(response.body == body)
    assert.equal("chunked", response.framing)
  end)

  it("closes, resets and answers without a length", function()
    local origin = origins.start(function(connection, number)
      connection:read_request()
      if number == 1 then return connection:reset() end
      if number == 2 then return connection:close() end
      connection:respond { body = "all of it", no_length = true }
    end)
    local ok, message = pcall(client.request, origin.port)
    assert.is_false(ok)
    assert.matches("reset", message)
    ok, message = pcall(client.request, origin.port)
    assert.is_false(ok)
    assert.matches("closed", message)
    assert.equal("all of it", client.request(origin.port).body)
  end)

  it("can be stopped and comes back on the same port", function()
    local origin = origins.start "hello"
    local connection = client.connect(origin.port)
    assert.equal(200, connection:request().status)
    origin:stop()
    assert.is_true(connection:is_closed(5))
    assert.has_error(function() client.connect(origin.port) end)
    origin:listen()
    assert.equal(200, client.request(origin.port).status)
  end)

  it("listens on a unix socket", function()
    local path = process.directory() .. "/socket"
    local origin = origins.start("hello", { host = "unix:" .. path })
    assert.equal("unix:" .. path, origin.address)
    assert.equal("hello", client.request { unix = path }.body)
  end)

  it("speaks TLS with a certificate of its own and sees the server name", function()
    local origin = origins.start("secret", { names = { "one.example", "127.0.0.1" } })
    local ca = tls.authority().certificate
    local response = client.request { port = origin.port, tls = { name = "one.example", ca = ca } }
    assert.equal("secret", response.body)
    assert.equal("one.example", origin.requests[1].sni)
    local ok, message = pcall(client.connect, { port = origin.port, tls = { name = "two.example", ca = ca } })
    assert.is_false(ok)
    assert.matches("verify", message)
  end)
end)

describe("the harness", function()
  it("raises in the spec what a handler raised", function()
    local origin = origins.start(function() error "broken handler" end)
    pcall(client.request, origin.port)
    assert.matches("broken handler", scheduler.take_failure())
  end)

  it("gives up waiting", function()
    local origin = origins.start(function(connection) connection:sleep(60) end)
    local connection = client.connect(origin.port)
    local response, message = connection:request { timeout = 0.05 }
    assert.is_nil(response)
    assert.equal("timeout", message)
    assert.has_error(function() scheduler.eventually(function() return false end, 0.02) end)
  end)

  it("reads pipelined and interim responses in order", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      connection:respond { body = "first" }
      connection:read_request()
      connection:respond { body = "second", chunked = true }
    end)
    local connection = client.connect(origin.port)
    connection:send(http1.write("GET / HTTP/1.1", { Host = "a" }):rep(2))
    local first = connection:read_final_response()
    assert.equal("first", first.body)
    assert.equal(103, first.interim[1].status)
    assert.equal("second", connection:read_final_response().body)
    assert.is_true(connection:is_closed(5))
  end)

  it("says when a body is not whole", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    end)
    local response = client.request(origin.port)
    assert.equal("hello", response.body)
    assert.equal("closed", response.failure)
  end)

  it("rejects malformed messages instead of repairing them", function()
    local cases = {
      "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: 1\n\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
    }
    local origin = origins.start(function(connection, number) connection:send(cases[number]) end)
    for _ = 1, #cases do
      local connection = client.connect(origin.port)
      local response, message = connection:read_response()
      assert.is_nil(response)
      assert.matches("malformed", message)
    end
  end)

  it("starts a program, sees its output, and how it ended", function()
    local result = process.run { "sh", "-c", "echo out; echo err >&2; exit 3" }
    assert.same({ code = 3, stdout = "out\n", stderr = "err\n" }, result)
    local sleeper = process.start { "sleep", "60" }
    assert.is_nil(sleeper:exit_code())
    assert.is_true(sleeper:rss() > 0)
    assert.is_true(sleeper:open_files() >= 3)
    sleeper:signal "TERM"
    assert.equal(-15, sleeper:wait())
  end)
end)
