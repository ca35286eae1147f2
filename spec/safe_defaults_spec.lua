-- SPDX-License-Identifier: Apache-2.0
-- What a set of backends does where its policy says nothing, and `perilune proxy` as well: it passes over sick ones, no
-- backend is asked twice by one request while another is left, and what may be sent twice is tried elsewhere.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.$ALGORITHM").new { $PEERS $OPTIONS }
perilune.listen("127.0.0.1:0", {
  upstream_peer = function() return { address = upstreams:select($KEY), first_byte_timeout = $SECONDS } end,
  $HOOKS
})
]]

local function quoted(list)
  local texts = {}
  for i, one in ipairs(list) do texts[i] = ("%q,"):format(one.address or one) end
  return table.concat(texts, " ")
end

local function start(peers, options)
  options = options or {}
  return perilune.start {
    workers = options.workers or 2,
    policy = policies.fill(POLICY, {
      ALGORITHM = options.algorithm or "round_robin", PEERS = quoted(peers), OPTIONS = options.set or "",
      SECONDS = options.first_byte_timeout or 5, KEY = options.key or "", HOOKS = options.hooks or "",
    }),
  }
end

local function forward(peers)
  local list = {}
  for i, one in ipairs(peers) do list[i] = one.address or one end
  return perilune.start { workers = 2, to = list }
end

-- 16 clients ask one request after another. How many answers there were of each status; "broken" ones count as 0.
local function ask(proxy, requests, method)
  local count, clients = {}, {}
  for i = 1, 16 do
    clients[i] = function()
      local connection = client.connect(proxy.port)
      for _ = 1, requests do
        local response = connection:request { method = method }
        local status = response and not response.failure and response.status or 0
        count[status] = (count[status] or 0) + 1
        if not response or response.failure or response.headers.connection == "close" then
          connection:close()
          connection = client.connect(proxy.port)
        end
      end
      connection:close()
    end
  end
  scheduler.all(clients)
  return count
end

local function lines(proxy)
  local count = 0
  for _ in proxy:log():gmatch "\n" do count = count + 1 end
  return count
end

-- Answers each request in a way of its own.
local function sick(answer)
  return origins.start(function(connection, number)
    local count = 0
    while connection:read_request() do
      count = count + 1
      if answer(connection, count, number) == false then return end
    end
  end)
end

local kinds = {
  ["answers 500"] = function(c) c:respond { status = 500, body = "sorry" } end,
  ["answers 503 with a long body"] = function(c)
    c:respond { status = 503, body = ("x"):rep(100000), chunked = true }
  end,
  ["answers 503 half the time"] = function(c, count)
    c:respond { status = count % 2 == 0 and 200 or 503, body = "now and then" }
  end,
  ["answers 502 and closes"] = function(c)
    c:send "HTTP/1.1 502 X\r\n\r\nuntil the end"
    return false
  end,
  ["resets"] = function(c)
    c:reset()
    return false
  end,
  ["closes without an answer"] = function() return false end,
  ["is silent"] = function(c) c:is_closed(60) return false end,
  ["sends no HTTP"] = function(c)
    c:send "hello\r\n\r\n"
    return false
  end,
  ["breaks off its heads"] = function(c)
    c:send "HTTP/1.1 200 OK\r\nContent-"
    return false
  end,
  ["sends a head that says two things"] = function(c)
    c:send "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
    return false
  end,
}

describe("with one dead backend of two and 16 clients, no request fails, in few lines of the log,", function()
  it("of `perilune proxy`", function()
    local proxy = forward { origins.start "ok", origins.dead_address() }
    assert.same({ [200] = 1600 }, ask(proxy, 100))
    assert.is_true(lines(proxy) < 20, proxy:log())
    assert.equal(1, proxy:count_log "is ejected for 10.0 s: too many failures in a row")
  end)

  for algorithm, key in pairs {
    round_robin = "", smooth_round_robin = "", random = "", least_connections = "", least_latency = "",
    hash = "'a'", consistent_hash = "'a'", bounded_hash = "'a'",
  } do
    it("of a set of " .. algorithm, function()
      local proxy = start({ origins.dead_address(), origins.start "ok" }, { algorithm = algorithm, key = key })
      assert.same({ [200] = 320 }, ask(proxy, 20))
      assert.same({ [200] = 320 }, ask(proxy, 20, "POST"))
      assert.is_true(lines(proxy) < 20, proxy:log())
    end)
  end

  -- So the lines are few by their throttle, and not because the backend was ejected in time.
  it("even where nothing is ever ejected, and the backend dies in all its ways", function()
    local modes, count = { "resets", "closes without an answer", "sends no HTTP" }, 0
    local bad = origins.start(function(connection)
      count = count + 1
      connection:read_request()
      kinds[modes[count % 3 + 1]](connection)
    end)
    local set, begun = "passive = false, retry_budget = false", sys.now()
    local function lines_of_10_s(proxy)
      local windows = 1 + math.floor((sys.now() - begun) / 10)
      return lines(proxy) / windows
    end
    local proxy = start({ bad, origins.start "ok" }, { set = set })
    assert.same({ [200] = 800 }, ask(proxy, 50))
    assert.is_true(count > 60)
    assert.is_true(lines_of_10_s(proxy) < 20, proxy:log())
    local refused = start({ origins.dead_address(), origins.start "ok" }, { set = set })
    assert.same({ [200] = 800 }, ask(refused, 50))
    assert.is_true(lines_of_10_s(refused) < 20, refused:log())
  end)

  it("nor with three of four", function()
    local dead = origins.dead_address
    assert.same({ [200] = 800 }, ask(forward { dead(), dead(), origins.start "ok", dead() }, 50))
  end)
end)

describe("a GET is tried elsewhere where one of two backends", function()
  for kind, answer in pairs(kinds) do
    it(kind .. ": none fails", function()
      local bad = sick(answer)
      local proxy = start({ bad, origins.start "ok" }, { first_byte_timeout = kind == "is silent" and 2 or nil })
      assert.same({ [200] = 480 }, ask(proxy, 30))
      assert.is_true(#bad.requests > 0)
      assert.is_true(lines(proxy) < 20, proxy:log())
    end)
  end

  it("answers 503, also of `perilune proxy`", function()
    assert.same({ [200] = 480 }, ask(forward { sick(kinds["answers 500"]), origins.start "ok" }, 30))
  end)

  it("cuts its bodies: what was begun cannot be mended, but it is ejected soon", function()
    local bad = sick(function(c)
      c:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
      return false
    end)
    local proxy = start({ bad, origins.start "ok" }, { workers = 1 })
    local count = ask(proxy, 30)
    assert.is_true(count[0] <= 21, count[0] .. " broken") -- five in a row, and those under way
    assert.equal(480, count[200] + count[0])
    proxy:wait_log "is ejected"
  end)
end)

describe("what was under way at a backend that is ejected", function()
  -- All ask before the first is answered: half of them the silent one, whose time is over for all at about once.
  it("is tried elsewhere whatever the budget for retries, since the set has no more work than before", function()
    local silent, count, clients = sick(kinds["is silent"]), {}, {}
    local good = origins.start(function(c)
      while c:read_request() do
        scheduler.eventually(function() return #silent.requests >= 30 end)
        c:sleep(0.3)
        c:respond { body = "ok" }
      end
    end)
    local proxy = start({ silent, good }, { workers = 1, first_byte_timeout = 3 })
    for i = 1, 60 do
      clients[i] = function()
        local status = client.request(proxy.port).status
        count[status] = (count[status] or 0) + 1
      end
    end
    scheduler.all(clients)
    assert.same({ [200] = 60 }, count)
  end)
end)

describe("an answer of error", function()
  local function answering(status, body)
    return sick(function(c) c:respond { status = status, body = body } end)
  end

  it("is the client's where all have one: the last, as it came", function()
    local a, b = answering(503, "a is full"), answering(500, "b is broken")
    local response = client.request(start({ a, b }, { workers = 1 }).port)
    assert.equal(500, response.status)
    assert.equal("b is broken", response.body)
    assert.same({ 1, 1 }, { #a.requests, #b.requests })
  end)

  for kind, other in pairs {
    ["refuses"] = origins.dead_address,
    ["resets"] = function() return sick(kinds.resets) end,
    ["is silent"] = function() return sick(kinds["is silent"]) end,
    ["sends no HTTP"] = function() return sick(kinds["sends no HTTP"]) end,
  } do
    it("is the client's where the other backend " .. kind, function()
      local body = ("full"):rep(50000)
      local a = answering(503, body)
      local proxy = start({ a, other() }, { workers = 1, first_byte_timeout = kind == "is silent" and 2 or nil })
      local connection = client.connect(proxy.port)
      for _ = 1, 3 do
        local response = connection:request()
        assert.equal(503, response.status)
        assert.is_true(response.body == body)
      end
    end)
  end

  it("is the client's where the policy raises an error instead of asking another, or gives up", function()
    for _, hook in ipairs { "error 'deliberate'", "return nil" } do
      local a = answering(503, "full")
      local proxy = start({ a, origins.start "ok" }, { workers = 1, hooks = ([[
        upstream_peer = function(_, ctx)
          ctx.count = (ctx.count or 0) + 1
          if ctx.count > 1 then %s end
          return upstreams:select()
        end]]):format(hook) })
      local response = client.request(proxy.port)
      assert.equal(503, response.status)
      assert.equal("full", response.body)
    end
  end)

  it("passes through the policy's filters once: the one that the client gets", function()
    local a, b = answering(503, "a"), answering(503, "b")
    local proxy = start({ a, b }, { workers = 1, hooks = [[
      response_filter = function(_, response) response:add_header("Seen", response:status()) end]] })
    local response = client.request(proxy.port)
    assert.equal("503", response.headers.seen)
    assert.equal("b", response.body)
  end)

  for _, case in ipairs {
    { "to POST", { method = "POST" } },
    { "to POST with a body", { method = "POST", body = "x" } },
    { "to PUT with a body, which would have to be sent twice,", { method = "PUT", body = "x" } },
    { "that is no failure of the backend", {}, 404 },
    { "that retry_on does not name", {}, 503, "retry_on = { 500, 'failure' }" },
    { "with retry_on = false", {}, 503, "retry_on = false" },
  } do
    it(case[1] .. " is not tried elsewhere", function()
      local status = case[3] or 503
      local a, good = answering(status, "a"), origins.start "ok"
      local proxy = start({ a, good }, { workers = 1, set = case[4] })
      case[2].port = proxy.port
      assert.equal(status, client.request(case[2]).status)
      assert.equal(0, #good.requests)
    end)
  end

  it("behind an interim response that the client has is not tried elsewhere", function()
    local a, good = sick(function(c)
      c:send "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
      c:respond { status = 503, body = "full" }
    end), origins.start "ok"
    local connection = client.connect(start({ a, good }, { workers = 1 }).port)
    connection:send_request {}
    local response = connection:read_final_response()
    assert.same({ 503, 103 }, { response.status, response.interim[1].status })
    assert.equal(0, #good.requests)
  end)

  it("of a status that retry_on names is tried elsewhere", function()
    local proxy = start({ answering(429, "a"), origins.start "ok" }, { workers = 1, set = "retry_on = { 429 }" })
    assert.equal(200, client.request(proxy.port).status)
  end)

  it("from all does not multiply the load by more than the budget for retries", function()
    local list = {}
    for i = 1, 4 do
      list[i] = sick(function(c)
        c:sleep(0.002)
        c:respond { status = 503, body = "full" }
      end)
    end
    local proxy = start(list, { set = "passive = false, retry_budget = { share = 0.1, min = 1 }" })
    assert.same({ [503] = 480 }, ask(proxy, 30))
    local asked = 0
    for i = 1, 4 do asked = asked + #list[i].requests end
    assert.is_true(asked < 1.5 * 480, asked .. " requests for 480")
  end)
end)

describe("the defaults of a set", function()
  it("can be turned off", function()
    local bad = sick(kinds["answers 500"])
    local set = "passive = false, retry_on = false, retry_budget = false"
    local proxy = start({ bad, origins.start "ok" }, { set = set })
    assert.equal(240, ask(proxy, 30)[500])
    assert.equal(0, proxy:count_log "ejected")
  end)

  it("do not hold methods or versions that a backend does not know against it", function()
    local function answering(status) return sick(function(c) c:respond { status = status } end) end
    local proxy = start { answering(501), answering(505) }
    ask(proxy, 10)
    assert.equal(0, proxy:count_log "ejected")
  end)

  for option, message in pairs {
    ["retry_on = { 418 }"] = "option 'retry_on' has 418; valid are 401, 403",
    ["retry_on = 'failure'"] = "option 'retry_on' must be a list or false, got a string value",
    ["passive = true"] = "option 'passive' must be a table or false, got a boolean value",
    ["retry_budget = 1"] = "option 'retry_budget' must be a table or false, got a number value",
  } do
    it("are not changed by " .. option, function()
      local result = perilune.run { policy = policies.fill(POLICY, {
        ALGORITHM = "random", PEERS = "'127.0.0.1:1',", OPTIONS = option, SECONDS = 5, KEY = "", HOOKS = "" }) }
      assert.is_true(result.code ~= 0)
      assert.matches("policy.lua:2: random.new: " .. message:gsub("%p", "%%%0"), result.stderr)
    end)
  end
end)
