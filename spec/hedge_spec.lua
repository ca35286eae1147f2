-- SPDX-License-Identifier: Apache-2.0
-- Hedged requests: a second peer is asked beside one that is slow to answer, and the first answer counts.
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local ADMIN = { "--admin", "127.0.0.1:0" }

-- The first attempt goes to the first peer of the list.
local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.round_robin").new { passive = false, $PEERS$RULES }
local policy = {}
function policy.upstream_peer(session, ctx)
  local tried = ctx.tried or {}
  ctx.tried = tried
  if #tried > 0 then $SECOND end
  local address = upstreams:addresses()[#tried + 1]
  while upstreams:select() ~= address do end
  tried[#tried + 1] = address
  return { address = address, hedge = 0.05, first_byte_timeout = $PATIENCE }
end
function policy.logging(session, failure)
  perilune.log.info(("answer of %s, %d attempts, %s"):format(tostring(session:peer_address()), session:attempts(),
    tostring(failure)))
  for _, address in ipairs(upstreams:addresses()) do
    perilune.log.info("under way " .. upstreams:in_flight(address))
  end
end
perilune.listen("127.0.0.1:0", policy, { abort_on_close = "always" })
]]

local function start(peers, options)
  options = options or {}
  local list = {}
  for i, peer in ipairs(peers) do list[i] = ("%q"):format(type(peer) == "table" and peer.address or peer) end
  return perilune.start {
    workers = 1, settings = ADMIN,
    policy = policies.fill(POLICY, {
      PEERS = table.concat(list, ", "), RULES = options.rules or "", SECOND = options.second or "",
      PATIENCE = options.patience or 20,
    }),
  }
end

-- Answers, or closes, when it is told to.
local function slow(text)
  local origin
  local may = false
  origin = origins.start(function(connection)
    while connection:read_request() do
      while not may do
        if scheduler.wait(connection.fd, sys.READ, sys.now() + 0.005) then return end -- the other side has gone
      end
      if may == "close" then return end
      connection:respond { body = text }
    end
  end)
  function origin.answers() may = true end
  function origin.closes() may = "close" end
  return origin
end

local function asked(origin) return function() return origin.requests[1] ~= nil end end

local function ask(proxy)
  local connection = client.connect(proxy.port)
  connection:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
  return connection
end

describe("a peer that is slow to answer", function()
  it("is left where another one answers first", function()
    local first, second = slow "first", origins.start "second"
    local proxy = start { first, second }
    local response = client.request(proxy.port)
    assert.equal("second", response.body)
    proxy:wait_log("answer of " .. second.address .. ", 2 attempts, nil")
    proxy:wait_log "under way 0[^\n]*\n[^\n]*under way 0"
    local samples = metrics.read(proxy)
    assert.equal(1, samples.perilune_hedges_total)
    assert.equal(0, samples.perilune_hedges_lost_total)
  end)

  it("answers where it is the first all the same", function()
    local first, second = slow "first", slow "second"
    local proxy = start { first, second }
    local connection = ask(proxy)
    scheduler.eventually(asked(second))
    first.answers()
    assert.equal("first", connection:read_response().body)
    proxy:wait_log("answer of " .. first.address)
    assert.equal(1, metrics.read(proxy).perilune_hedges_lost_total)
    local again = connection:request {} -- on the kept connection
    assert.equal("first", again.body)
    assert.equal(1, first.accepted)
  end)

  it("answers where the other one cannot be reached, or fails", function()
    for _, other in ipairs { origins.dead_address(), origins.start(function(c) c:read_request() end) } do
      local first = slow "first"
      local proxy = start { first, other }
      local connection = ask(proxy)
      proxy:wait_log "peer [^\n]*: the peer"
      first.answers()
      assert.equal("first", connection:read_response().body)
      proxy:wait_log("answer of " .. first.address .. ", 2 attempts, nil")
      proxy:stop()
    end
  end)

  it("answers while the policy still looks for another, or finds none", function()
    for _, second in ipairs { "perilune.sleep(60)", "return { address = nil }", "error 'no'" } do
      local first = slow "first"
      local proxy = start({ first, "127.0.0.1:1" }, { second = second })
      local connection = ask(proxy)
      proxy:wait_log "asking another"
      first.answers()
      assert.equal("first", connection:read_response().body)
      proxy:stop()
    end
  end)

  it("may fail: the other one answers, and if that fails too the request does", function()
    local first, second = slow "first", slow "second"
    local proxy = start { first, second }
    local connection = ask(proxy)
    scheduler.eventually(asked(second))
    first.closes()
    proxy:wait_log("peer " .. first.address)
    second.answers()
    assert.equal("second", connection:read_response().body)
    proxy:stop()

    first, second = slow "first", slow "second"
    proxy = start { first, second }
    connection = ask(proxy)
    scheduler.eventually(asked(second))
    first.closes()
    proxy:wait_log("peer " .. first.address)
    second.closes()
    assert.equal(502, connection:read_response().status)
  end)

  it("has its own deadline, and the other one has another", function()
    local first, second = slow "first", slow "second"
    local proxy = start({ first, second }, { patience = 0.3 })
    assert.equal(504, client.request(proxy.port).status)
    assert.equal(2, proxy:count_log "warn [^\n]*peer ")
    proxy:wait_log "under way 0[^\n]*\n[^\n]*under way 0"
  end)

  it("is not given up when the other one is asked, however the clock falls", function()
    local first = origins.start(function(connection)
      while connection:read_request() do
        scheduler.sleep(0.08)
        connection:respond { body = "first" }
      end
    end)
    local proxy = start { first, "127.0.0.1:1" }
    local requests = {}
    for i = 1, 40 do
      requests[i] = function()
        scheduler.sleep(i / 997)
        for _ = 1, 5 do assert.equal(200, client.request(proxy.port).status) end
      end
    end
    scheduler.all(requests)
    assert.equal(0, proxy:count_log "did not answer in time")
  end)

  it("is forgotten with the other one when the client goes", function()
    local first, second = slow "first", slow "second"
    local proxy = start { first, second }
    local connection = ask(proxy)
    scheduler.eventually(asked(second))
    connection:close()
    scheduler.eventually(function() return first:open_count() == 0 and second:open_count() == 0 end)
    proxy:wait_log "under way 0[^\n]*\n[^\n]*under way 0"
  end)
end)

describe("no other peer is asked", function()
  local function check(request, rules)
    local first, second = slow "first", origins.start "second"
    local proxy = start({ first, second }, { rules = rules })
    local connection = client.connect(proxy.port)
    connection:send(request)
    scheduler.eventually(asked(first))
    scheduler.sleep(0.2) -- four times the delay
    first.answers()
    assert.equal("first", connection:read_response().body)
    assert.equal(0, #second.requests)
  end

  it("for a method that is not idempotent, nor for a body", function()
    check "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    check "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
  end)

  it("beyond the budget for retries", function()
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ", retry_budget = { share = 0.01, min = 0 }")
  end)
end)
