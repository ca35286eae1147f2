-- SPDX-License-Identifier: Apache-2.0
-- Retries: what is safe to repeat is repeated, nothing reaches an origin twice that it may have acted on (RFC 9110
-- section 9.2.2), and the policy has the last word within that.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local KILOBYTE = 1024

local start = scene.start

-- Answers the first request on each connection. The first connection ends, in the way given, when its second request's
-- head has come; `seen` counts the heads of the others.
local function ending_in_reuse(way)
  return origins.start(function(connection, number)
    connection:read_request()
    connection:respond { body = "hello" }
    if number == 1 then
      connection:read_request_head()
      return connection[way or "close"](connection)
    end
    while connection:read_request() do connection:respond { body = "again" } end
  end)
end

-- The origin's connection waits in the pool.
local function start_pooled(origin, options)
  local proxy = start(origin, options)
  assert.equal("hello", client.request(proxy.port).body)
  return proxy
end

describe("a request on a pooled connection that the origin ends", function()
  for _, way in ipairs { "close", "reset" } do
    it("by " .. way .. " is sent again with its body, up to 64 KiB (RFC 9112 9.3.1)", function()
      local origin = ending_in_reuse(way)
      local body = ("0123456789abcdef"):rep(4 * KILOBYTE)
      local proxy = start_pooled(origin)
      local response = client.request { port = proxy.port, method = "PUT", body = body }
      assert.equal("hello", response.body)
      assert.equal(3, #origin.requests)
      assert.is_true(origin.requests[3].body == body)
      proxy:wait_log "peer 127%.0%.0%.1:%d+: the peer closed before it answered"
    end)
  end

  it("gives 502 where the body has more than 64 KiB", function()
    local origin = ending_in_reuse()
    local proxy = start_pooled(origin)
    local response = client.request { port = proxy.port, method = "PUT", body = ("x"):rep(64 * KILOBYTE + 1) }
    assert.equal(502, response.status)
    assert.equal(2, #origin.requests)
  end)

  it("is sent again although its body is still coming, and with the rest of it (RFC 9112 9.3.1)", function()
    local origin = ending_in_reuse()
    local connection = client.connect(start_pooled(origin).port)
    connection:send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" .. http1.chunk "first,")
    scheduler.eventually(function() return #origin.requests == 3 end)
    connection:send(http1.chunk "second" .. "0\r\nDigest: z\r\n\r\n")
    assert.equal("hello", connection:read_response().body)
    assert.equal("first,second", origin.requests[3].body)
    assert.equal("z", origin.requests[3].trailers.digest)
    assert.equal("again", client.request(perilune.latest.port).body)
  end)

  it("leaves the client's connection as it was", function()
    local connection = client.connect(start_pooled(ending_in_reuse()).port)
    local response = connection:request { method = "PUT", body = "x" }
    assert.equal(200, response.status)
    assert.is_nil(response.headers.connection)
    assert.equal(200, connection:request().status)
  end)

  it("is not sent again when something of a response has come (RFC 9112 9.3.1)", function()
    local origin = origins.start(function(connection, number)
      connection:read_request()
      connection:respond { body = "hello" }
      if number > 1 then return end
      connection:read_request()
      connection:send "HTTP/1.1 200 O"
    end)
    local proxy = start_pooled(origin)
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(2, #origin.requests)
  end)

  it("is not sent again with max_retries = 0", function()
    local origin = ending_in_reuse()
    local proxy = start_pooled(origin, { listen = "max_retries = 0" })
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(2, #origin.requests)
  end)
end)

describe("a POST on a pooled connection", function()
  -- The policy waits before it sends on a connection that was used before, and says so.
  local waiting = [[function policy.connected_to_upstream(session, reused)
    if not reused then return end
    perilune.log.info("waits")
    perilune.sleep(0.2)
  end]]

  for _, way in ipairs { "close", "reset" } do
    it("that the origin ends by " .. way .. " before it was sent goes on a fresh one, once (RFC 9112 9.3.1)", function()
      local first
      local origin = origins.start(function(connection, number)
        if number == 1 then first = connection end
        while connection:read_request() do connection:respond { body = "hello" } end
      end)
      local proxy = start_pooled(origin, { hooks = waiting })
      local connection = client.connect(proxy.port)
      connection:send_request { method = "POST", body = "pay" }
      proxy:wait_log "waits"
      first[way](first)
      assert.equal("hello", connection:read_response().body)
      assert.equal(2, #origin.requests)
      assert.equal(2, origin.requests[2].connection)
    end)
  end

  it("takes no bytes for a response that came before it was sent (RFC 9112 6.3)", function()
    local first
    local origin = origins.start(function(connection, number)
      if number == 1 then first = connection end
      while connection:read_request() do connection:respond { body = "hello" } end
    end)
    local proxy = start_pooled(origin, { hooks = waiting })
    local connection = client.connect(proxy.port)
    connection:send_request { method = "POST", body = "pay" }
    proxy:wait_log "waits"
    first:send(http1.write("HTTP/1.1 200 OK", {}, "evil"))
    assert.equal("hello", connection:read_response().body)
    assert.equal(2, origin.requests[2].connection)
  end)

  for _, way in ipairs { "close", "reset" } do
    it("that the origin ends by " .. way .. " having read it gives 502, is not sent twice (RFC 9110 9.2.2)", function()
      local origin = ending_in_reuse(way)
      local proxy = start_pooled(origin)
      assert.equal(502, client.request({ port = proxy.port, method = "POST", body = "pay" }).status)
      assert.equal(2, #origin.requests)
    end)
  end
end)

describe("a request on a fresh connection", function()
  local function never_answering()
    return origins.start(function(connection) connection:read_request() end)
  end

  it("that the origin closes is not sent again, even if it is idempotent", function()
    local origin = never_answering()
    assert.equal(502, client.request(start(origin).port).status)
    assert.equal(1, #origin.requests)
  end)

  it("is sent again where error_while_proxy says so, and only max_retries times", function()
    local origin = never_answering()
    local hooks = "function policy.error_while_proxy(session, peer, error) error.retry = true end"
    local proxy = start(origin, { hooks = hooks, listen = "max_retries = 2" })
    assert.equal(502, client.request({ port = proxy.port, method = "POST", body = "pay" }).status)
    assert.equal(3, #origin.requests)
    assert.equal("pay", origin.requests[3].body)
  end)
end)

describe("error_while_proxy", function()
  local retrying = [[function policy.error_while_proxy(session, peer, error)
    perilune.log.info("asked for", error:kind())
    error.retry = true
  end]]

  it("can forbid what would be retried", function()
    local origin = ending_in_reuse()
    local hooks = "function policy.error_while_proxy(session, peer, error) error.retry = false end"
    local proxy = start_pooled(origin, { hooks = hooks })
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(2, #origin.requests)
  end)

  it("can make a malformed response be asked for again, of another peer", function()
    local bad = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 nonsense\r\n\r\n"
    end)
    local good = origins.start "hello"
    local hooks = retrying .. ([[
      local usual = policy.upstream_peer
      function policy.upstream_peer(session)
        return session:attempts() > 1 and %q or usual(session)
      end]]):format(good.address)
    local proxy = start(bad, { hooks = hooks })
    assert.equal("hello", client.request(proxy.port).body)
  end)

  it("cannot make a request be repeated behind an interim response that the client got", function()
    local proxy, origin = scene.proxied(function(connection)
      connection:read_request_head()
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    end, { hooks = retrying })
    local connection = client.connect(proxy.port)
    local response = connection:request()
    assert.equal(502, response.status)
    assert.equal(1, #response.interim)
    assert.equal(1, #origin.requests)
  end)

  it("cannot make a request be repeated whose body is no longer there", function()
    local proxy, origin = scene.proxied(function(connection) connection:read_request() end, { hooks = retrying })
    local response = client.request { port = proxy.port, method = "PUT", body = ("x"):rep(100 * KILOBYTE) }
    assert.equal(502, response.status)
    assert.equal(1, #origin.requests)
  end)

  it("cannot make a response begin anew", function()
    local proxy, origin = scene.proxied(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    end, { hooks = retrying })
    local response = client.request(proxy.port)
    assert.equal("hello", response.body)
    assert.is_truthy(response.failure)
    proxy:wait_log "asked for response_truncated"
    assert.equal(1, #origin.requests)
  end)

  it("cannot mend what the client did wrong", function()
    local origin = origins.start(function(connection) connection:read_request() end)
    local proxy = start(origin, { hooks = retrying })
    local connection = client.connect(proxy.port)
    connection:send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" .. http1.chunk "fine")
    scheduler.eventually(function() return #origin.requests == 1 end)
    connection:send "xyz\r\n"
    assert.equal(400, connection:read_response().status)
    proxy:wait_log "asked for bad_chunk"
    assert.equal(1, origin.accepted)
  end)

  it("may wait while the client goes away", function()
    local origin = origins.start(function(connection) connection:read_request() end)
    local proxy = start(origin, { hooks = [[
      function policy.error_while_proxy() perilune.log.info "waits" perilune.sleep(0.2) end
      function policy.logging(session, error) perilune.log.info("logged", error:kind()) end]] })
    local connection = client.connect(proxy.port)
    connection:send_request {}
    proxy:wait_log "waits"
    connection:reset()
    proxy:wait_log "logged upstream_closed"
    assert.equal(1, proxy:count_log "logged")
  end)
end)

describe("fail_to_connect", function()
  it("is asked at each attempt, however many there are", function()
    local hooks = "function policy.fail_to_connect(session) perilune.log.info('attempt', session:attempts()) end"
    local proxy = start({ address = origins.dead_address() }, { hooks = hooks, listen = "max_retries = 300" })
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "attempt 301"
    assert.equal(301, proxy:count_log "attempt ")
  end)

  it("can forbid what would be retried", function()
    local hooks = [[function policy.fail_to_connect(session, peer, ctx, error)
      perilune.log.info("failed", error:kind())
      error.retry = false
    end]]
    local proxy = start({ address = origins.dead_address() }, { hooks = hooks })
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(1, proxy:count_log "failed connect_refused")
  end)

  it("can lead to another peer, with the whole body", function()
    local good = origins.start "hello"
    local hooks = ([[
      local usual = policy.upstream_peer
      function policy.upstream_peer(session, ctx) return ctx.failed and %q or usual(session) end
      function policy.fail_to_connect(session, peer, ctx, error)
        ctx.failed, error.retry = true, true
      end]]):format(good.address)
    local proxy = start({ address = origins.dead_address() }, { hooks = hooks })
    local body = ("x"):rep(1000 * KILOBYTE)
    assert.equal("hello", client.request({ port = proxy.port, method = "POST", body = body }).body)
    assert.is_true(good.requests[1].body == body)
  end)

  it("is over when the client is: what waits is given up", function()
    local hooks = [[
      function policy.fail_to_connect() perilune.log.info "waits" perilune.sleep(600) end
      function policy.logging(session, error) perilune.log.info("logged", error:kind()) end]]
    local proxy = start({ address = origins.dead_address() }, { hooks = hooks })
    local connection = client.connect(proxy.port)
    connection:send_request {}
    proxy:wait_log "waits"
    connection:reset()
    proxy:wait_log "logged"
  end)
end)

describe("a response found to be malformed before anything of it went to the client", function()
  -- Its chunks break in the packet that brings the head. The other backend is asked, and says nothing.
  local function start_set()
    local broken = origins.start(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" .. http1.chunk "hello" .. "zz\r\n")
      connection:read_request()
    end)
    local silent = origins.start(function(connection)
      connection:read_request()
      connection:read_request()
    end)
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new $PEERS
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session)
          if session:path() == "/alive" then return session:respond { status = 200, body = "alive" } end
        end,
        upstream_peer = function() return set:select() end,
        logging = function(session, error) if error then perilune.log.info("logged", error:kind()) end end,
      })]], { PEERS = { broken.address, silent.address } }) }
    return proxy, broken, silent
  end

  it("is forgotten with its connection, also where the client leaves while another backend is asked", function()
    local proxy, broken, silent = start_set()
    for i = 1, 3 do
      local connection = client.connect(proxy.port)
      connection:send_request {}
      scheduler.eventually(function() return #silent.requests == i end)
      connection:reset()
      scheduler.eventually(function() return proxy:count_log "logged client_gone" == i end)
    end
    assert.is_true(#broken.requests > 0)
    assert.equal("alive", client.request { port = proxy.port, path = "/alive" }.body)
  end)
end)
