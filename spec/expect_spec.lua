-- SPDX-License-Identifier: Apache-2.0
-- Expect: 100-continue (RFC 9110 section 10.1.1): the proxy passes it on and waits for nothing itself.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"

local start = scene.start

local function expectant_head(length, version)
  return http1.write("POST / HTTP/" .. (version or "1.1"), {
    { "Host", "a" }, { "Expect", "100-continue" }, { "Content-Length", tostring(length) },
  })
end

-- Answers each head with `status`, and reads no body.
local function deciding_early(status, headers)
  return origins.start(function(connection)
    connection:read_request_head()
    connection:respond { status = status, headers = headers, body = "decided" }
    connection:is_closed()
  end)
end

describe("Expect: 100-continue", function()
  it("is forwarded, and the body follows the origin's 100 (RFC 9110 10.1.1)", function()
    local had_body
    local origin = origins.start(function(connection)
      connection:read_request_head()
      had_body = not connection:read(1, 0.1) and connection.buffer ~= ""
      connection:send(CONTINUE)
      connection:read_request_body()
      connection:respond { body = connection.request.body }
    end)
    local connection = client.connect(start(origin).port)
    connection:send(expectant_head(5))
    assert.equal(100, connection:read_response().status)
    connection:send "hello"
    assert.equal("hello", connection:read_response().body)
    assert.is_false(had_body)
    assert.equal("100-continue", origin.requests[1].headers.expect)
    assert.is_false(connection:is_closed(0.1))
  end)

  it("may be ignored by the origin, to which the body is sent when the client sends it (RFC 9110 10.1.1)", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { body = connection.request.body } end
    end)
    local connection = client.connect(start(origin).port)
    for _ = 1, 2 do
      connection:send(expectant_head(5))
      scheduler.sleep(0.05)
      connection:send "hello"
      assert.equal("hello", connection:read_response().body)
    end
    assert.equal(1, origin.accepted)
  end)

  it("ends with the origin's final answer, and with the connection, body or not (RFC 9110 10.1.1)", function()
    local origin = deciding_early(401)
    local proxy = start(origin)
    for _ = 1, 2 do
      local connection = client.connect(proxy.port)
      connection:send(expectant_head(5))
      local response = connection:read_response()
      assert.equal(401, response.status)
      assert.equal("decided", response.body)
      assert.equal("close", response.headers.connection)
      assert.is_true(connection:is_closed())
    end
    assert.equal(2, origin.accepted, "a connection that waits for a body was used again")
  end)

  it("ends with a policy's answer, and no origin is asked (RFC 9110 10.1.1)", function()
    local origin = deciding_early(200)
    local hooks = "function policy.request_filter(session) return session:respond { status = 401 } end"
    local connection = client.connect(start(origin, { hooks = hooks }).port)
    connection:send(expectant_head(5))
    local response = connection:read_response()
    assert.equal(401, response.status)
    assert.equal("close", response.headers.connection)
    assert.is_true(connection:is_closed())
    assert.equal(0, origin.accepted)
  end)

  it("does not wait for ever for a client that never sends the body: 408", function()
    local ended
    local proxy = scene.proxied(function(connection)
      connection:read_request_head()
      connection:send(CONTINUE)
      ended = connection:is_closed()
    end, { listen = "body_timeout = 0.2" })
    local connection = client.connect(proxy.port)
    connection:send(expectant_head(5))
    assert.equal(100, connection:read_response().status)
    assert.equal(408, connection:read_response().status)
    assert.is_true(connection:is_closed())
    scheduler.eventually(function() return ended end)
    proxy:wait_log "127%.0%.0%.1:%d+: the request body stalled"
  end)

  it("does not wait for ever for an origin that never says 100, either: 504", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:is_closed()
    end)
    local options = { listen = "body_timeout = 0.1", peer = ", first_byte_timeout = 0.3" }
    local connection = client.connect(start(origin, options).port)
    connection:send(expectant_head(5))
    assert.equal(504, connection:read_response().status)
  end)

  it("means nothing on HTTP/1.0: it is not forwarded, and a 100 is not sent back (RFC 9110 10.1.1)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send(CONTINUE)
      connection:read_request_body()
      connection:respond { body = connection.request.body }
    end)
    local connection = client.connect(start(origin).port)
    connection:send(expectant_head(5, "1.0") .. "hello")
    local response = connection:read_response()
    assert.equal(200, response.status)
    assert.equal("hello", response.body)
    assert.is_nil(origin.requests[1].headers.expect)
  end)

  it("is forwarded with a chunked body, too (RFC 9110 10.1.1)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send(CONTINUE)
      connection:read_request_body()
      connection:respond { body = connection.request.body }
    end)
    local connection = client.connect(start(origin).port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert.equal(100, connection:read_response().status)
    connection:send(http1.chunk "hello" .. http1.chunk "")
    assert.equal("hello", connection:read_response().body)
  end)

  it("is satisfied by an origin's 100 only once, even if further interim responses follow (RFC 9110 10.1.1)", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send(CONTINUE .. "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
      connection:read_request_body()
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
      connection:respond { body = connection.request.body }
    end)
    local connection = client.connect(start(origin).port)
    connection:send(expectant_head(5))
    assert.equal(100, connection:read_response().status)
    connection:send "hello"
    local response = connection:read_final_response()
    assert.equal("hello", response.body)
    assert.same({ "</a>", "</b>" }, { response.interim[1].headers.link, response.interim[2].headers.link })
    assert.is_false(connection:is_closed(0.1))
  end)
end)
