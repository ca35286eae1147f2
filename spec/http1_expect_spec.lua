-- SPDX-License-Identifier: Apache-2.0
-- Interim responses, and the Expect: 100-continue that asks for one (RFC 9110 sections 10.1.1 and 15.2).
local client = require "client"
local wire = require "wire"

local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"
local HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
local EXPECT = "Expect: 100-continue\r\nContent-Length: 5\r\n"

local function statuses(response)
  local list = {}
  for i, interim in ipairs(response.interim) do list[i] = interim.status end
  return list
end

describe("An interim response", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs {
    { "100", CONTINUE, { 100 } }, { "103", HINTS, { 103 } },
    { "102", "HTTP/1.1 102 Processing\r\n\r\n", { 102 } },
    { "150, which is not known", "HTTP/1.1 150 X\r\n\r\n", { 150 } },
    { "199", "HTTP/1.1 199 \r\n\r\n", { 199 } }, { "100 and 103", CONTINUE .. HINTS, { 100, 103 } },
    { "103 three times", HINTS:rep(3), { 103, 103, 103 } },
    { "of HTTP/1.0", (HINTS:gsub("1%.1", "1.0")), { 103 } },
  } do
    it(case[1] .. " is forwarded before the final one (RFC 9110 15.2)", function()
      local result = wire.passes(wire.get(), {}, { answer = case[2] .. OK })
      assert.same(case[3], statuses(result.responses[1]))
      assert.equal("ok", result.responses[1].body)
      wire.check(result, result.requests[2].connection == result.requests[1].connection, "the connection lives on")
    end)

    it(case[1] .. " is not forwarded to HTTP/1.0 (RFC 9110 15.2)", function()
      local result = wire.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n", { answer = case[2] .. OK })
      assert.same({}, statuses(result.responses[1]))
      assert.equal("ok", result.responses[1].body)
    end)
  end

  it("keeps its fields, without those of one hop (RFC 9110 15.2)", function()
    local hints = "HTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: X\r\nX: 1\r\nKeep-Alive: 5\r\nLink: b\r\n\r\n"
    local interim = wire.passes(wire.get(), {}, { answer = hints .. OK }).responses[1].interim[1]
    assert.equal("HTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\n", interim.head)
  end)

  it("loses its framing fields (RFC 9110 8.6, RFC 9112 6.1)", function()
    for _, field in ipairs { "Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked" } do
      local answer = "HTTP/1.1 103 X\r\n" .. field .. "\r\n\r\n" .. OK
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = answer })
      local first = result.responses[1]
      wire.check(result, first and first.status == 200 and first.body == "ok", "forwarded")
      assert.equal("HTTP/1.1 103 X\r\n\r\n", first.interim[1].head)
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
    end
  end)

  it("comes at once, not with the final one (RFC 9110 15.2)", function()
    local go
    wire.answer = function(connection)
      connection:send(HINTS)
      while not go do connection:sleep(0.002) end
      connection:send(OK)
    end
    local connection = client.connect(wire.proxy.port)
    connection:send(wire.get "Connection: close\r\n")
    assert.equal(103, connection:read_response().status)
    go = true
    assert.equal(200, connection:read_response().status)
    connection:close()
  end)

  it("without a final one behind it becomes 502 (RFC 9110 15.2)", function()
    local result = wire.exchange(wire.get() .. wire.NEXT, { answer = HINTS, closes = true })
    wire.check(result, result.responses[1].status == 502, "502")
    wire.check(result, #result.responses == 2, "and the next request is served")
  end)

  it("that is malformed becomes 502 (RFC 9112 4)", function()
    for _, bad in ipairs { "HTTP/1.1 103\r\nX\r\n\r\n", "HTTP/1.1 10 X\r\n\r\n", "HTTP/1.1 103 X\r\n a\r\n\r\n" } do
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = bad .. OK })
      wire.check(result, result.responses[1].status == 502 and #result.responses == 2, "502")
    end
  end)

  it("101 to a request without Upgrade becomes 502 (RFC 9110 15.2.2)", function()
    local answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" .. OK
    local result = wire.exchange(wire.get() .. wire.NEXT, { answer = answer })
    wire.check(result, result.responses[1].status == 502 and #result.responses == 2, "502")
    wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "and another connection")
  end)

  it("comes for HEAD too (RFC 9110 15.2)", function()
    local result = wire.exchange(wire.get():gsub("^GET", "HEAD") .. wire.NEXT,
      { answer = HINTS .. "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", methods = { "HEAD" } })
    assert.same({ 103 }, statuses(result.responses[1]))
    wire.check(result, #result.responses == 2, "and the next request is served")
  end)
end)

describe("Expect: 100-continue", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  -- Answers a head with `first`, then reads the body, then answers.
  local function start(script)
    local seen = {}
    local connection = client.connect(wire.proxy.port)
    wire.origin.handler = function(origin)
      local request = origin:read_request_head()
      if not request then return end
      seen.request = request
      script(origin, request)
    end
    return connection, seen
  end

  it("goes to the origin with the head, before the body; 100 and the answer come back (RFC 9110 10.1.1)", function()
    local connection, seen = start(function(origin)
      origin:send(CONTINUE)
      origin:read_request_body()
      origin:send(OK)
    end)
    connection:send(wire.post(EXPECT .. "Connection: close\r\n"))
    assert.equal(100, connection:read_response().status)
    assert.equal("100-continue", seen.request.headers.expect)
    assert.equal("", seen.request.body)
    connection:send "hello"
    assert.equal(200, connection:read_response().status)
    assert.equal("hello", seen.request.body)
    connection:close()
  end)

  it("is the client's to wait for: it may send the body at once (RFC 9110 10.1.1)", function()
    local connection, seen = start(function(origin)
      origin:read_request_body()
      origin:send(OK)
    end)
    connection:send(wire.post(EXPECT .. "Connection: close\r\n", "hello"))
    assert.equal(200, connection:read_response().status)
    assert.equal("hello", seen.request.body)
    connection:close()
  end)

  it("may be answered with a final status; the body never comes, and the connection ends (RFC 9110 10.1.1)", function()
    local connection = start(function(origin)
      origin:send "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
      origin:read_request_body()
    end)
    connection:send(wire.post(EXPECT))
    local response = connection:read_response()
    assert.equal(413, response.status)
    assert.equal("close", response.headers.connection)
    assert.is_true(connection:is_closed())
    connection:close()
  end)

  it("of HTTP/1.0 is ignored (RFC 9110 10.1.1)", function()
    local connection, seen = start(function(origin)
      origin:send(CONTINUE)
      origin:read_request_body()
      origin:send(OK)
    end)
    connection:send("POST / HTTP/1.0\r\nHost: a\r\n" .. EXPECT .. "\r\nhello")
    assert.equal(200, connection:read_response().status)
    assert.is_nil(seen.request.headers.expect)
    assert.equal("hello", seen.request.body)
    connection:close()
  end)

  for _, value in ipairs { "100-Continue", "100-CONTINUE", " 100-continue\t" } do
    it(("is understood as %q (RFC 9110 10.1.1)"):format(value), function()
      local connection, seen = start(function(origin)
        origin:read_request_body()
        origin:send(OK)
      end)
      connection:send(wire.post("Expect: " .. value .. "\r\nContent-Length: 5\r\nConnection: close\r\n", "hello"))
      assert.equal(200, connection:read_response().status)
      assert.matches("^100%-[Cc]", seen.request.headers.expect)
      connection:close()
    end)
  end
end)

describe("Another expectation is refused with 417:", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  for _, value in ipairs { "200-ok", "x", "100-continue, x", "100-continue=1", "100", '"100-continue"' } do
    it(value .. " (RFC 9110 10.1.1)", function()
      wire.refuses(wire.post("Expect: " .. value .. "\r\nContent-Length: 5\r\n", "hello"), "417")
      wire.refuses(wire.get("Expect: " .. value .. "\r\n"), "417")
    end)
  end
end)
