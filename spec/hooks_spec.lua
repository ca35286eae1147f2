-- SPDX-License-Identifier: Apache-2.0
-- The phases: their order, what each is given, and what its result means.
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- Every hook adds its name to ctx.walk, and runs what the request's field `Do` names from the table `acts`.
local TRACER = [[
local walk = function(session, ctx)
  ctx.walk = ctx.walk or {}
  table.insert(ctx.walk, session:phase())
end
local acts = {}
local function trace(name, ctx_at, default)
  policy[name] = function(...)
    walk((...), (select(ctx_at, ...)))
    if acts[name] then return acts[name](...) end
    if default then return default(...) end
  end
end
local answer_peer = policy.upstream_peer
trace("early_request_filter", 2)
trace("request_filter", 2)
trace("proxy_upstream_filter", 2)
trace("upstream_peer", 2, answer_peer)
trace("fail_to_connect", 3)
trace("connected_to_upstream", 4)
trace("upstream_request_filter", 3)
trace("upstream_response_filter", 3)
trace("response_filter", 3)
trace("error_while_proxy", 4)
trace("fail_to_proxy", 3)
function policy.logging(session, failure, ctx)
  local walked = table.concat(ctx.walk or {}, " ")
  io.stderr:write(("walk: %s; error %s; status %s\n"):format(walked, failure and failure:kind() or "none",
    tostring(session:response_status())))
end
]]

local function start(origin, acts, peer)
  return scene.start(origin, { hooks = TRACER .. (acts or ""), peer = peer })
end

local function walk_of(proxy) return { proxy:wait_log "walk: (.-); error (%S+); status (%S+)\n" } end

local TO_PEER = "early_request_filter request_filter proxy_upstream_filter upstream_peer"
local TO_ORIGIN = TO_PEER .. " connected_to_upstream upstream_request_filter"
local WHOLE = TO_ORIGIN .. " upstream_response_filter response_filter"

describe("the walk of an exchange", function()
  it("calls each hook once, in the order of the phases", function()
    local proxy = start(origins.start "hello")
    assert.equal("hello", client.request(proxy.port).body)
    assert.same({ WHOLE, "none", "200" }, walk_of(proxy))
  end)

  it("calls upstream_response_filter for interim responses too, response_filter only for the final one", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      connection:respond { body = "hello" }
    end))
    local response = client.request(proxy.port)
    assert.equal(103, response.interim[1].status)
    local walked = TO_ORIGIN .. (" upstream_response_filter"):rep(2) .. " response_filter"
    assert.same({ walked, "none", "200" }, walk_of(proxy))
  end)

  it("goes from connecting to upstream_peer again while that may be retried, then to fail_to_proxy", function()
    local proxy = start({ address = origins.dead_address() })
    assert.equal(502, client.request(proxy.port).status)
    local walk = walk_of(proxy)
    assert.equal(TO_PEER .. (" fail_to_connect upstream_peer"):rep(3) .. " fail_to_connect fail_to_proxy", walk[1])
    assert.same({ "connect_refused", "502" }, { walk[2], walk[3] })
  end)

  it("calls error_while_proxy and fail_to_proxy when the origin fails behind the connection", function()
    local proxy = start(origins.start(function(connection) connection:read_request() end))
    assert.equal(502, client.request(proxy.port).status)
    assert.same({ TO_ORIGIN .. " error_while_proxy fail_to_proxy", "upstream_closed", "502" }, walk_of(proxy))
  end)

  it("calls logging once for a malformed request, and no other hook but fail_to_proxy", function()
    local proxy = start(origins.start "hello")
    local connection = client.connect(proxy.port)
    connection:send "GET / HTTP/1.1\r\nBad Name: 1\r\n\r\n"
    assert.equal(400, connection:read_response().status)
    assert.same({ "fail_to_proxy", "bad_request", "400" }, walk_of(proxy))
    assert.equal(1, proxy:count_log "^walk: ")
  end)

  it("calls logging once for each request of a connection", function()
    local proxy = start(origins.start "hello")
    local connection = client.connect(proxy.port)
    for _ = 1, 3 do connection:request() end
    proxy:wait_log "walk: .-walk: .-walk: "
    assert.equal(3, proxy:count_log "^walk: ")
  end)

  it("calls logging when the client has gone away", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:sleep(60)
    end))
    local connection = client.connect(proxy.port)
    connection:send_request {}
    connection:sleep(0.2)
    connection:reset()
    assert.equal("client_gone", walk_of(proxy)[2])
  end)
end)

describe("request_filter", function()
  it("that answers ends the walk: no peer is asked", function()
    local origin = origins.start "hello"
    local proxy = start(origin, [[
      acts.request_filter = function(session)
        return session:respond { status = 403, headers = { ["X-Why"] = "no" }, body = "not you" }
      end
    ]])
    local response = client.request(proxy.port)
    assert.same({ 403, "no", "not you" }, { response.status, response.headers["x-why"], response.body })
    assert.same({ "early_request_filter request_filter", "none", "403" }, walk_of(proxy))
    assert.equal(0, origin.accepted)
  end)

  it("that answers keeps the connection, unless it says close", function()
    local proxy = start(origins.start "hello", [[
      acts.request_filter = function(session)
        return session:respond { status = 200, body = "mine", close = session:get_header("X-Close") ~= nil }
      end
    ]])
    local connection = client.connect(proxy.port)
    for _ = 1, 3 do assert.equal("mine", connection:request().body) end
    assert.equal("close", connection:request({ headers = { ["X-Close"] = "1" } }).headers.connection)
    assert.is_true(connection:is_closed())
  end)

  it("that answers a request with a body drains it, so that the next request is understood", function()
    local proxy = start(origins.start "hello", [[
      acts.request_filter = function(session) return session:respond { status = 200, body = session:path() } end
    ]])
    local connection = client.connect(proxy.port)
    local trap = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal("/1", connection:request({ method = "POST", path = "/1", body = trap }).body)
    assert.equal("/2", connection:request({ method = "POST", path = "/2", body = trap, chunked = true }).body)
    assert.equal("/3", connection:request({ path = "/3" }).body)
  end)
end)

describe("proxy_upstream_filter", function()
  it("that returns false gives 502, and no peer is asked", function()
    local origin = origins.start "hello"
    local proxy = start(origin, "acts.proxy_upstream_filter = function() return false end")
    assert.equal(502, client.request(proxy.port).status)
    assert.equal("upstream_refused", walk_of(proxy)[2])
    assert.equal(0, origin.accepted)
  end)
end)

describe("upstream_request_filter", function()
  it("edits the request of this attempt only: a retry begins from the client's request", function()
    local origin = origins.start(function(connection, number)
      connection:read_request()
      if number > 1 then connection:respond { body = "hello" } end
    end)
    local proxy = start(origin, [[
      local attempt = 0
      acts.upstream_request_filter = function(_, request)
        attempt = attempt + 1
        request:set_header("X-Attempt-" .. attempt, "1")
      end
      acts.error_while_proxy = function(_, _, failure) failure.retry = true end
    ]])
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal("1", origin.requests[1].headers["x-attempt-1"])
    assert.equal("1", origin.requests[2].headers["x-attempt-2"])
    assert.is_nil(origin.requests[2].headers["x-attempt-1"])
  end)
end)

describe("response filters", function()
  it("edit what the client gets, upstream_response_filter first", function()
    local proxy = start(origins.start "hello", [[
      acts.upstream_response_filter = function(_, response) response:set_header("X-Order", "up") end
      acts.response_filter = function(_, response)
        response:set_header("X-Order", response:get_header("X-Order") .. " down")
        response:set_status(203)
      end
    ]])
    local response = client.request(proxy.port)
    assert.same({ 203, "up down", "hello" }, { response.status, response.headers["x-order"], response.body })
  end)
end)

describe("fail_to_connect and error_while_proxy", function()
  it("can forbid a retry", function()
    local proxy = start({ address = origins.dead_address() }, [[
      acts.fail_to_connect = function(_, _, _, failure) failure.retry = false end
    ]])
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(TO_PEER .. " fail_to_connect fail_to_proxy", walk_of(proxy)[1])
  end)

  it("are told the peer, the error, and whether the connection was reused", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { body = "hello" }
      connection:read_request()
    end)
    local proxy = start(origin, [[
      acts.error_while_proxy = function(session, peer, failure, ctx, reused)
        local told = { session:peer_address(), failure:kind(), failure:side(), tostring(reused) }
        io.stderr:write("told: ", table.concat(told, " "), "\n")
        failure.retry = false
      end
    ]])
    client.request(proxy.port)
    assert.equal(502, client.request(proxy.port).status)
    assert.same({ origin.address, "upstream_closed", "upstream", "true" },
      { proxy:wait_log "told: (%S+) (%S+) (%S+) (%S+)\n" })
  end)
end)

describe("fail_to_proxy", function()
  it("can give another status", function()
    local proxy = start({ address = origins.dead_address() }, "acts.fail_to_proxy = function() return 599 end")
    assert.equal(599, client.request(proxy.port).status)
  end)

  it("can answer", function()
    local proxy = start({ address = origins.dead_address() }, [[
      acts.fail_to_proxy = function(session, failure)
        session:respond { status = 503, body = "sorry: " .. failure:kind() }
      end
    ]])
    local response = client.request(proxy.port)
    assert.same({ 503, "sorry: connect_refused" }, { response.status, response.body })
  end)
end)

describe("connected_to_upstream", function()
  it("is told whether the connection was reused", function()
    local proxy = start(origins.start "hello", [[
      acts.connected_to_upstream = function(_, reused) io.stderr:write("reused: " .. tostring(reused) .. "\n") end
    ]])
    client.request(proxy.port)
    client.request(proxy.port)
    proxy:wait_log "reused: false\n.*reused: true\n"
  end)
end)

describe("a response in logging", function()
  it("has the Date with which it was sent, also where its body took until another second", function()
    local may_end = false
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlo"
      scheduler.wait_until(function() return may_end end, scheduler.deadline(scheduler.TIMEOUT))
      connection:send "ng"
    end)
    local proxy = scene.start(origin, { hooks = [[
      function policy.request_filter(session)
        if session:path() == "/own" then return session:respond { status = 200 } end
      end
      function policy.response_filter(_, response, ctx) ctx.response = response end
      function policy.logging(_, _, ctx)
        if ctx.response then perilune.log.info("Date is", ctx.response:get_header "Date") end
      end
    ]] })
    local long = client.connect(proxy.port)
    long:send_request {}
    local sent = long:read_until "\r\n\r\n":match "\r\nDate: ([^\r]*)"
    scheduler.eventually(function()
      return client.request({ port = proxy.port, path = "/own" }).headers.date ~= sent
    end)
    may_end = true
    proxy:wait_log("Date is " .. sent)
  end)
end)

describe("handles", function()
  it("raise a clear error when they are used after their exchange ended", function()
    local proxy = start(origins.start "hello", [[
      local kept
      acts.request_filter = function(session)
        if kept then kept:method() end
        kept = session
      end
    ]])
    assert.equal(200, client.request(proxy.port).status)
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "session used after its exchange ended"
  end)

  it("raise an error that names the phase for what makes no sense there", function()
    local proxy = start(origins.start "hello", [[
      function policy.logging(session) session:set_close() end
    ]])
    assert.equal(200, client.request(proxy.port).status)
    proxy:wait_log "set_close is not allowed in logging"
  end)

  it("refuse names and values with line ends in them", function()
    local proxy = start(origins.start "hello", [[
      acts.request_filter = function(session)
        session:request():set_header(session:get_header("X-Name"), (session:get_header("X-Value"):gsub("|", "\r\n")))
      end
    ]])
    local function status(name, value)
      return client.request({ port = proxy.port, headers = { ["X-Name"] = name, ["X-Value"] = value } }).status
    end
    assert.equal(200, status("A", "b"))
    assert.equal(500, status("A", "b|C: d"))
    assert.equal(500, status("A b", "c"))
  end)
end)
