-- SPDX-License-Identifier: Apache-2.0
-- Before a set asks another backend because of a status (retry_on), the policy's error_while_proxy is called: it can
-- forbid that, as it can forbid a retry after a failure.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"

after_each(require("cleanup").run)

describe("error_while_proxy, when a set wants to ask another backend because of a status,", function()
  local function answering(status)
    return origins.start(function(connection)
      while connection:read_request() do connection:respond { status = status, body = "it is " .. status } end
    end)
  end

  -- One worker, so that the first request goes to the first backend.
  local function start_set(hook, first, ...)
    local list = first.address and { first, ... } or first
    local quoted = {}
    for i, origin in ipairs(list) do quoted[i] = ("%q"):format(origin.address) end
    return perilune.start { workers = 1, policy = ([[
local perilune = require "perilune"
local set = require("perilune.round_robin").new { %s, retry_on = { "failure", 503 } %s }
local policy = {}
function policy.upstream_peer() return { address = set:select() %s } end
function policy.error_while_proxy(session, peer, error, ctx, reused) %s end
function policy.logging(session, error) perilune.log.info("logged", error and error:kind() or "no error") end
perilune.listen("127.0.0.1:0", policy)]]):format(table.concat(quoted, ", "), list.set or "", list.peer or "", hook) }
  end

  it("can forbid it: the client gets that answer, whole", function()
    local bad, good = answering(503), answering(200)
    local proxy = start_set("error.retry = session:method() == 'GET'", bad, good)
    local response = client.request { port = proxy.port, method = "DELETE" }
    assert.same({ 503, "it is 503" }, { response.status, response.body })
    assert.equal(0, #good.requests)
    proxy:wait_log "logged no error"
  end)

  it("is told which peer it was, and the status of the answer", function()
    local bad, good = answering(503), answering(200)
    local proxy = start_set([[perilune.log.info("asked", { kind = error:kind(), status = error:status(),
      side = error:side(), retryable = error:retryable(), peer = peer.address })]], bad, good)
    assert.equal(200, client.request(proxy.port).status)
    proxy:wait_log "asked [^\n]*answered_error"
    local line = proxy:log():match "[^\n]*asked [^\n]*"
    for _, part in ipairs { "status=503", "side=upstream", "retryable=true", "peer=" .. bad.address } do
      assert.is_truthy(line:find(part, 1, true), line)
    end
    assert.equal(1, #bad.requests)
    assert.equal(1, #good.requests)
  end)

  it("may wait, and the answer may end meanwhile", function()
    local bad = origins.start(function(connection)
      connection:read_request()
      connection:respond { status = 503, body = "late", headers = { Connection = "close" } }
    end)
    local good = answering(200)
    local proxy = start_set("perilune.sleep(0.1) error.retry = session:method() == 'GET'", bad, good)
    local response = client.request { port = proxy.port, method = "DELETE" }
    assert.same({ 503, "late" }, { response.status, response.body })
    assert.equal(200, client.request(proxy.port).status)
  end)

  it("may give an answer of its own", function()
    local proxy = start_set("return session:respond { status = 429, body = 'own' }", answering(503), answering(200))
    local response = client.request(proxy.port)
    assert.same({ 429, "own" }, { response.status, response.body })
  end)

  it("may raise an error: 500, and no other backend is asked", function()
    local good = answering(200)
    local proxy = start_set("local none = nil; none.a = 1", answering(503), good)
    assert.equal(500, client.request(proxy.port).status)
    assert.equal(0, #good.requests)
  end)

  it("may wait while the client goes away, which is then what ended the request", function()
    local proxy = start_set("perilune.log.info 'waits' perilune.sleep(20)", answering(503), answering(200))
    local connection = client.connect(proxy.port)
    connection:send_request {}
    proxy:wait_log "waits"
    connection:reset()
    proxy:wait_log "logged client_gone"
    assert.equal(1, proxy:count_log "logged")
  end)

  it("is not asked where there is nobody else: no other backend, or another status", function()
    local alone = start_set("perilune.log.info 'asked'", answering(503))
    assert.equal(503, client.request(alone.port).status)
    local other = start_set("perilune.log.info 'asked'", answering(500), answering(200))
    assert.equal(500, client.request(other.port).status)
    for _, proxy in ipairs { alone, other } do
      proxy:wait_log "logged"
      assert.equal(0, proxy:count_log "asked")
    end
  end)

  it("cannot have it done where it may not be done twice", function()
    local good = answering(200)
    local proxy = start_set("error.retry = true", answering(503), good)
    assert.equal(503, client.request({ port = proxy.port, method = "POST", body = "pay" }).status)
    assert.equal(0, #good.requests)
  end)

  it("sees each such answer, and the one that it lets through is the client's", function()
    local proxy = start_set("if session:attempts() == 2 then error.retry = false end perilune.log.info 'asked'",
      answering(503), answering(503), answering(200))
    assert.equal(503, client.request(proxy.port).status)
    proxy:wait_log "logged no error"
    assert.equal(2, proxy:count_log "asked")
  end)

  it("takes nothing out of the budget for retries by what it forbids", function()
    local bad, other = answering(503), answering(503)
    local set = ", retry_budget = { share = 0.01, min = 1 }"
    local proxy = start_set("error.retry = session:get_header 'Again' ~= nil", { bad, other, set = set })
    for _ = 1, 5 do client.request(proxy.port) end
    assert.equal(5, #bad.requests + #other.requests)
    client.request { port = proxy.port, headers = { Again = "yes" } }
    assert.equal(7, #bad.requests + #other.requests)
  end)

  for _, http2 in ipairs { false, true } do
    it("may wait before it forbids it, over HTTP/" .. (http2 and 2 or 1) .. ": a long answer is whole", function()
      local body = ("full"):rep(50000)
      local bad = origins.start(function(connection)
        connection:read_request()
        connection:respond { status = 503, body = body }
      end, { http2 = http2 })
      local proxy = start_set("perilune.sleep(0.02) error.retry = false",
        { bad, origins.start("fine", { http2 = http2 }), peer = ", http2 = " .. tostring(http2) })
      local response = client.request(proxy.port)
      assert.equal(503, response.status)
      assert.is_true(response.body == body)
      assert.equal("fine", client.request(proxy.port).body)
      assert.equal(1, #bad.requests)
    end)
  end
end)
