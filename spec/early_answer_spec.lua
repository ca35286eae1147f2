-- SPDX-License-Identifier: Apache-2.0
-- Answers before the request has ended (RFC 9112 section 9.3): the rest of the body is read away within bounds, or the
-- connection is closed. It is never taken for a request, and the client can always read what it was answered.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local MEGABYTE = 1024 * 1024
-- A body that would be a request, if anybody took it for one.
local SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"

local start = scene.start

-- Hooks that answer requests to /early before their body was read.
local function early_in(hook, code)
  return ("function policy.%s(session) if session:path() == '/early' then %s end end"):format(hook, code)
end
local function early_peer(code)
  return ([[
local usual = policy.upstream_peer
function policy.upstream_peer(session)
  if session:path() == "/early" then return %s end
  return usual(session)
end]]):format(code)
end
local early = {
  ["a policy's answer in early_request_filter"] = {
    429, early_in("early_request_filter", "session:respond { status = 429 }"),
  },
  ["a policy's answer in request_filter"] = {
    403, early_in("request_filter", "return session:respond { status = 403 }"),
  },
  ["a policy's answer in upstream_request_filter"] = {
    418, early_in("upstream_request_filter", "session:respond { status = 418 }"),
  },
  ["a policy that refuses to ask a peer"] = { 502, early_in("proxy_upstream_filter", "return false") },
  ["a policy that raises"] = { 500, early_in("request_filter", "error 'no'") },
  ["a policy that raises a status"] = { 422, early_in("request_filter", "error { status = 422 }") },
  ["a policy that gives no peer"] = { 500, early_peer "nil" },
  ["a peer that refuses the connection"] = { 502, early_peer '"$DEAD"' },
}

local function length_head(length)
  return http1.write("POST /early HTTP/1.1", { { "Host", "a" }, { "Content-Length", tostring(length) } })
end
local CHUNKED_HEAD = "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

for name, case in pairs(early) do
  describe(name .. " in answer to a request with a body", function()
    local status = case[1]
    local function begin()
      local origin = origins.start "hello"
      local hooks = policies.fill(case[2], { DEAD = origins.dead_address() })
      return client.connect(start(origin, { hooks = hooks }).port), origin
    end
    local function expect_next(connection, origin)
      assert.equal("hello", connection:request().body)
      for _, request in ipairs(origin.requests) do assert.equal("/", request.target) end
    end

    it("reads away a body by length, and serves the next request (RFC 9112 9.3)", function()
      local connection, origin = begin()
      local body = SMUGGLED:rep(10)
      connection:send(length_head(#body) .. body)
      assert.equal(status, connection:read_response().status)
      expect_next(connection, origin)
    end)

    it("reads away a chunked body that comes after the answer, and serves the next request (RFC 9112 9.3)", function()
      local connection, origin = begin()
      connection:send(CHUNKED_HEAD .. http1.chunk(SMUGGLED))
      assert.equal(status, connection:read_response().status)
      for _ = 1, 3 do
        scheduler.sleep(0.01)
        connection:send(http1.chunk(SMUGGLED))
      end
      connection:send "0\r\nTrailer: x\r\n\r\n"
      expect_next(connection, origin)
    end)

    it("closes where the body is longer than drain_limit, and the client can read the answer (RFC 9112 9.6)", function()
      local connection, origin = begin()
      connection:send(length_head(50 * MEGABYTE))
      local block = SMUGGLED:rep(1000)
      for _ = 1, 50 * MEGABYTE / #block do
        if not connection:send(block) then break end
      end
      local response = assert(connection:read_response())
      assert.equal(status, response.status)
      assert.equal("close", response.headers.connection)
      assert.is_true(connection:is_closed())
      assert.equal(0, #origin.requests)
    end)

    it("closes where the body turns out to be malformed (RFC 9112 6.3)", function()
      local connection, origin = begin()
      connection:send(CHUNKED_HEAD .. http1.chunk "fine" .. "xyz\r\n" .. SMUGGLED)
      assert.equal(status, connection:read_response().status)
      assert.is_true(connection:is_closed())
      assert.equal(0, #origin.requests)
    end)
  end)
end

describe("413 for a body that is announced too large", function()
  it("can be read by a client that sends all of it first (RFC 9112 9.6)", function()
    local proxy = scene.proxied("hello", { listen = "body_limit = 1000" })
    local connection = client.connect(proxy.port)
    connection:send(length_head(20 * MEGABYTE))
    local block = ("x"):rep(65536)
    for _ = 1, 20 * MEGABYTE / #block do assert(connection:send(block)) end
    assert.equal(413, connection:read_response().status)
    assert.is_true(connection:is_closed())
  end)
end)

describe("an answer of the policy's own that is larger than sockets hold", function()
  it("can be read by a client that sends all of its request first", function()
    local proxy = start(origins.start "hello", { hooks = ([[
      local body = ("x"):rep(%d)
      function policy.request_filter(session) return session:respond { status = 403, body = body } end
    ]]):format(16 * MEGABYTE), listen = "drain_limit = 1e9" })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send(length_head(20 * MEGABYTE))
    local block = ("x"):rep(65536)
    for _ = 1, 20 * MEGABYTE / #block do assert(connection:send(block)) end
    local response = connection:read_response()
    assert.same({ 403, 16 * MEGABYTE }, { response.status, #response.body })
  end)
end)

describe("a chunked body longer than drain_limit", function()
  it("is read away where the connection was to be kept: the next request is served (RFC 9112 9.3)", function()
    local options = { hooks = "function policy.request_filter(session) return session:respond { status = 403 } end",
      listen = "drain_limit = 1000" }
    local connection = client.connect(start(origins.start "hello", options).port)
    connection:send(CHUNKED_HEAD)
    assert.equal(403, connection:read_response().status)
    for _ = 1, 100 do connection:send(http1.chunk(("x"):rep(65536))) end
    connection:send("0\r\n\r\n" .. "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert.equal(403, connection:read_response().status)
  end)
end)

describe("a body that stalls behind an early answer", function()
  it("keeps the connection open for some seconds only", function()
    local hooks = "function policy.request_filter(session) return session:respond { status = 403 } end"
    local connection = client.connect(scene.proxied("hello", { hooks = hooks }).port)
    connection:send(length_head(10))
    assert.equal(403, connection:read_response().status)
    assert.same({ "", "closed" }, { connection:receive_all(8) })
  end)
end)

describe("an origin that answers before the request has ended", function()
  -- Answers each head at once; keeps or closes.
  local function hasty(headers, after)
    return origins.start(function(connection)
      while connection:read_request_head() do
        connection:respond { status = 200, body = connection.request.target, headers = headers }
        if after then return after(connection) end
        connection:read_request_body()
      end
    end)
  end

  it("and reads on gets the rest, and both connections serve the next request (RFC 9112 9.3)", function()
    local origin = hasty()
    local connection = client.connect(start(origin).port)
    connection:send(length_head(1000))
    assert.equal("/early", connection:read_response().body)
    connection:send(SMUGGLED:rep(30):sub(1, 1000))
    assert.equal("/", connection:request().body)
    assert.equal(2, #origin.requests)
    assert.equal(1000, #origin.requests[1].body)
    assert.equal(1, origin.accepted)
  end)

  it("and reads no further has the rest read away, however long: the connection is kept (RFC 9112 9.3)", function()
    local origin = hasty(nil, function(connection)
      if connection.request.target == "/early" then connection:is_closed(10) end
    end)
    local connection = client.connect(start(origin, { listen = "drain_limit = 1000" }).port)
    connection:send(length_head(20 * MEGABYTE))
    local response = assert(connection:read_response())
    assert.equal("/early", response.body)
    assert.is_nil(response.headers.connection)
    local block = ("x"):rep(65536)
    for _ = 1, 20 * MEGABYTE / #block do assert(connection:send(block)) end
    assert.equal("/", connection:request().body)
  end)

  it("and closes has its answer passed on, and the rest of a small body is read away (RFC 9112 9.5)", function()
    local origin = hasty({ Connection = "close" }, function(connection) connection:is_closed(1) end)
    local connection = client.connect(start(origin).port)
    connection:send(length_head(1000))
    assert.equal("/early", connection:read_response().body)
    connection:send(SMUGGLED:rep(30):sub(1, 1000))
    assert.equal("/", connection:request().body)
    assert.same({ "/early", "/" }, { origin.requests[1].target, origin.requests[2].target })
    assert.equal(2, origin.accepted)
  end)

  it("and closes at once, in mid-upload, has its answer passed on (RFC 9112 9.5)", function()
    local origin = hasty({ Connection = "close" }, function() end)
    local connection = client.connect(start(origin).port)
    connection:send(length_head(50 * MEGABYTE))
    local block = ("x"):rep(65536)
    for _ = 1, 50 * MEGABYTE / #block do
      if not connection:send(block) then break end
    end
    local response = assert(connection:read_response())
    assert.equal(200, response.status)
    assert.equal("/early", response.body)
    assert.equal("close", response.headers.connection)
    assert.is_true(connection:is_closed())
  end)

  it("and streams its response does so while the client uploads (RFC 9110 7.6)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      for _ = 1, 10 do
        connection:send(http1.chunk("down"))
        connection:read(2)
      end
      connection:send(http1.chunk "")
      connection:read(1)
      connection:respond { body = "next" }
    end)
    local connection = client.connect(start(origin).port)
    connection:send(length_head(20))
    for _ = 1, 10 do
      assert.is_truthy(connection:read_until "down\r\n")
      connection:send "up"
    end
    assert.equal("0\r\n\r\n", connection:read(5))
    assert.equal("next", connection:request().body)
  end)

  it("whole, before a body that then breaks its framing: the client can read the response (RFC 9112 6.3)", function()
    local origin = hasty()
    local proxy = start(origin)
    local connection = client.connect(proxy.port)
    connection:send(CHUNKED_HEAD .. http1.chunk "fine")
    scheduler.eventually(function() return #origin.requests == 1 end)
    scheduler.wait(connection.fd, sys.READ) -- the response is there, and not read yet
    connection:send("xyz\r\n" .. SMUGGLED:rep(100))
    local response = assert(connection:read_response())
    assert.equal("/early", response.body)
    assert.is_true(connection:is_closed())
    assert.equal(1, #origin.requests)
  end)
end)

describe("a policy's answer in upstream_response_filter", function()
  it("gives up the origin's response in mid-upload; the next request is not the rest (RFC 9112 9.3)", function()
    local origin = origins.start(function(connection)
      while connection:read_request_head() do
        connection:respond { body = connection.request.target }
        connection:sleep(0.2)
        connection:read_request_body()
      end
    end)
    local hooks = [[function policy.upstream_response_filter(session)
      if session:path() == "/early" then session:respond { status = 451 } end
    end]]
    local connection = client.connect(start(origin, { hooks = hooks, listen = "drain_limit = 100000000" }).port)
    local body = SMUGGLED:rep(10 * MEGABYTE / #SMUGGLED)
    connection:send(length_head(#body))
    local uploading = scheduler.spawn(function() connection:send(body) end)
    assert.equal(451, connection:read_response().status)
    scheduler.eventually(function() return uploading.is_done end)
    assert.equal("/", connection:request().body)
    for _, request in ipairs(origin.requests) do assert.not_equal("/smuggled", request.target) end
  end)
end)

describe("pipelined requests", function()
  local function slow_first()
    return origins.start(function(connection)
      while connection:read_request() do
        if connection.request.target == "/1" then connection:sleep(0.2) end
        connection:respond { body = connection.request.target .. connection.request.body }
      end
    end)
  end
  local function request(i, body)
    return http1.write(("%s /%d HTTP/1.1"):format(body and "POST" or "GET", i), { Host = "a" }, body)
  end

  it("are answered in order, with a slow first one, of a client that half-closed (RFC 9112 9.3.2)", function()
    local connection = client.connect(start(slow_first()).port)
    local bytes = {}
    for i = 1, 20 do bytes[i] = request(i, i % 3 == 0 and "body" .. i or nil) end
    connection:send(table.concat(bytes))
    connection:half_close()
    for i = 1, 20 do
      local response = assert(connection:read_response())
      assert.equal("/" .. i .. (i % 3 == 0 and "body" .. i or ""), response.body)
    end
    assert.is_true(connection:is_closed())
  end)

  it("behind an early answer follow where the body ends (RFC 9112 9.3.2)", function()
    local options = { hooks = early_in("request_filter", "return session:respond { status = 403 }") }
    local connection = client.connect(start(slow_first(), options).port)
    connection:send(length_head(#SMUGGLED) .. SMUGGLED .. request(2) .. CHUNKED_HEAD .. http1.chunk(SMUGGLED)
      .. http1.chunk "" .. request(4))
    assert.equal(403, connection:read_response().status)
    assert.equal("/2", connection:read_response().body)
    assert.equal(403, connection:read_response().status)
    assert.equal("/4", connection:read_response().body)
  end)

  it("behind one that closes the connection are not answered (RFC 9112 9.6)", function()
    local connection = client.connect(start(slow_first()).port)
    connection:send("GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" .. request(3))
    assert.equal("/2", connection:read_response().body)
    assert.same({ "", "closed" }, { connection:receive_all(5) })
  end)

  it("of which the last is cut off are answered, the last one with 400 (RFC 9112 8)", function()
    local connection = client.connect(start(slow_first()).port)
    connection:send(request(1) .. request(2) .. "GET /3 HT")
    connection:half_close()
    assert.equal("/1", connection:read_response().body)
    assert.equal("/2", connection:read_response().body)
    assert.equal(400, connection:read_response().status)
    assert.is_true(connection:is_closed())
  end)
end)

describe("a client that goes away in mid-upload", function()
  it("takes the origin's connection with it (RFC 9112 8)", function()
    local failures = {}
    local proxy, origin = scene.proxied(function(connection)
      while connection:read_request() do
        failures[#failures + 1] = connection.request.failure
        if connection.request.failure then return end
        connection:respond { body = "hello" }
      end
    end)
    for _, way in ipairs { "close", "reset" } do
      assert.equal("hello", client.request(proxy.port).body)
      local connection = client.connect(proxy.port)
      connection:send(length_head(1000) .. "some of it")
      local before = #failures
      scheduler.eventually(function() return origin.requests[#origin.requests].target == "/early" end)
      connection[way](connection)
      scheduler.eventually(function() return #failures > before end)
      assert.equal("hello", client.request(proxy.port).body)
    end
    assert.equal(3, origin.accepted)
  end)
end)

describe("through TLS on the client's side", function()
  local tls = require "tls"
  local function start_tls(origin, listen, hooks)
    local files = tls.certificate "proxy.example"
    listen = ("certificate = %q, key = %q, %s"):format(files.certificate, files.key, listen or "")
    local proxy = start(origin, { listen = listen, hooks = hooks })
    return client.connect { port = proxy.port, tls = { name = "proxy.example", ca = files.ca } }
  end

  it("a client that sends all of a body that is too large can read its 413", function()
    local connection = start_tls(origins.start "hello", "body_limit = 1000")
    connection:send(length_head(5 * MEGABYTE))
    local block = ("x"):rep(65536)
    for _ = 1, 5 * MEGABYTE / #block do assert(connection:send(block)) end
    assert.equal(413, connection:read_response().status)
    assert.same({ "", "closed" }, { connection:receive_all(5) })
  end)

  it("the rest of a body is read away, and the next request is served", function()
    local hooks = early_in("request_filter", "return session:respond { status = 403 }")
    local connection = start_tls(origins.start "hello", nil, hooks)
    for _ = 1, 3 do
      connection:send(length_head(#SMUGGLED * 100))
      assert.equal(403, connection:read_response().status)
      connection:send(SMUGGLED:rep(100))
    end
    assert.equal("hello", connection:request().body)
  end)

  it("pipelined requests are answered to a client that has ended its direction, and the end is proper", function()
    local connection = start_tls(origins.start "hello")
    connection:send(http1.write("GET / HTTP/1.1", { Host = "a" }):rep(10))
    connection:half_close()
    for _ = 1, 10 do assert.equal("hello", assert(connection:read_response()).body) end
    assert.same({ "", "closed" }, { connection:receive_all(5) })
  end)
end)
