-- SPDX-License-Identifier: Apache-2.0
-- Sets of backends: how each kind chooses, what requests leave behind at a backend, and what is refused when.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- /state tells "in_flight fit latency" of each backend, everything else is balanced by its path.
local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.$MODULE").new { $LIST }
local lb = {}
function lb.request_filter(session)
  if session:path() ~= "/state" then return false end
  local lines = {}
  for _, address in ipairs(upstreams:addresses()) do
    lines[#lines + 1] = ("%d %s %.3f"):format(upstreams:in_flight(address), tostring(upstreams:is_fit(address)),
      upstreams:latency(address))
  end
  return session:respond { status = 200, body = table.concat(lines, "\n") }
end
function lb.upstream_peer(session, ctx)
  ctx.tried = ctx.tried or {}
  local address = upstreams:select(session:path(), { exclude = ctx.tried })
  ctx.tried[#ctx.tried + 1] = address
  return { address = address$PEER }
end
function lb.error_while_proxy(session, peer, failure)
  if session:method() == "GET" then failure.retry = true end
end
perilune.listen("127.0.0.1:0", lb)
]]

local function start(module, list, options)
  options = options or {}
  return perilune.start {
    workers = options.workers or 2,
    policy = policies.fill(POLICY, { MODULE = module, LIST = list, PEER = options.peer or "" }),
  }
end

local function quoted(...)
  local list = {}
  for i, origin in ipairs { ... } do list[i] = ("%q"):format(origin.address) end
  return table.concat(list, ", ")
end

-- { { in_flight =, fit =, latency = }, ... }
local function state(proxy)
  local list = {}
  local text = client.request({ port = proxy.port, path = "/state" }).body
  for number, fit, latency in text:gmatch "(%d+) (%a+) (%S+)" do
    list[#list + 1] = { in_flight = tonumber(number), fit = fit == "true", latency = tonumber(latency) }
  end
  return list
end

local function in_flight(proxy)
  local sum = 0
  for _, backend in ipairs(state(proxy)) do sum = sum + backend.in_flight end
  return sum
end

local function counts(proxy, requests, path)
  local count = {}
  for i = 1, requests do
    local response = client.request { port = proxy.port, path = path or "/" .. i }
    assert.equal(200, response.status)
    count[response.body] = (count[response.body] or 0) + 1
  end
  return count
end

-- An origin that answers once it is told to: origin.go = true.
local function held(text)
  local origin
  origin = origins.start(function(connection)
    while connection:read_request() do
      scheduler.eventually(function() return origin.go end)
      connection:respond { body = text }
    end
  end)
  return origin
end

describe("a set of backends", function()
  it("goes round smoothly by weight", function()
    local a, b = origins.start "a", origins.start "b"
    local list = ("{ address = %q, weight = 3 }, %q"):format(a.address, b.address)
    assert.same({ a = 9, b = 3 }, counts(start("smooth_round_robin", list, { workers = 1 }), 12))
  end)

  it("chooses by chance", function()
    local a, b = origins.start "a", origins.start "b"
    local count = counts(start("random", quoted(a, b)), 60)
    assert.is_true(count.a > 10 and count.b > 10)
  end)

  for _, module in ipairs { "hash", "consistent_hash" } do
    it("gives equal keys to the same backend, and others where it is down: " .. module, function()
      local a, b, c = origins.start "a", origins.start "b", origins.start "c"
      local proxy = start(module, quoted(a, b, c), { workers = 4 })
      local places = {}
      for i = 1, 20 do
        local count = counts(proxy, 3, "/key" .. i)
        places[i] = next(count)
        assert.equal(3, count[places[i]])
      end
      c:stop()
      for i = 1, 20 do
        local count = counts(proxy, 1, "/key" .. i)
        if places[i] ~= "c" then assert.equal(1, count[places[i]]) end
      end
    end)
  end

  it("lets a hot key overflow to the next backends", function()
    local a, b, c = held "a", held "b", held "c"
    local proxy = start("bounded_hash", quoted(a, b, c), { workers = 4 })
    local connections = {}
    for i = 1, 12 do
      connections[i] = client.connect(proxy.port)
      connections[i]:send_request { path = "/hot" }
    end
    scheduler.eventually(function() return #a.requests + #b.requests + #c.requests == 12 end)
    for _, origin in ipairs { a, b, c } do
      assert.is_true(#origin.requests <= 6, ("one has %d"):format(#origin.requests))
      origin.go = true
    end
    for _, connection in ipairs(connections) do assert.equal(200, connection:read_response().status) end
  end)

  it("prefers the backend with fewer requests under way", function()
    local slow, quick = held "slow", held "quick"
    local proxy = start("least_connections", quoted(slow, quick))
    for i = 1, 6 do
      client.connect(proxy.port):send_request {}
      scheduler.eventually(function() return in_flight(proxy) == i end)
    end
    scheduler.eventually(function() return #slow.requests == 3 end)
    quick.go = true
    scheduler.eventually(function() return in_flight(proxy) == 3 end)
    assert.same({ quick = 10 }, counts(proxy, 10))
    slow.go = true
    scheduler.eventually(function() return in_flight(proxy) == 0 end)
  end)

  it("avoids a backend that answers slowly", function()
    local slow = origins.start(function(connection)
      while connection:read_request() do
        scheduler.sleep(1)
        connection:respond { body = "slow" }
      end
    end)
    local quick = origins.start "quick"
    local proxy = start("least_latency", quoted(slow, quick))
    scheduler.eventually(function() return (counts(proxy, 1).slow or 0) > 0 end)
    assert.is_true(state(proxy)[1].latency > 0.9)
    assert.is_true((counts(proxy, 20).slow or 0) <= 1)
  end)

  it("uses a backup only where the others are down", function()
    local a, backup = origins.start "a", origins.start "backup"
    local proxy = start("round_robin", ("{ address = %q, backup = true }, %q"):format(backup.address, a.address))
    assert.same({ a = 5 }, counts(proxy, 5))
    a:stop()
    assert.same({ backup = 5 }, counts(proxy, 5))
  end)

  it("prefers backends of its own zone", function()
    local near, far = origins.start "near", origins.start "far"
    local proxy = start("random", ('{ address = %q, zone = "far" }, { address = %q, zone = "near" }, zone = "near"')
      :format(far.address, near.address))
    assert.same({ near = 8 }, counts(proxy, 8))
    near:stop()
    assert.same({ far = 4 }, counts(proxy, 4))
  end)
end)

describe("requests under way at a backend", function()
  it("are counted to the end of the attempt, whichever end that is", function()
    local origin = held "done"
    local proxy = start("round_robin", quoted(origin), { workers = 4, peer = ", first_byte_timeout = 1" })
    local leaving, waiting, short = client.connect(proxy.port), client.connect(proxy.port), client.connect(proxy.port)
    leaving:send_request { method = "POST", body = "x" }
    waiting:send_request {}
    short:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345"
    scheduler.eventually(function() return in_flight(proxy) == 3 end)
    short:close()
    scheduler.eventually(function() return in_flight(proxy) == 2 end)
    leaving:close()
    assert.equal(504, waiting:read_response().status) -- its retry finds no other backend: what failed is told
    scheduler.eventually(function() return in_flight(proxy) == 0 end)
    origin.go = true
    assert.same({ done = 3 }, counts(proxy, 3))
    scheduler.eventually(function() return in_flight(proxy) == 0 end) -- the client has its answer a little before
  end)

  it("are counted at one backend at a time while an exchange tries several", function()
    local bad = origins.start(function(connection) connection:read_request() end)
    local good = origins.start "good"
    local proxy = start("round_robin", quoted(bad, good))
    assert.same({ good = 10 }, counts(proxy, 10))
    scheduler.eventually(function() return in_flight(proxy) == 0 end) -- the client has its answer a little before
  end)
end)

describe("limits of a set", function()
  it("answer 503 with Retry-After when all backends have as many requests as they may", function()
    local a, b = held "a", held "b"
    local proxy = start("round_robin", quoted(a, b) .. ", max_in_flight = 1")
    local first, second = client.connect(proxy.port), client.connect(proxy.port)
    first:send_request {}
    second:send_request {}
    scheduler.eventually(function() return #a.requests == 1 and #b.requests == 1 end)
    local response = client.request(proxy.port)
    assert.equal(503, response.status)
    assert.equal("1", response.headers["retry-after"])
    proxy:wait_log "all backends are at their limits"
    a.go, b.go = true, true
    assert.equal(200, first:read_response().status)
    assert.equal(200, second:read_response().status)
    assert.equal(200, client.request(proxy.port).status)
  end)

  it("keep retries to a share of the requests under way", function()
    local bad = origins.start(function(connection)
      connection:read_request()
      scheduler.sleep(0.3)
    end)
    local slow = held "slow"
    local proxy = start("round_robin", quoted(bad, slow) .. ", retry_budget = { share = 0.1, min = 1 }")
    local connections = {}
    for i = 1, 8 do
      connections[i] = client.connect(proxy.port)
      connections[i]:send_request {}
    end
    scheduler.eventually(function() return proxy:count_log "no retry, their budget is used up" == 3 end)
    slow.go = true
    local statuses = { [200] = 0, [502] = 0 }
    for _, connection in ipairs(connections) do
      local status = connection:read_response().status
      statuses[status] = statuses[status] + 1
    end
    assert.same({ [200] = 5, [502] = 3 }, statuses)
  end)
end)

describe("passive checks", function()
  local function failing(status)
    local origin
    origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { status = origin.status or status, body = "bad" } end
    end)
    return origin
  end

  local function ask(proxy, requests)
    local count = { [200] = 0 }
    for _ = 1, requests do
      local status = client.request(proxy.port).status
      count[status] = (count[status] or 0) + 1
    end
    return count
  end

  it("eject a backend after failures in a row, and try it again later", function()
    local bad, good = failing(503), origins.start "good"
    local proxy = start("round_robin", quoted(bad, good) .. ", retry_on = false, passive = { failures = 3, eject = 1 }")
    local failed = ask(proxy, 12)[503]
    assert.is_true(failed == 3 or failed == 4, failed .. " failed") -- another worker may just have chosen it
    proxy:wait_log("warn [^\n]*ejected for 1.0 s: too many failures in a row")
    bad.status = 200
    scheduler.sleep(1)
    assert.equal(4, ask(proxy, 4)[200])
    assert.is_true(state(proxy)[1].fit)
    proxy:wait_log "is used again after its ejection"
    assert.is_true(#bad.requests > 3)
  end)

  it("eject a backend for the share of its errors", function()
    local toggling = origins.start(function(connection)
      local count = 0
      while connection:read_request() do
        count = count + 1
        connection:respond { status = count % 2 == 0 and 503 or 200 }
      end
    end)
    local good = origins.start "good"
    local proxy = start("round_robin", quoted(toggling, good) ..
      ", retry_on = false, passive = { failures = 0, error_share = 0.4, min_requests = 10, window = 60 }",
      { workers = 1 })
    ask(proxy, 40)
    assert.equal(10, #toggling.requests)
    proxy:wait_log "ejected for 10.0 s: too many errors in its window"
  end)

  it("never eject more than a share of the set", function()
    local a, b = failing(500), failing(500)
    local proxy = start("round_robin", quoted(a, b) .. ", passive = { failures = 1, eject = 60 }")
    assert.equal(10, ask(proxy, 10)[500])
    assert.equal(1, proxy:count_log "is ejected")
  end)

  it("count a peer that resets connections, and no request fails for it once it is out", function()
    local bad = origins.start(function(connection) connection:read_request() end)
    local good = origins.start "good"
    local proxy = start("round_robin", quoted(bad, good) .. ", passive = { failures = 2 }")
    assert.equal(20, ask(proxy, 20)[200])
    assert.equal(2, #bad.requests)
  end)
end)
