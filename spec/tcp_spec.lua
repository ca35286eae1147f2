-- SPDX-License-Identifier: Apache-2.0
-- perilune.tcp: connections of a policy's own.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- Runs `code` in request_filter, with `tcp` and `address`, and gives the strings that it returns.
local function run(address, code)
  local policy = policies.fill([[
    local perilune = require "perilune"
    local tcp = require "perilune.tcp"
    local address = "$ADDRESS"
    local function show(...)
      local list = {}
      for i = 1, select("#", ...) do list[i] = tostring((select(i, ...))) end
      return table.concat(list, "|")
    end
    local function run(session)
      $CODE
    end
    perilune.listen("127.0.0.1:0", {
      request_filter = function(session)
        return session:respond { status = 200, body = show(run(session)) }
      end,
    })
  ]], { ADDRESS = address, CODE = code })
  local proxy = perilune.start { workers = 1, policy = policy }
  return function(path) return client.request({ port = proxy.port, path = path }).body end, proxy
end

-- A line protocol like that of Redis: "ECHO n" gives "$n" and n bytes, "SLOW" is late, "QUIT" closes, else "+PONG".
local function line_server(connection)
  while true do
    local line = connection:read_until "\r\n"
    if not line then return end
    local count = line:match "^ECHO (%d+)"
    if line == "QUIT\r\n" then return end
    if line == "HALF\r\n" then return connection:send "+PO" end
    if line == "SLOW\r\n" then connection:sleep(60) end
    if line == "LATER\r\n" then connection:sleep(0.2) end
    if line == "BYE\r\n" then return connection:send "+BYE\r\n" end
    if line == "WHO\r\n" then
      connection:send("+" .. connection.number .. "\r\n")
    elseif count then
      connection:send("$" .. count .. "\r\n" .. ("x"):rep(tonumber(count)) .. "\r\n")
    else
      connection:send "+PONG\r\n"
    end
  end
end

describe("a socket of perilune.tcp", function()
  it("sends strings, numbers and arrays of them, receives lines and counts", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      assert(socket:send "PING\r\n")
      local pong = socket:receive()
      assert(socket:send { "EC", { "HO ", 5, { "\r\n" } } })
      local size = socket:receive "line"
      local data = socket:receive(5)
      local rest = socket:receive(2)
      socket:close()
      socket:close()
      return pong, size, data, #rest, socket:send("x")
    ]])
    assert.equal("+PONG|$5|xxxxx|2|nil|closed", ask())
  end)

  it("receives everything until the end, or what is there", function()
    local ask = run(origins.start(function(connection)
      connection:send "first"
      connection:read_until "\r\n"
      connection:send "second"
    end).address, [[
      local socket = assert(tcp.connect(address))
      local some = socket:receive("any", 3)
      local more = socket:receive "any"
      socket:send "go on\r\n"
      return some, more, socket:receive "all"
    ]])
    assert.equal("fir|st|second", ask())
  end)

  it("gives what had arrived as the third value when it fails", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      socket:send "HALF\r\n"
      local a, b, c = socket:receive "line"
      socket = assert(tcp.connect(address, { receive_timeout = 0.1 }))
      socket:send "SLOW\r\n"
      local begun = perilune.now()
      local d, e, f = socket:receive(100)
      local took = perilune.now() - begun
      return a, b, c, d, e, f, took > 0.09
    ]])
    assert.equal("nil|closed|+PO|nil|timeout||true", ask())
  end)

  it("moves much in both directions", function()
    local ask = run(origins.start(function(connection)
      local bytes = connection:read(5000000)
      connection:send(bytes:reverse())
    end).address, [[
      local socket = assert(tcp.connect(address, { timeout = 60 }))
      local data = ("0123456789"):rep(500000)
      assert(socket:send(data))
      return socket:receive("all") == data:reverse()
    ]])
    assert.equal("true", ask())
  end)

  it("stops a send that nobody takes", function()
    local ask = run(origins.start(function(connection) connection:sleep(60) end).address, [[
      local socket = assert(tcp.connect(address, { send_timeout = 0.1 }))
      local ok, why = socket:send(("x"):rep(50000000))
      return ok, why, socket:send("more")
    ]])
    assert.equal("nil|timeout|nil|closed", ask())
  end)

  it("keeps limits: of a line, of a number of bytes", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      socket:send "ECHO 1000\r\n"
      socket:receive()
      local a, b = socket:receive("line", 100)
      return a, b, pcall(socket.receive, socket, 101, 100)
    ]])
    assert.matches("^nil|too long|false|.*or a number of bytes up to 100$", ask())
  end)

  it("speaks TLS, with SNI and verification", function()
    local origin = origins.start(line_server, { names = { "cache.example" } })
    local code = [[
      local function try(options)
        options.tls, options.timeout = true, 60 -- the first one without ca loads those of the system
        local socket, why = tcp.connect(address, options)
        if not socket then return why end
        socket:send "PING\r\n"
        return socket:receive()
      end
      return try { sni = "cache.example", ca = "$CA" }, try { sni = "other.example", ca = "$CA" },
        try { sni = "cache.example" }, try { verify = false }
    ]]
    local ask = run(origin.address, policies.fill(code, { CA = origin.files.ca }))
    local result = ask()
    assert.matches("^%+PONG|.*|.*|%+PONG$", result)
    assert.matches("mismatch", result)
    assert.matches("local issuer", result)
  end)

  it("connects to unix sockets", function()
    local path = process.directory() .. "/line.sock"
    local ask = run(origins.start(line_server, { host = "unix:" .. path }).address, [[
      local socket = assert(tcp.connect(address))
      socket:send "PING\r\n"
      return socket:receive()
    ]])
    assert.equal("+PONG", ask())
  end)

  it("says why it cannot connect, and what is wrong with its arguments", function()
    local ask = run(origins.dead_address(), [[
      local a, b = tcp.connect(address)
      return a, b, select(2, pcall(tcp.connect, "nowhere")), select(2, pcall(tcp.connect, address, { tsl = true }))
    ]])
    assert.matches("^nil|.*refused.*|.*'nowhere'.*|.*unknown option 'tsl'", ask())
  end)

  it("may be used by two tasks at once, one in each direction", function()
    local ask = run(origins.start(function(connection)
      for _ = 1, 3 do connection:send(connection:read_until "\n") end
    end).address, [[
      local socket = assert(tcp.connect(address))
      local reader = perilune.spawn(function()
        local lines = {}
        for i = 1, 3 do lines[i] = socket:receive() end
        return table.concat(lines, " ")
      end)
      local second = perilune.spawn(function() return select(2, pcall(socket.receive, socket)) end)
      for i = 1, 3 do
        socket:send(i .. "\n")
        perilune.sleep(0.02)
      end
      return perilune.wait(reader, second)
    ]])
    assert.matches("^1 2 3|.*another task receives already$", ask())
  end)

  it("is closed under a task that waits for it", function()
    local ask = run(origins.start(line_server).address, [[
      local socket = assert(tcp.connect(address))
      local reader = perilune.spawn(function() return select(2, socket:receive()) end)
      perilune.sleep(0.02)
      socket:close()
      return perilune.wait(reader)
    ]])
    assert.equal("closed", ask())
  end)

  it("is closed when its exchange ends, or the hook that waits for it is abandoned", function()
    local origin = origins.start(line_server)
    local ask, proxy = run(origin.address, [[
      local socket = assert(tcp.connect(address, { timeout = 60 }))
      if session:path() == "/" then return "done" end
      socket:send "QUIET"
      socket:receive()
    ]])
    ask()
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/wait" }
    scheduler.eventually(function() return origin.accepted == 2 end)
    connection:reset()
    connection = client.connect(proxy.port)
    for _ = 1, 300 do connection:request { path = "/" } end
    scheduler.eventually(function() -- the collector has come by
      connection:request { path = "/" }
      return origin:open_count() < 200
    end)
  end)
end)

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
      for i, options in ipairs { {}, { pool = "a" }, { pool = "b" }, {}, { pool = "a" }, { fresh = true } } do
        local socket = assert(tcp.connect(address, options))
        socket:send "WHO\r\n"
        list[i] = socket:receive()
        socket:keep()
      end
      return unpack(list)
    ]])
    assert.equal("+1|+2|+3|+1|+2|+4", ask())
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
