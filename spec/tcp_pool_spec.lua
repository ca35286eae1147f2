-- SPDX-License-Identifier: Apache-2.0
-- The pool of perilune.tcp: who takes a connection from it is not given the answer to a question of another.
local origins = require "origins"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local run, line_server = require("lines").run, require("lines").serve

describe("the pool of perilune.tcp", function()
  local WHO = [[
    local socket = assert(tcp.connect(address, $OPTIONS))
    socket:send "WHO\r\n"
    local who = socket:receive()
    local kept, why = socket:keep($KEEP)
    return who, socket:reused(), kept, why
  ]]
  local function who(address, options, keep)
    return run(address, policies.fill(WHO, { OPTIONS = options or "{}", KEEP = keep or "" }))
  end

  it("gives a kept connection again, and counts", function()
    local origin = origins.start(line_server)
    local ask = run(origin.address, [[
      local socket = assert(tcp.connect(address))
      local reused = socket:reused()
      socket:send "WHO\r\n"
      local who = socket:receive()
      socket:keep()
      return who, reused
    ]])
    assert.same({ "+1|0", "+1|1", "+1|2" }, { ask(), ask(), ask() })
  end)

  it("keeps connections apart that differ in anything", function()
    local origin = origins.start(line_server)
    local ask = run(origin.address, [[
      local list = {}
      for i, options in ipairs { {}, { pool = "a" }, { pool = "b" }, {}, { pool = "a" }, { fresh = true },
        { sni = "a|b", verify_name = "c" }, { sni = "a", verify_name = "b|c" }, { sni = "a|b", verify_name = "c" },
        { one_way = true } } do
        local socket = assert(tcp.connect(address, options))
        socket:send "WHO\r\n"
        list[i] = socket:receive()
        socket:keep()
      end
      return unpack(list)
    ]])
    assert.equal("+1|+2|+3|+1|+2|+4|+5|+6|+5|+7", ask())
  end)

  it("forgets what the server closed, what spoke unasked, and what was idle too long", function()
    local origin = origins.start(function(connection, number)
      connection:read_until "\r\n"
      connection:send("+" .. number .. "\r\n")
      if number == 1 then return end
      connection:sleep(0.05)
      if number == 2 then connection:send "unasked" end
      connection:sleep(60)
    end)
    local ask = who(origin.address, "{ timeout = 30 }", "0.3")
    assert.matches("^%+1", ask())
    scheduler.sleep(0.1)
    assert.matches("^%+2", ask())
    scheduler.sleep(0.2)
    assert.matches("^%+3", ask())
    scheduler.sleep(0.6)
    assert.matches("^%+4", ask())
  end)

  it("gives none whose time is over, however late the worker is", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      socket:keep(0.05)
      local begun = os.clock()
      while os.clock() - begun < 0.3 do end
      perilune.sleep(0.001)
      return assert(tcp.connect(address)):reused()
    ]])
    assert.equal("0", ask())
  end)

  it("refuses a connection with something unread, and keeps no more than it may", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      socket:send "ECHO 5\r\n"
      socket:receive()
      socket:receive(1)
      local kept, why = socket:keep()
      local list = {}
      for i = 1, 3 do list[i] = assert(tcp.connect(address)) end
      for i = 1, 3 do list[i]:keep(10, 2) end
      for i = 1, 3 do list[i] = assert(tcp.connect(address)) end
      return kept, why, list[1]:reused(), list[2]:reused(), list[3]:reused()
    ]])
    assert.equal("nil|there is something unread|1|1|0", ask())
  end)

  local NOTHING = "nothing was received after the last send, so an answer may still come"
  local FAILED = "a receive on it has failed: what it waited for may still come"
  -- Until the other side has done all that it does for the socket: only then it serves another connection.
  local SERVED = "local other = tcp.connect(address) other:send 'PING\\r\\n' other:receive()"
  -- { what is done with the socket before keep, why it is refused; nil: it is kept }
  local WAYS = {
    { "PING answered", "socket:send 'PING\\r\\n' socket:receive()" },
    { "an answer that came too late", "socket:set_timeouts(30, 0.05) socket:send 'SLOW\\r\\n' socket:receive()",
      FAILED },
    { "an answer that came when asked for again", [[
        socket:set_timeouts(30, 0.05) socket:send "LATER\\r\\n" socket:receive()
        socket:set_timeouts(30) socket:send "PING\\r\\n" socket:receive() socket:receive()]],
      FAILED },
    { "half of an answer", "socket:send 'ECHO 5\\r\\n' socket:receive(2)", "there is something unread" },
    { "two questions and one answer of two", "socket:send 'PING\\r\\nPING\\r\\n' socket:receive() " .. SERVED,
      "there is something unread" },
    { "a question without its answer", "socket:send 'SLOW\\r\\n'", NOTHING },
    { "a second question", "socket:send 'PING\\r\\n' socket:receive() socket:send 'SLOW\\r\\n'", NOTHING },
    { "a line too long", "socket:send 'ECHO 90\\r\\n' socket:receive() socket:receive('line', 8)", FAILED },
    { "the other side's end", "socket:send 'HALF\\r\\n' socket:receive 'all'", "closed" },
    { "the other side's end behind an answer", "socket:send 'BYE\\r\\n' socket:receive() " .. SERVED, "closed" },
    { "nothing", "" },
  }
  for _, way in ipairs(WAYS) do
    it(("%s a connection behind %s"):format(way[3] and "refuses" or "takes", way[1]), function()
      local ask = run(origins.start(line_server).address, ([[
        local socket = assert(tcp.connect(address, { timeout = 30 }))
        %s
        local kept, why = socket:keep()
        return kept, why, assert(tcp.connect(address)):reused()
      ]]):format(way[2]:gsub("\\\\", "\\")))
      local said = ask()
      assert.equal(way[3] and ("nil|%s|0"):format(way[3]) or "true|nil|1", said)
    end)
  end

  describe("with a connection of two questions whose second answer comes later than the first was received", function()
    local may_answer, has_answered, ask
    before_each(function()
      may_answer, has_answered = false, false
      ask = run(origins.start(function(connection)
        connection:read_until "\r\n"
        if connection.number > 1 then -- asks for the second answer
          may_answer = true
          scheduler.eventually(function() return has_answered end)
        end
        connection:send "+PONG\r\n"
        scheduler.eventually(function() return may_answer end)
        if connection.number == 1 then connection:send "+PONG\r\n" end
        has_answered = true
        connection:read_until "\r\n"
      end).address, [[
        if session:path() == "/again" then return tcp.connect(address):reused() end
        local socket = assert(tcp.connect(address, { timeout = 30 }))
        socket:send "PING\r\nPING\r\n"
        socket:receive()
        if session:path() == "/answered" then
          local other = tcp.connect(address)
          other:send "PING\r\n"
          other:receive()
        end
        return socket:keep()
      ]])
    end)

    it("refuses it where that is there", function()
      assert.equal("nil|there is something unread", ask "/answered")
    end)

    it("takes it before, and does not give it out again", function()
      assert.equal("true", ask "/")
      may_answer = true
      scheduler.eventually(function() return has_answered end)
      assert.equal("0", ask "/again")
    end)
  end)

  it("refuses a connection behind a receive whose task has ended", function()
    local ask = run(origins.start(line_server).address, [[
      if rawget(_G, "held") then return held:keep() end
      held = assert(tcp.connect(address, { timeout = 30 }))
      held:send "SLOW\r\n"
      local is_begun = false
      perilune.spawn(function()
        is_begun = true
        held:receive()
      end)
      while not is_begun do perilune.sleep(0.001) end
      return "begun"
    ]])
    assert.equal("begun", ask())
    assert.equal("nil|a receive on it did not end, so an answer may still come", ask())
  end)

  it("takes a connection that nothing was received on where the other side answers nothing", function()
    local ask = run(origins.start(line_server).address, [[
      local options = { one_way = true }
      local socket = assert(tcp.connect(address, options))
      socket:send "SLOW\r\n"
      local kept = socket:keep()
      return kept, tcp.connect(address):reused(), tcp.connect(address, options):reused()
    ]])
    assert.equal("true|0|1", ask())
  end)

  it("is empty when the proxy has stopped", function()
    local origin = origins.start(line_server)
    local ask, proxy = who(origin.address)
    ask()
    assert.equal(1, origin:open_count())
    proxy:stop()
    scheduler.eventually(function() return origin:open_count() == 0 end)
  end)
end)
