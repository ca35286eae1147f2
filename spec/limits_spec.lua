-- SPDX-License-Identifier: Apache-2.0
-- Every wait has an end and every size a limit; each is a setting of the listener or of the peer.
local client = require "client"
local http1 = require "http1"
local kernel = require "kernel"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)


local start = scene.start

-- Sends `text` in single bytes, until it is through or nobody takes them any more.
local function trickle(connection, text, pause)
  return scheduler.spawn(function()
    for i = 1, #text do
      if not connection:send(text:sub(i, i)) then return end
      scheduler.sleep(pause)
    end
  end)
end

local function sends_endlessly(ended)
  return function(connection)
    connection:read_request()
    connection:send "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    local block = ("x"):rep(65536)
    while connection:send(block) do scheduler.sleep(0) end
    ended.ended = true
  end
end

describe("the process", function()
  it("has as many descriptors as it may have", function()
    local to = { origins.free_address() }
    local proxy = perilune.start { workers = 1, to = to, under = { "prlimit", "--nofile=256:2048" } }
    local limits = process.read_file("/proc/" .. proxy.pid .. "/limits")
    assert.matches("Max open files%s+2048%s+2048", limits)
  end)
end)

describe("a request head", function()
  it("byte by byte is answered like any other (RFC 9112 2.2)", function()
    local connection = client.connect(scene.proxied("hello").port)
    trickle(connection, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0.001)
    assert.equal("hello", connection:read_response().body)
  end)

  it("has head_timeout in all, however steadily it comes: then 408 (RFC 9110 15.5.9)", function()
    local proxy = scene.proxied("hello", { listen = "head_timeout = 0.4" })
    local connection = client.connect(proxy.port)
    local begun = sys.now()
    local task = trickle(connection, "GET / HTTP/1.1\r\nX: " .. ("x"):rep(10000), 0.01)
    local response = scene.sooner_than(30, function() return connection:read_response() end)
    local took = sys.now() - begun
    assert.equal(408, response.status)
    assert.equal("close", response.headers.connection)
    assert.is_true(took > 0.35, ("after %.2f s"):format(took))
    assert.is_true(connection:is_closed())
    scheduler.cancel(task)
    proxy:wait_log "client 127%.0%.0%.1:%d+: the request head took too long"
  end)

  it("has head_timeout from its first byte on, also on a connection that served before (RFC 9110 15.5.9)", function()
    local proxy = scene.proxied("hello", { listen = "head_timeout = 0.3" })
    local connection = client.connect(proxy.port)
    assert.equal(200, connection:request().status)
    scheduler.sleep(0.35)
    assert.equal(200, connection:request().status)
    connection:send "G"
    scene.sooner_than(30, function() assert.equal(408, connection:read_response().status) end)
  end)

  it("that never begins ends the connection without a word (RFC 9112 9.5)", function()
    local proxy = scene.proxied("hello", { listen = "head_timeout = 0.2" })
    local connection = client.connect(proxy.port)
    assert.same({ "", "closed" }, { connection:receive_all(5) })
  end)

  local function status_of(proxy, head)
    local connection = client.connect(proxy.port)
    connection:send(head)
    local response = assert(connection:read_response())
    assert.equal(response.status ~= 200, response.headers.connection == "close")
    if response.status ~= 200 then assert.is_true(connection:is_closed()) end
    return response.status
  end

  it("has at most head_limit bytes: 431 (RFC 6585 5)", function()
    local proxy = scene.proxied("hello", { listen = "head_limit = 200" })
    local rest = #"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    local function head(size) return "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(size - rest) .. "\r\n\r\n" end
    assert.equal(200, status_of(proxy, head(200)))
    assert.equal(431, status_of(proxy, head(201)))
    assert.equal(431, status_of(proxy, "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(300)))
    proxy:wait_log "client 127%.0%.0%.1:%d+: the request head is larger than allowed"
  end)

  it("has at most fields_limit fields: 431 (RFC 6585 5)", function()
    local proxy = scene.proxied("hello", { listen = "fields_limit = 5" })
    local function head(count) return "GET / HTTP/1.1\r\nHost: a\r\n" .. ("X: 1\r\n"):rep(count - 1) .. "\r\n" end
    assert.equal(200, status_of(proxy, head(5)))
    assert.equal(431, status_of(proxy, head(6)))
  end)

  it("has a target of at most target_limit bytes: 414 (RFC 9110 15.5.15)", function()
    local proxy = scene.proxied("hello", { listen = "target_limit = 50" })
    local function head(size) return "GET /" .. ("x"):rep(size - 1) .. " HTTP/1.1\r\nHost: a\r\n\r\n" end
    assert.equal(200, status_of(proxy, head(50)))
    assert.equal(414, status_of(proxy, head(51)))
    assert.equal(414, status_of(proxy, "GET /" .. ("x"):rep(1000)))
    proxy:wait_log "client 127%.0%.0%.1:%d+: the request target is longer than allowed"
  end)
end)

describe("a connection", function()
  it("may idle for keepalive_timeout between two requests (RFC 9112 9.5)", function()
    local proxy = scene.proxied("hello", { listen = "keepalive_timeout = 0.3" })
    local connection = client.connect(proxy.port)
    for _ = 1, 2 do
      assert.equal(200, connection:request().status)
      assert.is_false(connection:is_closed(0.1))
    end
    assert.same({ "", "closed" }, { connection:receive_all(5) })
  end)

  it("serves at most keepalive_requests requests, and says which is the last (RFC 9112 9.6)", function()
    local proxy = scene.proxied("hello", { listen = "keepalive_requests = 3" })
    local connection = client.connect(proxy.port)
    for i = 1, 3 do
      local response = connection:request()
      assert.equal(200, response.status)
      assert.equal(i == 3 and "close" or nil, response.headers.connection)
    end
    assert.is_true(connection:is_closed())
  end)

  it("has handshake_timeout for its TLS handshake", function()
    local files = require("tls").certificate "proxy.example"
    local listen = ("certificate = %q, key = %q, handshake_timeout = 0.2"):format(files.certificate, files.key)
    local proxy = scene.proxied("hello", { listen = listen })
    local connection = client.connect(proxy.port)
    connection:send "\22\3\1"
    scene.sooner_than(10, function() assert.is_true(connection:is_closed()) end)
  end)
end)

describe("a request body", function()
  local HEAD = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"

  it("may take any time, if body_timeout is never reached between two reads", function()
    local proxy = scene.proxied("hello", { listen = "body_timeout = 1" })
    local connection = client.connect(proxy.port)
    connection:send(HEAD)
    trickle(connection, ("x"):rep(20), 0.06)
    assert.equal("hello", connection:read_response().body)
  end)

  it("that stalls for body_timeout gives 408, and ends the request to the origin (RFC 9110 15.5.9)", function()
    local failure
    local proxy = scene.proxied(function(connection) failure = connection:read_request().failure end,
      { listen = "body_timeout = 0.2" })
    local connection = client.connect(proxy.port)
    connection:send(HEAD .. "hello")
    assert.equal(408, connection:read_response().status)
    assert.is_true(connection:is_closed())
    scheduler.eventually(function() return failure end)
    proxy:wait_log "client 127%.0%.0%.1:%d+: the request body stalled"
  end)

  it("of more than body_limit by length gives 413, and no origin is asked (RFC 9110 15.5.14)", function()
    local proxy, origin = scene.proxied("hello", { listen = "body_limit = '1K'" })
    assert.equal(200, client.request({ port = proxy.port, method = "POST", body = ("x"):rep(1024) }).status)
    local response = client.request { port = proxy.port, method = "POST", body = ("x"):rep(1025) }
    assert.equal(413, response.status)
    assert.is_true(response.closed)
    assert.equal(1, #origin.requests)
  end)

  it("of more than body_limit in chunks gives 413, and the origin sees it cut off (RFC 9110 15.5.14)", function()
    local proxy, origin = scene.proxied(function(connection)
      while connection:read_request() do
        if connection.request.failure then return end
        connection:respond { body = "hello" }
      end
    end, { listen = "body_limit = 100" })
    local ask = { port = proxy.port, method = "POST", chunked = true, body = ("x"):rep(100) }
    assert.equal(200, client.request(ask).status)
    local connection = client.connect(proxy.port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" .. http1.chunk(("x"):rep(60)))
    scheduler.eventually(function() return #origin.requests == 2 end)
    connection:send(http1.chunk(("x"):rep(41)))
    assert.equal(413, connection:read_response().status)
    assert.is_true(connection:is_closed())
    scheduler.eventually(function() return origin.requests[2].failure end)
  end)
end)

describe("a client that does not read its response", function()
  it("is cut off after send_timeout, and so is the origin", function()
    local state = {}
    local hooks = "function policy.logging(session, error) perilune.log.info('ended', error:kind()) end"
    local proxy = scene.proxied(sends_endlessly(state), { listen = "send_timeout = 0.3", hooks = hooks })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send_request {}
    scheduler.eventually(function() return state.ended end)
    proxy:wait_log "client 127%.0%.0%.1:%d+: the client does not read its response"
    proxy:wait_log "ended client_stalled"
  end)

  it("or reads it slower than min_send_rate, is cut off", function()
    local state = {}
    local proxy = scene.proxied(sends_endlessly(state), { listen = "min_send_rate = 10000000" })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send_request {}
    local reading = scheduler.spawn(function()
      while connection:receive_some(1000) do scheduler.sleep(0.01) end
    end)
    scheduler.eventually(function() return state.ended end)
    scheduler.cancel(reading)
    proxy:wait_log "does not read"
  end)

  it("but reads as fast as min_send_rate wants, is served on", function()
    local state = {}
    local proxy = scene.proxied(sends_endlessly(state), { listen = "min_send_rate = 10000, send_timeout = 1.5" })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send_request {}
    local finish = sys.now() + 2.5
    while sys.now() < finish do
      assert.is_truthy(connection:receive_some(65536))
      scheduler.sleep(0.005)
    end
    assert.is_nil(state.ended)
  end)
end)

describe("a peer", function()
  it("has connect_timeout to accept: 504 (RFC 9110 15.6.5)", function()
    local options = { peer = ", connect_timeout = 0.2", listen = "max_retries = 1" }
    local proxy = start({ address = origins.mute_address() }, options)
    scene.sooner_than(10, function() assert.equal(504, client.request(proxy.port).status) end) -- twice 5
    proxy:wait_log "peer 127%.0%.0%.1:%d+: connecting to the peer took too long"
    assert.equal(2, proxy:count_log "took too long: timed out")
  end)

  it("has first_byte_timeout for its whole response head: 504 (RFC 9110 15.6.5)", function()
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-"
      connection:is_closed()
    end, { peer = ", first_byte_timeout = 0.2" })
    assert.equal(504, client.request({ port = proxy.port, method = "POST", body = "x" }).status)
  end)

  it("has first_byte_timeout for all of its response head, however steadily it comes: 504 (RFC 9110 15.6.5)", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      trickle(connection, "HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(10000), 0.01)
      connection:is_closed()
    end)
    assert.equal(504, client.request(start(origin, { peer = ", first_byte_timeout = 0.3" }).port).status)
  end)

  it("has first_byte_timeout anew behind an interim response (RFC 9110 15.2)", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      for _ = 1, 3 do
        connection:sleep(0.4)
        connection:send "HTTP/1.1 103 Early Hints\r\n\r\n"
      end
      connection:respond { body = "hello" }
    end)
    local connection = client.connect(start(origin, { peer = ", first_byte_timeout = 1" }).port)
    local response = connection:request()
    assert.same({ 200, 3 }, { response.status, #response.interim })
  end)

  it("has first_byte_timeout from the end of the request on, not from its beginning", function()
    local origin = origins.start "hello"
    local connection = client.connect(start(origin, { peer = ", first_byte_timeout = 1" }).port)
    -- In chunks: the peer gets its head at once. A small body of known length would be awaited before.
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    trickle(connection, "14\r\n" .. ("x"):rep(20) .. "\r\n0\r\n\r\n", 0.06)
    assert.equal("hello", connection:read_response().body)
  end)

  it("has send_timeout to take something of the request: 504 (RFC 9110 15.6.5)", function()
    local proxy = scene.proxied(function(connection)
      connection:read_request_head()
      connection:sleep(60)
    end, { peer = ", send_timeout = 0.3" })
    local connection = client.connect(proxy.port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " .. 8 * kernel.connection_bytes() .. "\r\n\r\n")
    local block = ("x"):rep(65536)
    local sending = scheduler.spawn(function()
      while connection:send(block) do scheduler.sleep(0) end
    end)
    assert.equal(504, connection:read_response().status)
    scheduler.cancel(sending)
    proxy:wait_log "peer 127%.0%.0%.1:%d+: the peer stopped reading"
  end)

  it("has read_timeout between two pieces of its response, however many there are (RFC 9112 8)", function()
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
      trickle(connection, ("x"):rep(20), 0.06)
      connection:is_closed()
    end, { peer = ", read_timeout = 1" })
    local response = client.request(proxy.port)
    assert.equal(200, response.status)
    assert.equal(20, #response.body)
    assert.is_truthy(response.failure)
    proxy:wait_log "peer 127%.0%.0%.1:%d+: the peer stalled in mid%-response"
  end)

  it("may not send interim responses without end: 502 (RFC 9110 15.2)", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      local hint = "HTTP/1.1 103 Early Hints\r\nX: " .. ("x"):rep(1000) .. "\r\n\r\n"
      while connection:send(hint) do scheduler.sleep(0) end
    end)
    local response = client.request(start(origin).port)
    assert.equal(502, response.status)
  end)
end)
