-- SPDX-License-Identifier: Apache-2.0
-- Tunnels over HTTP/2: WebSocket by extended CONNECT (RFC 8441), and CONNECT itself (RFC 9113 8.5), to peers that speak
-- HTTP/1.1.
local frames = require "frames"
local perilune = require "perilune"
local scene = require "scene"
local sockets = require "sockets"

after_each(require("cleanup").run)

local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" ..
  "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n"

-- The answer to a request for a WebSocket.
local function switch(request) return SWITCH:format(sockets.accept_of(request.headers.sec_websocket_key)) end

local function echo(at)
  while true do
    local bytes = at:receive_some()
    if not bytes then return end
    at:send(bytes)
  end
end
local function switching(at)
  at:send(switch(at:read_request()))
  echo(at)
end

local function ask(connection, stream, protocol)
  connection:send("HEADERS", frames.END_HEADERS, stream, frames.block { { ":method", "CONNECT" },
    { ":protocol", protocol or "websocket" }, { ":scheme", "http" }, { ":path", "/chat" },
    { ":authority", "a.example" },
    { "sec-websocket-version", "13" }, { "sec-websocket-protocol", "chat" }, { "origin", "http://a.example" } })
end

local function open(handler, options)
  options = options or {}
  options.listen = options.listen or "h2c = true"
  local proxy, origin = scene.proxied(handler, options)
  return frames.connect { port = proxy.port }, origin, proxy
end

local function read(connection, stream, count)
  local text = ""
  while #text < count do
    local frame = assert(connection:await("DATA", stream))
    connection:send("WINDOW_UPDATE", 0, 0, frames.u32(#frame.payload))
    connection:send("WINDOW_UPDATE", 0, stream, frames.u32(#frame.payload))
    text = text .. frame.payload
  end
  return text
end

describe("a WebSocket over HTTP/2", function()
  it("is announced (RFC 8441 3), and comes to the peer as an Upgrade with a key", function()
    local connection, origin = open(switching)
    assert.matches("%z\8%z%z%z\1", connection:await "SETTINGS".payload)
    ask(connection, 1)
    assert.equal("\136", connection:await("HEADERS", 1).payload:sub(1, 1)) -- :status 200
    local request = origin.requests[1]
    assert.equal("GET", request.method)
    assert.equal("/chat", request.target)
    assert.equal("a.example", request.headers.host)
    assert.equal("websocket", request.headers.upgrade)
    assert.equal("upgrade", request.headers.connection:lower())
    assert.equal("13", request.headers.sec_websocket_version)
    assert.matches("^[%w+/]+==$", request.headers.sec_websocket_key)
    assert.equal(24, #request.headers.sec_websocket_key)
  end)

  it("carries bytes both ways, and each side's end", function()
    local connection = open(switching)
    ask(connection, 1)
    for _, text in ipairs { "hello", "\0\255\r\n", ("x"):rep(50000) } do
      for at = 1, #text, 16384 do connection:send("DATA", 0, 1, text:sub(at, at + 16383)) end
      assert.is_true(read(connection, 1, #text) == text)
    end
    connection:send("DATA", frames.END_STREAM, 1, "bye")
    assert.equal("bye", read(connection, 1, 3))
    repeat local frame = assert(connection:await("DATA", 1)) until frame.flags % 2 == 1
  end)

  it("leaves other streams alone, and ends with its stream", function()
    local ended
    local connection, origin = open(function(at)
      while true do
        local request = at:read_request()
        if not request then return end
        if request.headers.upgrade then
          at:send(switch(request))
          ended = at:receive_some() or "ended"
          return
        end
        at:respond { body = "hello" }
      end
    end)
    ask(connection, 1)
    connection:await("HEADERS", 1)
    connection:request(3)
    assert.equal("hello", connection:body(3))
    connection:send("RST_STREAM", 0, 1, frames.u32(8))
    require("scheduler").eventually(function() return ended end)
    assert.equal("ended", ended)
    assert.equal(2, #origin.requests)
  end)

  it("is reset with CONNECT_ERROR where the peer's connection breaks (RFC 9113 8.5)", function()
    local connection = open(function(at)
      at:send(switch(at:read_request()))
      at:read(1)
      at:reset()
    end)
    ask(connection, 1)
    connection:send("DATA", 0, 1, "x")
    assert.equal("CONNECT_ERROR", connection:await("RST_STREAM", 1).code)
  end)

  it("is told that the peer refuses it; and a 200, which would be a tunnel, is 502", function()
    local connection = open(function(at)
      while true do
        local request = at:read_request()
        if not request then return end
        at:respond { status = request.headers.upgrade and 403 or 200, body = "no" }
      end
    end)
    ask(connection, 1)
    assert.equal("no", connection:body(1))
    local plain = open "hello"
    ask(plain, 1)
    assert.equal("502 Bad Gateway\n", (plain:body(1)))
  end)

  it("is malformed with a protocol that HTTP/1.1 cannot pass on, and where no peer is asked", function()
    local connection = open(switching)
    ask(connection, 1, "h2c")
    assert.equal("PROTOCOL_ERROR", connection:await("RST_STREAM", 1).code)
    local proxy = perilune.start { workers = 1, policy = [[
      require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = "own" } end }, { h2c = true })]] }
    connection = frames.connect { port = proxy.port }
    assert.not_matches("%z\8%z%z%z\1", connection:await "SETTINGS".payload)
    ask(connection, 1)
    assert.equal("PROTOCOL_ERROR", connection:await("RST_STREAM", 1).code)
  end)
end)

describe("CONNECT over HTTP/2", function()
  local function connect(connection)
    local block = frames.block { { ":method", "CONNECT" }, { ":authority", "a.example:1" } }
    connection:send("HEADERS", frames.END_HEADERS, 1, block)
  end

  it("is a tunnel behind a 200 where it is allowed, and else 405", function()
    local connection, origin = open(function(at)
      at:read_request()
      at:send "HTTP/1.1 200 OK\r\n\r\n"
      echo(at)
    end, { listen = "h2c = true, allow_connect = true" })
    connect(connection)
    connection:send("DATA", 0, 1, "hello")
    assert.equal("hello", read(connection, 1, 5))
    assert.equal("a.example:1", origin.requests[1].target)
    connection = open "hello"
    connect(connection)
    assert.equal("405 Method Not Allowed\n", (connection:body(1)))
  end)
end)
