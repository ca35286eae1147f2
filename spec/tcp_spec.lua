-- SPDX-License-Identifier: Apache-2.0
-- perilune.tcp: connections of a policy's own.
local client = require "client"
local origins = require "origins"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)
local run, line_server = require("lines").run, require("lines").serve

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
