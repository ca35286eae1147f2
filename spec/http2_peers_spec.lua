-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 to peers: one connection for many requests, which do not disturb each other (RFC 9113 sections 5 and 6.8).
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local ask_beside = scene.ask_beside
local eventually = scheduler.eventually
local start = scene.http2

local function connect(proxy) return client.connect { port = proxy.port, version = "2" } end

-- Answers each request with its target, once that is let go.
local function gated(gates)
  return function(stream)
    local target = stream.request.target
    eventually(function() return not gates[target] end, 20, target)
    stream:respond { body = target }
  end
end

describe("a connection to a peer of HTTP/2", function()
  it("carries the requests of all clients, side by side", function()
    local gates = { ["/1"] = true }
    local proxy, origin = start(gated(gates))
    assert.equal("/0", client.request({ port = proxy.port, target = "/0" }).body)
    local read = ask_beside(proxy, 8)
    eventually(function() return #origin.requests == 9 end)
    assert.equal("/9", client.request({ port = proxy.port, target = "/9" }).body)
    gates["/1"] = nil
    for i, response in ipairs(read()) do assert.equal("/" .. i, response.body) end
    assert.equal(1, origin.accepted)
  end)

  it("is waited for by requests that come while it opens", function()
    local proxy, origin = start "hello"
    for _, response in ipairs(ask_beside(proxy, 10)()) do assert.equal("hello", response.body) end
    assert.equal(1, origin.accepted)
  end)

  it("never has more requests than the peer takes, and others are opened for more (RFC 9113 5.1.2)", function()
    local open, most, gate = 0, 0, true
    local per_connection = {}
    local proxy, origin = start(function(stream, connection)
      open, most = open + 1, math.max(most, open)
      local count = (per_connection[connection] or 0) + 1
      per_connection[connection] = count
      assert(count <= 2, "more streams than allowed")
      eventually(function() return not gate end, 20)
      per_connection[connection] = per_connection[connection] - 1
      stream:respond "hello"
    end, { http2 = { settings = { max_concurrent_streams = 2 } } })
    local read = ask_beside(proxy, 6)
    eventually(function() return open == 6 end)
    gate = false
    for _, response in ipairs(read()) do assert.equal("hello", response.body) end
    assert.equal(3, origin.accepted)
    assert.same({}, origin.faults)
  end)

  it("has one request until the peer has said how many it takes", function()
    local connection, count = nil, 0
    local proxy = start(function(stream)
      count = count + 1
      if count == 1 then eventually(function() return count == 3 end, 20) end
      stream:respond "hello"
    end, { http2 = { settings = false, raw = true, on_connection = function(c) connection = c end } })
    local read = ask_beside(proxy, 3)
    eventually(function() return count == 1 end)
    assert.is_false(scheduler.wait_until(function() return count > 1 end, scheduler.deadline(0.2)))
    connection:send_settings { max_concurrent_streams = 10 }
    for _, response in ipairs(read()) do assert.equal("hello", response.body) end
  end)

  it("is not shared by peers that differ in anything", function()
    local origin = origins.start("hello", { http2 = true })
    local proxy = scene.start(origin, { listen = "h2c = true", hooks = ([[
      function policy.upstream_peer(session)
        return { address = "%s", http2 = true, group = session:get_header "X-Group" }
      end]]):format(origin.address) })
    for _, group in ipairs { "a", "b", "a" } do
      client.request { port = proxy.port, headers = { ["X-Group"] = group } }
    end
    assert.equal(2, origin.accepted)
  end)

  it("closes with GOAWAY when it has been idle for idle_timeout", function()
    local proxy, origin = start("hello", { peer = ", idle_timeout = 0.3" })
    local at
    origin.http2.on_connection = function(connection) at = connection end
    assert.equal("hello", client.request(proxy.port).body)
    assert.is_true(at:await_close())
    assert.equal("NO_ERROR", at.goaway.code)
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal(2, origin.accepted)
  end)

  it("is lost when the peer does not answer a PING in its silence", function()
    local at
    local proxy = start(function(stream) at = stream end,
      { http2 = { raw = true }, peer = ", ping_interval = 0.2, ping_timeout = 0.2" })
    local response = scene.sooner_than(25, function() return client.request(proxy.port) end)
    assert.equal(502, response.status)
    assert.is_not_nil(at.connection:await_frame "PING")
    proxy:wait_log "it does not answer a PING"
  end)

  it("is kept when the peer answers the PING, however long it is silent else", function()
    local gates = { ["/slow"] = true }
    local pinged
    local proxy, origin = start(gated(gates), { peer = ", ping_interval = 0.2, ping_timeout = 5" })
    origin.http2.on_connection = function(connection) pinged = connection end
    local connection = client.connect(proxy.port)
    connection:send_request { target = "/slow" }
    assert.is_not_nil(pinged or eventually(function() return pinged end))
    assert.is_not_nil(pinged:await_frame "PING")
    gates["/slow"] = nil
    assert.equal("/slow", connection:read_response("GET").body)
  end)

  it("ends with GOAWAY behind what is under way, when the proxy stops", function()
    local gates, at = { ["/slow"] = true }, nil
    local proxy, origin = start(gated(gates))
    origin.http2.on_connection = function(connection) at = connection end
    local connection = client.connect(proxy.port)
    connection:send_request { target = "/slow" }
    eventually(function() return origin.requests[1] end)
    proxy:signal "TERM"
    proxy:wait_log "stopping"
    assert.is_nil(at.goaway)
    gates["/slow"] = nil
    assert.equal("/slow", connection:read_response("GET").body)
    assert.is_true(at:await_close())
    assert.equal("NO_ERROR", at.goaway.code)
  end)

  it("outlives a reload, with what is under way", function()
    local gates = { ["/slow"] = true }
    local proxy, origin = start(gated(gates))
    local connection = client.connect(proxy.port)
    connection:send_request { target = "/slow" }
    eventually(function() return origin.requests[1] end)
    proxy:signal "HUP"
    proxy:wait_log "reloaded"
    assert.equal("/new", client.request({ port = proxy.port, target = "/new" }).body)
    gates["/slow"] = nil
    assert.equal("/slow", connection:read_response("GET").body)
    assert.equal(1, origin.accepted)
  end)
end)

describe("what is told of a peer of HTTP/2", function()
  it("are its connections, the requests on them, and the protocol in the access log", function()
    local gates = { ["/1"] = true, ["/2"] = true }
    local proxy, origin = start(gated(gates), { settings = { "--admin", "127.0.0.1:0" },
      listen = ", access_log = 'stderr', access_log_format = 'json'" })
    local read = ask_beside(proxy, 2)
    eventually(function() return #origin.requests == 2 end)
    metrics.wait(proxy, "perilune_upstream_http2_streams", 2)
    assert.equal(1, metrics.read(proxy).perilune_upstream_http2_connections)
    assert.equal(0, metrics.read(proxy).perilune_upstream_connections_idle)
    gates["/1"], gates["/2"] = nil, nil
    read()
    proxy:wait_log '"upstream_protocol":"HTTP/2.0"'
    metrics.wait(proxy, "perilune_upstream_connections_idle", 1)
    assert.equal(1, metrics.read(proxy).perilune_upstream_reused_total)
    assert.equal(1, metrics.read(proxy).perilune_upstream_opened_total)
  end)

  it("are the same of each peer by its address, and how many requests it has reset", function()
    local gate = true
    local first, second = origins.start(function(stream)
      if stream.request.target == "/reset" then return stream:reset "internal_error" end
      eventually(function() return not gate end, 20)
      stream:respond "hello"
    end, { http2 = true }), origins.start("hello", { http2 = true })
    local proxy = scene.start(first, { listen = "h2c = true", settings = { "--admin", "127.0.0.1:0" }, hooks = ([[
      function policy.upstream_peer(session)
        return { address = session:get_header "X-Peer" or "%s", http2 = true, group = session:get_header "X-Group" }
      end]]):format(first.address) })
    local function figure(name, origin) return ('perilune_peer_http2_%s{peer="%s"}'):format(name, origin.address) end
    local read = ask_beside(proxy, 2)
    assert.equal("hello", client.request({ port = proxy.port, headers = { ["X-Peer"] = second.address } }).body)
    assert.equal(502, client.request({ port = proxy.port, target = "/reset", headers = { ["X-Group"] = "b" } }).status)
    metrics.wait(proxy, figure("streams", first), 2)
    metrics.wait(proxy, figure("connections", first), 2) -- one of each group
    metrics.wait(proxy, figure("resets_total", first), 1)
    local samples = metrics.read(proxy)
    assert.same({ 1, 0, 0 }, { samples[figure("connections", second)], samples[figure("streams", second)],
      samples[figure("resets_total", second)] })
    gate = false
    read()
    metrics.wait(proxy, figure("streams", first), 0)
    first:stop()
    metrics.wait(proxy, figure("connections", first), 0)
    assert.equal(1, metrics.read(proxy)[figure("resets_total", first)])
  end)
end)

describe("a stream to a peer", function()
  it("that is reset leaves the others alone (RFC 9113 5.4.2)", function()
    local gates = { ["/b"] = true }
    local proxy, origin = start(function(stream)
      if stream.request.target == "/a" then return stream:reset "internal_error" end
      gated(gates)(stream)
    end)
    local connection = connect(proxy)
    local b = connection:open { target = "/b" }
    eventually(function() return origin.requests[1] end)
    assert.equal(502, connection:request({ method = "POST", target = "/a", body = "x" }).status)
    gates["/b"] = nil
    assert.equal("/b", b:read_response().body)
    assert.equal(1, origin.accepted)
  end)

  it("that the peer resets in its response resets the client's, with the code if that means the same there", function()
    local proxy = start(function(stream)
      stream:send_fields { { ":status", "200" } }
      stream:send "x"
      stream:reset(stream.request.target:sub(2))
    end)
    local codes = { cancel = "CANCEL", enhance_your_calm = "ENHANCE_YOUR_CALM", protocol_error = "INTERNAL_ERROR",
      refused_stream = "INTERNAL_ERROR" }
    for code, seen in pairs(codes) do
      local stream = connect(proxy):open { target = "/" .. code }
      assert.equal(seen, stream:await_reset())
    end
  end)

  it("whose client reads nothing stops no other, of the same client or of another (RFC 9113 5.2)", function()
    local long = ("x"):rep(4000000)
    local proxy, origin = start(function(stream)
      stream:respond { body = stream.request.target == "/long" and long or "short" }
    end)
    local stalled = {}
    for i = 1, 5 do -- a connection each, whose kernel takes little
      stalled[i] = client.connect { port = proxy.port, receive_buffer = 4096 }
      stalled[i]:send_request { target = "/long" }
    end
    local raw = client.connect { port = proxy.port, version = "2", raw = true }
    for _ = 1, 20 do raw:open { target = "/long" } end
    eventually(function() return #origin.requests == 25 end)
    for _ = 1, 20 do
      assert.equal("short", client.request({ port = proxy.port, target = "/short" }).body)
    end
    assert.equal(1, origin.accepted)
    assert.is_true(stalled[1]:read_response("GET").body == long)
  end)

  it("is reset with CANCEL when its client goes away", function()
    local streams = {}
    local proxy = start(function(stream)
      streams[stream.request.target] = stream
      if stream.request.target == "/b" then stream:send_fields { { ":status", "200" } } end
      stream:await_reset(20)
    end)
    for _, target in ipairs { "/a", "/b" } do
      local connection = connect(proxy)
      local stream = connection:open { target = target }
      eventually(function() return streams[target] end)
      stream:reset "cancel"
      assert.equal("CANCEL", streams[target]:await_reset())
    end
  end)

  it("has the time limits of the peer: of a response that does not begin, or does not go on", function()
    local proxy = start(function(stream)
      if stream.request.target == "/begun" then
        stream:send_fields { { ":status", "200" } }
        stream:send "hello"
      end
      stream:await_reset(20)
    end, { peer = ", first_byte_timeout = 0.3, read_timeout = 0.3" })
    local connection = connect(proxy)
    assert.equal(504, connection:request({ target = "/silent" }).status)
    assert.matches("^reset: ", connection:request({ target = "/begun" }).failure)
  end)

  it("that answers early and takes no more has its answer passed on (RFC 9113 8.1)", function()
    local proxy = start(function(stream)
      stream:respond { status = 413, body = "too much" }
      stream:reset "no_error"
    end)
    local connection = connect(proxy)
    local stream = connection:open { method = "POST", ends = false }
    stream:send(("x"):rep(10000))
    local response = stream:read_response()
    assert.same({ 413, "too much" }, { response.status, response.body })
    assert.equal(413, client.request({ port = proxy.port, method = "POST", body = ("x"):rep(200000) }).status)
  end)
end)
