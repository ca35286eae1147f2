-- SPDX-License-Identifier: Apache-2.0
-- The rate limit of the tutorial: by the header appid, one estimate for all workers.
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local function limited(origin, max, interval, workers, more)
  return perilune.start {
    workers = workers or 2,
    policy = policies.fill([[
      local perilune = require "perilune"
      local rate_limit = require "perilune.rate_limit"
      local limit = rate_limit.new { header = "appid", max = $MAX, interval = $INTERVAL$MORE }
      local policy = {}
      function policy.request_filter(session, ctx) return limit(session) end
      function policy.upstream_peer(session, ctx) return { address = "$ADDRESS" } end
      perilune.listen("127.0.0.1:0", policy)
    ]], { MAX = max, INTERVAL = interval, ADDRESS = origin.address, MORE = more or "" }),
  }
end

local function ask(proxy, appid)
  return client.request { port = proxy.port, headers = appid and { appid = appid } }
end

-- The first response that says 429. Where a limit is for a second, a slow machine may come a second later.
local function first_refusal(proxy, appid)
  return scheduler.eventually(function()
    local response = ask(proxy, appid)
    return response.status == 429 and response
  end)
end

describe("a rate limit by header", function()
  it("answers 429 with its three headers and closes, from the second request of a second on", function()
    local origin = origins.start "hello"
    local proxy = limited(origin, 1, 1)
    assert.equal(200, ask(proxy, "1").status)
    local response = first_refusal(proxy, "1")
    assert.equal("1", response.headers["x-rate-limit-limit"])
    assert.equal("0", response.headers["x-rate-limit-remaining"])
    assert.equal("1", response.headers["x-rate-limit-reset"])
    assert.equal("close", response.headers.connection)
    assert.is_true(response.closed)
  end)

  it("keeps the connection of a refused request where it is told to", function()
    local proxy = limited(origins.start "hello", 1, 60, 1, ", close = false")
    assert.equal(200, ask(proxy, "1").status)
    local response = ask(proxy, "1")
    assert.equal(429, response.status)
    assert.is_nil(response.headers.connection)
    assert.is_false(response.closed)
  end)

  it("does not touch other ids, nor requests without the header", function()
    local origin = origins.start "hello"
    local proxy = limited(origin, 1, 60)
    assert.equal(200, ask(proxy, "1").status)
    assert.equal(429, ask(proxy, "1").status)
    assert.equal(1, #origin.requests)
    assert.equal(200, ask(proxy, "2").status)
    for _ = 1, 5 do assert.equal(200, ask(proxy).status) end
  end)

  it("lets the id pass again when the window is over", function()
    local proxy = limited(origins.start "hello", 1, 1)
    assert.equal(200, ask(proxy, "1").status)
    first_refusal(proxy, "1")
    scheduler.eventually(function() return ask(proxy, "1").status == 200 end, 40, "a request of the next window")
  end)

  it("is one limit for all workers: 4 workers, 64 connections, no more than the limit in a window", function()
    local origin = origins.start "hello"
    local proxy = limited(origin, 10, 60, 4)
    local clients, begun = {}, sys.now()
    for i = 1, 64 do
      clients[i] = function()
        local statuses = {}
        for n = 1, 3 do statuses[n] = ask(proxy, "crowd").status end
        return statuses
      end
    end
    local count = { [200] = 0, [429] = 0 }
    for _, statuses in ipairs(scheduler.all(clients, 60)) do
      for _, status in ipairs(statuses) do count[status] = (count[status] or 0) + 1 end
    end
    assert.is_true(sys.now() - begun < 60, "the window was over: this run says nothing")
    assert.same({ [200] = 10, [429] = 64 * 3 - 10 }, count)
    assert.equal(10, #origin.requests)
  end)
end)

describe("with many clients", function()
  -- Each request decides for 20,000 further keys; says how many it would refuse.
  local function refused_of(limit, requests, more)
    local socket = process.directory() .. "/command"
    local settings = { "--admin", "127.0.0.1:0", "--socket", socket }
    local proxy = perilune.start { workers = 1, settings = settings, policy = policies.fill([[
      local perilune = require "perilune"
      local number = 0
      local function key() number = number + 1 return "client " .. number end
      local limit = require("perilune.rate_limit").$LIMIT
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local refused = 0
        for _ = 1, 20000 do
          if not limit.decide(session) then refused = refused + 1 end
          if number % 1000 == 0 then perilune.sleep(0.001) end
        end
        return session:respond { status = 200, body = tostring(refused) }
      end })
    ]], { LIMIT = limit }) }
    local refused = 0
    for _ = 1, requests do refused = refused + tonumber(client.request(proxy.port).body) end
    if more then more(proxy, socket) end
    return refused
  end

  it("a rate limit refuses none that is within it, and tells what has no room", function()
    local limit = 'new { key = key, max = 1, interval = 60, keys = 10000, name = "all" }'
    assert.equal(0, refused_of(limit, 5, function(proxy, socket)
      local samples = metrics.read(proxy)
      local labels = '{limit="all",kind="window"}'
      assert.equal(10000, samples["perilune_limit_keys" .. labels])
      local bytes = samples["perilune_limit_bytes" .. labels]
      assert.is_true(bytes > 320000 and bytes < 600000, bytes)
      assert.is_true(samples["perilune_limit_overflowed_total" .. labels] > 60000)
      assert.truthy(perilune.run("status", "--socket", socket).stdout:find "limit +all +window")
    end))
  end)

  it("a limit of concurrency refuses none that is within it", function()
    assert.equal(0, refused_of('concurrency { key = key, max = 1, name = "all" }', 2))
  end)
end)

describe("a rate limit", function()
  local function start(limit, handler, options)
    local origin = origins.start(handler or "hello", options)
    return perilune.start {
      workers = 4,
      policy = policies.fill([[
        local perilune = require "perilune"
        local rate_limit = require "perilune.rate_limit"
        local limit = rate_limit.$LIMIT
        perilune.listen("$LISTEN", {
          request_filter = function(session, ctx) return limit(session, ctx) end,
          response_filter = function(session, response, ctx) limit:tell(response, ctx) end,
          upstream_peer = function() return { address = "$ADDRESS" } end,
        })
      ]], { LIMIT = limit, ADDRESS = origin.address, LISTEN = options and options.listen or "127.0.0.1:0" }),
    }, origin
  end

  local function statuses(proxy, requests, path)
    local list = {}
    for i = 1, requests do list[i] = client.request({ port = proxy.port, path = path }).status end
    return table.concat(list, " ")
  end

  it("by path lets each path have its own", function()
    local proxy = start 'new { by = "path", max = 2, interval = 60 }'
    assert.equal("200 200 429", statuses(proxy, 3, "/a"))
    assert.equal("200 200 429", statuses(proxy, 3, "/b"))
    assert.equal("429", statuses(proxy, 1, "/a?query"))
  end)

  it("by address takes an IPv6 network of 64 bits for one", function()
    local proxy = perilune.start { policy = [[
      local prefix = require("perilune.network").prefix
      assert(prefix("2001:db8:1:2:3:4:5:6", 64) == "2001:db8:1:2")
      assert(prefix("2001:0db8::2:0:0:0:6", 64) == "2001:db8:0:2" and prefix("2001:db8::6", 64) == "2001:db8:0:0")
      assert(prefix("::1", 64) == "0:0:0:0" and prefix("::1:2:3:4:5", 64) == "0:0:0:1")
      assert(prefix("fe80::1%eth0", 64) == "fe80:0:0:0" and prefix("1::", 64) == "1:0:0:0")
      assert(prefix("10.0.0.1", 64) == "10.0.0.1" and prefix("unix:/a/b", 64) == "unix:/a/b")
      local limit = require("perilune.rate_limit").bucket { by = "address", max = 1, interval = 60 }
      require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
        return limit(session) or session:respond { status = 200 }
      end })]] }
    assert.equal("200 429", statuses(proxy, 2))
  end)

  it("as a bucket lets a burst pass and then one at a time, and says when", function()
    local proxy, origin = start [[bucket {
      by = "host", max = 2, interval = 60, burst = 3, fields = "draft", name = "api",
    }]]
    assert.equal("200 200 200", statuses(proxy, 3))
    local response = client.request(proxy.port)
    assert.equal(429, response.status)
    local seconds = tonumber(response.headers["retry-after"])
    assert.is_true(seconds > 20 and seconds <= 30, seconds)
    assert.equal('"api";q=2;w=60', response.headers["ratelimit-policy"])
    seconds = tonumber(response.headers.ratelimit:match '^"api";r=0;t=(%d+)$')
    assert.is_true(seconds > 80 and seconds <= 90, seconds)
    assert.is_nil(response.headers["x-rate-limit-limit"])
    assert.equal(3, #origin.requests)
  end)

  it("as a bucket lets as many pass as its rate says, behind the burst", function()
    local proxy = start 'bucket { by = "host", max = 10, interval = 1, burst = 3 }'
    local begun, passed = sys.now(), 0
    scheduler.eventually(function()
      if client.request(proxy.port).status == 200 then passed = passed + 1 end
      return passed == 8
    end)
    assert.is_true(sys.now() - begun >= 0.5, "too early")
  end)

  it("tells those who pass how many more they have", function()
    local proxy = start 'sliding { by = "path", max = 5, interval = 60, fields = "both" }'
    client.request(proxy.port)
    local response = client.request(proxy.port)
    assert.equal(200, response.status)
    assert.equal('"default";q=5;w=60', response.headers["ratelimit-policy"])
    assert.truthy(response.headers.ratelimit:match '^"default";r=3;t=%d+$')
    assert.equal("5", response.headers["x-rate-limit-limit"])
    assert.equal("3", response.headers["x-rate-limit-remaining"])
    assert.is_nil(response.headers["retry-after"])
  end)

  it("of concurrency counts what is under way, to its end", function()
    local origin
    local proxy
    proxy, origin = start('concurrency { by = "path", max = 2, name = "way", fields = "draft", close = false }',
      function(connection)
        while connection:read_request() do
          scheduler.eventually(function() return origin.go end)
          connection:respond { body = "done" }
        end
      end)
    local first, second = client.connect(proxy.port), client.connect(proxy.port)
    first:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    second:send_request {}
    scheduler.eventually(function() return #origin.requests == 2 end)
    local third = client.connect(proxy.port)
    local response = third:request()
    assert.equal(429, response.status)
    assert.equal('"way";q=2;qu="concurrent-requests"', response.headers["ratelimit-policy"])
    assert.equal('"way";r=0', response.headers.ratelimit)
    assert.equal("1", response.headers["retry-after"])
    origin.go = true
    assert.equal('"way";r=1', first:read_response().headers.ratelimit)
    second:read_response()
    scheduler.eventually(function() return third:request().status == 200 end)
  end)
end)
