-- SPDX-License-Identifier: Apache-2.0
-- Tunnels from and to HTTP/1.1 and HTTP/2, in all four pairs: WebSocket as Upgrade (RFC 6455) and as extended CONNECT
-- (RFC 8441), other protocols of Upgrade, and CONNECT itself (RFC 9113 8.5). Where the versions meet, the proxy says
-- and checks what only one of them has.
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"
local sockets = require "sockets"

after_each(require("cleanup").run)

local eventually = scheduler.eventually
local OFFERS = { settings = { enable_connect_protocol = 1 } }

-- An origin of `version`, which takes extended CONNECT unless options.http2 says otherwise, and a proxy before it.
local function start(version, handler, options)
  options = options or {}
  local is_http2 = version == "2"
  local origin = origins.start(handler, { http2 = is_http2 and (options.http2 or OFFERS) or nil })
  local proxy = scene.start(origin, { listen = "h2c = true" .. (options.listen or ""), hooks = options.hooks,
    peer = (is_http2 and ", http2 = true" or "") .. (options.peer or "") })
  return proxy, origin
end

local function log_of(proxy, text)
  eventually(function() return proxy:log():find(text, 1, true) end, 10, text)
end

for _, from in ipairs { "1.1", "2" } do
  for _, to in ipairs { "1.1", "2" } do
    describe(("a WebSocket from HTTP/%s to HTTP/%s"):format(from, to), function()
      it("is asked for and accepted as the version of each side has it", function()
        local proxy, origin = start(to, sockets.accepting(sockets.echo))
        local socket, response = sockets.open(from, proxy)
        assert.equal(from == "2" and 200 or 101, response.status)
        assert.equal("chat", response.headers.sec_websocket_protocol)
        local request = origin.requests[1]
        assert.same({ "/chat", "13", "http://a.example" },
          { request.target, request.headers.sec_websocket_version, request.headers.origin })
        if to == "2" then
          assert.same({ "CONNECT", "websocket", "a.example", "http" },
            { request.method, request.protocol, request.authority, request.scheme })
          assert.is_nil(request.headers.sec_websocket_key)
          assert.is_nil(request.headers.content_length)
        else
          assert.same({ "GET", "websocket", "a.example" },
            { request.method, request.headers.upgrade, request.headers.host })
        end
        if from == "2" then
          assert.is_nil(response.headers.sec_websocket_accept)
          assert.is_nil(response.headers.upgrade)
        else
          assert.equal(sockets.accept_of(sockets.KEY), response.headers.sec_websocket_accept)
          assert.equal("websocket", response.headers.upgrade)
          assert.equal("upgrade", response.headers.connection:lower())
        end
        socket:send "ping"
        assert.equal("ping", socket:read(4))
        assert.same({}, origin.faults or {})
      end)

      it("carries any bytes in both directions, more than all windows take, and the end of each", function()
        local heard
        local proxy = start(to, sockets.accepting(function(socket)
          heard = socket:read(300000)
          socket:send(heard)
          heard = socket:is_over()
          socket:send "bye"
          socket:finish()
        end))
        local socket = sockets.open(from, proxy)
        local text = ("\0\1\255\r\n."):rep(50000)
        local sender = scheduler.spawn(function() socket:send(text) end)
        assert.is_true(socket:read(300000) == text)
        scheduler.wait_until(function() return sender.is_done end)
        socket:finish()
        assert.equal("bye", socket:read(3))
        assert.equal("closed", heard)
        assert.equal("closed", socket:is_over())
      end)

      it("goes on in one direction when the peer has ended the other", function()
        local heard
        local proxy = start(to, sockets.accepting(function(socket)
          socket:send "first"
          socket:finish()
          heard = socket:read(5)
          heard = heard .. tostring(socket:is_over())
        end))
        local socket = sockets.open(from, proxy)
        assert.equal("first", socket:read(5))
        assert.equal("closed", socket:is_over())
        socket:send "after"
        socket:finish()
        eventually(function() return heard == "afterclosed" end, 10, heard)
      end)

      it("ends for each side where the other breaks off", function()
        local heard
        local proxy = start(to, sockets.accepting(function(socket)
          socket:send "a"
          if heard then return socket:cut() end
          heard = socket:is_over()
        end))
        local socket = sockets.open(from, proxy)
        socket:read(1)
        socket:cut()
        eventually(function() return heard end)
        socket = sockets.open(from, proxy)
        socket:read(1)
        local ending = socket:is_over()
        assert.truthy(ending)
        if from == "2" then assert.equal("reset: CONNECT_ERROR", ending) end
      end)

      it("ends where nothing moves for tunnel_timeout, and not while something does", function()
        local heard
        local proxy = start(to, sockets.accepting(function(socket)
          socket:read(1)
          heard = socket:is_over()
        end), { listen = ", tunnel_timeout = 0.4" })
        local socket = sockets.open(from, proxy)
        socket:send "x"
        assert.truthy(socket:is_over())
        eventually(function() return heard end)
      end)

      it("is a response as any other where the peer refuses it", function()
        local proxy, origin = start(to, function(at)
          if not at.request then at:read_request() end
          at:respond { status = 403, body = "no" }
        end)
        local socket, response = sockets.open(from, proxy)
        assert.same({ 403, "no" }, { response.status, response.body })
        if from == "1.1" then
          assert.is_nil(response.headers.upgrade)
          socket.at:send_request { target = "/next" }
          assert.equal(403, socket.at:read_response("GET").status)
          assert.equal("/next", origin.requests[2].target)
        end
      end)

      it("has one line in the access log, which says 101", function()
        local proxy = start(to, sockets.accepting(sockets.echo), { listen = ', access_log = "stderr"' })
        local socket = sockets.open(from, proxy)
        socket:send "ping"
        socket:read(4)
        socket:finish()
        assert.truthy(socket:is_over())
        log_of(proxy, "/chat")
        assert.matches("GET /chat[^\n]*101", proxy:log())
      end)
    end)
  end
end

describe("a WebSocket from HTTP/1.1 to HTTP/2", function()
  it("is told 502 where the peer has no extended CONNECT, and nothing is sent to it (RFC 8441 3)", function()
    local proxy, origin = start("2", sockets.accepting(sockets.echo), { http2 = true })
    for _ = 1, 2 do
      local _, response = sockets.open("1.1", proxy)
      assert.equal(502, response.status)
    end
    assert.same({}, origin.requests)
    log_of(proxy, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
  end)

  it("is a fault of the client's without a key that is one (RFC 6455 4.2.1)", function()
    local proxy, origin = start("2", sockets.accepting(sockets.echo))
    for _, key in ipairs { false, "x", "dGhlIHNhbXBsZSBub25jZQ=", ("A"):rep(24) } do
      local _, response = sockets.open("1.1", proxy, { key = key })
      assert.equal(400, response.status, tostring(key))
    end
    assert.same({}, origin.requests)
  end)

  it("is waited for until the peer's SETTINGS have come", function()
    local connection
    local proxy, origin = start("2", sockets.accepting(sockets.echo),
      { http2 = { settings = false, raw = true, on_connection = function(c) connection = c end } })
    local done
    scheduler.spawn(function()
      local socket, response = sockets.open("1.1", proxy)
      socket:send "x"
      done = response.status .. socket:read(1)
    end)
    eventually(function() return connection and connection.settings_of_peer.enable_push == 0 end)
    assert.same({}, origin.requests)
    connection:send_settings { enable_connect_protocol = 1 }
    connection:send_frame("SETTINGS", 1)
    eventually(function() return done == "101x" end)
  end)
end)

describe("a WebSocket from HTTP/2 to HTTP/1.1", function()
  it("is 502 where the peer's Sec-WebSocket-Accept is not that of the key (RFC 6455 4.1)", function()
    for _, wrong in ipairs { "", "x", sockets.accept_of(sockets.KEY) } do
      local proxy = start("1.1", sockets.accepting(sockets.echo, { accept = function() return wrong end }))
      local _, response = sockets.open("2", proxy)
      assert.equal(502, response.status)
      log_of(proxy, "Sec-WebSocket-Accept")
    end
  end)
end)

describe("a WebSocket to a peer of HTTP/2", function()
  it("outlives a reload, and a stop waits for it until the grace period ends", function()
    local ended = 0
    local proxy = start("2", sockets.accepting(function(socket)
      sockets.echo(socket)
      ended = ended + 1
    end))
    local first, second = sockets.open("1.1", proxy), sockets.open("2", proxy)
    proxy:signal "HUP"
    log_of(proxy, "reloaded")
    local function talk(text)
      for _, socket in ipairs { first, second } do
        socket:send(text)
        assert.equal(text, socket:read(#text))
      end
    end
    talk "reloaded"
    proxy:signal "TERM"
    log_of(proxy, "stopping gracefully")
    talk "stopping"
    first:finish()
    second:finish()
    eventually(function() return ended == 2 end)
    eventually(function() return proxy:exit_code() == 0 end)
  end)

  it("passes through two proxies that speak HTTP/2 with each other", function()
    local origin = origins.start(sockets.accepting(sockets.echo))
    local inner = scene.start(origin, { listen = "h2c = true" })
    local outer = scene.start({ address = "127.0.0.1:" .. inner.port },
      { listen = "h2c = true", peer = ", http2 = true" })
    for _, version in ipairs { "1.1", "2" } do
      local socket = sockets.open(version, outer)
      local text = ("abcd"):rep(20000)
      local sender = scheduler.spawn(function() socket:send(text) socket:finish() end)
      assert.is_true(socket:read(#text) == text)
      assert.equal("closed", socket:is_over())
      scheduler.wait_until(function() return sender.is_done end)
    end
    assert.equal("websocket", origin.requests[1].headers.upgrade)
  end)
end)

describe("a WebSocket to a peer that chooses its protocol", function()
  local CHOICE = ', tls = true, verify = false, sni = "a.example", alpn = "h2,http/1.1"'

  -- A peer of both versions over TLS; `settings`: of its HTTP/2.
  local function choosing(settings)
    local accept = sockets.accepting(sockets.echo)
    local function serve(at)
      local request = at.request or at:read_request()
      if not request then return end
      if request.headers.upgrade or request.protocol then
        at.request = request
        return accept(at)
      end
      at:respond { body = "over " .. request.version }
      if request.version ~= "2" then return serve((function() at.request = nil return at end)()) end
    end
    local origin = origins.start(serve, { names = { "a.example" }, http2 = { settings = settings, http1 = serve } })
    return scene.start(origin, { listen = "h2c = true", peer = CHOICE }), origin
  end

  for _, from in ipairs { "1.1", "2" } do
    it("goes over HTTP/2 where that has them, beside other requests, from HTTP/" .. from, function()
      local proxy, origin = choosing { enable_connect_protocol = 1 }
      local socket = sockets.open(from, proxy)
      socket:send "ping"
      assert.equal("ping", socket:read(4))
      assert.equal("over 2", client.request({ port = proxy.port }).body)
      assert.equal("CONNECT", origin.requests[1].method)
      assert.equal(1, origin.accepted)
    end)

    it("goes over HTTP/1.1 where HTTP/2 does not, others do not, from HTTP/" .. from, function()
      local proxy, origin = choosing {}
      for i = 1, 2 do
        local socket, response = sockets.open(from, proxy)
        assert.equal(from == "2" and 200 or 101, response.status)
        socket:send "ping"
        assert.equal("ping", socket:read(4))
        assert.equal("over 2", client.request({ port = proxy.port }).body)
        assert.equal(1 + i, origin.accepted)
      end
      assert.equal("GET", origin.requests[1].method)
    end)
  end

  it("goes over HTTP/1.1 where it has what HTTP/2 cannot say: a body, or another method", function()
    local proxy, origin = choosing { enable_connect_protocol = 1 }
    local _, response = sockets.open("1.1", proxy, { method = "POST", body = "abc", protocol = "other" })
    assert.equal(101, response.status)
    assert.same({ "POST", "other" }, { origin.requests[1].method, origin.requests[1].headers.upgrade })
  end)
end)

describe("other protocols of Upgrade to HTTP/2", function()
  it("are asked for by their name, and so accepted", function()
    local proxy, origin = start("2", sockets.accepting(sockets.echo))
    local socket, response = sockets.open("1.1", proxy, { protocol = "other/2, websocket", key = false })
    assert.equal("other/2", origin.requests[1].protocol)
    assert.same({ 101, "other/2" }, { response.status, response.headers.upgrade })
    assert.is_nil(response.headers.sec_websocket_accept)
    socket:send "x"
    assert.equal("x", socket:read(1))
  end)

  it("are left out, and that is said, behind a body or another method", function()
    local proxy, origin = start("2", function(at)
      at:read_request()
      at:respond "plain"
    end)
    local response = client.request { port = proxy.port, method = "POST", body = "abc",
      headers = { Connection = "Upgrade", Upgrade = "other" } }
    assert.same({ 200, "plain", "abc" }, { response.status, response.body, origin.requests[1].body })
    log_of(proxy, 'Upgrade to "other" is not passed on')
  end)
end)

for _, from in ipairs { "1.1", "2" } do
  for _, to in ipairs { "1.1", "2" } do
    it(("CONNECT from HTTP/%s to HTTP/%s is a tunnel behind a 2xx, and else a response"):format(from, to), function()
      local proxy, origin = start(to, function(at)
        local request = at.request or at:read_request()
        if request.target == "b.example:1" then return at:respond { status = 407, body = "who?" } end
        if at.id then
          at:send_fields({ { ":status", "200" }, { "content-length", "3" } }, false)
        else
          at:send "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        end
        at:send(at.id and at:read() or at:read(5) or "nothing")
      end, { http2 = true, listen = ", allow_connect = true", hooks = [[
        function policy.upstream_request_filter(_, request) request:set_header("Host", "other.example") end ]] })
      local function connect(authority)
        if from == "2" then
          local connection = client.connect { port = proxy.port, version = "2" }
          return connection:open { method = "CONNECT", host = authority, ends = false }
        end
        local at = client.connect(proxy.port)
        at:send_request { method = "CONNECT", target = authority, host = authority:match "^[^:]+" }
        return at
      end
      local at = connect "a.example:1"
      local head = from == "2" and at:read_head() or at:read_response "HEAD"
      assert.equal(200, head.status)
      assert.is_nil(head.headers.content_length)
      at:send "hello"
      assert.equal("hello", from == "2" and at:read() or at:read(5))
      assert.equal("a.example:1", origin.requests[1].target)
      at = connect "b.example:1"
      head = from == "2" and at:read_response() or at:read_response "GET"
      assert.same({ 407, "who?" }, { head.status, head.body })
    end)
  end
end
