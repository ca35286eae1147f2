-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis when the server stands still, and when those who asked do not wait: hooks fail within their budget,
-- then at once; the server is used again as soon as it answers; and no reply goes to another task.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local redis_server = require "redis_server"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local real = redis_server.it(it, pending)

describe("a server that stands still", function()
  real("costs some commands their budget and the others nothing, and is used again at once when it goes on", function()
    local server = redis_server.start()
    local ask, proxy = redis_server.policy(server.address, [[
      local begun = perilune.now()
      local value, why, kind = store:call("INCR", "n")
      return kind or "fine", perilune.now() - begun
    ]], { client = ", { failures = 3 }" })
    redis_server.until_answer(function() return ask():match "%a+" end, "fine")
    server:signal "STOP"
    local kinds, slowest_down = { timeout = 0, down = 0 }, 0
    scheduler.eventually(function()
      local kind, took = ask():match "(%a+)|(.+)"
      if kind == "fine" then -- it had not stopped yet
        kinds.timeout = 0
        return false
      end
      kinds[kind] = kinds[kind] + 1
      if kind == "down" then slowest_down = math.max(slowest_down, tonumber(took)) end
      return kinds.down >= 100
    end)
    -- A command that was on its way when the server stopped may count besides.
    assert.is_true(kinds.timeout == 3 or kinds.timeout == 4, kinds.timeout .. " timeouts")
    assert.is_true(slowest_down < 0.05, "a call of a server that is down took " .. slowest_down)
    scheduler.sleep(1) -- several tries fail meanwhile
    for _ = 1, 5 do assert.matches("^down", ask()) end
    local begun = sys.now()
    server:signal "CONT"
    redis_server.until_answer(function() return ask():match "%a+" end, "fine")
    assert.is_true(sys.now() - begun < 2 * (tonumber(os.getenv "SPEC_TIMEOUT") or 5) / 5)
    assert.equal(1, proxy:count_log "is down: no reply in time")
    assert.equal(1, proxy:count_log "answers again")
  end)
end)

describe("the reply to a command", function()
  -- Each reply is what was asked, so each task can tell. The server is late with some, past the time of those who ask.
  local POLICY = [[
    local perilune = require "perilune"
    local redis = require "perilune.redis"
    local store = redis.new("$ADDRESS", { timeout = 0.02, connect_timeout = 20, failures = 1000000, queue = 100000 })
    local patient = store:with_timeout(30)
    local count = { wrong = 0, fine = 0, late = 0, other = 0 }
    local function ask(client, id)
      local text, why, kind = client:call("ECHO", id)
      if text == id then count.fine = count.fine + 1
      elseif text ~= nil then count.wrong = count.wrong + 1
      elseif kind == "timeout" then count.late = count.late + 1
      else count.other = count.other + 1 end
    end
    perilune.listen("127.0.0.1:0", { request_filter = function(session)
      if session:path() == "/count" then
        return session:respond { status = 200,
          body = ("%d wrong %d fine %d late %d other"):format(count.wrong, count.fine, count.late, count.other) }
      end
      local id = session:query()
      local tasks = {}
      for i = 1, 20 do tasks[i] = perilune.spawn(ask, i % 4 == 0 and patient or store, id .. "." .. i) end
      if session:path() == "/leave" then -- the exchange ends, and with it all its tasks
        perilune.spawn(function() perilune.sleep(0.005) end)
        perilune.sleep(0)
        return session:respond { status = 200, body = "left" }
      end
      perilune.wait(unpack(tasks))
      return session:respond { status = 200, body = "done" }
    end })
  ]]

  it("goes to nobody else, where thousands are under way and many do not wait for it", function()
    local number = 0
    local server = redis_server.scripted(function(connection, words)
      number = number + 1
      if number % 150 == 0 then scheduler.sleep(0.04) end
      connection:send(("$%d\r\n%s\r\n"):format(#words[2], words[2]))
    end)
    local proxy = perilune.start { workers = 1, policy = policies.fill(POLICY, { ADDRESS = server.address }) }
    local clients = {}
    for i = 1, 8 do
      clients[i] = function()
        local connection = client.connect { port = proxy.port }
        for round = 1, 25 do
          local path = round % 3 == 0 and "/leave" or "/ask"
          local response = assert(connection:request { path = ("%s?%d-%d"):format(path, i, round) })
          assert(response.body == "done" or response.body == "left")
        end
      end
    end
    scheduler.all(clients)
    local told = client.request({ port = proxy.port, path = "/count" }).body
    local wrong, fine, late, other = told:match "(%d+) wrong (%d+) fine (%d+) late (%d+) other"
    assert.equal("0", wrong, told)
    assert.equal("0", other, told)
    assert.is_true(tonumber(fine) > 500, told)
    assert.is_true(tonumber(late) > 50, told)
    assert.equal(1, server.accepted)
  end)
end)

describe("a reload", function()
  real("lets commands that are under way come to their end, and then ends the connection of the old policy", function()
    local server = redis_server.start()
    local ask, proxy = redis_server.policy(server.address, [[
      if path == "/wait" then
        local own = assert(store:connect { timeout = 30 })
        local item = own:call("BLPOP", "go", 0)
        return item and item[2], store:call("ECHO", "old")
      end
      return store:call("ECHO", "fine")
    ]], { client = ", { timeout = 20, connect_timeout = 20 }", workers = 2 })
    local function connections()
      return tonumber(server:ask({ "INFO", "clients" }):match "connected_clients:(%d+)") - 1
    end
    assert.equal("fine", ask())
    local waiting = scheduler.spawn(ask, "/wait")
    scheduler.eventually(function() return server:ask({ "CLIENT", "LIST" }):find "cmd=blpop" end)
    for _ = 1, 3 do
      local from = #proxy:log() + 1
      proxy:signal "HUP"
      proxy:wait_log("(reloaded)", nil, from)
      for _ = 1, 20 do assert.equal("fine", ask()) end
    end
    server:ask { "RPUSH", "go", "item" }
    scheduler.eventually(function() return waiting.is_done end)
    assert.equal("item|old", waiting.result)
    scheduler.eventually(function() return connections() <= 2 end, nil, "one connection for each worker at most")
  end)
end)
