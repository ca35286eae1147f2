-- SPDX-License-Identifier: Apache-2.0
-- Tunnels: after a 101 (RFC 9110 section 7.8), or after a 2xx to CONNECT (section 9.3.6) where the policy allows that.
-- Before that they do not exist, and behind it every byte counts.
local client = require "client"
local noise = require "noise"
local origins = require "origins"
local perilune = require "perilune"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local UPGRADE = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
local CONNECT = "CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n"
local SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
local ESTABLISHED = "HTTP/1.1 200 OK\r\n\r\n"

local start = scene.start

-- An origin that switches protocols and goes on with `body(connection)`.
local function switching(body, answer)
  return origins.start(function(connection)
    connection:read_request_head()
    connection:send(answer or SWITCHING)
    body(connection)
  end)
end

-- A client whose tunnel is open.
local function open(proxy, request)
  local connection = client.connect(proxy.port)
  connection:send(request or UPGRADE)
  local response = connection:read_response(request == CONNECT and "CONNECT" or "GET")
  assert(response.status == 101, response.status)
  return connection, response
end

describe("an upgrade", function()
  it("passes long bursts both ways", function()
    local connection = open(start(switching(scene.echo_bytes)))
    local burst = noise(400 * 1024)
    for _ = 1, 5 do
      local heard
      scheduler.all {
        function() connection:send(burst) end,
        function() heard = connection:read(#burst, 10) end,
      }
      assert.is_true(heard == burst, "the bytes came changed")
    end
  end)

  it("becomes a tunnel in both directions (RFC 9110 7.8)", function()
    local origin = switching(scene.echo_bytes)
    local connection, response = open(start(origin))
    assert.equal("websocket", response.headers.upgrade)
    assert.equal("upgrade", response.headers.connection:lower())
    for i = 1, 20 do
      local bytes = ("\0\r\n\255"):rep(i * 100)
      connection:send(bytes)
      assert.equal(bytes, connection:read(#bytes))
    end
    assert.equal("websocket", origin.requests[1].headers.upgrade)
    assert.equal("upgrade", origin.requests[1].headers.connection:lower())
  end)

  it("holds no buffer while it is silent", function()
    local origin = switching(scene.echo_bytes)
    local proxy = perilune.start { workers = 1, release = true, to = { origin.address } }
    local function speak(connection)
      connection:send "hello"
      assert.equal("hello", connection:read(5))
    end
    local tunnels = {}
    for i = 1, 400 do
      tunnels[i] = open(proxy)
      speak(tunnels[i])
      if i == 100 then tunnels.before = proxy:rss() end
    end
    local bytes = (proxy:rss() - tunnels.before) / 300
    assert.is_true(bytes < 12 * 1024, ("%.0f bytes each"):format(bytes))
    for _, connection in ipairs(tunnels) do speak(connection) end
  end)

  it("keeps the bytes right behind the request, and gives them to nobody before the 101 (RFC 9110 7.8)", function()
    local early
    local origin = origins.start(function(connection)
      connection:read_request_head()
      early = connection:read(1, 0.1)
      connection:send(SWITCHING)
      scene.echo_bytes(connection)
    end)
    local connection = client.connect(start(origin).port)
    connection:send(UPGRADE .. "first frame")
    assert.equal(101, connection:read_response().status)
    assert.equal("first frame", connection:read(11))
    assert.is_nil(early)
  end)

  it("keeps the bytes that come right behind the 101 (RFC 9110 15.2.2)", function()
    local origin = switching(scene.echo_bytes, SWITCHING .. "hello from the start")
    local connection = open(start(origin))
    assert.equal("hello from the start", connection:read(20))
  end)

  it("carries megabytes both ways at once", function()
    local origin = switching(scene.echo_bytes)
    local connection = open(start(origin))
    local block, total = ("0123456789abcdef"):rep(4096), 64
    local sent, read = unpack(scheduler.all({
      function()
        for _ = 1, total do assert(connection:send(block)) end
        return true
      end,
      function() return connection:read(#block * total) == block:rep(total) end,
    }, 30))
    assert.is_true(sent)
    assert.is_true(read)
  end)

  it("is closed for one direction at a time: first by the client", function()
    local origin = switching(function(connection)
      local all, ending = connection:receive_all()
      connection:send(("got %s, %s"):format(all, ending))
    end)
    local connection = open(start(origin))
    connection:send "question"
    connection:half_close()
    assert.same({ "got question, closed", "closed" }, { connection:receive_all() })
  end)

  it("is closed for one direction at a time: first by the origin", function()
    local got
    local origin = switching(function(connection)
      connection:send "last words"
      connection:half_close()
      got = { connection:receive_all() }
    end)
    local connection = open(start(origin))
    assert.same({ "last words", "closed" }, { connection:receive_all() })
    connection:send "answer"
    connection:close()
    scheduler.eventually(function() return got end)
    assert.same({ "answer", "closed" }, got)
  end)

  it("ends on both sides when nothing moves for tunnel_timeout", function()
    local ended
    local origin = switching(function(connection)
      connection:send(connection:read(4))
      ended = connection:is_closed()
    end)
    local proxy = start(origin, { listen = "tunnel_timeout = 1" })
    local connection = open(proxy)
    scheduler.sleep(0.5)
    connection:send "ping"
    assert.equal("ping", connection:read(4))
    assert.is_false(connection:is_closed(0.6))
    assert.is_true(connection:is_closed())
    scheduler.eventually(function() return ended end)
  end)

  it("ends on both sides also if only one direction was left", function()
    local origin = switching(function(connection) connection:sleep(60) end)
    local connection = open(start(origin, { listen = "tunnel_timeout = 0.2" }))
    connection:half_close()
    assert.is_true(connection:is_closed())
  end)

  it("ends at the origin when the client resets", function()
    local ended
    local origin = switching(function(connection) ended = connection:is_closed() end)
    local connection = open(start(origin))
    connection:reset()
    scheduler.eventually(function() return ended end, 40, "end of the origin's connection")
  end)

  it("ends at the client when the origin resets", function()
    local origin = switching(function(connection)
      connection:read(4)
      connection:reset()
    end)
    local connection = open(start(origin))
    connection:send "ping"
    assert.is_true(connection:is_closed())
  end)

  it("brings what the origin said before it closed, although the client still sends", function()
    local origin = switching(function(connection)
      connection:read(4)
      connection:send "no more"
    end)
    local connection = open(start(origin))
    local chatting = scheduler.spawn(function()
      while connection:send "ping" do scheduler.sleep(0.001) end
    end)
    assert.equal("no more", (connection:receive_all(5)))
    scheduler.cancel(chatting)
  end)

  it("may be refused with a response, and the connection lives on (RFC 9110 7.8)", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { status = 403, body = "no" } end
    end)
    local connection = client.connect(start(origin).port)
    for _ = 1, 2 do
      connection:send(UPGRADE)
      local response = connection:read_response()
      assert.equal(403, response.status)
      assert.equal("no", response.body)
    end
    assert.equal(1, origin.accepted)
  end)

  it("that nobody asked for is refused: a 101 to a plain request gives 502 (RFC 9110 7.8)", function()
    local origin = switching(function(connection) connection:is_closed(10) end)
    local proxy = start(origin)
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "malformed response: 101 to"
  end)

  it("is logged once, when the tunnel has ended", function()
    local hooks = [[function policy.logging(session, error)
      perilune.log.info("ended", session:response_status(), error and error:kind() or "fine")
    end]]
    local proxy = start(switching(scene.echo_bytes), { hooks = hooks })
    local connection = open(proxy)
    connection:send "x"
    connection:read(1)
    assert.equal(0, proxy:count_log "ended 101")
    connection:half_close()
    connection:receive_all()
    proxy:wait_log "ended 101 fine"
    assert.equal(1, proxy:count_log "ended 101")
  end)

  it("through TLS on the client's side behaves the same", function()
    local files = require("tls").certificate "proxy.example"
    local origin = switching(function(connection)
      local all = connection:receive_all()
      connection:send("got " .. all)
    end, SWITCHING .. "behind")
    local listen = ("certificate = %q, key = %q"):format(files.certificate, files.key)
    local proxy = start(origin, { listen = listen })
    local connection = client.connect { port = proxy.port, tls = { name = "proxy.example", ca = files.ca } }
    connection:send(UPGRADE .. "frames")
    assert.equal(101, connection:read_response().status)
    assert.equal("behind", connection:read(6))
    connection:half_close()
    assert.same({ "got frames", "closed" }, { connection:receive_all() })
  end)
end)

describe("CONNECT", function()
  local allowed = { listen = "allow_connect = true" }

  it("is refused with 405 unless the policy allows it (RFC 9110 15.5.6)", function()
    local origin = switching(scene.echo_bytes, ESTABLISHED)
    local connection = client.connect(start(origin).port)
    connection:send(CONNECT .. "not for anybody")
    assert.equal(405, connection:read_response("CONNECT").status)
    assert.is_true(connection:is_closed())
    assert.equal(0, origin.accepted)
  end)

  it("becomes a tunnel after the peer's 2xx, with the bytes right behind both heads (RFC 9110 9.3.6)", function()
    local origin = switching(scene.echo_bytes, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    local connection = client.connect(start(origin, allowed).port)
    connection:send(CONNECT .. "first")
    assert.equal("HTTP/1.1 200 OK\r\n", connection:read_until "\r\n")
    local head = connection:read_until "\r\n\r\n"
    assert.is_nil(head:lower():find "content%-length")
    assert.equal("hellofirst", connection:read(10))
    connection:send "more"
    assert.equal("more", connection:read(4))
    assert.equal("far.example:443", origin.requests[1].target)
    connection:half_close()
    assert.is_true(connection:is_closed())
  end)

  it("that the peer refuses is no tunnel, and what came behind it is nobody's request (RFC 9110 9.3.6)", function()
    local origin = origins.start(function(connection)
      while connection:read_request_head() do connection:respond { status = 403, body = "no" } end
    end)
    local connection = client.connect(start(origin, allowed).port)
    connection:send(CONNECT .. "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    local response = connection:read_response("CONNECT")
    assert.equal(403, response.status)
    assert.equal("no", response.body)
    assert.equal("close", response.headers.connection)
    assert.is_true(connection:is_closed())
    assert.equal(1, #origin.requests)
  end)

  it("cannot be made a tunnel, or none, by a change of the status", function()
    local hooks = [[function policy.response_filter(session, response)
      response:set_status(response:status() == 200 and 403 or 200)
    end]]
    for _, status in ipairs { 200, 403 } do
      local proxy = scene.proxied(function(connection)
        connection:read_request_head()
        connection:respond { status = status, body = "x" }
        connection:is_closed()
      end, { hooks = hooks, listen = "allow_connect = true" })
      local connection = client.connect(proxy.port)
      connection:send(CONNECT)
      assert.equal(500, connection:read_response("CONNECT").status)
      proxy:wait_log "cannot become one with status"
    end
  end)

  it("that needs a login first keeps its connection for the next try (RFC 9110 section 11.7)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:respond { status = 407, headers = { ["Proxy-Authenticate"] = "Negotiate" } }
      connection:read_request_head()
      connection:send(ESTABLISHED)
      scene.echo_bytes(connection)
    end)
    local connection = client.connect(start(origin, allowed).port)
    connection:send(CONNECT)
    assert.equal(407, connection:read_response("CONNECT").status)
    connection:send(CONNECT)
    connection:read_until "\r\n\r\n"
    connection:send "in"
    assert.equal("in", connection:read(2))
  end)
end)
