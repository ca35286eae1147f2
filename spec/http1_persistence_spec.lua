-- SPDX-License-Identifier: Apache-2.0
-- Which connections live on, and what a request or response leaves for the next one (RFC 9112 section 9).
local http1 = require "http1"
local scheduler = require "scheduler"
local wire = require "wire"

local EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
local function get(fields, version)
  return ("GET / HTTP/%s\r\nHost: a\r\n%s\r\n"):format(version or "1.1", fields or "")
end

-- sentence, request; nothing behind it may be served
local ends = {
  { "Connection: close", get "Connection: close\r\n" },
  { "close in any case", get "connection: CLOSE\r\n" },
  { "close among other options", get "Connection: keep-alive, X-A, close\r\n" },
  { "close in a list without spaces", get "Connection: x,close,y\r\n" },
  { "close in a second Connection", get "Connection: keep-alive\r\nConnection: close\r\n" },
  { "close with white space around it", get "Connection: \t close \t\r\n" },
  { "close behind an empty member", get "Connection: ,, close\r\n" },
  { "HTTP/1.0", get("", "1.0") },
  { "HTTP/1.0 with keep-alive, for we are a proxy", get("Connection: keep-alive\r\n", "1.0") },
  { "HTTP/1.0 with Keep-Alive", get("Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n", "1.0") },
  { "HTTP/1.0 with Proxy-Connection", get("Proxy-Connection: keep-alive\r\n", "1.0") },
  { "close and a body by length", wire.post("Connection: close\r\nContent-Length: 5\r\n", "hello") },
  { "close and a chunked body",
    wire.post("Connection: close\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n") },
}

local lives = {
  { "HTTP/1.1", get "" },
  { "keep-alive", get "Connection: keep-alive\r\n" },
  { "another option", get "Connection: X-A\r\n" },
  { "an option that only begins with close", get "Connection: closed\r\n" },
  { "an option that only ends with close", get "Connection: x-close\r\n" },
  { "close in another field", get "Keep-Alive: close\r\n" },
  { "Proxy-Connection: close", get "Proxy-Connection: close\r\n" },
  { "HTTP/1.2", get("", "1.2") },
}

describe("The client's connection", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(ends) do
    it("ends behind " .. case[1] .. " (RFC 9112 9.3)", function()
      local result = wire.exchange(case[2] .. wire.NEXT)
      wire.check(result, #result.requests == 1 and #result.responses == 1, "one request is served")
      wire.check(result, result.responses[1].headers.connection == "close", "the answer says so")
      wire.check(result, result.ending == "closed" and result.rest == "", "and it ends")
      wire.check(result, not result.requests[1].headers.connection, "the origin's connection is another matter")
    end)
  end

  it("ends, and the origin's lives on (RFC 9112 9.3)", function()
    local first = wire.exchange(get "Connection: close\r\n")
    local second = wire.exchange(get "Connection: close\r\n")
    assert.equal(first.requests[1].connection, second.requests[1].connection)
  end)

  for _, case in ipairs(lives) do
    it("lives on behind " .. case[1] .. " (RFC 9112 9.3)", function()
      local result = wire.passes(case[2])
      wire.check(result, not result.responses[1].headers.connection, "the answer says nothing")
    end)
  end

  it("lives on where the origin's ends (RFC 9110 7.6.1)", function()
    local answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    local result = wire.passes(get(), {}, { answer = answer, closes = true })
    wire.check(result, not result.responses[1].headers.connection, "the answer says nothing")
    wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "another connection")
  end)

  it("is answered when the client has ended its direction (RFC 9112 9.6)", function()
    local result = wire.exchange(get() .. get(), { half_close = true })
    wire.check(result, #result.requests == 2 and #result.responses == 2, "both are answered")
    wire.check(result, result.ending == "closed" and result.rest == "", "and it ends")
  end)

  it("ends in a way that the answer can still be read, whatever the client sends (RFC 9112 9.6)", function()
    local result = wire.exchange("POST / HTTP/1.1\r\nContent-Length: 500000\r\n\r\n" .. ("x"):rep(500000))
    wire.check(result, #result.responses == 1 and result.responses[1].status == 400, "400")
    wire.check(result, result.ending == "closed" or result.ending == "reset", "and the end")
  end)

  it("answers twenty pipelined requests in their order (RFC 9112 9.3.2)", function()
    local bytes, bodies = {}, {}
    for i = 1, 20 do bytes[i] = ("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(i) end
    local result = wire.exchange(table.concat(bytes) .. wire.NEXT, { answer = function(connection, request)
      if request.target == "/3" then connection:sleep(0.05) end
      connection:respond { body = request.target, chunked = #request.target > 2 }
    end })
    for i = 1, 20 do bodies[i] = result.responses[i].body end
    for i = 1, 20 do assert.equal("/" .. i, bodies[i]) end
    assert.equal(21, #result.responses)
  end)

  it("serves no request behind one that is refused (RFC 9112 9.3.2)", function()
    local result = wire.exchange(get() .. "GET / HTTP/1.1\r\n\r\n" .. wire.NEXT)
    wire.check(result, #result.requests == 1 and #result.responses == 2, "one is served, one is refused")
    wire.check(result, result.responses[2].status == 400 and result.ending == "closed", "and the end")
  end)

  it("keeps pipelined requests behind each other, where one fails (RFC 9112 9.3.2)", function()
    local count = 0
    local result = wire.exchange(get() .. get() .. wire.NEXT, { answer = function(connection)
      count = count + 1
      connection:send(count == 1 and "nonsense\r\n\r\n" or wire.OK)
    end })
    assert.equal(502, result.responses[1].status)
    assert.equal("ok", result.responses[2].body)
    assert.equal("ok", result.responses[3].body)
  end)
end)

describe("The origin's connection", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  it("is not used again when bytes follow a response that ends where a read ends (RFC 9112 6.3)", function()
    for _, size in ipairs { 1024, 4096, 8192, 16384, 32768, 65536 } do
      local head = ("HTTP/1.1 200 OK\r\nContent-Length: %5d\r\n\r\n"):format(size - 42)
      local result = wire.exchange(get() .. wire.NEXT, { answer = head .. ("x"):rep(size - #head) .. EVIL })
      wire.check(result, #result.responses == 2 and #result.responses[1].body == size - 42, "both are answered")
      wire.check(result, result.responses[2].body == "ok", "as they should")
      wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "over another connection")
    end
  end)

  it("is not used again when bytes come while it is idle (RFC 9112 6.3)", function()
    local held
    local first = wire.exchange(get "Connection: close\r\n", { answer = function(connection)
      connection:send(wire.OK)
      held = connection
    end })
    held:send(EVIL)
    scheduler.sleep(0.1) -- longer than the kernel may hold a small segment back
    local second = wire.exchange(get "Connection: close\r\n")
    wire.check(second, second.responses[1].body == "ok", "the right answer")
    wire.check(second, second.requests[1].connection ~= first.requests[1].connection, "over another connection")
  end)

  it("is not used again behind a request that was cut short (RFC 9112 8)", function()
    local cut = wire.exchange(wire.post("Content-Length: 10\r\n", "hello"), { half_close = true })
    local after = wire.exchange(get "Connection: close\r\n")
    wire.check(after, after.responses[1].body == "ok", "the next client is served")
    local number = cut.requests[1] and cut.requests[1].connection
    wire.check(after, after.requests[1].connection ~= number, "over another connection")
  end)

  it("is closed when the client goes away in mid-body (RFC 9112 8)", function()
    local client = require "client"
    local connection = client.connect(wire.proxy.port)
    local before = #wire.origin.requests
    connection:send(wire.post("Content-Length: 10\r\n", "hello"))
    scheduler.eventually(function() return wire.origin.requests[before + 1] end)
    connection:reset()
    local request = wire.origin.requests[before + 1]
    scheduler.eventually(function() return request.failure end, 40, "end of the cut request")
    assert.equal("hello", request.body)
  end)

  it("serves different clients one after another, each with its own bytes (RFC 9112 9.3)", function()
    for i = 1, 10 do
      local body = ("client %d"):format(i)
      local bytes = i % 2 == 0 and wire.post("Content-Length: " .. #body .. "\r\n", body)
        or wire.post("Transfer-Encoding: chunked\r\n", http1.chunk(body) .. http1.chunk "")
      wire.passes(bytes, { body = body })
    end
  end)
end)
