-- SPDX-License-Identifier: Apache-2.0
-- What protocols want of perilune.tcp beyond lines: a mark, TLS that begins later, pools with a cap; and perilune.udp.
local cleanup = require "cleanup"
local client = require "client"
local name_server = require "name_server"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"
local tls = require "tls"

after_each(cleanup.run)
local run, line_server = require("lines").run, require("lines").serve

describe("socket:receive_until", function()
  it("gives what comes before a mark, whole or in pieces, however it arrives", function()
    local ask = run(origins.start(function(connection)
      for byte in ("one--\r\n--two-\r\n-three\r\n--"):gmatch "." do
        connection:send(byte)
        if byte == "\n" then connection:sleep(0.01) end
      end
    end).address, [[
      local socket = assert(tcp.connect(address))
      local a, at = socket:receive_until "\r\n--"
      local b, bt = socket:receive_until("\r\n--", 4)
      local parts = { b }
      while not bt do
        b, bt = socket:receive_until("\r\n--", 4)
        if b ~= "" or not bt then parts[#parts + 1] = b end -- the mark alone, if it comes behind a whole piece
      end
      local rest, why, partial = socket:receive_until "\r\n--"
      return a, at, table.concat(parts, "+"), rest, why, partial
    ]])
    assert.equal("one--|true|two-+\r\n-t+hree|nil|closed|", ask())
  end)

  it("keeps the mark where it is wanted, and gives what there is where it does not come", function()
    local ask = run(origins.start(function(connection) connection:send "a;b;c" end).address, [[
      local socket = assert(tcp.connect(address))
      local a = socket:receive_until(";", nil, true)
      local b = socket:receive_until(";", 100, true)
      local c, why, partial = socket:receive_until ";"
      return a, b, c, why, partial, pcall(socket.receive_until, socket, "")
    ]])
    assert.matches("^a;|b;|nil|closed|c|false|.*the mark must be a string, and not an empty one$", ask())
  end)
end)

describe("socket:start_tls", function()
  -- A line server that speaks TLS behind "STARTTLS".
  local function upgrading(files, options)
    local context = tls.server_context(files, options)
    return origins.start(function(connection)
      assert.equal("STARTTLS\r\n", connection:read_until "\r\n")
      connection:send "go\r\n"
      if not connection:accept_tls(context) then return end
      if options then connection:send((connection.tls:certificate() or "nobody") .. "\r\n") end
      line_server(connection)
    end)
  end

  it("puts TLS on an open connection, whose certificate is verified", function()
    local good = tls.certificate "db.test"
    local origin = upgrading(good)
    local ask = run(origin.address, ([[
      local function open(options)
        local socket = assert(tcp.connect(address))
        socket:send "STARTTLS\r\n"
        local go = socket:receive()
        local ok, why = socket:start_tls(options)
        if not ok then return go, ok, why, socket:receive() end
        socket:send "PING\r\n"
        return go, ok, socket:receive(), socket:start_tls(), (select(2, socket:keep()))
      end
      if session:path() == "/good" then return open { ca = %q, sni = "db.test" } end
      if session:path() == "/name" then return open { ca = %q, sni = "other.test" } end
      return open { verify = false }
    ]]):format(good.ca, good.ca))
    assert.matches("^go|true|%+PONG|true|TLS has begun on it after it was connected", ask "/good")
    assert.matches("^go|nil|.*other%.test.*|nil|closed$", ask "/name")
    assert.matches("^go|true|%+PONG", ask "/any")
  end)

  it("does not begin where something came in the clear that is unread", function()
    local ask = run(origins.start(function(connection)
      connection:send "go\r\nINJECTED\r\n"
      connection:sleep(5)
    end).address, [[
      local socket = assert(tcp.connect(address))
      return socket:receive(), socket:start_tls { verify = false }
    ]])
    assert.equal("go|nil|something that came in the clear is unread", ask())
  end)

  it("ends with its time, and with a server that speaks something else", function()
    local ask = run(origins.start(function(connection)
      if connection.number > 1 then return connection:send "this is no TLS, whatever it may look like" end
      connection:sleep(60)
    end).address, [[
      local silent, other = assert(tcp.connect(address)), assert(tcp.connect(address))
      local a, b = silent:start_tls { verify = false, timeout = 0.1 }
      local c, d = other:start_tls { verify = false }
      return a, b, c, type(d)
    ]])
    assert.equal("nil|timeout|nil|string", ask())
  end)

  it("shows a certificate to a server that asks, which may be given as text", function()
    local server, me = tls.certificate "db.test", tls.certificate "client.test"
    local origin = upgrading(server, { client_ca = server.ca })
    local function text(name)
      local file = assert(io.open(name))
      local bytes = file:read "*a"
      file:close()
      return bytes
    end
    local ask = run(origin.address, ([[
      local socket = assert(tcp.connect(address))
      socket:send "STARTTLS\r\n"
      socket:receive()
      local options = { ca = %q, sni = "db.test" }
      if session:path() == "/file" then options.certificate, options.key = %q, %q end
      if session:path() == "/text" then options.certificate, options.key = %q, %q end
      return socket:start_tls(options), socket:receive()
    ]]):format(server.ca, me.certificate, me.key, text(me.certificate), text(me.key)))
    assert.matches("^true|.*client.test", ask "/file")
    assert.matches("^true|.*client.test", ask "/text")
    assert.equal("true|nobody", ask "/none")
  end)
end)

describe("a pool with a cap", function()
  it("lets connections wait for one, in order, and refuses those beyond its backlog", function()
    local origin = origins.start(line_server)
    local ask = run(origin.address, [[
      local options = { pool_key = "few", pool_size = 2, backlog = 2, connect_timeout = 5 }
      local order = {}
      local function use(number)
        local socket, why = tcp.connect(address, options)
        if not socket then return why end
        order[#order + 1] = number
        socket:send "WHO\r\n"
        local who = socket:receive()
        perilune.sleep(0.3)
        socket:keep()
        return who
      end
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = perilune.spawn(use, i)
        perilune.sleep(0.005)
      end
      local told = { perilune.wait(unpack(tasks)) }
      return table.concat(order):gsub("[12]", "x"), unpack(told)
    ]])
    assert.matches("^xx34|%+[12]|%+[12]|%+[12]|%+[12]|too many waiting connect operations$", ask())
    assert.equal(2, origin.accepted)
  end)

  it("lets one begin where another closes, and tells those that wait too long", function()
    local ask = run(origins.start(line_server).address, [[
      local options = { pool_key = "one", pool_size = 1, backlog = 5, connect_timeout = 5 }
      local first = assert(tcp.connect(address, options))
      local hasty = { pool_key = "one", pool_size = 1, backlog = 5, connect_timeout = 0.05 }
      local late, why, kind = tcp.connect(address, hasty)
      local second = perilune.spawn(tcp.connect, address, options)
      perilune.sleep(0.02)
      first:close()
      local socket = perilune.wait(second)
      socket:send "PING\r\n"
      return late, why, kind, socket:receive()
    ]])
    assert.equal("nil|timed out in the queue of its pool|connect_timeout|+PONG", ask())
  end)

  it("gives a place back where the request that waited for it is gone", function()
    local proxy = perilune.start { workers = 1, policy = policies.answering(
      ('local tcp, address = require "perilune.tcp", %q'):format(origins.start(line_server).address), [[
      local options = { pool_key = "one", pool_size = 1, backlog = 5, connect_timeout = 20 }
      local socket = assert(tcp.connect(address, options))
      if session:path() == "/hold" then perilune.sleep(0.3) end
      socket:send "PING\r\n"
      local line = socket:receive()
      socket:keep()
      return line
    ]]) }
    local holder = client.connect(proxy.port)
    holder:send "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
    scheduler.sleep(0.05)
    local waiter = client.connect(proxy.port)
    waiter:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    scheduler.sleep(0.05)
    waiter:close()
    assert.equal("+PONG", client.request({ port = proxy.port }).body)
    holder:close()
  end)
end)

-- What comes is sent back, twice.
local function datagram_server()
  local fd = sys.bind_datagram "127.0.0.1"
  local task = scheduler.spawn(function()
    while scheduler.wait(fd, sys.READ) do
      local message, from = sys.receive_from(fd)
      if message then sys.send_to(fd, message, from) end
    end
  end)
  cleanup.add(3, function()
    scheduler.cancel(task)
    sys.close(fd)
  end)
  return "127.0.0.1:" .. sys.port(fd)
end

describe("perilune.udp", function()
  local function answering(code, names)
    local head = "local udp = perilune.udp"
    if names then head = ('%s require("perilune.dns").set_servers %q'):format(head, names.address) end
    local proxy = perilune.start { workers = 1, policy = policies.answering(head, code) }
    return function(path) return client.request({ port = proxy.port, path = path }).body end
  end

  it("sends datagrams, and receives those of the address that it is connected to", function()
    local ask = answering(([[
      local socket = assert(udp.connect(%q, { timeout = 20 }))
      socket:send { "pi", "ng", { 1 } }
      local answer = socket:receive()
      socket:send "long"
      local cut = socket:receive(3)
      socket:set_timeout(0.05)
      local none, why = socket:receive()
      socket:close()
      socket:close()
      return answer, cut, none, why, socket:send "x", (select(2, socket:receive()))
    ]]):format(datagram_server()))
    assert.equal("ping1|lon|nil|timeout|nil|closed", ask())
  end)

  it("says that nobody is there, and speaks to unix sockets", function()
    local ask = answering [[
      local nobody = assert(udp.connect("127.0.0.1:1", { timeout = 20 }))
      nobody:send "x"
      local none, why = nobody:receive()
      return none, why, udp.connect "unix:/nonexistent/socket"
    ]]
    assert.equal("nil|Connection refused|nil|No such file or directory", ask())
  end)

  it("looks names up, and takes an IPv4 address first, for a datagram to the wrong one would be lost", function()
    local names = name_server.start { ["both.test"] = { A = { "127.0.0.1" }, AAAA = { "::1" }, ttl = 60 } }
    local port = datagram_server():match ":(%d+)$"
    local ask = answering(([[
      local named = assert(udp.connect("both.test:%s", { timeout = 20 }))
      named:send ""
      local other = udp.connect("both.test:%s", { timeout = 20, family = "ipv6" })
      local sent, why = nil, "no IPv6 here"
      if other then other:send "" sent, why = other:receive() end
      return #named:receive(), sent, why ~= nil, (select(2, pcall(udp.connect, "both.test:1", { family = "inet" })))
    ]]):format(port, port), names)
    assert.matches("^0|nil|true|[^|]*family[^|]*ipv4", ask())
  end)

  it("refuses what is no datagram, however it is put together", function()
    local ask = answering([[
      local socket = assert(udp.connect "127.0.0.1:9")
      local nested = {}
      for _ = 1, 15 do nested = { nested, nested, nested, nested } end
      local itself = {}
      itself[1] = itself
      local function why(data)
        local ok, text = pcall(socket.send, socket, data)
        return ok or text:match "send: (.*)"
      end
      return why(nested), why(itself), why(("x"):rep(200000)), why(nil), why { "a", 1, { "b" } }
    ]])
    local long, odd = "more than 65507 bytes are no datagram", "expected a string, a number or an array of them, got "
    assert.equal(table.concat({ long, odd .. "arrays in arrays too deep", long, odd .. "nil", "true" }, "|"), ask())
  end)

  it("tells a task that waits when another one closes the socket, and refuses a second reader", function()
    local ask = answering(([[
      local socket = assert(udp.connect(%q, { timeout = 20 }))
      local reader = perilune.spawn(function() return select(2, socket:receive()) end)
      perilune.sleep(0.01)
      local ok, why = pcall(socket.receive, socket)
      socket:close()
      return ok, why:match "another task.*", perilune.wait(reader)
    ]]):format(datagram_server()))
    assert.equal("false|another task receives already|closed", ask())
  end)
end)

describe("perilune.semaphore", function()
  it("wakes those that wait in their order, and tells those whose time is up", function()
    local proxy = perilune.start { workers = 1, policy = policies.answering("", [[
      local semaphore, order = perilune.semaphore(1), {}
      local first, second = semaphore:wait(), semaphore:wait(0)
      local none, why = semaphore:wait(0.01)
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = perilune.spawn(function()
          semaphore:wait()
          order[#order + 1] = i
          return true
        end)
        perilune.sleep(0.002)
      end
      local waiting = semaphore:count()
      semaphore:post(2)
      tasks[1]:stop()                       -- what it was given goes to the next
      semaphore:post(3)
      perilune.wait(tasks[2], tasks[3])
      table.sort(order)
      return first, second, none, why, waiting, table.concat(order, ","), semaphore:count()
    ]]) }
    assert.equal("true|nil|nil|timeout|-3|2,3|3", client.request({ port = proxy.port }).body)
  end)
end)

describe("perilune.current", function()
  it("is the exchange that runs, in hooks and their tasks, and nil elsewhere", function()
    local proxy = perilune.start { workers = 1, policy = [[
      local perilune = require "perilune"
      assert(perilune.current() == nil)
      local seen = perilune.dict "seen"
      perilune.after(0, function() seen:set("background", tostring(perilune.current())) end)
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session, ctx)
          local now, its_ctx, hook = perilune.current()
          local task = perilune.spawn(function() return select("#", perilune.current()), (perilune.current()) end)
          local count, of_task = perilune.wait(task)
          return session:respond { status = 200, body = table.concat({ tostring(now == session),
            tostring(its_ctx == ctx), hook, tostring(count), tostring(seen:get "background") }, "|") }
        end,
      })
    ]] }
    scheduler.eventually(function()
      return client.request({ port = proxy.port }).body == "true|true|request_filter|3|nil"
    end)
  end)
end)

describe("perilune.on_retire", function()
  it("is called once in each worker when another policy is in force, and when the proxy stops", function()
    local policy = [[
      local perilune = require "perilune"
      local version = "$N"
      perilune.on_retire(function(...)
        perilune.sleep(0.01)
        io.stderr:write(("said %s of %d %d\n"):format(version, perilune.worker(), select("#", ...)))
      end, { on = "every worker" })
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]]
    local proxy, pid_file, path = running.start { workers = 1, policy = (policy:gsub("$N", "first")) }
    process.write_file(path, (policy:gsub("$N", "second")))
    assert.equal(0, running.command(pid_file, "reload").code)
    for worker = 0, 1 do proxy:wait_log(("(said first of %d 0)"):format(worker)) end
    assert.equal(0, running.command(pid_file, "stop").code)
    assert.equal(0, proxy:ended(20))
    for worker = 0, 1 do
      for _, version in ipairs { "first", "second" } do
        assert.equal(1, proxy:count_log(("said %s of %d 0"):format(version, worker)))
      end
    end
  end)
end)
