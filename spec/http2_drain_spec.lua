-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 connections that end in good order (RFC 9113 section 6.8): of clients while the proxy stops, and of peers that
-- say GOAWAY. No request is lost, and none is handled twice.
local client = require "client"
local format = require "perilune.test.http2_frames"
local frames = require "frames"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local eventually = scheduler.eventually

-- Answers each request with its target, once that is let go.
local function gated(gates)
  return function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      eventually(function() return not gates[request.target] end, 20)
      connection:respond { body = request.target }
    end
  end
end

describe("a client of HTTP/2, while the proxy stops,", function()
  it("is told so behind its first request, where its connection had not said what it speaks", function()
    local gates = { ["/slow"] = true }
    local proxy, origin = scene.proxied(gated(gates), { listen = "h2c = true" })
    local early, held = client.connect(proxy.port), client.connect(proxy.port)
    held:send_request { target = "/slow" }
    eventually(function() return #origin.requests == 1 end)
    proxy:signal "TERM"
    proxy:wait_log "stopping"
    early:send(format.PREFACE .. format.write("SETTINGS", 0, 0, "") .. format.write("HEADERS",
      frames.END_HEADERS + frames.END_STREAM, 1, frames.block { { ":method", "GET" }, { ":scheme", "http" },
        { ":path", "/first" }, { ":authority", "a" } }))
    local seen = {}
    while true do
      local frame = format.read(early)
      if not frame then break end
      if frame.type == "PING" then early:send(format.write("PING", frames.ACK, 0, frame.payload)) end
      if frame.type == "DATA" then seen[#seen + 1] = frame.payload end
      if frame.type == "GOAWAY" then seen[#seen + 1] = frame.last end
    end
    table.sort(seen, function(a, b) return tostring(a) < tostring(b) end)
    assert.same({ "/first", 1, 0x7fffffff }, seen)
    gates["/slow"] = nil
    assert.equal("/slow", held:read_response("GET").body)
  end)
end)

describe("a client of HTTP/2 that says GOAWAY", function()
  it("has what is under way answered, and hears GOAWAY before the end (RFC 9113 6.8)", function()
    local proxy = scene.proxied("hello", { listen = "h2c = true" })
    local connection = frames.connect { port = proxy.port }
    connection:request(1)
    assert.equal("hello", connection:body(1))
    connection:request(3)
    connection:send("GOAWAY", 0, 0, frames.u32(0) .. frames.u32(0))
    assert.equal("hello", connection:body(3))
    local goaway = assert(connection:await "GOAWAY")
    assert.same({ "NO_ERROR", 3 }, { goaway.code, goaway.last })
    assert.is_nil(connection:read())
  end)
end)

describe("a request to a peer of HTTP/2 that says GOAWAY", function()
  -- Each of its connections but those from the `enough`th on refuses what comes on it.
  local function leaving(enough)
    return function(stream, at)
      if at.wire.number < enough then return at:send_goaway(0) end
      stream:respond { body = stream:read_request().body }
    end
  end
  local function start(enough, options)
    local origin = origins.start(leaving(enough), { http2 = true })
    return scene.start(origin, { peer = ", http2 = true", listen = options or "" }), origin
  end
  local function post(proxy) return client.request { port = proxy.port, method = "POST", body = "abc" } end

  it("goes to another connection as long as none has taken it, also beyond max_retries", function()
    local proxy, origin = start(8)
    assert.equal("abc", post(proxy).body)
    assert.equal(8, origin.accepted)
  end)

  it("is given up in the end, and at once where max_retries is 0", function()
    local proxy, origin = start(1000)
    assert.equal(502, post(proxy).status)
    assert.is_true(origin.accepted > 8 and origin.accepted < 50, origin.accepted)
    proxy, origin = start(1000, "max_retries = 0")
    assert.equal(502, post(proxy).status)
    assert.equal(1, origin.accepted)
  end)
end)

describe("a peer of HTTP/2 that reads no more", function()
  -- By hand: takes the head of one request with a long body, and stops reading; all others are answered.
  local function start(leave)
    local is_first, origin = true, nil
    origin = origins.start(function(at)
      at:read(#format.PREFACE)
      at:send(format.write("SETTINGS", 0, 0, format.settings_payload { initial_window_size = 0x7fffffff })
        .. format.write("WINDOW_UPDATE", 0, 0, frames.u32(0x7fff0000 - 65535)))
      while true do
        local frame = format.read(at)
        if not frame then return end
        if frame.type == "HEADERS" and is_first then
          is_first, origin.has_first = false, true
          eventually(function() return origin.leaves end, 60)
          return leave(at)
        end
        if frame.type == "HEADERS" then
          at:send(format.write("HEADERS", frames.END_HEADERS, frame.stream, "\136")
            .. format.write("DATA", frames.END_STREAM, frame.stream, "elsewhere"))
        end
      end
    end)
    local proxy = scene.start(origin, { peer = ", http2 = true", hooks = [[
      function policy.upstream_request_filter(session) perilune.log.info("asks " .. session:path()) end]] })
    return proxy, origin
  end

  local function is_asked_elsewhere(leave)
    local proxy, origin = start(leave)
    local long, sent = client.connect(proxy.port), 0
    long:send "POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
    scheduler.spawn(function()
      while long:send(("x"):rep(65536), 60) do sent = sent + 1 end
    end)
    eventually(function() return origin.has_first end)
    -- What is taken of a client while nothing goes on is bounded; then the connection to the peer is full. Each further
    -- request makes the kernel take what little it still has room for.
    local shorts, before, looks = {}, nil, 0
    for i = 1, 4 do
      eventually(function()
        looks = before == sent and looks + 1 or 0
        before = sent
        scheduler.sleep(0.05)
        return looks > 5
      end, 60)
      shorts[i] = client.connect(proxy.port)
      shorts[i]:send_request { method = "POST", target = "/short" .. i, body = ("x"):rep(10000) }
      proxy:wait_log("asks /short" .. i)
    end
    origin.leaves = true
    assert.equal("elsewhere", shorts[4]:read_response("POST").body)
    assert.equal(2, origin.accepted)
  end

  it("and says GOAWAY is not waited for by requests behind the last (RFC 9113 6.8)", function()
    is_asked_elsewhere(function(at)
      at:send(format.write("GOAWAY", 0, 0, frames.u32(1) .. frames.u32(0)))
      scheduler.sleep(60)
    end)
  end)

  it("and closes has not got the requests of which no byte has left", function()
    is_asked_elsewhere(function(at) at:half_close() scheduler.sleep(60) end)
  end)
end)
