-- SPDX-License-Identifier: Apache-2.0
-- rate_limit.cluster: a limit that several proxies share, with a real Redis behind it.
local cjson = require "cjson"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local it = redis_server.it(it, pending)

-- /stats tells how many passed, and the times of the first and the last request, by the machine's clock.
local POLICY = [[
  local perilune = require "perilune"
  local store = require("perilune.redis").new("$ADDRESS"$CLIENT)
  local limit = require("perilune.rate_limit").cluster { store = store, header = "appid", name = "api", $OPTIONS }
  local passed, state = perilune.counter "passed", perilune.dict "state"
  local policy = {}
  function policy.request_filter(session, ctx)
    if session:path() == "/stats" then
      return session:respond { status = 200, body = ("[%d,%.6f,%.6f]"):format(passed:get(), state:get "first" or 0,
        state:get "last" or 0) }
    end
    local now = perilune.now()
    state:add("first", now)
    state:set("last", now)
    if limit(session, ctx) then return true end
    passed:add(1)
    return session:respond { status = 200, body = "$BODY" }
  end
  perilune.listen("127.0.0.1:0", policy)
]]

local PATIENT = ", { timeout = 20, connect_timeout = 20 }"

local function policy(address, options, more)
  more = more or {}
  return policies.fill(POLICY, { ADDRESS = address, OPTIONS = options, CLIENT = more.client or PATIENT,
    BODY = more.body or "ok" })
end

local function start(address, options, more)
  return perilune.start { workers = more and more.workers or 1, policy = policy(address, options, more),
    settings = { "--admin", "127.0.0.1:0" } }
end

local function fleet(address, count, options, more)
  local proxies = {}
  for i = 1, count do proxies[i] = start(address, options, more) end
  return proxies
end

local function ask(proxy, appid) return client.request { port = proxy.port, headers = { appid = appid or "a" } } end

local function count_passed(proxy, tries, appid)
  local passed = 0
  for _ = 1, tries do passed = passed + (ask(proxy, appid).status == 200 and 1 or 0) end
  return passed
end

local function metric(proxy, name) return metrics.read(proxy)[name] or 0 end

local function until_nodes(proxies)
  for _, proxy in ipairs(proxies) do
    scheduler.eventually(function() return metric(proxy, 'perilune_rate_limit_nodes{limit="api"}') == #proxies end)
  end
end

-- Calls of scripts that the server has answered.
local function calls(server)
  return tonumber(server:ask({ "INFO", "commandstats" }):match "cmdstat_evalsha:calls=(%d+)" or 0)
end

local HOUR = "interval = 3600, "

describe("rate_limit.cluster", function()
  it("raises at the policy's line for what cannot be", function()
    local function fault(options)
      local result = perilune.run { args = { "check", process.write_file(process.directory() .. "/policy.lua",
        policy("127.0.0.1:1", options)) } }
      return result.code == 0 and "fine" or result.stderr:match "policy.lua:%d+: (rate_limit[^\n]*)"
    end
    assert.equal("fine", fault "max = 5")
    assert.equal("rate_limit.cluster: option 'max' is missing", fault "interval = 1")
    assert.equal("rate_limit.cluster: option 'mode' must be report or exact, got 'lease'",
      fault "max = 5, mode = 'lease'")
    assert.equal("rate_limit.cluster: option 'on_error' must be local, open or closed, got 'shut'",
      fault "max = 5, on_error = 'shut'")
    assert.equal("rate_limit.cluster: option 'store' must be a client of perilune.redis, as redis.new gives it",
      fault "max = 5, store = {}")
  end)
end)

describe("a limit of mode exact", function()
  it("lets exactly as many pass as it may, whichever proxy is asked, and says so in the usual fields", function()
    local server = redis_server.start()
    local proxies = fleet(server.address, 4, HOUR .. "max = 100, mode = 'exact', fields = 'both'", { workers = 2 })
    local bodies = {}
    for i = 1, 4 do bodies[i] = function() return count_passed(proxies[i], 40) end end
    local counts = scheduler.all(bodies, 120)
    assert.equal(100, counts[1] + counts[2] + counts[3] + counts[4])
    local refused = ask(proxies[2])
    assert.equal(429, refused.status)
    assert.equal("100", refused.headers["x-rate-limit-limit"])
    assert.equal("0", refused.headers["x-rate-limit-remaining"])
    assert.matches('^"api";r=0;t=3%d%d%d$', refused.headers.ratelimit)
    local retry = tonumber(refused.headers["retry-after"])
    assert.is_true(retry >= 1 and retry <= 36)
    assert.equal(200, ask(proxies[2], "b").status)
  end)

  it("does not ask again for a key that it was told to refuse", function()
    local server = redis_server.start()
    local proxy = start(server.address, HOUR .. "max = 1, mode = 'exact'")
    assert.equal(1, count_passed(proxy, 2))
    local before = calls(server)
    assert.equal(0, count_passed(proxy, 50))
    assert.is_true(calls(server) - before < 20) -- signs of life
  end)

  it("knows keys of any length and any bytes", function()
    local server = redis_server.start()
    local proxies = fleet(server.address, 2, HOUR .. "max = 1, mode = 'exact'")
    for _, key in ipairs { ("x"):rep(64), ("x"):rep(65), ("x"):rep(5000), ("x"):rep(4999) .. "y", "{a} }b{ \255" } do
      assert.equal(200, ask(proxies[1], key).status)
      assert.equal(429, ask(proxies[2], key).status)
    end
    assert.is_true(#server:ask { "KEYS", "*" } < 2000)
  end)
end)

-- Asks the proxies unevenly (10:1:1:1) for some seconds: how many were asked, how many passed, and how many were right.
local function load(proxies, rate, seconds)
  local asked, deadline = 0, sys.now() + seconds
  while sys.now() < deadline do
    for i, proxy in ipairs(proxies) do
      local tries = i == 1 and 10 or 1
      asked = asked + tries
      count_passed(proxy, tries)
    end
  end
  local sum, first, last = 0, math.huge, 0
  for _, proxy in ipairs(proxies) do
    local stats = cjson.decode(client.request { port = proxy.port, path = "/stats" }.body)
    sum, first, last = sum + stats[1], math.min(first, stats[2]), math.max(last, stats[3])
  end
  return asked, sum, rate * (last - first) + rate, last - first
end

describe("a limit of mode report", function()
  it("holds over four proxies with uneven load, with at most ten reports a second from each", function()
    local server = redis_server.start()
    local proxies = fleet(server.address, 4, "max = 30, close = false")
    until_nodes(proxies)
    local before = calls(server)
    local asked, passed, right, seconds = load(proxies, 30, 3)
    local told = ("%d of %d passed, %.0f are right"):format(passed, asked, right)
    assert.is_true(passed <= right * 1.03 + 8, told) -- two that each has not reported yet
    assert.is_true(passed >= math.min(asked / 2, right * 0.8), told) -- bench/cluster_limit.py has the exact figure
    assert.is_true((calls(server) - before) / 4 <= 11 * (seconds + 1))
  end)

  it("lets what one proxy does not use pass at another", function()
    local server = redis_server.start()
    local proxies = fleet(server.address, 3, HOUR .. "max = 30")
    until_nodes(proxies)
    local passed = 0
    scheduler.eventually(function()
      passed = passed + count_passed(proxies[1], 1)
      return passed == 30
    end)
    scheduler.eventually(function() return ask(proxies[2], "a").status == 429 end) -- hears of it by its own hits
    assert.equal(0, count_passed(proxies[1], 5))
  end)

  it("keeps its counts over a reload, and starts anew where the limit is another", function()
    local server = redis_server.start()
    local proxy, pid_file, path = running.start { policy = policy(server.address, HOUR .. "max = 10"), workers = 2 }
    assert.equal(6, count_passed(proxy, 6))
    assert.equal(0, running.command(pid_file, "reload").code)
    assert.equal(4, count_passed(proxy, 10))
    process.write_file(path, policy(server.address, HOUR .. "max = 7"))
    assert.equal(0, running.command(pid_file, "reload").code)
    assert.equal(7, count_passed(proxy, 10))
  end)

  it("reports what is left when the proxy ends", function()
    local server = redis_server.start()
    local proxy = start(server.address, HOUR .. "max = 10")
    scheduler.eventually(function() return calls(server) > 0 end)
    assert.equal(7, count_passed(proxy, 7))
    proxy:stop()
    local key = server:ask({ "KEYS", "*:a" }):match "(pl:[^\r]+)"
    assert.matches("\r\n3[ .]", server:ask { "GET", key }) -- tokens, of which the time since has made some more
  end)

  it("is reported by whoever sees the need, where only a canary has the limit", function()
    local server = redis_server.start()
    local proxy, pid_file, path = running.start { policy = policy(server.address, HOUR .. "max = 10"), workers = 1 }
    process.write_file(path, policy(server.address, HOUR .. "max = 50", { body = "tried" }))
    local result
    scheduler.all({
      function() result = running.command(pid_file, "reload", "--canary", "50%", "--for", "10m") end,
      function()
        scheduler.eventually(function()
          ask(proxy, "b")
          return server:ask({ "KEYS", "*" }):find("pl:{api 50/", 1, true)
        end)
        running.command(pid_file, "reload", "--abort")
      end,
    }, 60)
    assert.equal(1, result.code)
  end)

  it("goes on when the server has lost its scripts, its keys, or has something else under them", function()
    local server = redis_server.start()
    local proxy = start(server.address, HOUR .. "max = 10")
    assert.equal(200, ask(proxy).status)
    local key
    scheduler.eventually(function()
      key = server:ask({ "KEYS", "*:a" }):match "(pl:[^\r]+)"
      return key
    end)
    local nodes = key:gsub("%.%d+}:a$", ".nodes}")
    server:ask({ "FLUSHALL" }, { "SCRIPT", "FLUSH" }, { "LPUSH", key, "x" }, { "SET", nodes, "x" })
    assert.equal(200, ask(proxy).status)
    scheduler.eventually(function() return server:ask({ "TYPE", key }):find "string" end)
    assert.equal(0, proxy:count_log " warn ")
  end)

  it("pays back up to two buckets that passed too much", function()
    local server = redis_server.start()
    local ask_store = redis_server.policy(server.address, [[
      local script = require("perilune.cluster_scripts").report.text
      local function report(key, hits) return store:eval(script, { key }, { 1e-9, 100, 100, 1e18, hits, hits })[1] end
      return report("a", 250), report("a", 20), report("b", 1000)
    ]])
    assert.equal("-150000|-170000|-200000", ask_store())
  end)

  -- 100 tokens a second, and room for 100: what was taken 3 s ago has come back.
  it("counts hits when they were sent, and not when a server that was stopped reads them", function()
    local server = redis_server.start()
    local ask_store = redis_server.policy(server.address, [[
      local script = require("perilune.cluster_scripts").report.text
      local function report(key, sent, hits)
        local reply = store:eval(script, { key }, { 0.1, 100, 100, ("%.0f"):format(sent), hits, hits })
        return math.floor(reply[1] / 1000 + 0.5), reply[3]
      end
      local _, now = report("other", 1e18, 0)
      report("a", now - 4000, 0)
      report("a", now - 3000, 150)
      local late = report("a", now, 0)
      local past = report("a", now - 1000, 10)
      report("b", now - 60000, 100)
      local future = report("b", now + 60000, 0)
      return late, past, future <= 100
    ]])
    assert.equal("100|90|true", ask_store())
  end)

  it("lets everything pass and counts what it would refuse, where it is only tried", function()
    local server = redis_server.start()
    for _, mode in ipairs { "report", "exact" } do
      local proxy = start(server.address, HOUR .. "max = 3, shadow = true, mode = '" .. mode .. "'")
      assert.equal(10, count_passed(proxy, 10))
      local name = 'perilune_rate_limit_cluster_total{limit="api",result="%s"}'
      scheduler.eventually(function() return metric(proxy, name:format "would refuse") == 7 end)
      assert.equal(3, metric(proxy, name:format "passed"))
    end
  end)
end)

describe("a limit whose store is silent", function()
  local QUICK = ", { timeout = 0.05, connect_timeout = 0.2 }"

  it("decides at once by its part of the limit, says so once, and goes on with the store when it is back", function()
    local server = redis_server.start()
    local proxies = fleet(server.address, 2, HOUR .. "max = 100", { client = QUICK })
    until_nodes(proxies)
    server:signal "STOP"
    for _, proxy in ipairs(proxies) do
      assert.equal(50, count_passed(proxy, 60, "new"))
      proxy:wait_log "rate limit 'api': the store is away, and each proxy lets its part of the limit pass: "
      assert.equal(1, metric(proxy, 'perilune_rate_limit_store_away{limit="api"}'))
    end
    server:signal "CONT"
    for _, proxy in ipairs(proxies) do
      proxy:wait_log "(the store answers again)"
      assert.equal(1, proxy:count_log "the store is away")
    end
  end)

  it("asks the store no more, once that is down, in mode exact", function()
    local server = redis_server.start()
    local proxy = start(server.address, HOUR .. "max = 100, mode = 'exact'", { client = QUICK })
    assert.equal(200, ask(proxy).status)
    server:signal "STOP"
    local passed = count_passed(proxy, 200)
    assert.is_true(passed >= 99 and passed <= 100, passed) -- its own bucket is full
    scheduler.eventually(function() return proxy:count_log "is down" > 0 end)
    server:signal "CONT"
    proxy:wait_log "(worker 0: redis %S+ answers again)"
    assert.equal(200, ask(proxy, "other").status)
  end)

  it("lets all pass, or none, where it is told to", function()
    for on_error, status in pairs { open = 200, closed = 503 } do
      for _, mode in ipairs { "report", "exact" } do
        local options = HOUR .. ("max = 1, mode = '%s', on_error = '%s'"):format(mode, on_error)
        local proxy = start("unix:/nonexistent/redis", options)
        proxy:wait_log(on_error == "open" and "(the store is away, and all requests pass: )"
          or "(the store is away, and requests get 503: )")
        local response = ask(proxy)
        assert.equal(status, response.status)
        assert.equal(on_error == "closed" and "1" or nil, response.headers["x-rate-limit-limit"])
        assert.equal(status, ask(proxy).status)
      end
    end
  end)
end)

describe("a limit whose store talks nonsense", function()
  for what, bytes in pairs {
    ["garbage"] = "?\r\n", ["a reply of another type"] = "$3\r\nyes\r\n", ["null"] = "$-1\r\n",
    ["an empty list"] = "*0\r\n", ["texts in place of numbers"] = "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n",
    ["a huge list"] = "*5000\r\n" .. (":1\r\n"):rep(5000), ["numbers beyond reason"] = "*2\r\n:-1\r\n$400\r\n"
      .. ("9"):rep(400) .. "\r\n", ["-OOM"] = "-OOM command not allowed\r\n", ["-READONLY"] = "-READONLY replica\r\n",
    ["-LOADING"] = "-LOADING in memory\r\n",
  } do
    it(what .. ": decides by itself, and says so in a line", function()
      local server = redis_server.scripted(function(connection) connection:send(bytes) end)
      for _, mode in ipairs { "report", "exact" } do
        local proxy = start(server.address, HOUR .. "max = 5, mode = '" .. mode .. "'")
        proxy:wait_log " warn "
        assert.equal(5, count_passed(proxy, 20))
        assert.is_true(proxy:count_log "rate limit" <= 3) -- what came; the same in a worker; that it is away
        proxy:stop()
      end
    end)
  end

  it("half a reply: decides by itself", function()
    local server = origins.start(function(connection)
      while redis_server.read_command(connection) do connection:send "*2\r\n:1" end
    end)
    local proxy = start(server.address, HOUR .. "max = 5", { client = "" })
    assert.equal(5, count_passed(proxy, 20))
    proxy:wait_log "(the store is away)"
  end)
end)
