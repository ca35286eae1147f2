-- SPDX-License-Identifier: Apache-2.0
-- What clients get when origins fail: one status for each failure, or a message that is seen to be cut off.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(origin, peer)
  return scene.start(origin, { peer = peer })
end

local function answering(bytes)
  return origins.start(function(connection)
    connection:read_request()
    connection:send(bytes)
  end)
end

local function status_of(origin, peer)
  local proxy = start(origin, peer)
  local status = client.request(proxy.port).status
  return status, proxy
end

describe("an origin that", function()
  it("refuses the connection gives 502", function()
    local status, proxy = status_of { address = origins.dead_address() }
    assert.equal(502, status)
    proxy:wait_log "refused"
  end)

  it("has a name that does not exist gives 502", function()
    local status, proxy = status_of { address = "no-such-host.invalid:80" }
    assert.equal(502, status)
    proxy:wait_log "no%-such%-host%.invalid"
  end)

  it("closes before it answers gives 502", function()
    local origin = origins.start(function(connection) connection:read_request() end)
    assert.equal(502, (status_of(origin)))
    assert.equal(1, #origin.requests)
  end)

  it("resets before it answers gives 502", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:reset()
    end)
    assert.equal(502, (status_of(origin)))
  end)

  for name, bytes in pairs {
    ["no HTTP"] = "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ["a status of two digits"] = "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ["a field without a name"] = "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    ["two different lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ["a length that is no number"] = "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
    ["an unknown transfer coding"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    ["half a head"] = "HTTP/1.1 200 OK\r\nContent-Le",
  } do
    it("sends " .. name .. " gives 502", function() assert.equal(502, (status_of(answering(bytes)))) end)
  end

  it("does not answer in time gives 504", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:sleep(60)
    end)
    local status, proxy = status_of(origin, ", first_byte_timeout = 0.3")
    assert.equal(504, status)
    proxy:wait_log "did not answer in time"
  end)

  it("ends in mid-body by length leaves the client with a body that is seen to be cut off", function()
    local proxy = start(answering "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    local response = client.request(proxy.port)
    assert.equal("hello", response.body)
    assert.is_truthy(response.failure)
  end)

  it("ends in mid-body chunked leaves the client with a body that is seen to be cut off", function()
    local proxy = start(answering "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    local response = client.request(proxy.port)
    assert.equal("hello", response.body)
    assert.is_truthy(response.failure)
  end)

  it("sends a bad chunk in mid-body leaves the client with a body that is seen to be cut off", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
      connection:sleep(0.3)
      connection:send "xyz\r\n"
      connection:receive_all()
    end))
    local response = client.request(proxy.port)
    assert.same({ 200, "hello" }, { response.status, response.body })
    assert.is_truthy(response.failure)
  end)

  it("sends a bad chunk right behind the head gives 502: nothing of it has gone out yet", function()
    local proxy = start(answering "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
    assert.equal(502, client.request(proxy.port).status)
  end)

  it("stalls in mid-body is given up after read_timeout", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
      connection:sleep(60)
    end)
    local proxy = start(origin, ", read_timeout = 0.3")
    local response = client.request(proxy.port)
    assert.equal("hello", response.body)
    assert.is_truthy(response.failure)
    proxy:wait_log "stalled"
  end)
end)

describe("a client that", function()
  it("goes away while it waits ends the request to the origin, whose connection is not used again", function()
    local ended = false
    local origin = origins.start(function(connection, number)
      connection:read_request()
      if number == 1 then
        ended = connection:is_closed()
        return
      end
      connection:respond { body = "hello" }
    end)
    local proxy = start(origin)
    local connection = client.connect(proxy.port)
    connection:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    connection:reset()
    scheduler.eventually(function() return ended end, 40, "end of the origin's connection")
    assert.equal("hello", client.request(proxy.port).body)
  end)

  it("goes away in mid-download ends the request to the origin", function()
    local ended
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
      local block = ("x"):rep(65536)
      while connection:send(block) do end
      ended = true
    end)
    local proxy = start(origin)
    local connection = client.connect(proxy.port)
    connection:send_request {}
    connection:read(100000)
    connection:reset()
    scheduler.eventually(function() return ended end, 40, "end of the origin's connection")
  end)

  it("goes away in mid-upload leaves the origin with a body that is seen to be cut off", function()
    local failure
    local origin = origins.start(function(connection) failure = connection:read_request().failure end)
    local proxy = start(origin)
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello"
    scheduler.eventually(function() return #origin.requests == 1 end)
    connection:close()
    scheduler.eventually(function() return failure end, 40, "end of the origin's connection")
  end)
end)

describe("every failure", function()
  it("leaves a line in the log that names the peer and the reason, and the worker serves on", function()
    local dead = origins.dead_address()
    local proxy = start { address = dead }
    for _ = 1, 3 do assert.equal(502, client.request(proxy.port).status) end
    proxy:wait_log("warn [^\n]*" .. dead:gsub("%p", "%%%0") .. "[^\n]*refused")
  end)

  it("is answered with a body that is text, whole, and the request's end is respected", function()
    local proxy = start { address = origins.dead_address() }
    local connection = client.connect(proxy.port)
    local response = connection:request { method = "HEAD" }
    assert.equal(502, response.status)
    assert.is_truthy(response.headers.date)
    response = connection:request()
    assert.equal(502, response.status)
    assert.is_nil(response.failure)
  end)
end)

describe("the log", function()
  local sentences = {
    ["GET / HTTP/1.1\nHost: a\n\n"] = "CR or LF alone",
    ["GET / HTTP/1.1\r\nHost: a\r\nX: \1\r\n\r\n"] = "a control character",
    ["GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"] = "a line begins with white space",
    ["GET  / HTTP/1.1\r\nHost: a\r\n\r\n"] = "more than one space in the request line",
  }
  for bytes, sentence in pairs(sentences) do
    it("says of whom and why a head was malformed: " .. sentence, function()
      local proxy = perilune.start { to = { origins.dead_address() } }
      local connection = client.connect(proxy.port)
      connection:send(bytes)
      assert.equal(400, connection:read_response().status)
      proxy:wait_log("client 127%.0%.0%.1:%d+: malformed request head: " .. sentence .. "\n")
    end)
  end

  it("says why the head of a response was malformed", function()
    local _, proxy = status_of(answering "HTTP/1.1 200 OK\nContent-Length: 0\n\n")
    proxy:wait_log "malformed response: CR or LF alone %(GET / of client "
  end)

  it("says that the head of a response was too large", function()
    local _, proxy = status_of(answering("HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(70000) .. "\r\n\r\n"))
    proxy:wait_log "malformed response: the head is larger than allowed %(GET / of client "
  end)
end)
