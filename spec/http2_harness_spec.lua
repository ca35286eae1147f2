-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 and gRPC of the harness itself: a client and an origin without the proxy between them.
local cleanup = require "cleanup"
local client = require "client"
local frames = require "perilune.test.http2_frames"
local grpc = require "perilune.test.grpc"
local origins = require "origins"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local function connect(origin, options)
  local all = { port = origin.port, version = "2" }
  for name, value in pairs(options or {}) do all[name] = value end
  return client.connect(all)
end

-- An origin whose streams are answered with what their request says of itself.
local function echo(options)
  return origins.start(function(stream)
    local request = stream:read_request()
    if not request then return end
    stream:respond { body = request.body, trailers = request.trailers, headers = { ["X-Method"] = request.method } }
  end, options or { http2 = true })
end

describe("a client and an origin of HTTP/2", function()
  it("exchange requests and responses, which are recorded as those of HTTP/1.1 are", function()
    local origin = origins.start("hello", { http2 = true })
    local response = connect(origin):request { path = "/a?b", headers = { { "X-One", "1" }, { "X-One", "2" } } }
    assert.equal(200, response.status)
    assert.equal("hello", response.body)
    assert.equal("5", response.headers.content_length)
    local request = origin.requests[1]
    assert.equal("/a?b", request.target)
    assert.equal("spec.example", request.authority)
    assert.same({ "1", "2" }, request.headers:all "x-one")
  end)

  it("have trailers, large bodies and heads both ways, across windows and CONTINUATION", function()
    local connection = connect(echo())
    local body, long = ("0123456789abcdef"):rep(65536), ("v"):rep(40000)
    local response = connection:request {
      method = "POST", body = body, trailers = { ["X-Sum"] = "9", ["X-Long"] = long },
    }
    assert.equal("POST", response.headers.x_method)
    assert.is_true(response.body == body)
    assert.equal("9", response.trailers.x_sum)
    assert.equal(long, response.trailers.x_long)
  end)

  it("speak over TLS, by ALPN", function()
    local origin = echo { http2 = true, names = { "a.example" } }
    local connection = connect(origin, { tls = { name = "a.example", ca = origin.files.ca } })
    assert.equal("hi", connection:request({ method = "POST", body = "hi" }).body)
    assert.equal("https", origin.requests[1].scheme)
    local both = origins.start("new", { names = { "a.example" }, http2 = { http1 = function(at)
      at:read_request()
      at:respond "old"
    end } })
    local tls = { name = "a.example", ca = both.files.ca }
    assert.equal("new", connect(both, { tls = tls }):request().body)
    assert.equal("old", client.request { port = both.port, tls = tls }.body)
    local only = origins.start("old", { names = { "a.example" } })
    assert.error_matches(function() connect(only, { tls = tls }) end, "has not chosen h2 by ALPN, but nothing")
  end)

  it("have many streams side by side, in any order", function()
    local gate = {}
    local origin = origins.start(function(stream)
      local target = stream.request.target
      scheduler.eventually(function() return gate[target] end)
      stream:respond(target)
    end, { http2 = true })
    local connection = connect(origin)
    local slow, fast = connection:open { path = "/slow" }, connection:open { path = "/fast" }
    gate["/fast"] = true
    assert.equal("/fast", fast:read_response().body)
    assert.equal(0, #slow.heads)
    gate["/slow"] = true
    assert.equal("/slow", slow:read_response().body)
  end)

  it("exchange pieces of a stream while it is open: full duplex", function()
    local origin = origins.start(function(stream)
      stream:send_fields { { ":status", "200" } }
      for piece in function() return stream:read() end do stream:send(piece:upper()) end
      stream:finish { ["X-Done"] = "yes" }
    end, { http2 = true })
    local stream = connect(origin):open { method = "POST", ends = false }
    assert.equal(200, stream:read_head().status)
    stream:send "one"
    assert.equal("ONE", stream:read())
    stream:send "two"
    assert.equal("TWO", stream:read())
    stream:finish()
    assert.equal("", stream:read_all())
    assert.equal("yes", stream.trailers.x_done)
  end)

  it("reset streams, by a code", function()
    local seen
    local origin = origins.start(function(stream)
      if stream.request.target == "/refused" then return stream:respond { reset = "refused_stream" } end
      seen = stream:await_reset()
    end, { http2 = true })
    local connection = connect(origin)
    local response, why = connection:request { path = "/refused" }
    assert.is_nil(response)
    assert.equal("reset: REFUSED_STREAM", why)
    connection:open({ method = "POST", ends = false }):reset()
    scheduler.eventually(function() return seen end)
    assert.equal("CANCEL", seen)
  end)

  it("stop one another by windows: who does not read gets no more", function()
    local sent = 0
    local origin = origins.start(function(stream)
      stream:send_fields { { ":status", "200" } }
      for _ = 1, 40 do
        stream:send(("x"):rep(10000))
        sent = sent + 10000
      end
      stream:finish()
    end, { http2 = true })
    local stream = connect(origin):open {}
    scheduler.eventually(function() return stream.received == 65535 end)
    assert.is_true(sent < 70000)
    assert.equal(400000, #stream:read_all())
  end)

  it("tell settings, PING and GOAWAY", function()
    local at
    local origin = origins.start("hello", { http2 = {
      settings = { max_concurrent_streams = 3, initial_window_size = 100 },
      on_connection = function(connection) at = connection end,
    } })
    local connection = connect(origin)
    assert.is_true(connection:ping() >= 0)
    assert.equal(3, connection.settings_of_peer.max_concurrent_streams)
    assert.equal("hello", connection:request().body)
    at:send_goaway(nil, "enhance_your_calm", "too much")
    local frame = connection:await_frame "GOAWAY"
    assert.same({ 1, "ENHANCE_YOUR_CALM", "too much" }, { frame.last, frame.code, frame.text })
    at:close()
    assert.is_true(connection:await_close())
  end)

  it("fail at once on a connection that has ended before", function()
    local connection = connect(origins.start(function(stream) stream.connection:close() end, { http2 = true }))
    connection:request {}
    assert.is_true(connection:await_close())
    local before = scheduler.now()
    local response, why = connection:request {}
    assert.is_nil(response)
    assert.is_truthy(why and why ~= "timeout", why)
    assert.is_true(scheduler.now() - before < scheduler.TIMEOUT / 2)
  end)

  it("leave all to the spec where they are raw", function()
    local connection = connect(echo(), { raw = true, settings = { initial_window_size = 3 } })
    local stream = connection:new_stream()
    stream:send_fields({ { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/" } })
    connection:send_frame("DATA", frames.END_STREAM, stream.id, "hello")
    assert.equal(0, connection:await_frame("SETTINGS").flags)
    assert.equal("hel", connection:await_frame("DATA", stream).payload)
    stream:add_window(10)
    assert.equal("lo", connection:await_frame("DATA", stream).payload)
  end)

  it("are understood by others: curl with the origin, and nghttp where it is there", function()
    local origin = echo()
    local run = process.run { "curl", "-s", "--http2-prior-knowledge", "-d", "hello", "http://" .. origin.address }
    assert.equal("hello", run.stdout)
    if os.execute "command -v nghttp >/dev/null" ~= 0 then return end
    run = process.run { "nghttp", "-v", "http://" .. origin.address }
    assert.matches(":status: 200", run.stdout)
  end)
end)

describe("what breaks the rules", function()
  -- What a client of the harness says of an answer of these fields, and of bytes of body behind it.
  local function fault_of(fields, body)
    local origin = origins.start(function(stream)
      stream:send_fields(fields, not body)
      if body then stream:send(body, true) end
    end, { http2 = true })
    local response, why = connect(origin):request()
    return response and response.failure or why
  end

  it("is the fault of its message", function()
    assert.matches("no valid :status", fault_of { { "a", "b" } })
    assert.matches("a pseudo%-field behind others", fault_of { { "a", "b" }, { ":status", "200" } })
    assert.matches("a pseudo%-field twice", fault_of { { ":status", "200" }, { ":status", "200" } })
    assert.matches("no token in lower case", fault_of { { ":status", "200" }, { "X-A", "b" } })
    assert.matches("CR, LF or NUL", fault_of { { ":status", "200" }, { "a", "b\r\nc" } })
    assert.matches("white space around it", fault_of { { ":status", "200" }, { "a", " b" } })
    assert.matches("HTTP/1 connections", fault_of { { ":status", "200" }, { "transfer-encoding", "chunked" } })
    local long = { { ":status", "200" }, { "content-length", "5" } }
    assert.matches("Content%-Length 5 with 4 bytes", fault_of(long, "four"))
    assert.matches("interim response that ends", fault_of { { ":status", "103" } })
  end)

  it("ends the connection where it is one of the connection", function()
    local at
    local origin = origins.start("hello", { http2 = { raw = true, on_connection = function(one) at = one end } })
    local function break_by(...)
      local connection = connect(origin)
      connection:request()
      at:send_frame(...)
      connection:await_close()
      return connection.fault
    end
    assert.matches("longer than allowed", break_by("DATA", 0, 1, ("x"):rep(16385)))
    assert.matches("DATA behind END_STREAM", break_by("DATA", 0, 1, "x"))
    assert.matches("torn by CONTINUATION", break_by("CONTINUATION", 0, 1, "x"))
    assert.matches("cannot be decoded", break_by("HEADERS", frames.END_HEADERS, 1, "\255\255\255\255\255\255"))
    assert.matches("PUSH_PROMISE", break_by("PUSH_PROMISE", frames.END_HEADERS, 1, "\0\0\0\2"))
  end)

  it("is noted by an origin", function()
    local origin = echo()
    local connection = connect(origin)
    local _, why = connection:request { fields = { { ":method", "GET" }, { ":scheme", "http" } } }
    assert.equal("reset: PROTOCOL_ERROR", why)
    assert.same({ "malformed head: no :scheme or no :path" }, origin.faults)
  end)
end)

describe("gRPC of the harness", function()
  local function start()
    return origins.start(grpc.server {
      ["/s.S/Unary"] = { message = "pong", trailers = { ["X-Cost"] = 3 }, metadata = { ["X-Node"] = "a" } },
      ["/s.S/Chat"] = function(call)
        for message in call:messages() do call:send(message:upper()) end
      end,
      ["/s.S/Count"] = function(call)
        local count = 0
        for _ in call:messages() do count = count + 1 end
        return { message = tostring(count) }
      end,
      ["/s.S/Fails"] = { status = 5, reason = "no such thing: 100% ä" },
      ["/s.S/Breaks"] = function(call)
        call:send "one"
        call:reset "unavailable_is_no_code"
      end,
      ["/s.S/Cuts"] = { reset = "cancel" },
    }, { http2 = true })
  end

  it("asks once, with metadata both ways", function()
    local origin = start()
    local result = grpc.ask(connect(origin), "/s.S/Unary", { message = "ping", metadata = { ["X-A"] = 1 },
      deadline = "5S" })
    assert.same({ 0, "pong", "a", "3" }, { result.status, result.message, result.headers.x_node,
      result.trailers.x_cost })
    assert.same({ "ping" }, origin.requests[1].messages)
    assert.equal("5S", origin.requests[1].headers.grpc_timeout)
    assert.equal("trailers", origin.requests[1].headers.te)
  end)

  it("streams both ways", function()
    local connection = connect(start())
    local call = connection:call "/s.S/Chat"
    for _, word in ipairs { "one", "two", ("x"):rep(200000) } do
      call:send(word)
      assert.equal(word:upper(), call:receive())
    end
    call:finish()
    assert.equal(0, call:result().status)
    assert.equal("3", grpc.ask(connection, "/s.S/Count", { messages = { "a", "", "c" } }).message)
  end)

  it("fails by a status in trailers only, and by a reset", function()
    local connection = connect(start())
    local result = grpc.ask(connection, "/s.S/Fails")
    assert.same({ 200, 5, "no such thing: 100% ä", true },
      { result.http_status, result.status, result.reason, result.is_trailers_only })
    assert.equal(12, grpc.ask(connection, "/s.S/Unknown").status)
    assert.equal("reset: CANCEL", grpc.ask(connection, "/s.S/Cuts").failure)
    local broken = grpc.ask(connection, "/s.S/Breaks")
    assert.equal("reset: INTERNAL_ERROR", broken.failure)
    assert.matches("no error code 'unavailable_is_no_code'", scheduler.take_failure())
  end)
end)
