-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis against a real server: commands and their values, units of several, scripts, connections of one's own.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local it = redis_server.it(it, pending)

local function asked(code, ...)
  local server = redis_server.start(...)
  local ask, proxy = redis_server.policy(server.address, code)
  return ask(), server, ask, proxy
end

describe("redis:call", function()
  it("gives strings, numbers, nil for null, and nil, text and code for an error", function()
    local error = "nil|WRONGTYPE Operation against a key holding the wrong kind of value|WRONGTYPE"
    assert.equal("OK|5|12|nil|1|" .. error, (asked [[
      local ok = store:call("SET", "a", 5)
      local text = store:call("GET", "a")
      local sum = store:call("INCRBY", "a", 7)
      local none = store:call("GET", "none")
      local length = store:call("RPUSH", "list", "x")
      return ok, text, sum, none, length, store:call("INCR", "list")
    ]]))
  end)

  it("leaves bytes as they are, sends numbers exactly, and gives integers that a number would round as text", function()
    assert.equal("true|1234567890123456|9007199254740993|-9007199254740992|2.5", (asked [[
      local all = {}
      for byte = 0, 255 do all[#all + 1] = string.char(byte) end
      local bytes = table.concat(all):rep(500)
      store:call("SET", bytes, bytes)
      store:call("SET", "n", 1234567890123456)
      store:call("SET", "big", "9007199254740993")
      store:call("SET", "low", "-9007199254740992")
      store:call("SET", "half", 2.5)
      local low = store:call("INCRBY", "low", 0)
      return store:call("GET", bytes) == bytes, store:call("GET", "n"), store:call("INCRBY", "big", 0),
        type(low) == "number" and ("%.0f"):format(low), store:call("GET", "half")
    ]]))
  end)

  it("raises at the policy's line for what is no command, and for what has no place on a shared connection", function()
    local lines = asked [[
      local function message(...)
        local ok, why = pcall(store.call, store, ...)
        return (why:gsub("^.-policy.lua:%d+: ", "LINE "))
      end
      return message(), message("GET", nil), message("GET", {}), message("blpop", "q", 0), message("Select", 1),
        message("MULTI"), message("XREAD", "COUNT", 1, "Block", 0, "STREAMS", "block", "$"), message("SUBSCRIBE", "c")
    ]]
    local all = {}
    for line in lines:gmatch "[^|]+" do all[#all + 1] = line end
    assert.same({
      'LINE redis:call: expected the name of a command, like "GET", got a nil value',
      "LINE redis:call: argument 2 is a nil value: expected a string or a number",
      "LINE redis:call: argument 2 is a table value: expected a string or a number",
      "LINE redis:call: blpop: it blocks, and all share this connection: use redis:connect",
      "LINE redis:call: Select: it changes the connection that all share: give it to redis.new as an option",
      "LINE redis:call: MULTI: it changes the connection that all share: use redis:transaction, or with WATCH "
        .. "redis:connect",
      "LINE redis:call: XREAD: it blocks, and all share this connection: use redis:stream or redis:connect",
      "LINE redis:call: SUBSCRIBE: it turns a connection into one for messages: use redis:subscribe",
    }, all)
  end)

  it("names what may have been meant where there is no such method, and a dot in place of a colon", function()
    assert.equal("LINE perilune.redis.client has no method 'cal': did you mean call?|"
      .. "LINE redis:call is a method: it is called with a colon", (asked [[
        local function message(fn) return (select(2, pcall(fn)):gsub("^.-policy.lua:%d+: ", "LINE ")) end
        return message(function() return store:cal("GET", "a") end),
          message(function() return store.call("GET", "a") end)
      ]]))
  end)

  it("waits in background work and in coroutines, and raises where nothing can wait", function()
    local server = redis_server.start()
    local ask, proxy = redis_server.policy(server.address, [[
      local value
      coroutine.wrap(function() value = store:call("GET", "job") end)()
      return value
    ]], { main = [[
      perilune.after(0, function() store:call("SET", "job", "done") end)
      local ok, why = pcall(store.call, store, "GET", "x")
      perilune.log.info(why)
    ]] })
    redis_server.until_answer(ask, "done")
    proxy:wait_log "policy.lua:%d+: redis:call waits, and nothing can wait while the policy loads: see perilune.spawn"
  end)

  it("uses one connection for each worker, however many clients and tasks there are", function()
    local server = redis_server.start()
    local code = [[
      local other = redis.new("$ADDRESS", { timeout = 20, connect_timeout = 20 })
      local tasks = {}
      for i = 1, 50 do
        tasks[i] = perilune.spawn(function() return (i % 2 == 0 and store or other):call("ECHO", i) end)
      end
      local list = { perilune.wait(unpack(tasks)) }
      return table.concat(list, ",")
    ]]
    local ask = redis_server.policy(server.address, (code:gsub("$ADDRESS", server.address)))
    local wanted = {}
    for i = 1, 50 do wanted[i] = i end
    assert.equal(table.concat(wanted, ","), ask())
    assert.equal(table.concat(wanted, ","), ask())
    assert.equal("2", server:ask({ "INFO", "clients" }):match "connected_clients:(%d+)") -- this question's is one
  end)
end)

describe("a connection to Redis", function()
  it("begins with AUTH and SELECT, and one that is refused says why", function()
    local server = redis_server.start("--requirepass", "secret")
    server:ask({ "AUTH", "secret" }, { "ACL", "SETUSER", "worker", "on", ">pass word", "~*", "+@all" })
    local code = [[ return store:call("SET", "key", "value"), store:call("CLIENT", "INFO") ]]
    local ask = redis_server.policy(server.address, code, { client = [[,
      { user = "worker", password = "pass word", database = 3, timeout = 20, connect_timeout = 20 }]] })
    local answer = ask()
    assert.matches("^OK|", answer)
    assert.matches(" db=3 .*user=worker", answer)
    local refused = redis_server.policy(server.address, [[ return store:call("GET", "key") ]],
      { client = [[, { password = "wrong", timeout = 20, connect_timeout = 20 }]] })
    assert.equal("nil|redis " .. server.address .. " is down: WRONGPASS invalid username-password pair or user is "
      .. "disabled.|down", refused())
  end)

  it("speaks RESP3 where that is wanted: maps, sets, doubles, booleans and null", function()
    local server = redis_server.start("--requirepass", "secret", "--enable-debug-command", "local")
    local ask = redis_server.policy(server.address, [[
      store:pipeline { { "HSET", "h", "f", "v" }, { "SADD", "s", "one" }, { "ZADD", "z", 1.5, "m" } }
      return store:call("HGETALL", "h"), store:call("SMEMBERS", "s"), store:call("ZSCORE", "z", "m"),
        store:call("GET", "none"), store:call("EVAL", "redis.setresp(3) return true", 0),
        store:call("DEBUG", "PROTOCOL", "attrib"),
        store:call("DEBUG", "PROTOCOL", "verbatim"), store:call("DEBUG", "PROTOCOL", "bignum")
    ]], { client = [[, { protocol = 3, password = "secret", timeout = 20, connect_timeout = 20 }]] })
    assert.equal('{"f":"v"}|["one"]|1.5|nil|true|Some real reply following the attribute|This is a verbatim\nstring|'
      .. "1234567999999999999999999999999999999", ask())
  end)

  it("goes through TLS, and a server with another name is refused", function()
    local files = tls.certificate("localhost", "127.0.0.1")
    local address = origins.free_address()
    local port = address:match ":(%d+)$"
    local server = redis_server.start("--tls-port", port, "--tls-cert-file", files.certificate, "--tls-key-file",
      files.key, "--tls-ca-cert-file", files.ca, "--tls-auth-clients", "no")
    local options = [[, { tls = true, ca = "%s", sni = "%s", timeout = 20, connect_timeout = 20 }]]
    local code = [[ return store:call("ECHO", "over TLS") ]]
    assert.equal("over TLS", redis_server.policy(address, code, { client = options:format(files.ca, "localhost") })())
    assert.matches("^nil|redis .* is down: .*|down$",
      redis_server.policy(address, code, { client = options:format(files.ca, "other.example") })())
    assert.is_nil(server:exit_code())
  end)

  it("is made anew by the next command when the server has closed it", function()
    local _, server, ask = asked [[ return store:call("ECHO", "here") ]]
    local kill = { "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes" }
    for _ = 1, 3 do
      assert.matches(":1\r\n", server:ask(kill))
      redis_server.until_answer(ask, "here") -- the first may come before the end of the old one is seen
    end
  end)
end)

describe("several commands", function()
  it("give a list of replies, with null and errors in their places", function()
    assert.equal('["OK","1",null,{"error":"WRONGTYPE","code":"WRONGTYPE"},{}]|true|true|3', (asked [[
      local replies = assert(store:pipeline { { "SET", "a", 1 }, { "GET", "a" }, { "GET", "none" }, { "LPUSH", "a", 1 },
        { "HKEYS", "none" } })
      local is_null, is_error = replies[3] == redis.null, redis.is_error(replies[4])
      local text = tostring(replies[4])
      replies[4] = { error = text:match "^%S+", code = replies[4].code }
      return replies, is_null, is_error, #store:pipeline { { "GET", 1 }, { "GET", 2 }, { "GET", 3 } }
    ]]):gsub('"code":"WRONGTYPE","error":"WRONGTYPE"', '"error":"WRONGTYPE","code":"WRONGTYPE"'))
  end)

  it("are done as a transaction: all, or none with the reason of the first that is wrong", function()
    assert.equal('["OK",2,["2"]]|nil|ERR wrong number of arguments for \'set\' command|ERR|2', (asked [[
      local done = store:transaction { { "SET", "n", 1 }, { "INCR", "n" }, { "MGET", "n" } }
      local not_done, why, code = store:transaction { { "INCR", "n" }, { "SET", "n" } }
      return done, not_done, why, code, store:call("GET", "n")
    ]]))
  end)

  it("of a transaction are not mixed with those of other tasks", function()
    local answer = asked [[
      local tasks = {}
      for i = 1, 40 do
        tasks[i] = perilune.spawn(function()
          local id = tostring(i)
          local replies = store:transaction { { "SET", "who", id }, { "GET", "who" }, { "APPEND", "who", "!" },
            { "GET", "who" } }
          return replies[2] == id and replies[4] == id .. "!"
        end)
      end
      local wrong = 0
      for i = 1, 40 do if not perilune.wait(tasks[i]) then wrong = wrong + 1 end end
      return wrong
    ]]
    assert.equal("0", answer)
  end)

  it("raise at the policy's line where one is no command", function()
    local answer = asked [[
      local function message(method, ...)
        local ok, why = pcall(store[method], store, ...)
        return (why:gsub("^.-policy.lua:%d+: ", "LINE "))
      end
      return message("pipeline", {}), message("pipeline", { { "GET", "a" }, "GET" }),
        message("pipeline", { { "GET", true } }), message("transaction", { { "EXEC" } })
    ]]
    assert.equal("LINE redis: expected a list of 1 to 100000 commands|LINE redis: command 2 of the list is no command: "
      .. 'expected a list, such as { "GET", key }|LINE redis: argument 2 of command 1 is a boolean value: expected a '
      .. "string or a number|LINE redis:transaction: command 1: EXEC: it changes the connection that all share: use "
      .. "redis:transaction, or with WATCH redis:connect", answer)
  end)
end)

describe("redis:eval", function()
  it("sends a script's text once, and its digest from then on", function()
    local answer, server, ask = asked [[ return store:eval("return { KEYS[1], ARGV[1] }", { "k" }, { 7 }) ]]
    assert.equal('["k","7"]', answer)
    assert.equal('["k","7"]', ask())
    assert.equal('["k","7"]', ask())
    local stats = server:ask { "INFO", "commandstats" }
    assert.equal("1", stats:match "cmdstat_eval:calls=(%d+)")
    assert.equal("3", stats:match "cmdstat_evalsha:calls=(%d+)")
    server:ask { "SCRIPT", "FLUSH" }
    assert.equal('["k","7"]', ask())
  end)
end)

describe("a connection of one's own", function()
  it("watches, blocks, and is apart from the shared one", function()
    assert.equal('nil|nil|OK|OK|nil|QUEUED|nil|["q","item"]', (asked [[
      local own = assert(store:connect { timeout = 20 })
      local first = own:call("GET", "n")
      local watch = own:call("WATCH", "n")
      store:call("SET", "n", 1)
      local multi, queued = own:call("MULTI"), own:call("INCR", "n")
      local exec = own:call("EXEC")
      perilune.spawn(function() store:call("RPUSH", "q", "item") end)
      local item = own:call("BLPOP", "q", 0)
      own:close()
      own:close()
      return first, (own:call "PING"), watch, multi, nil, queued, exec, item
    ]]))
  end)

  it("is closed when a reply does not come in time, so that none is taken for another", function()
    assert.equal("nil|timeout|timeout|nil|closed|closed", (asked [[
      local own = assert(store:connect { timeout = 0.05 })
      local value, why, kind = own:call("BLPOP", "q", 0)
      return value, why, kind, own:call("PING")
    ]]))
  end)
end)

local function of_protocol(number)
  return (", { protocol = %d, timeout = 20, connect_timeout = 20 }"):format(number)
end

for _, protocol in ipairs { 2, 3 } do describe("with RESP" .. protocol .. " a subscription", function()
  it("receives what is published, bytes as they are, and subscribes again on a new connection", function()
    local server = redis_server.start()
    local ask = redis_server.policy(server.address, [[
      if path == "/send" then return store:call("PUBLISH", "c1", "a\0\r\nb") end
      if path == "/pattern" then return store:call("PUBLISH", "news.1", "x") end
      local message = perilune.dict("messages"):get "last"
      return message
    ]], { client = of_protocol(protocol), main = [[
      perilune.after(0, function()
        local last = perilune.dict "messages"
        local news = store:subscribe { channels = { "c1" }, patterns = { "news.*" } }
        while true do
          local message, why, kind = news:receive()
          if kind == "retired" then return end
          last:set("last", message and show(message.channel, message.pattern, message.payload) or kind)
        end
      end)
    ]] })
    local function publish_until(path, wanted)
      scheduler.eventually(function()
        ask(path)
        return ask() == wanted
      end, nil, wanted)
    end
    publish_until("/send", "c1|nil|a\0\r\nb")
    publish_until("/pattern", "news.1|news.*|x")
    server:ask { "CLIENT", "KILL", "TYPE", "pubsub" }
    redis_server.until_answer(ask, "closed")
    publish_until("/send", "c1|nil|a\0\r\nb")
  end)
end) end

for _, protocol in ipairs { 2, 3 } do describe("with RESP" .. protocol .. " a stream", function()
  it("gives each entry once, from its end or from an id on, also over a lost connection", function()
    local server = redis_server.start()
    server:ask({ "XADD", "s", "1-1", "f", "old" })
    local ask, proxy = redis_server.policy(server.address, [[
      if path == "/add" then return store:call("XADD", "s", "*", "n", session:query()) end
      return perilune.dict("entries"):get "all"
    ]], { client = of_protocol(protocol), main = [[
      perilune.after(0, function()
        local dict, all = perilune.dict "entries", {}
        local entries = store:stream("s", { from = "0", count = 2 })
        while true do
          local list, _, kind = entries:read()
          if kind == "retired" then return end
          for _, entry in ipairs(list or {}) do all[#all + 1] = entry.fields.n or entry.fields.f end
          dict:set("all", table.concat(all, ","))
        end
      end)
    ]] })
    redis_server.until_answer(ask, "old")
    local function add(n) client.request { port = proxy.port, path = "/add?" .. n } end
    add(1) add(2) add(3)
    redis_server.until_answer(ask, "old,1,2,3")
    server:ask { "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes" }
    for i = 4, 6 do scheduler.eventually(function() return ask("/add?" .. i):find "^%d+%-%d+" end) end
    redis_server.until_answer(ask, "old,1,2,3,4,5,6")
  end)
end) end

describe("what waits without a time", function()
  it("does not keep a policy that was replaced", function()
    local server = redis_server.start()
    local _, proxy = redis_server.policy(server.address, "return 1", { main = [[
      perilune.after(0, function() return store:stream("s"):read() end)
      perilune.after(0, function() return store:subscribe({ "c" }):receive() end)
    ]] })
    scheduler.eventually(function() return server:ask({ "CLIENT", "LIST" }):find "cmd=xread" end)
    proxy:stop(15)
  end)
end)

describe("redis.new", function()
  local function message(arguments)
    local directory = process.directory()
    local path = process.write_file(directory .. "/policy.lua",
      ('require("perilune.redis").new(%s)\nrequire("perilune").listen("127.0.0.1:0", { upstream_peer = print })')
      :format(arguments))
    return perilune.run({ args = { "check", path } }).stderr
  end

  it("refuses what it cannot use, at the policy's line", function()
    local cases = {
      [""] = "redis.new: argument 1, the address, is a nil value: write redis.new%(",
      ['"nowhere"'] = "redis.new: 'nowhere': ",
      ['"a:1", { pasword = "x" }'] = "unknown option 'pasword' %(did you mean password%?%)",
      ['"a:1", { timeout = 0 }'] = "option 'timeout' must be a number of seconds of at least 0.001, "
        .. "or a text such as '500ms', '30s', '5m' or '1h', got 0",
      ['"a:1", { user = "x" }'] = "option 'user' wants option 'password', too",
      ['"a:1", { protocol = 4 }'] = "option 'protocol' must be 2 or 3",
      ['"a:1", { retry = 2 }'] = "option 'retry_most' must not be less than option 'retry'",
      ['"a:1", { tls = true, ca = "/none.pem" }'] = "redis.new: .*none.pem",
    }
    for arguments, wanted in pairs(cases) do
      local got = message(arguments)
      assert.matches("policy.lua:1: " .. (wanted:find "^redis.new" and "" or "redis.new: ") .. wanted, got)
    end
  end)
end)
