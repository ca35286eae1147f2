-- SPDX-License-Identifier: Apache-2.0
-- An Upgrade in a request with a body, as `docker exec` sends it: the 101 takes effect behind the request, wherever it
-- comes (RFC 9110 section 7.8). So the body is sent to its end, and what comes behind it is the tunnel's.
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"
local wire = require "wire"

local ASK = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
local SWITCH = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
local BODY = '{"Detach":false,"Tty":true}'

local framed = { -- how the body is framed, its bytes
  { "with Content-Length", "Content-Length: " .. #BODY .. "\r\n", BODY },
  { "in chunks", "Transfer-Encoding: chunked\r\n", ("5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n")
    :format(BODY:sub(1, 5), #BODY - 5, BODY:sub(6)) },
  { "in chunks with trailers", "Transfer-Encoding: chunked\r\n",
    ("%x\r\n%s\r\n0\r\nA: b\r\n\r\n"):format(#BODY, BODY) },
}

local function request(fields, body) return "POST /exec HTTP/1.1\r\nHost: a\r\n" .. ASK .. fields .. "\r\n" .. body end

-- Reads the request, then switches; or the other way round.
local function daemon(connection)
  if not connection:read_request() then return end
  connection:send(SWITCH)
  scene.echo_bytes(connection)
end

local function hasty(connection)
  if not connection:read_request_head() then return end
  connection:send(SWITCH .. "$ ")
  connection:read_request_body()
  scene.echo_bytes(connection)
end

local function ask(port, ...)
  local connection = client.connect(port)
  for i, piece in ipairs { ... } do
    if i > 1 then scheduler.sleep(0.005) end
    connection:send(piece)
  end
  return connection, connection:read_response()
end

local function speaks(connection)
  for _, bytes in ipairs { "ls", "\0\255\r\n0\r\n\r\n", ("x"):rep(100000) } do
    connection:send(bytes)
    assert.is_true(connection:read(#bytes) == bytes)
  end
  connection:close()
end

local function check_asked(origin, attempt)
  local seen = origin.requests[attempt or 1]
  assert.equal("tcp", seen.headers.upgrade)
  assert.equal(BODY, seen.body)
end

describe("An upgrade with a body", function()
  after_each(require("cleanup").run)

  local function start(handler, options)
    local origin = origins.start(handler)
    return scene.start(origin, options), origin
  end

  for _, case in ipairs(framed) do
    it(case[1] .. " is offered with it, and is a tunnel behind the 101 (RFC 9110 7.8)", function()
      local proxy, origin = start(daemon)
      local connection, response = ask(proxy.port, request(case[2], case[3]))
      assert.equal(101, response.status)
      check_asked(origin)
      speaks(connection)
    end)

    it(case[1] .. " may have the tunnel's first bytes right behind it (RFC 9110 7.8)", function()
      local proxy, origin = start(daemon)
      local connection, response = ask(proxy.port, request(case[2], case[3] .. "early"))
      assert.equal(101, response.status)
      check_asked(origin)
      assert.equal("early", connection:read(5))
      speaks(connection)
    end)

    it(case[1] .. " goes on behind an early 101, and the tunnel's bytes follow it (RFC 9110 7.8)", function()
      local proxy, origin = start(hasty)
      local half = math.floor(#case[3] / 2)
      local connection, response = ask(proxy.port, request(case[2], case[3]:sub(1, half)))
      assert.equal(101, response.status)
      assert.equal("$ ", connection:read(2)) -- the peer may speak at once
      connection:send(case[3]:sub(half + 1, -2))
      connection:send(case[3]:sub(-1) .. "ls")
      assert.equal("ls", connection:read(2))
      check_asked(origin)
      speaks(connection)
    end)

    it(case[1] .. " passes through a filter, and the tunnel does not", function()
      local hooks = "function policy.request_body_filter(session, chunk) return (chunk:upper()) end"
      local proxy, origin = start(daemon, { hooks = hooks })
      local connection, response = ask(proxy.port, request(case[2], case[3]))
      assert.equal(101, response.status)
      assert.equal(BODY:upper(), origin.requests[1].body)
      speaks(connection)
    end)

    it(case[1] .. " may be read by the policy before", function()
      local hooks = [[
        function policy.request_filter(session) assert(session:read_body() == '{"Detach":false,"Tty":true}') end
        function policy.request_body_filter(session, chunk) return chunk end]]
      local proxy, origin = start(daemon, { hooks = hooks })
      local connection, response = ask(proxy.port, request(case[2], case[3]))
      assert.equal(101, response.status)
      check_asked(origin)
      speaks(connection)
    end)

    it(case[1] .. " is offered again where another peer is asked", function()
      local hooks = "function policy.error_while_proxy(session, peer, error) error.retry = true end"
      local proxy, origin = start(function(connection, number)
        if number == 1 then return connection:read_request() end
        daemon(connection)
      end, { hooks = hooks })
      local connection, response = ask(proxy.port, request(case[2], case[3]))
      assert.equal(101, response.status)
      check_asked(origin, 1)
      check_asked(origin, 2)
      speaks(connection)
    end)
  end

  it("is not hedged, for it may not be asked twice", function()
    local proxy, origin = start(function(connection)
      connection:read_request()
      connection:sleep(0.05)
      connection:send(SWITCH)
      scene.echo_bytes(connection)
    end, { peer = ", hedge = 0.01" })
    local connection, response = ask(proxy.port, request(framed[1][2], BODY))
    assert.equal(101, response.status)
    assert.equal(1, #origin.requests)
    speaks(connection)
  end)

  it("that ends in mid-body behind an early 101 opens no tunnel: both connections end", function()
    local seen, ending
    local proxy = start(function(connection)
      connection:read_request_head()
      connection:send(SWITCH)
      seen, ending = connection:receive_all()
    end)
    local connection, response = ask(proxy.port, request("Content-Length: 10\r\n", "half"))
    assert.equal(101, response.status)
    connection:close()
    scheduler.eventually(function() return ending end)
    assert.equal("half", seen)
  end)

  it("and Expect gets its 100 before the 101, also where the origin forgot it (RFC 9110 7.8)", function()
    for _, continue in ipairs { "HTTP/1.1 100 Continue\r\n\r\n", "" } do
      local proxy, origin = start(function(connection)
        connection:read_request_head()
        connection:send(continue .. SWITCH)
        connection:read_request_body()
        scene.echo_bytes(connection)
      end)
      local connection, response = ask(proxy.port, request("Expect: 100-continue\r\n" .. framed[1][2], ""))
      assert.equal(100, response.status)
      assert.equal(101, connection:read_response().status)
      connection:send(BODY)
      speaks(connection)
      check_asked(origin)
    end
  end)
end)

describe("An upgrade with a body that is not taken", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(framed) do
    it(case[1] .. " is an ordinary request, and the next one is served (RFC 9110 7.8)", function()
      local result = wire.passes(request(case[2], case[3]), { body = BODY })
      assert.equal("tcp", result.requests[1].headers.upgrade)
    end)
  end
end)
