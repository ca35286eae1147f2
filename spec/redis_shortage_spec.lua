-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis where this machine lacks something: that is no fault of the server, so it is not called down, and it
-- is used again as soon as the shortage is over.
local redis_server = require "redis_server"
local scheduler = require "scheduler"
local shortage = require "shortage"

after_each(require("cleanup").run)

-- An idle server, whose next command has to connect: it closes each connection behind a reply to "/close".
local function start(client)
  local lack = shortage.new()
  local server = redis_server.scripted(function(connection, words)
    connection:send "$4\r\nfine\r\n"
    return words[2] ~= "/close"
  end)
  local ask, proxy = redis_server.policy(server.address, [[
    if path == "/status" then return store:status().down, store:status().why end
    if path == "/every" then
      perilune.every(0.01, function() store:call("GET", "x") end)
      return "begun"
    end
    local client = path == "/short" and store:with_timeout(0.05) or store
    return client:call("GET", path)
  ]], { client = ", { timeout = 5, failures = 1, " .. client .. " }", env = lack.env })
  return ask, proxy, lack, server
end

-- The link knows that the last connection has ended.
local function until_idle(ask)
  ask "/close"
  scheduler.eventually(function() return ask("/status"):match "closed by the server" end)
end

describe("a connection to Redis that cannot be made for want of something on this machine", function()
  for call, code in pairs { socket = "ENOBUFS", connect = "EADDRNOTAVAIL" } do
    it(("is waited for, and the server is not called down (%s)"):format(code), function()
      local ask, proxy, lack = start "connect_timeout = 0.1"
      until_idle(ask)
      lack:begin(call, code, 1)
      for _ = 1, 3 do
        assert.matches("^nil|redis [^|]+: no connection, as this machine lacks something: [^|]+|down$", ask())
      end
      assert.matches("^false|", ask "/status")
      lack:over()
      assert.equal("fine", ask()) -- at once
      assert.equal(0, proxy:count_log "is down")
      assert.equal(1, proxy:count_log "redis %S+: no connection, as this machine lacks something: ")
    end)
  end

  it("goes to the commands that wait when the shortage is over within connect_timeout", function()
    local ask, proxy, lack, server = start "connect_timeout = 30"
    until_idle(ask)
    local accepted = server.accepted
    lack:begin("socket", "EMFILE", 1)
    local waiting = scheduler.spawn(ask)
    scheduler.eventually(function() return lack:count "socket" > 2 end)
    lack:over()
    scheduler.eventually(function() return waiting.is_done end)
    assert.equal("fine", waiting.result)
    assert.equal(accepted + 1, server.accepted)
    assert.equal(0, proxy:count_log "is down")
  end)

  it("is not blamed for commands whose time is over meanwhile", function()
    local ask, proxy, lack = start "connect_timeout = 30"
    until_idle(ask)
    lack:begin("socket", "EMFILE", 1)
    assert.matches("|timeout$", ask "/short")
    lack:over()
    assert.equal("fine", ask())
    assert.equal(0, proxy:count_log "is down")
  end)
end)

describe("a connection to Redis on which nothing can be sent for want of memory", function()
  it("ends, and the server is not called down", function()
    local ask, proxy, lack = start "connect_timeout = 0.1"
    assert.equal("begun", ask "/every")
    lack:begin("send", "ENOBUFS", 1)
    scheduler.eventually(function() return lack:count "send" > 0 end)
    lack:over()
    assert.equal("fine", ask())
    assert.matches("^false|[^\n]*No buffer space available", ask "/status")
    assert.equal(0, proxy:count_log "is down")
  end)
end)
