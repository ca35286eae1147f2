-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis on the bench: replies that the test has scripted.
local perilune = require "perilune"
local redis = require "perilune.redis"
local test = require "perilune.test"

local function answer_of(run)
  local policy = test.policy { request_filter = function(session)
    local results = { run(redis.new "127.0.0.1:6379") }
    for i = 1, 3 do results[i] = tostring(results[i]) end
    return session:respond { status = 200, body = table.concat(results, "|") }
  end }
  return policy:request().body
end

describe("test.redis", function()
  it("answers by command: the exact one, then the longest beginning; the latest script before the others", function()
    local calls = test.redis { ["GET user:7"] = "Ann", ["GET *"] = redis.null, ["INCR *"] = 5 }
    test.redis { ["GET later"] = "later" }
    assert.equal("Ann|nil|later", answer_of(function(store)
      local ann, none = store:call("GET", "user:7"), store:call("GET", "user:8")
      return ann, none, store:call("GET", "later")
    end))
    assert.equal("5|nil|nil", answer_of(function(store) return store:call("INCR", 12) end))
    assert.same({ { "GET", "user:7" }, { "GET", "user:8" }, { "INCR", "12" } }, calls.commands)
  end)

  it("answers with errors of the server, failures, lists, and by a function", function()
    test.redis { ["LPUSH *"] = { error = "WRONGTYPE no list" }, ["PING"] = { failure = "down" },
      ["EVAL *"] = function(command) return { command[3], command[4], command[5] } end }
    assert.equal("nil|WRONGTYPE no list|WRONGTYPE", answer_of(function(store) return store:call("LPUSH", "a", 1) end))
    assert.equal("nil|redis 127.0.0.1:6379: is down|down", answer_of(function(store) return store:call "PING" end))
    assert.equal("1|k|v", answer_of(function(store) return unpack(store:eval("return 1", { "k" }, { "v" })) end))
  end)

  it("answers the commands of a pipeline and of a transaction one by one", function()
    test.redis { ["GET a"] = "A", ["LPUSH *"] = { error = "WRONGTYPE x" }, ["GET none"] = redis.null }
    assert.equal("A|true|true", answer_of(function(store)
      local list = store:pipeline { { "GET", "a" }, { "LPUSH", "a", 1 }, { "GET", "none" } }
      return list[1], redis.is_error(list[2]), list[3] == redis.null
    end))
    assert.equal("A|A|nil", answer_of(function(store)
      return unpack(store:transaction { { "GET", "a" }, { "GET", "a" } })
    end))
  end)

  it("answers the calls of a client of a cluster in the same way", function()
    test.redis { ["GET a"] = "A", ["EVAL return 1 *"] = "1" }
    local store = redis.cluster { nodes = { "127.0.0.1:7000" } }
    assert.equal("A|A|nil", answer_of(function()
      return unpack(store:transaction { { "GET", "a" }, { "GET", "a" } })
    end))
    assert.equal("A|1|nil", answer_of(function() return store:call("GET", "a"), store:eval("return 1", { "k" }) end))
  end)

  it("lets a command without an answer take its time, and says so in the log", function()
    local took
    assert.equal("nil|redis 127.0.0.1:6379: no reply in time|timeout", answer_of(function(store)
      local begun = perilune.now()
      local value, why, kind = store:with_timeout(0.5):call("GET", "x")
      took = perilune.now() - begun
      return value, why, kind
    end))
    assert.near(0.5, took, 0.01)
    assert.logged("no answer for GET x %(see test.redis%): it times out", test.log)
  end)

  it("refuses answers that make no sense, and a connection of one's own", function()
    for wanted, given in pairs {
      ["expected a table of answers by command, or a function"] = "text",
      ["a key is a command, such as 'GET user:7'"] = { "OK" },
      ["failure is one of timeout, down, busy, closed, too long; got 'lost'"] = { ["GET *"] = { failure = "lost" } },
    } do
      local ok, message = pcall(test.redis, given)
      assert.is_false(ok)
      assert.matches(wanted, message, 1, true)
    end
    test.redis { ["*"] = "OK" }
    assert.matches("the test bench does not simulate perilune.tcp: use test.harness", answer_of(function(store)
      return select(2, pcall(store.connect, store))
    end))
  end)
end)
