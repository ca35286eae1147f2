-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 with clients: one exchange for each stream, with all that an exchange of HTTP/1.1 has (RFC 9113).
local client = require "client"
local format = require "perilune.test.http2_frames"
local frames = require "frames"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local PLAIN = "h2c = true"

local function start(handler, options)
  options = options or {}
  options.listen = options.listen or PLAIN
  local proxy, origin = scene.proxied(handler, options)
  return proxy, origin
end

local function open(proxy) return frames.connect { port = proxy.port } end

-- Answers each request with its target, once that is let go.
local function gated(gates)
  return function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      scheduler.eventually(function() return not gates[request.target] end, 20, request.target)
      connection:respond { body = request.target }
    end
  end
end

describe("a client that speaks HTTP/2", function()
  it("is answered on its stream (RFC 9113 8.1)", function()
    local connection = open((start "hello"))
    connection:request(1)
    assert.equal("hello", connection:body(1))
    connection:request(3, { method = "HEAD" })
    assert.equal("", connection:body(3))
  end)

  it("may be one of HTTP/1.1 on the same port", function()
    local proxy = start "hello"
    assert.equal("hello", client.request { port = proxy.port }.body)
  end)

  it("is told apart by ALPN with TLS, where the listener does not say otherwise", function()
    local files = tls.certificate "a.example"
    local proxy = start("hello", { listen = ("certificate = %q, key = %q"):format(files.certificate, files.key) })
    local run = process.run { "curl", "-sk", "--http2", "-w", " %{http_version}", "https://127.0.0.1:" .. proxy.port }
    assert.equal("hello 2", run.stdout)
    local old = start("hello", { listen = ("certificate = %q, key = %q, alpn = { 'http/1.1' }"):format(
      files.certificate, files.key) })
    run = process.run { "curl", "-sk", "--http2", "-w", " %{http_version}", "https://127.0.0.1:" .. old.port }
    assert.equal("hello 1.1", run.stdout)
  end)

  it("has its streams served beside one another, in any order (RFC 9113 5)", function()
    local gates = { ["/slow"] = true }
    local connection = open((start(gated(gates))))
    connection:request(1, { path = "/slow" })
    connection:request(3, { path = "/fast" })
    assert.equal("/fast", connection:body(3))
    gates["/slow"] = nil
    assert.equal("/slow", connection:body(1))
  end)

  it("shows its version to the policy, the peer and the access log", function()
    local proxy, origin = start("hello", { hooks = [[
      function policy.response_filter(session, response) response:set_header("X-Version", session:version()) end]] })
    local run = process.run { "curl", "-si", "--http2-prior-knowledge", "http://127.0.0.1:" .. proxy.port }
    assert.matches("x%-version: 2", run.stdout)
    assert.equal("2.0 perilune", origin.requests[1].headers.via)
    end)
end)

describe("the body of a request over HTTP/2", function()
  it("goes to the peer by its length, or in chunks where that is not known", function()
    local proxy, origin = start "hello"
    local connection = open(proxy)
    connection:request(1, { method = "POST", ends = false, fields = { { "content-length", "5" } } })
    connection:send("DATA", frames.END_STREAM, 1, "12345")
    assert.equal("hello", connection:body(1))
    connection:request(3, { method = "POST", ends = false })
    connection:send("DATA", 0, 3, "123")
    connection:send("DATA", frames.END_STREAM, 3, "45")
    assert.equal("hello", connection:body(3))
    assert.equal("12345", origin.requests[1].body)
    assert.equal("5", origin.requests[1].headers["content-length"])
    assert.equal("12345", origin.requests[2].body)
    assert.equal("chunked", origin.requests[2].headers["transfer-encoding"])
  end)

  it("that has none is told by a length of 0 where its method may have one (RFC 9110 8.6)", function()
    local proxy, origin = start "hello"
    local connection = open(proxy)
    for i, method in ipairs { "POST", "PUT", "PATCH", "GET", "DELETE" } do
      connection:request(2 * i - 1, { method = method })
      assert.equal("hello", connection:body(2 * i - 1))
      assert.equal(i < 4 and "0" or nil, origin.requests[i].headers["content-length"])
    end
  end)

  it("is read whole for a policy that asks for it", function()
    local connection = open((start("hello", { hooks = [[
      function policy.request_filter(session)
        return session:respond { status = 200, body = session:read_body():upper() }
      end]] })))
    connection:request(1, { method = "POST", ends = false })
    connection:send("DATA", 0, 1, "abc")
    connection:send("DATA", frames.END_STREAM, 1, "def")
    assert.equal("ABCDEF", connection:body(1))
  end)

  it("that ends behind the answer has its stream reset with NO_ERROR (RFC 9113 8.1)", function()
    local connection = open((start("hello", { hooks = [[
      function policy.request_filter(session) return session:respond { status = 403, body = "no" } end]] })))
    connection:request(1, { method = "POST", ends = false })
    assert.equal("no", connection:body(1))
    assert.equal("NO_ERROR", connection:await("RST_STREAM", 1).code)
  end)
end)

describe("a stream of HTTP/2", function()
  it("is reset where its response is cut, and never ends (RFC 9113 8.1)", function()
    local connection = open((start(function(at)
      at:read_request()
      at:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
      at:close()
    end)))
    connection:request(1)
    local body, code = connection:body(1)
    assert.is_nil(body)
    assert.equal("INTERNAL_ERROR", code)
  end)

  it("ends with the trailers of a chunked response", function()
    local connection = open((start(function(at)
      at:read_request()
      at:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n"
    end)))
    connection:request(1)
    assert.is_true(connection:await("HEADERS", 1).flags % 2 == 0)
    assert.equal("hello", connection:await("DATA", 1).payload)
    assert.is_true(connection:await("HEADERS", 1).flags % 2 == 1)
  end)

  it("that its client resets leaves the others alone (RFC 9113 5.4.2)", function()
    local gates = { ["/a"] = true, ["/b"] = true }
    local connection = open((start(gated(gates))))
    connection:request(1, { path = "/a" })
    connection:request(3, { path = "/b" })
    connection:send("RST_STREAM", 0, 1, frames.u32(8))
    gates["/a"], gates["/b"] = nil, nil
    assert.equal("/b", connection:body(3))
  end)

  it("that its client gives up before anybody has looked at it asks no peer", function()
    local proxy, origin = start "hello"
    local connection = open(proxy)
    connection.wire:send(format.write("HEADERS", frames.END_HEADERS, 1, frames.block {
      { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/given-up" }, { ":authority", "spec.example" } })
      .. format.write("RST_STREAM", 0, 1, frames.u32(8)))
    connection:request(3)
    assert.equal("hello", connection:body(3))
    assert.equal(1, #origin.requests)
  end)

  it("that its client does not read leaves the others alone (RFC 9113 5.2)", function()
    local connection = open((start(function(at)
      while true do
        local request = at:read_request()
        if not request then return end
        at:respond { body = request.target == "/long" and ("x"):rep(1000000) or "short" }
      end
    end)))
    connection:request(1, { path = "/long" })
    local got = 0
    while got < 65535 do got = got + #connection:await("DATA", 1).payload end
    assert.equal(65535, got)
    connection:send("WINDOW_UPDATE", 0, 0, frames.u32(100000))
    connection:request(3, { path = "/short" })
    assert.equal("short", connection:body(3))
  end)

  it("is reset where its request is malformed, and the connection goes on (RFC 9113 8.1.1)", function()
    local connection = open((start "hello"))
    connection:request(1, { fields = { { "connection", "close" } } })
    local _, code = connection:body(1)
    assert.equal("PROTOCOL_ERROR", code)
    connection:request(3)
    assert.equal("hello", connection:body(3))
  end)

  it("has the time limits of an exchange: of a body that does not come", function()
    local connection = open((start("hello", { listen = PLAIN .. ", body_timeout = 0.3, await_body = false" })))
    connection:request(1, { method = "POST", ends = false, fields = { { "content-length", "5" } } })
    assert.equal("408 Request Timeout\n", (connection:body(1)))
  end)
end)

describe("an answer that closes the connection", function()
  it("ends it behind the streams that are under way, which go on", function()
    local text = ""
    local proxy = start(function(at)
      at:read_request_head()
      at:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
      for bytes in function() return at:receive_some() end do text = text .. bytes end
    end, { hooks = [[
      local may_close = false
      function policy.request_filter(session)
        local path = session:path()
        if path == "/up" then return end
        if path == "/go" then may_close = true end
        while not may_close do perilune.sleep(0.01) end
        session:read_body()
        return session:respond { status = 200, body = path, close = path == "/close" }
      end]] })
    local connection = open(proxy)
    connection:request(1, { path = "/close", method = "POST", ends = false })
    connection:send("DATA", frames.END_STREAM, 1, "waits to be read")
    connection:request(3, { path = "/up", method = "POST", ends = false })
    connection:send("DATA", 0, 3, "abc")
    assert.equal("ok", connection:body(3))
    connection:request(5, { path = "/go" })
    assert.equal("/close", connection:body(1))
    assert.equal(0x7fffffff, connection:await("GOAWAY").last)
    assert.equal(5, connection:await("GOAWAY").last)
    connection:send("DATA", frames.END_STREAM, 3, "def")
    scheduler.eventually(function() return text:find("def", 1, true) end, 20, "the rest of the upload")
    assert.is_nil(connection:await "HEADERS")
  end)
end)

describe("a proxy that stops", function()
  it("says GOAWAY, answers what is under way, and closes the connection (RFC 9113 6.8)", function()
    local gates = { ["/slow"] = true }
    local proxy = start(gated(gates))
    local connection = open(proxy)
    connection:request(1, { path = "/slow" })
    connection:request(3, { path = "/fast" })
    assert.equal("/fast", connection:body(3))
    proxy:signal "TERM"
    assert.equal(0x7fffffff, connection:await("GOAWAY").last)
    connection:request(5, { path = "/late" })
    assert.equal("/late", connection:body(5))
    assert.equal(5, connection:await("GOAWAY").last)
    gates["/slow"] = nil
    assert.equal("/slow", connection:body(1))
    assert.is_nil(connection:await "HEADERS")
  end)
end)
