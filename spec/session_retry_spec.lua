-- SPDX-License-Identifier: Apache-2.0
-- session:retry: the policy asks again because of a response, and the last response is what the client gets.

local client = require "perilune.test.client"
local origins = require "perilune.test.origins"
local perilune = require "spec.support.perilune"
local policies = require "spec.support.policies"
local scheduler = require "perilune.test.scheduler"

local RETRY = [[function policy.upstream_response_filter(session, response)
  response:add_header("X-Seen", tostring(session:attempts()))
  if response:status() >= 500 or response:status() == 429 then return session:retry() end
end
]]

-- Answers each request with the next of these statuses, and "answer N" as the body.
local function answering(statuses)
  local count = 0
  return origins.start(function(connection)
    while connection:read_request() do
      count = count + 1
      connection:respond { status = statuses[count] or statuses[#statuses], body = "answer " .. count }
    end
  end)
end

local function start(origin, listen, hooks)
  return perilune.start { workers = 1, policy = policies.to(origin, { hooks = hooks or RETRY, listen = listen }) }
end

describe("session:retry", function()
  it("asks again, and the client gets nothing of the response that it stands for", function()
    local origin = answering { 503, 429, 200 }
    local proxy = start(origin)
    local response = client.request(proxy.port)
    assert.equal(200, response.status)
    assert.equal("answer 3", response.body)
    assert.equal("3", response.headers.x_seen)
    assert.equal(3, #origin.requests)
    proxy:wait_log "peer 127%.0%.0%.1:%d+: it answered 503, and the policy asks again"
  end)

  it("gives the last response to the client where max_retries is reached", function()
    local origin = answering { 503 }
    local response = client.request(start(origin, "max_retries = 2").port)
    assert.equal(503, response.status)
    assert.equal("answer 3", response.body)
    assert.equal(3, #origin.requests)
  end)

  it("sends the body again, of any method", function()
    local origin = answering { 500, 200 }
    local body = ("0123456789"):rep(3000)
    local response = client.request { port = start(origin).port, method = "POST", body = body }
    assert.equal("answer 2", response.body)
    assert.is_true(origin.requests[2].body == body)
  end)

  it("gives nil and says why where the body is too long to be sent again", function()
    local origin = answering { 500 }
    local proxy = start(origin, nil, [[function policy.upstream_response_filter(session, response)
      local ok, why = session:retry()
      response:set_header("X-Why", tostring(ok) .. ": " .. tostring(why))
      return ok
    end]])
    local response = client.request { port = proxy.port, method = "POST", body = ("x"):rep(100000) }
    assert.equal(500, response.status)
    assert.equal("nil: the request's body is too long to be sent again", response.headers.x_why)
    assert.equal(1, #origin.requests)
  end)

  it("keeps the response, as the hook has changed it, for the case that nobody answers any more", function()
    local count = 0
    local origin = origins.start(function(connection)
      connection:read_request()
      count = count + 1
      if count == 1 then connection:respond { status = 503, body = "sorry" } else connection:reset() end
    end)
    for _, request in ipairs { { method = "GET" }, { method = "POST", body = "x" } } do
      count, request.port = 0, start(origin).port
      local response = client.request(request)
      assert.equal(503, response.status)
      assert.equal("sorry", response.body)
      assert.equal("1", response.headers.x_seen)
    end
  end)

  it("leaves the client's connection as it was, also where the body was still coming", function()
    local count = 0
    local origin = origins.start(function(connection)
      while connection:read_request_head() do
        count = count + 1
        if count == 1 then return connection:respond { status = 503, body = "early" } end
        connection:read_request_body()
        connection:respond { body = "second" }
      end
    end)
    local connection = client.connect(start(origin).port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    scheduler.eventually(function() return count == 2 end)
    connection:send "4\r\nlast\r\n0\r\n\r\n"
    assert.equal("second", connection:read_response().body)
    assert.equal("second", connection:request().body)
  end)

  it("asks another backend of a set, and the one that answered so is ejected for its failures", function()
    local bad, good = answering { 429 }, answering { 200 }
    local proxy = perilune.start { workers = 1, policy = ([[
local perilune = require "perilune"
local set = require("perilune.round_robin").new({ %q, %q, retry_on = false, passive = { failures = 1, eject = 3600 } })
local policy = {}
function policy.upstream_peer() return { address = set:select() } end
%s
perilune.listen("127.0.0.1:0", policy)]]):format(bad.address, good.address, RETRY) }
    for _ = 1, 6 do assert.equal(200, client.request(proxy.port).status) end
    assert.equal(1, #bad.requests)
  end)

  it("is taken out of the retry budget of the set", function()
    local bad = answering { 429 }
    local proxy = perilune.start { workers = 1, policy = ([[
local perilune = require "perilune"
local set = require("perilune.round_robin").new {
  %q, retry_on = false, passive = false, retry_budget = { share = 0.01, min = 1 },
}
local policy = {}
function policy.upstream_peer() return { address = set:select() } end
function policy.upstream_response_filter(session, response)
  local ok, why = session:retry()
  perilune.log.info("asked: " .. tostring(why))
  perilune.sleep(0.05)
  return ok
end
perilune.listen("127.0.0.1:0", policy)]]):format(bad.address) }
    local connections = {}
    for i = 1, 8 do
      connections[i] = client.connect(proxy.port)
      connections[i]:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    end
    for i = 1, 8 do assert.equal(429, connections[i]:read_response().status) end
    proxy:wait_log "asked: the set's retry budget is used up"
  end)


  it("belongs into upstream_response_filter, before an answer of the policy's own", function()
    local origin = answering { 200 }
    local proxy = start(origin, nil, "function policy.response_filter(session) session:retry() end")
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "session:retry is not allowed in response_filter, only in upstream_response_filter"
    proxy = start(origin, nil, [[function policy.upstream_response_filter(session)
      session:respond { status = 404 }
      session:retry()
    end]])
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "session:retry: the hook has answered already, by session:respond"
  end)
end)
