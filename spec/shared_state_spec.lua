-- SPDX-License-Identifier: Apache-2.0
-- State that all workers share: dictionaries, counters, rates, and what is under way.
local client = require "client"
local console = require "console"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

describe("perilune.dict", function()
  local SETUP = 'd = perilune.dict("d", { size = 65536 })'

  it("keeps strings, numbers and booleans", function()
    local lua = console.start { setup = SETUP }
    assert.equal("true", lua:run [[return d:set("s", "a\0b")]])
    assert.equal("3 string", lua:run [[local v = d:get "s" return #v, type(v)]])
    assert.equal("-1.5 number", lua:run [[d:set("n", -1.5) local v = d:get "n" return v, type(v)]])
    assert.equal("false boolean", lua:run [[d:set("b", false) local v = d:get "b" return v, type(v)]])
    assert.equal("nil", lua:run [[return d:get "x"]])
    assert.equal("nil", lua:run [[d:set("n", nil) return d:get "n"]])
    assert.has_error(function() lua:run [[d:set("t", {})]] end,
      "do:1: a dict keeps strings, numbers and booleans, not a table value (see perilune.json)")
  end)

  it("keeps what is in it where hooks ask for it anew each time", function()
    local lua = console.start()
    for i = 1, 3 do
      local text = [[collectgarbage() collectgarbage() return perilune.dict("d"):incr("n", 1, 0)]]
      assert.equal(tostring(i), (lua:run(text)))
    end
    assert.equal("1", (lua:run [[perilune.counter("c"):add(1) return perilune.counter("c"):get()]]))
    assert.equal("2", (lua:run [[collectgarbage() perilune.counter("c"):add(1) return perilune.counter("c"):get()]]))
  end)

  it("adds only what is missing, counts up, deletes, lists and forgets", function()
    local lua = console.start { setup = SETUP }
    assert.equal("true", lua:run [[return d:add("k", 1)]])
    assert.equal("nil key exists", lua:run [[return d:add("k", 2)]])
    assert.equal("3", lua:run [[return d:incr("k", 2)]])
    assert.equal("4", lua:run [[return d:incr "k"]])
    assert.equal("nil no such key", lua:run [[return d:incr "new"]])
    assert.equal("11", lua:run [[return d:incr("new", 1, 10)]])
    assert.equal("nil not a number", lua:run [[d:set("s", "text") return d:incr "s"]])
    assert.equal("k new s", lua:run [[local keys = d:keys() table.sort(keys) return unpack(keys)]])
    assert.equal("1", lua:run [[return #d:keys(1)]])
    assert.equal("true false", lua:run [[return d:delete "k", d:delete "k"]])
    assert.equal("0", lua:run [[d:flush() return #d:keys()]])
  end)

  it("forgets what has a time to live, and tells how much is left", function()
    local lua = console.start { setup = SETUP }
    lua:run [[d:set("short", 1, 0.05) d:set("long", 1, 100) d:set("always", 1) d:incr("sum", 1, 0, 0.05)]]
    local left = tonumber((lua:run [[return d:ttl "long"]]))
    assert.is_true(left > 90 and left <= 100)
    assert.equal("inf nil", lua:run [[return d:ttl "always", d:ttl "nothing"]])
    scheduler.sleep(0.08)
    assert.equal("nil nil 1", lua:run [[return d:get "short", d:get "sum", d:get "long"]])
  end)

  it("stays within its size: what was used least recently makes room", function()
    local lua = console.start { setup = SETUP }
    assert.equal("true", lua:run [[
      d:set("kept", 1)
      for i = 1, 2000 do d:set(i, ("x"):rep(100)) d:get "kept" end
      return d:used() <= 65536
    ]])
    assert.equal("1 100 nil", lua:run [[return d:get "kept", #d:get(2000), d:get(1)]])
    assert.equal("nil entry too large", lua:run [[return d:set("big", ("x"):rep(70000))]])
  end)

  it("is one for all workers", function()
    local lua = console.start { workers = 3, setup = SETUP }
    lua:run [[d:set("from", perilune.worker())]]
    local from, seen = lua:run [[return d:get "from"]], {}
    scheduler.eventually(function()
      local value, worker = lua:run [[return d:get "from"]]
      assert.equal(from, value)
      seen[worker] = true
      return seen["0"] and seen["1"] and seen["2"]
    end, nil, "an answer of each worker")
  end)

  it("refuses what it cannot be made with", function()
    local lua = console.start()
    assert.has_error(function() lua:run [[perilune.dict()]] end,
      "do:1: perilune.dict: expected a name, which all workers find it by, got a nil value")
  end)
end)

describe("perilune.dict of a size that no machine has", function()
  it("is refused, and does not end the process", function()
    local policy = 'require("perilune").dict("huge", { size = 1e15 })'
    local result = perilune.run { policy = policy }
    assert.equal(2, result.code)
    assert.matches("policy%.lua:1: perilune.dict: size must be", result.stderr)
  end)
end)

describe("a reload", function()
  it("finds shared state as it was", function()
    local lua = console.start { setup = [[
      d = perilune.dict("d", { size = 65536 })
      c = perilune.counter "c"
      r = perilune.rate("r", { interval = 60 })
    ]] }
    lua:run [[d:set("k", "kept") c:add(7) r:observe("k", 5) mark = true]]
    lua.proxy:signal "HUP"
    lua.proxy:wait_log "reloaded: "
    assert.equal("nil kept 7 5", lua:run [[return mark, d:get "k", c:get(), r:observe("k", 0)]])
  end)

  it("keeps the counts of what is under way right", function()
    local go = false
    local origin = origins.start(function(connection)
      connection:read_request()
      scheduler.eventually(function() return go end)
      connection:respond { body = "late" }
    end)
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { hooks = [[
      local places = perilune.inflight "places"
      function policy.request_filter(session)
        if session:path() == "/count" then
          return session:respond { status = 200, body = tostring(places:count "all") }
        end
        places:acquire(session, "all")
      end
    ]] }) }
    local function count() return client.request { port = proxy.port, path = "/count" }.body end
    local connection = client.connect(proxy.port)
    connection:send_request {}
    scheduler.eventually(function() return count() == "1" end)
    proxy:signal "HUP"
    proxy:wait_log "reloaded: "
    assert.equal("1", count())
    go = true
    assert.equal("late", connection:read_response().body)
    scheduler.eventually(function() return count() == "0" end)
  end)
end)

describe("perilune.counter and perilune.rate", function()
  it("count over all workers", function()
    local lua = console.start { workers = 3, setup = [[
      c = perilune.counter "c"
      r = perilune.rate("r", { interval = 60 })
    ]] }
    local bodies = {}
    for i = 1, 30 do bodies[i] = function() lua:run [[r:observe("k", 2) return c:add(3)]] end end
    scheduler.all(bodies)
    assert.equal("90 60", lua:run [[return c:get(), r:observe("k", 0)]])
    assert.equal("90 0", lua:run [[return c:set(), c:get()]])
  end)

  it("give events per second, of the last window and of a sliding one", function()
    local lua = console.start { setup = 'r = perilune.rate("r", { interval = 0.5 })' }
    local tries = 0
    -- The rate is that of the window before: a machine that sleeps through it sees nothing, and looks at another key.
    local rate, sliding = scheduler.eventually(function()
      tries = tries + 1
      assert.equal("0", lua:run(("r:observe(%d, 10) return r:rate(%d)"):format(tries, tries)))
      local finish = sys.now() + 2
      repeat
        local told = lua:run(("return r:rate(%d), r:proportional(%d)"):format(tries, tries))
        if told:match "^20 " then return told end
      until sys.now() > finish
    end):match "(%S+) (%S+)"
    assert.equal("20", rate)
    sliding = tonumber(sliding)
    assert.is_true(sliding > 0 and sliding <= 20)
  end)
end)

-- Each exchange holds a place; /count tells how many are held.
local HELD = [[
local places = perilune.inflight "places"
function policy.request_filter(session)
  local path = session:path()
  if path == "/count" then return session:respond { status = 200, body = tostring(places:count "all") } end
  local limit = tonumber(session:get_header "limit")
  local now, there = places:acquire(session, "all", limit)
  if not now then return session:respond { status = 429, body = tostring(there) } end
  if path == "/raise" then error "deliberate" end
  if path == "/answer" then return session:respond { status = 200, body = tostring(now) } end
  if path == "/release" then
    local first, second = places:release(session, "all"), places:release(session, "all")
    return session:respond { status = 200, body = tostring(first) .. " " .. tostring(second) }
  end
  if path == "/sleep" then perilune.sleep(60) end
end
]]

describe("perilune.inflight", function()
  local function start(handler)
    local origin = origins.start(handler or "hello")
    return perilune.start { workers = 2, policy = policies.to(origin, { hooks = HELD }) }, origin
  end
  local function count(proxy) return client.request { port = proxy.port, path = "/count" }.body end
  local function drained(proxy)
    scheduler.eventually(function() return count(proxy) == "0" end, nil, "an end of what is under way")
  end

  it("counts exchanges while they are under way, and no more than the limit", function()
    local go = false
    local proxy = start(function(connection)
      connection:read_request()
      scheduler.eventually(function() return go end)
      connection:respond { body = "late" }
    end)
    local waiting = {}
    for i = 1, 3 do
      waiting[i] = client.connect(proxy.port)
      waiting[i]:send_request {}
    end
    scheduler.eventually(function() return count(proxy) == "3" end)
    local refused = client.request { port = proxy.port, path = "/answer", headers = { Limit = "3" } }
    assert.same({ 429, "3" }, { refused.status, refused.body })
    assert.equal("4", client.request { port = proxy.port, path = "/answer", headers = { Limit = "4" } }.body)
    go = true
    for _, connection in ipairs(waiting) do assert.equal("late", connection:read_response().body) end
    drained(proxy)
  end)

  it("gives back when the policy says so, once", function()
    local proxy = start()
    assert.equal("true false", client.request { port = proxy.port, path = "/release" }.body)
    drained(proxy)
  end)

  it("gives back after an answer, an error and an upstream failure", function()
    local proxy = start(function(connection)
      connection:read_request()
      connection:reset()
    end)
    assert.equal("1", client.request { port = proxy.port, path = "/answer" }.body)
    assert.equal(500, client.request { port = proxy.port, path = "/raise" }.status)
    assert.equal(502, client.request { port = proxy.port }.status)
    drained(proxy)
  end)

  it("gives back when the client goes away, in a hook and in a response", function()
    local proxy = start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
      connection:send(("x"):rep(500000))
      connection:sleep(60)
    end)
    for _, path in ipairs { "/sleep", "/stream" } do
      local connection = client.connect(proxy.port)
      connection:send_request { path = path }
      scheduler.eventually(function() return count(proxy) == "1" end)
      connection:close()
      drained(proxy)
    end
  end)
end)

describe("names of shared objects", function()
  it("are a thousand of a kind at most: one more, made of what clients say, fails at its line", function()
    local proxy = perilune.start {
      workers = 2,
      policy = [[
        local perilune = require "perilune"
        local visits = perilune.counter "visits"
        perilune.listen("127.0.0.1:0", { request_filter = function(session)
          local count = tonumber(session:path():sub(2))
          for i = 1, count do perilune.rate(session:path() .. i, { slots = 16 }):observe("a") end
          visits:add(1)
          return session:respond { status = 200, body = tostring(visits:get()) }
        end })
      ]],
    }
    assert.equal(200, client.request { port = proxy.port, path = "/900" }.status)
    assert.equal(200, client.request { port = proxy.port, path = "/900" }.status) -- the same names
    assert.equal(500, client.request { port = proxy.port, path = "/200" }.status)
    assert.matches("policy.lua:5: rate: there are 1000 names of this kind already", proxy:log())
    assert.equal("3", client.request { port = proxy.port, path = "/0" }.body) -- another kind, and what there is
    proxy:signal "HUP" -- what only the old policy had asked for goes with it
    proxy:wait_log "generation 2 is in force"
    scheduler.eventually(function() return client.request { port = proxy.port, path = "/200" }.status == 200 end)
  end)
end)
