-- SPDX-License-Identifier: Apache-2.0
-- Connections that live on: the client's from request to request, and the pool of those to the origins.
local client = require "client"
local http1 = require "http1"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local start = scene.start

local function connections_of(origin)
  local numbers = {}
  for i, request in ipairs(origin.requests) do numbers[i] = request.connection end
  return numbers
end

describe("a client's connection", function()
  it("serves request after request (RFC 9112 9.3)", function()
    local proxy = scene.proxied("hello")
    local connection = client.connect(proxy.port)
    for _ = 1, 5 do assert.equal("hello", connection:request().body) end
    assert.is_false(connection:is_closed(0.1))
  end)

  it("is closed behind the response when the client asks for that (RFC 9112 9.6)", function()
    local proxy = scene.proxied("hello")
    local response = client.request { port = proxy.port, headers = { Connection = "close" } }
    assert.equal("close", response.headers.connection)
    assert.is_true(response.closed)
  end)

  it("of HTTP/1.0 is closed, as a proxy must, even when keep-alive is asked for (RFC 9112 section 9.3)", function()
    local proxy = scene.proxied("hello")
    for _, headers in ipairs { {}, { Connection = "keep-alive" } } do
      local connection = client.connect(proxy.port)
      local response = connection:request { version = "1.0", headers = headers }
      assert.equal("hello", response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(connection:is_closed())
    end
  end)

  it("answers pipelined requests in their order (RFC 9112 9.3.2)", function()
    local proxy = scene.proxied(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        if request.target == "/1" then connection:sleep(0.1) end
        connection:respond { body = request.target }
      end
    end)
    local connection = client.connect(proxy.port)
    local bytes = {}
    for i = 1, 5 do bytes[i] = http1.write("GET /" .. i .. " HTTP/1.1", { Host = "a" }) end
    connection:send(table.concat(bytes))
    for i = 1, 5 do assert.equal("/" .. i, connection:read_response().body) end
  end)

  -- Once the sockets are full, answers wait in the proxy, and with them the end.
  local function read_late(ends)
    local proxy = perilune.start { workers = 1, settings = { "--admin", "127.0.0.1:0" }, policy = [[
      local body = ("x"):rep(3000)
      require("perilune").listen("127.0.0.1:0", {
        request_filter = function(session) return session:respond { status = 200, body = body } end,
      })
    ]] }
    local count = 1500
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send((http1.write("GET / HTTP/1.1", { Host = "a" })):rep(count - 1))
    ends(connection)
    local answered
    scheduler.eventually(function()
      local before = answered
      answered = metrics.read(proxy)[('perilune_response_bytes_total{listener="127.0.0.1:%d"}'):format(proxy.port)]
      return answered == before and answered > 0
    end)
    for _ = 1, count do assert.equal(3000, #connection:read_response().body) end
    assert.is_true(connection:is_closed())
  end

  it("gives a client that reads late all its answers, whole and to the end", function()
    read_late(function(connection)
      connection:send(http1.write("GET / HTTP/1.1", { Host = "a", Connection = "close" }))
    end)
  end)

  it("gives them to a client that has ended its direction, too", function()
    read_late(function(connection)
      connection:send(http1.write("GET / HTTP/1.1", { Host = "a" }))
      connection:half_close()
    end)
  end)

  it("stays open behind an answer of the proxy's own to a request without a body (RFC 9112 9.3)", function()
    local proxy = start({ address = origins.dead_address() })
    local connection = client.connect(proxy.port)
    assert.equal(502, connection:request().status)
    assert.equal(502, connection:request().status)
  end)
end)

describe("the pool", function()
  it("uses an origin's connection for the next request, of whatever client", function()
    local proxy, origin = scene.proxied("hello")
    for _ = 1, 3 do assert.equal("hello", client.request(proxy.port).body) end
    assert.equal(1, origin.accepted)
  end)

  it("opens a further connection while the first is busy", function()
    local proxy, origin = scene.proxied(function(connection)
      while connection:read_request() do
        connection:sleep(0.3)
        connection:respond { body = "hello" }
      end
    end)
    local ask = function() return client.request(proxy.port).body end
    assert.same({ "hello", "hello" }, scheduler.all { ask, ask })
    assert.equal(2, origin.accepted)
  end)

  it("does not keep a connection whose origin says that it closes (RFC 9112 9.6)", function()
    local proxy, origin = scene.proxied(function(connection)
      connection:read_request()
      connection:respond { body = "hello", headers = { Connection = "close" } }
    end)
    for _ = 1, 3 do assert.equal("hello", client.request(proxy.port).body) end
    assert.same({ 1, 2, 3 }, connections_of(origin))
  end)

  it("does not keep a connection on which bytes follow the response; nobody gets them (RFC 9112 6.3)", function()
    local proxy, origin = scene.proxied(function(connection)
      while connection:read_request() do
        connection:send(http1.write("HTTP/1.1 200 OK", {}, "hello") .. http1.write("HTTP/1.1 200 OK", {}, "evil"))
      end
    end)
    local connection = client.connect(proxy.port)
    for _ = 1, 3 do assert.equal("hello", connection:request().body) end
    assert.same({ 1, 2, 3 }, connections_of(origin))
  end)

  it("notices when an origin closes an idle connection (RFC 9112 9.5)", function()
    local proxy, origin = scene.proxied(function(connection)
      connection:read_request()
      connection:respond { body = "hello" }
    end)
    for _ = 1, 3 do
      local files = proxy:open_files()
      assert.equal("hello", client.request(proxy.port).body)
      scheduler.eventually(function() return proxy:open_files() <= files end, 40, "closing of the idle connection")
    end
    assert.same({ 1, 2, 3 }, connections_of(origin))
  end)

  it("gives up idle connections after their time", function()
    local proxy, origin = scene.proxied("hello", { peer = ", idle_timeout = 0.2" })
    client.request(proxy.port)
    scheduler.eventually(function() return origin:open_count() == 0 end, 40, "end of the idle connection")
  end)

  it("gives no request a connection whose idle time is over, however late the worker is", function()
    local _, origin, ask = scene.proxied("hello", {
      peer = ", idle_timeout = 0.05",
      hooks = [[function policy.request_filter()
        local begun = os.clock()
        while os.clock() - begun < 0.3 do end
        perilune.sleep(0.001)
      end]],
    })
    for _ = 1, 2 do assert.equal("hello", ask().body) end
    assert.same({ 1, 2 }, connections_of(origin))
  end)

  it("keeps nothing with idle_timeout = false", function()
    local proxy, origin = scene.proxied("hello", { peer = ", idle_timeout = false" })
    for _ = 1, 3 do client.request(proxy.port) end
    assert.equal(3, origin.accepted)
  end)

  it("is full of no more connections than were open at once, and its descriptors come back", function()
    local waiting, most = 0, 12
    local proxy, origin, ask = scene.proxied(function(connection)
      while connection:read_request() do -- all of a round are here before the first is answered
        waiting = waiting + 1
        local round = math.ceil(waiting / most)
        scheduler.eventually(function() return waiting >= round * most end)
        connection:respond { body = "hello" }
      end
    end, { peer = ", idle_timeout = 2" })
    local before = proxy:open_files()
    local asks = {}
    for i = 1, most do asks[i] = function() return ask().status end end
    for _ = 1, 4 do scheduler.all(asks) end
    assert.same({ most, 4 * most }, { origin.accepted, #origin.requests })
    assert.equal(most, origin:open_count())
    scene.sooner_than(55, function()
      scheduler.eventually(function() return origin:open_count() == 0 end)
    end)
    scheduler.eventually(function() return proxy:open_files() <= before end, 40, "return of all descriptors")
  end)
end)

describe("a pooled connection that the origin closed meanwhile", function()
  -- Answers the first request of its first connection and closes when the next request has come.
  local function closing_origin()
    return origins.start(function(connection, number)
      connection:read_request()
      connection:respond { body = "hello" }
      connection:read_request()
      if number == 1 then return end
      repeat connection:respond { body = "again" } until not connection:read_request()
    end)
  end

  for _, method in ipairs { "GET", "PUT", "DELETE", "OPTIONS" } do
    it("makes an idempotent " .. method .. " request be sent again on a fresh one (RFC 9110 9.2.2)", function()
      local origin = closing_origin()
      local proxy = start(origin)
      assert.equal("hello", client.request(proxy.port).body)
      local body = method == "PUT" and "some body" or nil
      local response = client.request { port = proxy.port, method = method, body = body }
      assert.equal(200, response.status)
      assert.same({ 1, 1, 2 }, connections_of(origin))
      if body then assert.equal(body, origin.requests[3].body) end
    end)
  end

  it("gives 502 for a POST that may have been handled, and does not send it twice (RFC 9110 9.2.2)", function()
    local origin = closing_origin()
    local proxy = start(origin)
    assert.equal("hello", client.request(proxy.port).body)
    local response = client.request { port = proxy.port, method = "POST", body = "pay" }
    assert.equal(502, response.status)
    assert.equal(2, #origin.requests)
  end)
end)
