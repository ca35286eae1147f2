-- SPDX-License-Identifier: Apache-2.0
-- Upgrade: a tunnel, but only behind a 101 to what was offered (RFC 9110 sections 7.8 and 15.2.2).
local client = require "client"
local scene = require "scene"
local wire = require "wire"

local ASK = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

-- Sends an upgrade request and gives the connection and the answer to it.
local function upgrade(fields, answer)
  wire.answer, wire.closes = answer, true
  local connection = client.connect(wire.proxy.port)
  connection:send(wire.get(fields))
  return connection, connection:read_response()
end

local function switching(behind)
  return function(connection)
    connection:send(SWITCH .. (behind or ""))
    scene.echo_bytes(connection)
  end
end

describe("An upgrade", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  it("is offered to the origin, and its 101 comes to the client (RFC 9110 7.8)", function()
    local before = #wire.origin.requests
    local connection, response = upgrade(ASK .. "Sec-WebSocket-Key: x\r\n", switching())
    assert.equal(101, response.status)
    assert.equal("websocket", response.headers.upgrade)
    assert.equal("upgrade", response.headers.connection:lower())
    local request = wire.origin.requests[before + 1]
    assert.equal("websocket", request.headers.upgrade)
    assert.equal("upgrade", request.headers.connection:lower())
    assert.equal("x", request.headers.sec_websocket_key)
    connection:close()
  end)

  it("is a tunnel for bytes of any kind in both directions (RFC 9110 7.8)", function()
    local connection = upgrade(ASK, switching())
    for _, bytes in ipairs { "hello", "\0\255\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", ("x"):rep(100000) } do
      connection:send(bytes)
      assert.is_true(connection:read(#bytes) == bytes)
    end
    connection:close()
  end)

  it("passes what comes with the 101 (RFC 9110 15.2.2)", function()
    local connection = upgrade(ASK, switching "first")
    assert.equal("first", connection:read(5))
    connection:close()
  end)

  it("passes what the client sends before the 101, but only behind it (RFC 9110 7.8)", function()
    wire.answer, wire.closes = switching(), true
    local connection = client.connect(wire.proxy.port)
    connection:send(wire.get(ASK) .. "early")
    assert.equal(101, connection:read_response().status)
    assert.equal("early", connection:read(5))
    connection:close()
  end)

  it("ends each direction for itself (RFC 9110 7.8)", function()
    local connection = upgrade(ASK, function(origin)
      origin:send(SWITCH)
      local all = origin:receive_all()
      origin:send("got " .. all)
    end)
    connection:send "hello"
    connection:half_close()
    assert.equal("got hello", (connection:receive_all()))
    connection:close()
  end)

  it("ends where the origin ends (RFC 9110 7.8)", function()
    local connection = upgrade(ASK, function(origin) origin:send(SWITCH .. "bye") end)
    assert.same({ "bye", "closed" }, { connection:receive_all() })
    connection:close()
  end)

  it("that is not taken is an ordinary request; the next one is served (RFC 9110 7.8)", function()
    local result = wire.passes(wire.get(ASK), {}, {})
    wire.check(result, result.requests[1].headers.upgrade == "websocket", "it was offered")
    assert.is_nil(result.responses[1].headers.upgrade)
  end)

  it("that is refused is answered as the origin answers (RFC 9110 7.8)", function()
    local answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    local result = wire.exchange(wire.get(ASK) .. wire.NEXT, { answer = answer })
    wire.check(result, result.responses[1].status == 403 and #result.responses == 2, "403, and the next")
  end)

  local not_offered = { -- sentence, field lines
    { "without Connection", "Upgrade: websocket\r\n" },
    { "with another Connection", "Connection: keep-alive\r\nUpgrade: websocket\r\n" },
    { "to HTTP/2", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n" },
    { "to a version of HTTP", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n" },
    { "to nothing", "Connection: Upgrade\r\nUpgrade:\r\n" },
    { "to an empty list", "Connection: Upgrade\r\nUpgrade: , ,\r\n" },
    { "to what is no protocol", "Connection: Upgrade\r\nUpgrade: web socket\r\n" },
  }
  for _, case in ipairs(not_offered) do
    it("is not offered " .. case[1] .. " (RFC 9110 7.8)", function()
      local headers = wire.passes(wire.get(case[2])).requests[1].headers
      assert.is_nil(headers.upgrade)
      assert.is_nil(headers.connection)
      assert.is_nil(headers.http2_settings)
    end)
  end

  it("of HTTP/1.0 is ignored (RFC 9110 7.8)", function()
    local result = wire.exchange("GET / HTTP/1.0\r\nHost: a\r\n" .. ASK .. "\r\n")
    wire.check(result, result.responses[1].status == 200 and not result.requests[1].headers.upgrade, "ignored")
  end)

  local passed = { -- what the client offers, what the origin is offered
    { "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "websocket" },
    { "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nUpgrade: tcp\r\nHTTP2-Settings: AA\r\n", "tcp" },
    { "Connection: Upgrade\r\nUpgrade: a/1\r\nUpgrade: b\r\n", "a/1, b" },
  }
  for _, case in ipairs(passed) do
    it(("offers %s of %q (RFC 9110 7.8)"):format(case[2], case[1]), function()
      local headers = wire.passes(wire.get(case[1])).requests[1].headers
      assert.equal(case[2], headers.upgrade)
      assert.equal("upgrade", headers.connection:lower())
      assert.is_nil(headers.http2_settings)
    end)
  end

  local said = { -- a request whose Upgrade is taken out, and what the log says of it
    { wire.get "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", 'Upgrade to "h2c" is not passed on: versions' },
    { wire.get "Connection: x\r\nUpgrade: one\r\n", 'Upgrade to "one" is not passed on: Connection does not name it' },
    { wire.get "Connection: Upgrade\r\nUpgrade: a b\r\n", 'Upgrade to "a b" is not passed on: it is no protocol' },
    { "GET / HTTP/1.0\r\nHost: a\r\n" .. ASK .. "\r\n", 'to "websocket" is not passed on: HTTP/1.0 has no Upgrade' },
  }
  for _, case in ipairs(said) do
    it("is not taken out in silence: " .. case[2] .. " (RFC 9110 7.8)", function()
      wire.exchange(case[1] .. wire.NEXT)
      wire.proxy:wait_log(case[2])
    end)
  end

  it("to HTTP/2 that a 426 asks for is not passed on, and the log says so (RFC 9113 3.1)", function()
    local answer = "HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: h2c, tcp\r\nContent-Length: 0\r\n\r\n"
    local result = wire.exchange(wire.get() .. wire.NEXT, { answer = answer })
    assert.equal("tcp", result.responses[1].headers.upgrade)
    wire.proxy:wait_log "the Upgrade that its 426 asks for is not passed on"
  end)

  it("that ordinary responses offer is not passed on, and the log says so once (RFC 9110 7.8)", function()
    local answer = "HTTP/1.1 200 X\r\nConnection: Upgrade\r\nUpgrade: h2,h2c\r\nContent-Length: 0\r\n\r\n"
    local result = wire.exchange(wire.get() .. wire.get() .. wire.NEXT, { answer = answer })
    assert.equal(200, result.responses[1].status)
    assert.is_nil(result.responses[1].headers.upgrade)
    wire.proxy:wait_log 'the Upgrade to "h2,h2c" that its responses offer is not passed on'
    assert.equal(1, wire.proxy:count_log 'the Upgrade to "h2,h2c"')
  end)

  local bad = { -- sentence, answer
    { "to another protocol", "Connection: upgrade\r\nUpgrade: other\r\n" },
    { "to more than was offered", "Connection: upgrade\r\nUpgrade: websocket, other\r\n" },
    { "without a protocol", "Connection: upgrade\r\n" },
    { "without Connection", "Upgrade: websocket\r\n" },
    { "to an empty list", "Connection: upgrade\r\nUpgrade: ,\r\n" },
    { "to HTTP/2, too", "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n" },
  }
  for _, case in ipairs(bad) do
    it("is a bad response " .. case[1] .. ": 502, no tunnel (RFC 9110 15.2.2)", function()
      local answer = "HTTP/1.1 101 Switching Protocols\r\n" .. case[2] .. "\r\nevil"
      local result = wire.exchange(wire.get(ASK) .. wire.NEXT, { answer = answer })
      wire.check(result, result.responses[1].status == 502, "502")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "and the next request")
    end)
  end

  it("chooses one of several protocols, in any case (RFC 9110 7.8)", function()
    local connection, response = upgrade("Connection: Upgrade\r\nUpgrade: foo/2, WebSocket\r\n", switching())
    assert.equal(101, response.status)
    connection:close()
  end)

  it("is what a 426 asks for, and it keeps its Upgrade (RFC 9110 15.5.22)", function()
    local answer = "HTTP/1.1 426 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"
    local result = wire.exchange(wire.get() .. wire.NEXT, { answer = answer })
    assert.equal("websocket", result.responses[1].headers.upgrade)
    assert.matches("upgrade", result.responses[1].headers.connection:lower())
    wire.check(result, #result.responses == 2, "and the next request is served")
  end)
end)
