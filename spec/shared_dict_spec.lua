-- SPDX-License-Identifier: Apache-2.0
-- perilune.shared_dict: levels in the VM, in the process and in Redis, with a function behind them.
local client = require "client"
local metrics = require "metrics"
local perilune = require "perilune"
local policies = require "policies"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local with_redis = redis_server.it(it, pending)

-- A hook runs `code`, with the dictionary `d`; `asked` counts how often its function was asked, in all workers.
local POLICY = [[
  local perilune = require "perilune"
  local json = require "perilune.json"
  local asked, state = perilune.counter "asked", perilune.dict "state"
  $MAIN
  local d = perilune.shared_dict("d", { $OPTIONS })
  $SHOW
  local function run(session) $CODE end
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    local path = session:path()
    if path == "/asked" then return session:respond { status = 200, body = tostring(asked:get()) } end
    if path == "/fail" or path == "/work" then
      state:set("fails", path == "/fail")
      return session:respond { status = 200 }
    end
    return session:respond { status = 200, body = show(run(session)) }
  end })
]]

local FETCH = [[ fetch = function(key)
  asked:add(1)
  if state:get "fails" then return nil, "it is broken" end
  if key == "raises" then error "oops" end
  if key == "none" then return nil end
  if key == "table" then return { list = { true, "x" } } end
  if key == "odd" then return print end
  if key == "loop" then return package.loaded end
  if key == "slow" then perilune.sleep(0.2) end
  return "value of " .. key .. " " .. asked:get()
end, ]]

local function start(options, code, more)
  more = more or {}
  local parts = { SHOW = redis_server.SHOW, OPTIONS = options, CODE = code, MAIN = more.main or "" }
  local proxy = perilune.start { workers = more.workers or 1, settings = { "--admin", "127.0.0.1:0" },
    policy = policies.fill(POLICY, parts) }
  return function(path) return client.request { port = proxy.port, path = path or "/" }.body end, proxy
end

local function result(proxy, name)
  return metrics.read(proxy)[('perilune_shared_dict_total{dict="d",result="%s"}'):format(name)] or 0
end

local GET = [[return d:get(session:path():sub(2))]]

describe("perilune.shared_dict", function()
  it("asks its function once, and gives what it has from the VM and from the process", function()
    local ask, proxy = start(FETCH, GET)
    for _ = 1, 5 do assert.equal("value of a 1", ask "/a") end
    assert.equal("1", ask "/asked")
    assert.equal(4, result(proxy, "memory"))
    assert.equal(1, result(proxy, "fetched"))
    local other, second = start(FETCH .. "keys = 0, ", GET)
    for _ = 1, 3 do assert.equal("value of a 1", other "/a") end
    assert.equal(2, result(second, "dict"))
  end)

  it("keeps tables, numbers, booleans and any bytes", function()
    local ask = start(FETCH .. "keys = 0, ", [[
      local bytes = "\1b0\0\255 x"
      d:set("s", bytes) d:set("n", 0.1) d:set("t", true) d:set("f", false) d:set("e", "")
      local t = d:get "table"
      return d:get "s" == bytes, d:get "n", d:get "t", d:get "f", d:get "e" == "", #t.list, t.list[2]
    ]])
    assert.equal("true|0.1|true|false|true|2|x", ask())
  end)

  it("remembers that there is none, for a time of its own", function()
    local ask = start(FETCH .. "negative_ttl = 0.05, ", GET)
    for _ = 1, 3 do assert.equal("nil", ask "/none") end
    scheduler.eventually(function()
      ask "/none"
      return tonumber(ask "/asked") > 1
    end)
    local lasting = start(FETCH, GET)
    for _ = 1, 3 do assert.equal("nil", lasting "/none") end
    assert.equal("1", lasting "/asked")
  end)

  it("asks once for all tasks of all workers that want a key at the same time", function()
    local ask, proxy = start(FETCH, GET, { workers = 3 })
    local bodies = {}
    for i = 1, 12 do bodies[i] = function() return ask "/slow" end end
    for _, body in ipairs(scheduler.all(bodies)) do assert.equal("value of slow 1", body) end
    assert.equal("1", ask "/asked")
    assert.equal(1, result(proxy, "fetched"))
  end)

  it("asks on when the client that was first goes away", function()
    local ask, proxy = start(FETCH, GET)
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    scheduler.eventually(function() return ask "/asked" == "1" end)
    connection:close()
    assert.equal("value of slow 1", ask "/slow")
  end)

  it("gives a value beyond its time and why, where its function fails, and does not ask for a while", function()
    local ask, proxy = start(FETCH .. "ttl = 0.02, retry = 60, ", GET)
    assert.equal("value of a 1", ask "/a")
    ask "/fail"
    local stale
    scheduler.eventually(function()
      stale = ask "/a"
      return stale:find("|", 1, true)
    end)
    assert.matches("^value of a %d+|it is broken$", stale)
    local asked = ask "/asked"
    for _ = 1, 5 do assert.equal(stale, ask "/a") end
    assert.equal("nil|it is broken", ask "/b")
    assert.equal(tonumber(asked) + 1, tonumber(ask "/asked"))
    assert.equal(1, proxy:count_log "shared_dict 'd': it is broken")
  end)

  it("takes what a function raises, and what is no value, for a failure", function()
    local ask = start(FETCH, GET)
    assert.matches("^nil|.*oops$", ask "/raises")
    assert.equal("nil|fetch gave a function value", ask "/odd")
    assert.matches("^nil|fetch gave a table that cannot be kept: ", ask "/loop")
  end)

  it("gives no value that was read before a change", function()
    local ask = start(FETCH, [[
      local reader = perilune.spawn(function() return d:get "slow" end)
      perilune.sleep(0.05)
      d:set("slow", "new")
      local read = perilune.wait(reader)
      return read, d:get "slow", d:delete "slow", d:get "slow"
    ]])
    assert.equal("value of slow 1|new|true|value of slow 2", ask())
  end)

  it("waits for its function no longer than told", function()
    local ask = start("timeout = 0.05, fetch = function() perilune.sleep(20) end, ", GET)
    assert.equal("nil|timeout", ask "/a")
  end)

  it("is bounded in the VM and in the process", function()
    local ask = start(FETCH .. "size = 65536, keys = 10, ", [[
      for i = 1, 3000 do d:get("key" .. i) end
      local used = perilune.dict("shared_dict:d", { size = 65536 }):used()
      return used <= 65536, d:get "key1"
    ]])
    assert.equal("true|value of key1 3001", ask())
  end)

  it("raises at the policy's line for what cannot be", function()
    local ask = start(FETCH, [[
      local function message(call, ...)
        local given, count = { ... }, select("#", ...)
        local _, why = pcall(function() local result = call(unpack(given, 1, count)) return result end)
        return (why:gsub("^[^:]*policy.lua:%d+: ", "LINE "))
      end
      return message(perilune.shared_dict, "x", {}), message(perilune.shared_dict, "x", { store = {} }),
        message(perilune.shared_dict, "x", { ttll = 1 }), message(d.get, d, nil), message(d.get, "a"),
        message(d.set, d, "a", print), message(d.set, d, "a", { print })
    ]])
    local lines = ask()
    assert.matches("LINE perilune.shared_dict: give it 'store' or 'fetch'", lines)
    assert.matches("LINE perilune.shared_dict: option 'store' must be a client of perilune.redis", lines)
    assert.matches("LINE shared_dict:get: ", lines)
    assert.matches("LINE shared_dict:set: " ..
      "expected a string, number, boolean or table, got a function value", lines)
    assert.matches("LINE shared_dict:set: [^|]*function", lines)
  end)
end)

describe("perilune.shared_dict with Redis", function()
  local STORE = [[ store = require("perilune.redis").new("%s", { timeout = 20, connect_timeout = 20 }), ]]

  with_redis("finds there what another proxy has set or asked for, with the time that is left", function()
    local server = redis_server.start()
    local one = start(STORE:format(server.address) .. FETCH, GET)
    local two = start(STORE:format(server.address) .. FETCH, [[
      return d:get "a", d:get "table", d:get "none", d:set("b", { x = 1 }, 30), asked:get()
    ]])
    assert.equal("value of a 1", one "/a")
    assert.equal('{"list":[true,"x"]}', (one "/table"))
    assert.equal("nil", one "/none")
    assert.equal('value of a 1|{"list":[true,"x"]}|nil|true|0', two())
    assert.equal('{"x":1}', one "/b")
    local left = tonumber(server:ask({ "PTTL", "pl:dict:d:b" }):match ":(%d+)")
    assert.is_true(left > 1000 and left <= 30000)
  end)

  with_redis("gives what others have written there as text, and needs no function", function()
    local server = redis_server.start()
    server:ask({ "SET", "flag:a", "on" }, { "LPUSH", "flag:list", "x" }, { "SET", "flag:bad", "\1q" })
    local ask = start(STORE:format(server.address) .. "prefix = 'flag:', ", GET)
    assert.equal("on", ask "/a")
    assert.equal("nil", ask "/b")
    assert.matches("^nil|WRONGTYPE ", ask "/list")
    assert.equal("nil", ask "/bad")
  end)

  with_redis("says that it could not write, and does not give the older value from the process", function()
    local server = redis_server.start()
    local ask = start(STORE:format(server.address), [[
      if session:path() == "/set" then return d:set("a", "new") end
      return d:get "a"
    ]])
    server:ask { "SET", "pl:dict:d:a", "old" }
    assert.equal("old", ask())
    server:ask { "CONFIG", "SET", "maxmemory", "1" }
    assert.matches("^nil|OOM .*|OOM$", ask "/set")
    assert.equal("old", ask()) -- read again
  end)

  with_redis("goes on with its function, or with what it had, while Redis is silent", function()
    local server = redis_server.start()
    local short = [[ store = require("perilune.redis").new("%s", { timeout = 0.05 }), ttl = 0.02, ]]
    local both = start(short:format(server.address) .. FETCH, GET)
    local only = start(short:format(server.address), GET)
    server:ask { "SET", "pl:dict:d:a", "kept" }
    scheduler.eventually(function() return only "/a" == "kept" end)
    server:signal "STOP"
    assert.matches("^value of x %d+$", both "/x")
    local body
    scheduler.eventually(function()
      body = only "/a"
      return body:find("|", 1, true)
    end)
    assert.matches("^kept|redis ", body)
    server:signal "CONT"
    scheduler.eventually(function() return only "/a" == "kept" end)
  end)
end)
