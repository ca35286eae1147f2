-- SPDX-License-Identifier: Apache-2.0
-- redis.cluster and redis.sentinel against real servers, and against scripted ones that say what they should not.
local cjson = require "cjson"
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_fleet = require "redis_fleet"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local with_redis = redis_server.it(it, pending)

-- The body is Lua text that is run with `store`.
local POLICY = [[
  local perilune = require "perilune"
  local redis = require "perilune.redis"
  local json = require "perilune.json"
  local store = $STORE
  $SHOW
  local environment = setmetatable({ store = store, redis = redis, perilune = perilune }, { __index = _G })
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    local chunk = assert(loadstring(session:get_header "do", "=do"))
    return session:respond { status = 200, body = show(setfenv(chunk, environment)()) }
  end })
]]

local function start(store)
  local policy = policies.fill(POLICY, { SHOW = redis_server.SHOW, STORE = store })
  local proxy = perilune.start { workers = 1, policy = policy }
  return function(text)
    return client.request { port = proxy.port, headers = { Do = text:gsub("%s*\n%s*", " ") .. "" } }.body
  end, proxy
end

local function of_cluster(addresses, more)
  local list = {}
  for i, server in ipairs(addresses) do list[i] = ("%q"):format(server.address or server) end
  return ("redis.cluster { nodes = { %s }, %s }"):format(table.concat(list, ", "), more
    or "timeout = 20, connect_timeout = 20")
end

describe("redis.cluster", function()
  with_redis("sends each command to the server that has its key, also scripts, units and streams", function()
    local servers = redis_fleet.cluster(3)
    local ask = start(of_cluster { servers[2] })
    assert.equal("60|1830|true", ask [[
      local sum, count = 0, 0
      for i = 1, 60 do assert(store:call("SET", "key" .. i, i)) end
      for i = 1, 60 do sum, count = sum + store:call("GET", "key" .. i), count + 1 end
      return count, sum, store:call("PING") == "PONG"
    ]])
    for _, server in ipairs(servers) do assert.is_true(tonumber(server:ask({ "DBSIZE" }):match ":(%d+)") > 5) end
    assert.equal("60|1|nil|WRONGTYPE", ask [[
      local commands = {}
      for i = 1, 60 do commands[i] = { "GET", "key" .. i } end
      commands[61] = { "LPUSH", "list", "x" }
      commands[62] = { "GET", "list" }
      local replies, right = store:pipeline(commands), 0
      for i = 1, 60 do right = right + (replies[i] == tostring(i) and 1 or 0) end
      return right, replies[61], replies[63], replies[62].code
    ]])
    assert.equal("[7,8]|5", ask [[
      local done = store:transaction { { "SET", "{u}a", 7 }, { "INCR", "{u}a" }, { "GET", "{u}a" } }
      return { 7, tonumber(done[3]) }, store:eval("return tonumber(ARGV[1]) + #KEYS", { "{x}1", "{x}2" }, { 3 })
    ]])
    assert.equal("false|CROSSSLOT", ask [[
      local ok = pcall(store.transaction, store, { { "SET", "a", 1 }, { "SET", "b", 1 } })
      return ok, select(3, store:call("MGET", "a", "b"))
    ]])
    assert.equal("1|a|1", ask [[
      local reader = store:stream("events", { from = "0" })
      store:call("XADD", "events", "*", "k", "a")
      local own = store:connect { key = "key1" }
      return #reader:read(20), "a", (own:call("GET", "key1"))
    ]])
  end)

  with_redis("knows the slots that Redis knows", function()
    local server = redis_fleet.cluster(1)[1]
    local keys = { "123456789", "", "{a}b", "a{}{b}", "foo{{bar}}", "x{y", "x}y{z}", ("k"):rep(300), "\195\164\0\255" }
    local ask = start(of_cluster { server })
    for _, key in ipairs(keys) do
      local text = ""
      for byte in key:gmatch "." do text = text .. ("\\%03d"):format(byte:byte()) end
      local slot = server:ask({ "CLUSTER", "KEYSLOT", key }):match ":(%d+)"
      assert.equal(slot, ask(("return require('perilune.redis_slots').of_key('%s')"):format(text)))
    end
  end)

  with_redis("follows ASK while a slot moves, and MOVED afterwards, and learns by that", function()
    local servers = redis_fleet.cluster(2)
    local ask = start(of_cluster { servers[1] })
    assert.equal("OK|OK", ask [[ return store:call("SET", "{m}old", 1), store:call("SET", "{m}x", 1) ]])
    local slot = tonumber(servers[1]:ask({ "CLUSTER", "KEYSLOT", "{m}" }):match ":(%d+)")
    local from, to = servers[1], servers[2]
    if slot > from.last then from, to = to, from end
    to:ask { "CLUSTER", "SETSLOT", slot, "IMPORTING", from.id }
    from:ask { "CLUSTER", "SETSLOT", slot, "MIGRATING", to.id }
    assert.equal("1|OK|2", ask [[
      return store:call("GET", "{m}old"), store:call("SET", "{m}new", 2), store:call("GET", "{m}new")
    ]])
    assert.matches("2", to:ask({ "ASKING" }, { "GET", "{m}new" }))
    assert.equal("[\"1\",\"2\"]", ask [[ return store:pipeline { { "GET", "{m}old" }, { "GET", "{m}new" } } ]])
    from:ask { "MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", "{m}old", "{m}x" }
    to:ask { "CLUSTER", "SETSLOT", slot, "NODE", to.id }
    from:ask { "CLUSTER", "SETSLOT", slot, "NODE", to.id }
    assert.equal("1|2", ask [[ return store:call("GET", "{m}old"), store:call("GET", "{m}new") ]])
    assert.equal("1|1", ask [[
      return store:eval("return redis.call('GET', KEYS[1])", { "{m}old" }),
        store:transaction { { "GET", "{m}x" } }[1]
    ]])
    scheduler.eventually(function() -- it goes straight there
      local before = from:ask({ "INFO", "errorstats" }):match "errorstat_MOVED:count=(%d+)"
      ask [[ store:call("GET", "{m}old") ]]
      return before == from:ask({ "INFO", "errorstats" }):match "errorstat_MOVED:count=(%d+)"
    end)
  end)

  with_redis("fails only for the keys of a server that is silent, within its time", function()
    local servers = redis_fleet.cluster(2)
    local ask = start(of_cluster({ servers[1], servers[2] }, "timeout = 0.2, connect_timeout = 0.5, failures = 2"))
    local FILL = [[ return store:call("SET", "a", 1), store:call("SET", "b", 1) ]]
    scheduler.eventually(function() return ask(FILL) == "OK|OK" end)
    servers[1]:signal "STOP"
    local keys = {}
    for _, key in ipairs { "a", "b" } do
      local slot = tonumber(servers[2]:ask({ "CLUSTER", "KEYSLOT", key }):match ":(%d+)")
      keys[slot <= servers[1].last and "silent" or "fine"] = key
    end
    local text = ask(([[ return store:pipeline { { "GET", "%s" }, { "GET", "%s" } } ]]):format(keys.silent, keys.fine))
    local replies = cjson.decode(text)
    assert.is_true(replies[1].code == "timeout" or replies[1].code == "down")
    assert.equal("1", replies[2])
    assert.matches("nil|redis .*|%l+$", ask(([[ return store:call("GET", "%s") ]]):format(keys.silent)))
    servers[1]:signal "CONT"
    scheduler.eventually(function()
      return ask(([[ return store:call("GET", "%s") ]]):format(keys.silent)) == "1"
    end)
  end)

  with_redis("serves limits and shared dictionaries", function()
    local servers = redis_fleet.cluster(2)
    local proxies = {}
    for i = 1, 2 do
      proxies[i] = perilune.start { workers = 1, policy = policies.fill([[
        local perilune = require "perilune"
        local redis = require "perilune.redis"
        local store = $STORE
        local limit = require("perilune.rate_limit").cluster { store = store, header = "appid", max = 3, name = "api",
          interval = 3600, mode = "exact" }
        local soft = require("perilune.rate_limit").cluster { store = store, header = "soft", max = 30, name = "soft",
          interval = 3600 }
        local d = perilune.shared_dict("d", { store = store })
        perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
          if limit(session, ctx) or soft(session, ctx) then return true end
          local name = session:path():sub(2)
          if session:method() == "PUT" then d:set(name, "set") end
          return session:respond { status = 200, body = tostring(d:get(name)) }
        end })
      ]], { STORE = of_cluster(servers) }) }
    end
    local function request(i, headers, method)
      return client.request { port = proxies[i].port, path = "/x", headers = headers, method = method }
    end
    assert.equal("set", request(1, nil, "PUT").body)
    assert.equal("set", request(2).body)
    for key = 1, 8 do
      local passed = 0
      for n = 1, 8 do passed = passed + (request(n % 2 + 1, { appid = "k" .. key }).status == 200 and 1 or 0) end
      assert.equal(3, passed)
      request(1, { soft = "k" .. key })
    end
    scheduler.eventually(function()
      local keys = servers[1]:ask { "KEYS", "pl:{soft *" } .. servers[2]:ask { "KEYS", "pl:{soft *" }
      return select(2, keys:gsub("}:k%d", "")) == 8
    end)
  end)

  it("raises at the policy's line for what cannot be", function()
    local function fault(store)
      local result = perilune.run { args = { "check", process.write_file(process.directory() .. "/policy.lua",
        policies.fill(POLICY, { SHOW = redis_server.SHOW, STORE = store })) } }
      return result.code == 0 and "fine" or result.stderr:match "policy.lua:4: ([^\n]*)" or result.stderr
    end
    assert.equal("fine", fault "redis.cluster { nodes = { '127.0.0.1:1' } }")
    assert.equal("redis.cluster: option 'nodes' is missing", fault "redis.cluster {}")
    assert.equal("redis.cluster: option 'nodes' is empty", fault "redis.cluster { nodes = {} }")
    assert.matches("^redis.cluster: option 'nodes': ", fault "redis.cluster { nodes = { 'x y' } }")
    assert.matches("^redis.cluster: unknown option 'nods'", fault "redis.cluster { nods = 1 }")
    assert.matches("one database only", fault "redis.cluster { nodes = { '127.0.0.1:1' }, database = 1 }")
    assert.equal("redis.sentinel: option 'master' is missing", fault "redis.sentinel { sentinels = { '127.0.0.1:1' } }")
    assert.matches("^redis.sentinel: option 'sentinels': ",
      fault "redis.sentinel { master = 'm', sentinels = { 'x y' } }")
  end)

  for what, bytes in pairs {
    ["garbage"] = "?\r\n", ["no list"] = ":1\r\n", ["null"] = "*-1\r\n", ["nothing"] = "*0\r\n",
    ["an error"] = "-ERR This instance has cluster support disabled\r\n", ["-LOADING"] = "-LOADING in memory\r\n",
    ["slots that are none"] = "*1\r\n*3\r\n:5\r\n:16384\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n",
    ["a port that is none"] = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:70000\r\n",
    ["a host that is none"] = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$5\r\na\r\nbc\r\n:1\r\n",
    ["a huge list"] = "*20000\r\n" .. (":1\r\n"):rep(20000),
  } do
    it("is down, and says so once, where a server gives " .. what .. " for a map", function()
      local server = redis_server.scripted(function(connection) connection:send(bytes) end)
      local ask, proxy = start(of_cluster({ server }, "timeout = 0.5, retry = 0.02, retry_most = 0.05"))
      for _ = 1, 3 do assert.matches("^nil|redis cluster of .*|%l+$", ask [[ return store:call("GET", "a") ]]) end
      proxy:wait_log "redis cluster of "
      assert.equal(1, proxy:count_log "redis cluster of ")
    end)
  end

  it("keeps the last map where the next one is none, and ends redirections that go in circles", function()
    local maps, server = 0, nil
    server = redis_server.scripted(function(connection, words)
      if words[1] == "CLUSTER" then
        maps = maps + 1
        local port = server.address:match ":(%d+)$"
        local map = ("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:%s\r\n"):format(port)
        return connection:send(maps == 1 and map or "*0\r\n")
      end
      if words[2] == "circle" then return connection:send("-MOVED 1 " .. server.address .. "\r\n") end
      if words[2] == "odd" then return connection:send "-MOVED to nowhere\r\n" end
      connection:send "+fine\r\n"
    end)
    local ask = start(of_cluster { server })
    assert.equal("fine", ask [[ return store:call("GET", "a") ]])
    assert.matches("^nil|MOVED 1 .*|MOVED$", ask [[ return store:call("GET", "circle") ]])
    assert.matches("^nil|MOVED to nowhere|MOVED$", ask [[ return store:call("GET", "odd") ]])
    scheduler.eventually(function()
      ask [[ store:call("GET", "circle") ]]
      return maps > 1
    end)
    assert.equal("fine", ask [[ return store:call("GET", "a") ]])
  end)
end)

describe("redis.sentinel", function()
  with_redis("uses the primary, and the next one after a failover", function()
    local primary, replica, sentinel = redis_fleet.watched()
    local ask, proxy = start(([[redis.sentinel { master = "main", sentinels = { "127.0.0.1:1", "%s" }, timeout = 5,
      connect_timeout = 5 }]]):format(sentinel.address))
    assert.equal("OK|1|" .. primary.address, ask [[ return store:call("SET", "a", 1), store:call("GET", "a"),
      store:status().address ]])
    assert.equal('["1"]|[2]|3', ask [[ return store:pipeline { { "GET", "a" } }, store:transaction { { "INCR", "a" } },
      store:eval("return 3", {}) ]])
    scheduler.eventually(function() return sentinel:ask({ "SENTINEL", "FAILOVER", "main" }):find "^%+OK" end, nil,
      "a sentinel that takes the replica for good")
    -- The address first: between the call and what it says, another primary may be found.
    scheduler.eventually(function() return ask [[ local address = store:status().address
      return store:call("SET", "b", 2), address ]] == "OK|" .. replica.address end, nil, "the new primary")
    assert.equal(1, proxy:count_log("the primary is " .. replica.address:gsub("%p", "%%%0") .. " now"))
    -- A sentinel ends the connections of the server that it has made the primary, once it has done so (CLIENT KILL).
    scheduler.eventually(function() return ask [[
      local own, why = store:connect()
      return own and own:call("GET", "b") or why
    ]] == "2" end, nil, "a connection of its own to the new primary")
  end)

  for what, bytes in pairs {
    ["garbage"] = "?\r\n", ["null"] = "*-1\r\n", ["another list"] = "*1\r\n:1\r\n",
    ["no port"] = "*2\r\n$9\r\n127.0.0.1\r\n$1\r\nx\r\n", ["an error"] = "-IDONTKNOW x\r\n",
  } do
    it("is down, and says so once, where a sentinel gives " .. what, function()
      local server = redis_server.scripted(function(connection) connection:send(bytes) end)
      local ask, proxy = start(([[redis.sentinel { master = "main", sentinels = { "%s" }, timeout = 0.5,
        retry = 0.02, retry_most = 0.05 }]]):format(server.address))
      for _ = 1, 3 do assert.matches("^nil|redis 'main': .*|%l+$", ask [[ return store:call("GET", "a") ]]) end
      assert.equal(1, proxy:count_log "redis 'main': ")
    end)
  end
end)
