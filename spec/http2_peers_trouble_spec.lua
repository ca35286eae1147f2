-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 to peers that fail: what is repeated (RFC 9113 section 8.7), what is refused, and who chooses the protocol.
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local ask_beside = scene.ask_beside
local eventually = scheduler.eventually
local start = scene.http2

local function connect(proxy) return client.connect { port = proxy.port, version = "2" } end

describe("a request to a peer of HTTP/2 is sent again", function()
  -- Answers the first request by `spoil`, and all others.
  local function spoiled(spoil)
    local count = 0
    return function(stream, connection)
      count = count + 1
      if count == 1 then return spoil(stream, connection) end
      stream:respond { body = stream:read_request().body }
    end
  end
  local function post(proxy) return client.request { port = proxy.port, method = "POST", body = "abc" } end

  it("if its stream was refused, whatever its method (RFC 9113 8.7)", function()
    local proxy, origin = start(spoiled(function(stream) stream:reset "refused_stream" end))
    assert.equal("abc", post(proxy).body)
    assert.equal(2, #origin.requests)
    assert.equal(1, origin.accepted)
  end)

  it("if the peer's GOAWAY says that it was not acted on (RFC 9113 6.8)", function()
    local proxy, origin = start(spoiled(function(_, connection)
      connection:send_goaway(0)
      connection.wire:close()
    end))
    assert.equal("abc", post(proxy).body)
    assert.equal(2, origin.accepted)
  end)

  it("but not if the GOAWAY counts it: that one goes on, and the next goes elsewhere", function()
    local gate = true
    local proxy, origin = start(spoiled(function(stream, connection)
      connection:send_goaway(stream.id)
      eventually(function() return not gate end, 20)
      stream:respond "first"
    end))
    local connection = connect(proxy)
    local first = connection:open { method = "POST", body = "abc" }
    eventually(function() return origin.requests[1] end)
    assert.equal("abc", post(proxy).body)
    gate = false
    assert.equal("first", first:read_response().body)
    assert.equal(2, origin.accepted)
  end)

  it("if the connection was there before, is lost, and the method may be repeated (RFC 9110 9.2.2)", function()
    local proxy, origin = start(function(stream, connection)
      if stream.id > 1 then return connection:close() end
      stream:respond { body = stream.request.method }
    end)
    assert.equal("GET", client.request(proxy.port).body)
    assert.equal("PUT", client.request({ port = proxy.port, method = "PUT", body = "abc" }).body)
    assert.equal(2, origin.accepted)
    local response = post(proxy)
    assert.equal(502, response.status)
    assert.equal(2, origin.accepted)
  end)

  it("but not if its stream was reset for another reason", function()
    local proxy, origin = start(spoiled(function(stream) stream:reset "internal_error" end))
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(1, #origin.requests)
    proxy:wait_log "the peer reset the stream of the request: INTERNAL_ERROR"
  end)

  it("at most as often as max_retries says", function()
    local proxy, origin = start(function(stream) stream:reset "refused_stream" end,
      { listen = ", max_retries = 2" })
    assert.equal(502, post(proxy).status)
    assert.equal(3, #origin.requests)
  end)
end)

describe("a peer of HTTP/2 is refused", function()
  local function is_refused(handler, text)
    local proxy = start(handler)
    local response = client.request(proxy.port)
    assert.equal(502, response.status)
    proxy:wait_log(text)
    return proxy
  end
  local function answers(fields, body)
    return function(stream)
      stream:send_fields(fields, not body)
      if body then stream:send(body, true) end
    end
  end

  it("that answers 101, which HTTP/2 does not have (RFC 9113 8.6)", function()
    is_refused(answers { { ":status", "101" } }, "a 101, which HTTP/2 does not have")
  end)

  it("whose head has no valid :status, or a field of a connection (RFC 9113 8.2.2, 8.3.2)", function()
    is_refused(answers { { ":status", "20" } }, "a :status that is none")
    is_refused(answers { { "x-a", "b" } }, "no :status")
    is_refused(answers { { ":status", "200" }, { "connection", "close" } }, "malformed response")
    is_refused(answers { { ":status", "200" }, { "x-a", "b\r\nc: d" } }, "malformed response")
  end)

  it("that sends DATA before a head, or interim responses without end (RFC 9113 8.1)", function()
    is_refused(function(stream) stream:send("x", true) end, "PROTOCOL_ERROR")
    is_refused(function(stream)
      for _ = 1, 40 do stream:send_fields { { ":status", "103" } } end
      stream:respond "hello"
    end, "too many interim responses")
  end)

  it("whose body is not as long as it says, and its response is cut (RFC 9113 8.1.1)", function()
    local proxy = start(function(stream)
      local target = stream.request.target
      stream:send_fields { { ":status", "200" }, { "content-length", "5" } }
      stream:send(target == "/short" and "123" or "1234567", true)
    end)
    for _, target in ipairs { "/short", "/long" } do
      local connection = client.connect(proxy.port)
      connection:send_request { target = target }
      local text = connection:receive_all()
      assert.is_true(#(text:match "\r\n\r\n(.*)" or "") < 5, text)
      local response, why = connect(proxy):request { target = target }
      assert.matches("^reset: ", why or response.failure)
    end
  end)

  it("that speaks no HTTP/2 at all", function()
    local origin = origins.start "hello"
    local proxy = scene.start(origin, { peer = ", http2 = true" })
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "it does not answer with HTTP/2"
  end)

  it("that breaks the protocol: its connection ends with the code that is due", function()
    local at
    local proxy, origin = start(function(stream, connection)
      if not at then
        at = connection
        return connection:send_frame("PING", 0, 0, "short")
      end
      stream:respond "hello"
    end)
    assert.equal(502, client.request(proxy.port).status)
    assert.is_true(at:await_close())
    assert.equal("FRAME_SIZE_ERROR", at.goaway.code)
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal(2, origin.accepted)
  end)
end)

describe("a peer of TLS", function()
  local function secure(http2, alpn, handler)
    local origin = origins.start(handler or "hello", { names = { "a.example" }, http2 = http2 })
    local proxy = scene.start(origin, { listen = "h2c = true",
      peer = (", tls = true, sni = 'a.example', ca = %q, alpn = %q"):format(origin.files.ca, alpn) })
    return proxy, origin
  end
  local function old(at) while at:read_request() do at:respond "old" end end

  it("speaks HTTP/2 where that alone is offered", function()
    local proxy, origin = secure(true, "h2")
    for _, response in ipairs(ask_beside(proxy, 5)()) do assert.equal("hello", response.body) end
    assert.equal(1, origin.accepted)
    assert.equal("https", origin.requests[1].scheme)
  end)

  it("is refused where it does not choose h2, which alone was offered", function()
    local proxy = secure(nil, "h2")
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "it has not chosen h2"
  end)

  it("chooses where both are offered, and is asked accordingly", function()
    local proxy, origin = secure({ http1 = old }, "h2,http/1.1")
    for _, response in ipairs(ask_beside(proxy, 5)()) do assert.equal("hello", response.body) end
    assert.equal(1, origin.accepted)
    proxy, origin = secure(nil, "h2,http/1.1")
    for _, response in ipairs(ask_beside(proxy, 5)()) do assert.equal("hello", response.body) end
    assert.equal("1.1", origin.requests[1].version)
    for _ = 1, 3 do assert.equal("hello", client.request(proxy.port).body) end
    assert.is_true(origin.accepted <= 5)
  end)

  it("may change its choice with any connection", function()
    local proxy, origin = secure(nil, "h2,http/1.1", function(at)
      at:read_request()
      at:respond { body = "old", headers = { Connection = "close" } }
    end)
    assert.equal("old", client.request(proxy.port).body)
    origin.http2 = {}
    origin.handler = function(stream) stream:respond "new" end
    origin.context = tls.server_context(origin.files, nil, "h2")
    for _, response in ipairs(ask_beside(proxy, 3)()) do assert.equal("new", response.body) end
    assert.equal("new", client.request(proxy.port).body)
  end)
end)

describe("options of a peer", function()
  local function fault(options)
    local proxy = scene.start({ address = "127.0.0.1:1" }, { peer = options })
    assert.equal(500, client.request(proxy.port).status)
    return proxy:log()
  end

  it("that contradict each other are an error that says so", function()
    assert.matches('with tls = true, write alpn = "h2"', fault(", tls = true, http2 = true"), 1, true)
    assert.matches("many on one", fault(", http2 = true, proxy_protocol = 1"), 1, true)
    assert.matches("tls = true is missing", fault(', alpn = "h2"'), 1, true)
    assert.matches("h2,http/1.1", fault(', tls = true, alpn = "h3"'), 1, true)
  end)
end)
