-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis against servers that do what they should not: garbage, halves, silence, replies that nobody asked for.
local metrics = require "metrics"
local origins = require "origins"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- Short pauses, so that the next try is soon; the budget is long for what must not be cut by a slow machine.
local CLIENT = [[, { timeout = 20, connect_timeout = 20, retry = 0.02, retry_most = 0.05 }]]
local CODE = [[ return store:call("GET", path) ]]

local function start(answer, options)
  options = options or {}
  local server = redis_server.scripted(answer, options.server)
  local ask, proxy = redis_server.policy(server.address, options.code or CODE,
    { client = options.client or CLIENT, settings = { "--admin", "127.0.0.1:0" } })
  return ask, proxy, server
end

local function metric(proxy, server, name, labels)
  return metrics.read(proxy)[('%s{server="%s"%s}'):format(name, server, labels or "")]
end

describe("a reply that is no reply of Redis", function()
  for what, bytes in pairs {
    ["of another protocol"] = "HTTP/1.1 400 Bad Request\r\n\r\n", ["of an unknown type"] = "?1\r\n",
    ["with a wrong length"] = "$-7\r\n", ["with text for a length"] = "*x\r\n", ["with a bare line feed"] = "+OK\n",
    ["that is nested too deep"] = ("*1\r\n"):rep(17) .. ":1\r\n", ["with a line of 70 KB"] = "+" .. ("x"):rep(70000),
    ["with a text that ends elsewhere"] = "$2\r\nabcd\r\n",
  } do
    it(what .. " ends the connection: nil and a sentence, and the next connection is fine", function()
      local bad = true
      local ask = start(function(connection)
        connection:send(bad and bytes or "$4\r\nfine\r\n")
        bad = false
      end)
      assert.matches("^nil|redis .*: the connection was lost: what came is no reply of Redis|closed$", ask())
      redis_server.until_answer(ask, "fine")
    end)
  end

  it("is refused where nobody has asked", function()
    local first = true
    local ask, proxy = start(function(connection)
      connection:send(first and "+fine\r\n+more\r\n" or "+fine\r\n")
      first = false
    end)
    assert.equal("fine", ask())
    proxy:wait_log "redis .* is down: a reply without a request"
    redis_server.until_answer(ask, "fine")
  end)

  it("may come byte by byte, in the middle of a length and of a text", function()
    local ask = start(function(connection)
      for byte in ("*3\r\n$5\r\na\r\nbc\r\n*2\r\n:12\r\n$-1\r\n_\r\n"):gmatch "." do
        connection:send(byte)
        scheduler.sleep(0)
      end
    end)
    assert.equal('["a\\r\\nbc",[12,null],null]', ask())
  end)

  it("fails those that wait when the connection ends in its middle, and sends none of them again", function()
    local asked = 0
    local ask = start(function(connection, words)
      asked = asked + 1
      if words[2] ~= "/half" then return connection:send "+fine\r\n" end
      connection:send "$100\r\nhalf"
      return false
    end)
    assert.matches("^nil|redis .*: the connection was lost: closed by the server|closed$", ask "/half")
    assert.equal(1, asked)
    assert.equal("fine", ask())
    assert.equal(2, asked)
  end)

  it("of more bytes than allowed fails its own task alone, and is thrown away as it comes", function()
    local text = "$3000000\r\n" .. ("x"):rep(3000000) .. "\r\n"
    local list = "*500000\r\n" .. (":1\r\n"):rep(500000)
    local ask, proxy = start(function(connection, words)
      connection:send(words[2] == "text" and text or words[2] == "list" and list or "$4\r\nfine\r\n")
    end, { client = [[, { timeout = 20, connect_timeout = 20, reply_bytes = 10000 }]], code = [[
      local before = perilune.spawn(function() return store:call("GET", "a") end)
      local long = perilune.spawn(function() return select(3, store:call("GET", "text")) end)
      local deep = perilune.spawn(function() return select(3, store:call("GET", "list")) end)
      local batch = perilune.spawn(function()
        return select(3, store:pipeline { { "GET", "a" }, { "GET", "text" }, { "GET", "a" } })
      end)
      local after = perilune.spawn(function() return store:call("GET", "a") end)
      return perilune.wait(before, long, deep, batch, after)
    ]] })
    for _ = 1, 3 do assert.equal("fine|too long|too long|too long|fine", ask()) end
    assert.equal(1, proxy:count_log "a reply is longer than allowed")
  end)

  it("out of band is passed over", function()
    local ask = start(function(connection)
      connection:send ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:1\r\n$4\r\nfine\r\n"
    end)
    assert.equal("fine", ask())
    assert.equal("fine", ask())
  end)
end)

describe("a server that refuses", function()
  it("to be greeted is down, with its words as the reason, and is tried again", function()
    local loading = true
    local ask, proxy = start(function(connection)
      connection:send(loading and "-LOADING Redis is loading the dataset in memory\r\n" or "+PONG\r\n")
    end, { server = { pings = true } })
    assert.matches("is down: LOADING Redis is loading the dataset in memory|down$", ask())
    for _ = 1, 50 do assert.matches("|down$", ask()) end
    loading = false
    redis_server.until_answer(ask, "PONG")
    assert.equal(1, proxy:count_log "is down: LOADING")
    assert.equal(1, proxy:count_log "answers again")
  end)

  for _, fault in ipairs { "OOM command not allowed", "READONLY You can't write", "MOVED 1 127.0.0.1:1", "NOAUTH x",
    "LOADING x", "MISCONF x" } do
    it("with " .. fault:match "%u+" .. " gives its error to the task, and one line to the log", function()
      local ask, proxy, server = start(function(connection) connection:send("-" .. fault .. "\r\n") end)
      for _ = 1, 20 do
        assert.equal("nil|" .. fault .. "|" .. fault:match "%u+", ask())
      end
      assert.equal(1, proxy:count_log("redis %S+: " .. fault:match "%u+"))
      assert.equal(20, metric(proxy, server.address, "perilune_redis_commands_total", ',result="error"'))
    end)
  end

  it("with READONLY is connected anew, for its name may lead to another server now", function()
    local ask, _, server = start(function(connection)
      connection:send(connection.number == 1 and "-READONLY You can't write\r\n" or "+OK\r\n")
    end)
    assert.matches("READONLY$", ask())
    redis_server.until_answer(ask, "OK")
    assert.equal(2, server.accepted)
  end)
end)

describe("a server that cannot be reached", function()
  it("costs the first command its answer, and the next ones no wait", function()
    local address = origins.dead_address()
    local ask, proxy = redis_server.policy(address, CODE, { settings = { "--admin", "127.0.0.1:0" } })
    assert.matches("is down: .*refused|down$", ask())
    for _ = 1, 30 do assert.matches("is down: .*refused|down$", ask()) end
    assert.equal(31, metric(proxy, address, "perilune_redis_commands_total", ',result="down"'))
    assert.equal(1, metric(proxy, address, "perilune_redis_down"))
    assert.equal(1, proxy:count_log "is down")
  end)

  it("is used again soon after it is there, and what is down goes back to 0", function()
    local server = redis_server.scripted(function(connection) connection:send "+fine\r\n" end)
    server:stop()
    local ask, proxy = redis_server.policy(server.address, CODE,
      { client = CLIENT, settings = { "--admin", "127.0.0.1:0" } })
    assert.matches("|down$", ask())
    server:listen()
    redis_server.until_answer(ask, "fine")
    assert.equal(0, metric(proxy, server.address, "perilune_redis_down"))
  end)
end)

describe("the queue", function()
  it("is bounded in commands and in bytes: what is more is refused at once with the reason", function()
    local go = false
    local ask, proxy = start(function(connection)
      scheduler.eventually(function() return go end)
      connection:send "+fine\r\n"
    end, { client = [[, { timeout = 20, connect_timeout = 20, queue = 10, queue_bytes = 100000 }]], code = [[
      if path == "/long" then return store:call("GET", ("x"):rep(100000)) end
      if path == "/waiting" then return store:status().waiting end
      local tasks, refused, why = {}, 0
      for i = 1, 10 do tasks[i] = perilune.spawn(function() return store:call("GET", i) end) end
      perilune.sleep(0)
      for _ = 1, 5 do
        local value, sentence, kind = store:call("GET", "more")
        if kind == "busy" then refused, why = refused + 1, sentence end
      end
      perilune.dict("refused"):set("why", refused .. " " .. why)
      local fine = 0
      for i = 1, 10 do if perilune.wait(tasks[i]) == "fine" then fine = fine + 1 end end
      return perilune.dict("refused"):get "why", fine
    ]] })
    assert.matches("^nil|redis .*: 1000%d%d bytes wait to be sent, and there may be 100000|busy$", ask "/long")
    local waiting = scheduler.spawn(ask)
    redis_server.until_answer(function() return ask "/waiting" end, "10")
    go = true
    scheduler.eventually(function() return waiting.is_done end)
    assert.matches("^5 redis .*: 10 commands wait already|10$", waiting.result)
    assert.equal(1, proxy:count_log "wait") -- the second kind of fullness is soon behind the first
  end)
end)
