-- SPDX-License-Identifier: Apache-2.0
-- How many connections a listener takes, in all and of one client.
local client = require "client"
local frames = require "frames"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(listen, workers, text)
  return perilune.start {
    workers = workers or 2,
    settings = { "--admin", "127.0.0.1:0" },
    policy = policies.fill(text or [[
      require("perilune").listen("$ADDRESS", { request_filter = function(session)
        if session:path() == "/slow" then require("perilune").sleep(30) end
        return session:respond { status = 200, body = session:client_ip() }
      end }, { $LISTEN })
    ]], { LISTEN = listen, ADDRESS = "127.0.0.1:0" }),
  }
end

local function busy(proxy)
  local connection = client.connect(proxy.port)
  connection:send_request { path = "/slow" }
  return connection
end

local function open_count(proxy)
  for name, value in pairs(metrics.read(proxy)) do
    if name:find "^perilune_connections_open{" then return value end
  end
end

describe("max_connections", function()
  it("holds of a listener, over all workers: who comes then waits in the kernel, until another leaves", function()
    local proxy = start "max_connections = 4"
    local connections = {}
    for i = 1, 4 do connections[i] = busy(proxy) end
    scheduler.eventually(function() return open_count(proxy) == 4 end)
    local late = {}
    for i = 1, 6 do
      late[i] = client.connect(proxy.port)
      late[i]:send_request { headers = { Connection = "close" } }
    end
    assert.is_nil((late[1]:read_response("GET", 0.15)))
    assert.equal(4, open_count(proxy))
    connections[1]:close()
    local bodies = {}
    for i = 1, 6 do
      bodies[i] = function()
        assert.equal(200, late[i]:read_response().status)
        late[i]:close()
      end
    end
    scheduler.all(bodies)
    assert.is_true(metrics.read(proxy).perilune_accept_pauses_total > 0)
    for i = 2, 4 do connections[i]:close() end
    scheduler.eventually(function() return open_count(proxy) == 0 end)
  end)

  it("gives up an idle connection for one that comes", function()
    local proxy = start("max_connections = 2", 1)
    local idle, second = client.connect(proxy.port), busy(proxy)
    assert.equal(200, idle:request().status)
    assert.equal(200, client.request(proxy.port).status)
    assert.is_true(idle:is_closed())
    second:close()
  end)

  it("comes into force with a reload, also for connections that were open before", function()
    local directory = process.directory()
    local function write(limit)
      return process.write_file(directory .. "/policy.lua", policies.fill([[
        local perilune = require "perilune"
        perilune.listen("127.0.0.1:0", { request_filter = function(session)
          if session:path() == "/slow" then perilune.sleep(30) end
          return session:respond { status = 200 }
        end }, { max_connections = $LIMIT })
      ]], { LIMIT = limit }))
    end
    local proxy = perilune.start { script = write "0", workers = 1, settings = { "--admin", "127.0.0.1:0" } }
    local first, second = busy(proxy), busy(proxy)
    scheduler.eventually(function() return open_count(proxy) == 2 end)
    write "2"
    proxy:signal "HUP"
    proxy:wait_log "generation 2 is in force"
    local third = client.connect(proxy.port)
    third:send_request {}
    assert.is_nil((third:read_response("GET", 0.1)))
    first:close()
    assert.equal(200, third:read_response().status)
    second:close()
  end)
end)

describe("max_connections_per_client", function()
  it("closes at once what one address has too much, and says so in log, metrics and status", function()
    local proxy = start "max_connections_per_client = 3"
    local connections = {}
    for i = 1, 3 do
      connections[i] = client.connect(proxy.port)
      assert.equal(200, connections[i]:request().status)
    end
    for _ = 1, 5 do assert.is_true(client.connect(proxy.port):is_closed()) end
    proxy:wait_log "client 127.0.0.1:%d+: connection: closed, for its address has max_connections_per_client already"
    assert.equal(5, metrics.status(proxy).refused)
    connections[1]:close()
    scheduler.eventually(function() return pcall(client.request, proxy.port) end)
  end)

  it("counts by the address that a PROXY header claims", function()
    local proxy = start 'max_connections_per_client = 1, proxy_protocol = "required"'
    local function connect(address)
      local connection = client.connect(proxy.port)
      connection:send(("PROXY TCP4 %s 10.0.0.9 1000 80\r\n"):format(address))
      return connection
    end
    local first, second = connect "10.0.0.1", connect "10.0.0.2"
    assert.equal("10.0.0.1", first:request().body)
    assert.equal("10.0.0.2", second:request().body)
    assert.is_true(connect("10.0.0.1"):is_closed())
    first:close()
    scheduler.eventually(function()
      local again = connect "10.0.0.1"
      local response = again:request()
      again:close()
      return response ~= nil
    end)
  end)

  it("takes the first 64 bits of an IPv6 address for the client, or as many as it is told", function()
    local function together(listen, a, b)
      local proxy = start('max_connections_per_client = 1, proxy_protocol = "required"' .. listen, 1)
      local function connect(address)
        local connection = client.connect(proxy.port)
        connection:send(("PROXY TCP6 %s ::9 1000 80\r\n"):format(address))
        return connection
      end
      local first = connect(a)
      assert.equal(200, first:request().status)
      local response = connect(b):request()
      return response == nil
    end
    assert.is_true(together("", "2001:db8:0:1::1", "2001:db8:0:1::2"))
    assert.is_false(together("", "2001:db8:0:1::1", "2001:db8:0:2::1"))
    assert.is_false(together(", client_ipv6_bits = 128", "2001:db8:0:1::1", "2001:db8:0:1::2"))
  end)

  it("must be sensible numbers", function()
    for option, message in pairs {
      ["max_connections = -1"] = "max_connections", ["client_ipv6_bits = 0"] = "from 1 to 128",
      ["client_ipv6_bits = 129"] = "from 1 to 128", ["max_connections_per_client = 'x'"] = "max_connections_per_client",
    } do
      local script = process.write_file(process.directory() .. "/policy.lua", policies.fill([[
        require("perilune").listen("127.0.0.1:0", { request_filter = function() end }, { $LISTEN })
      ]], { LISTEN = option }))
      local result = perilune.run("check", script)
      assert.not_equal(0, result.code)
      assert.matches(message, result.stderr)
      assert.matches("policy.lua:1", result.stderr)
    end
  end)
end)

describe("spare connections to a peer", function()
  it("are no more than max_idle a second after a peak", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:sleep(0.1)
        connection:respond { body = "hello" }
      end
    end)
    local proxy = start("", 1, ([[
      require("perilune").listen("$ADDRESS", {
        upstream_peer = function() return { address = "%s", max_idle = 3 } end }, { $LISTEN })
    ]]):format(origin.address))
    local bodies = {}
    for i = 1, 20 do
      bodies[i] = function() assert.equal(200, client.request(proxy.port).status) end
    end
    scheduler.all(bodies)
    assert.is_true(origin:open_count() > 10) -- at once all are there for the next moment
    scheduler.eventually(function() return origin:open_count() == 3 end)
    scheduler.all { bodies[1], bodies[2], bodies[3] }
    assert.equal(3, origin:open_count())
  end)
end)

describe("a number of none", function()
  it("is refused where it could only stand for something else", function()
    local proxy = start("", 1, [[
      require("perilune").listen("$ADDRESS", {
        upstream_peer = function() return { address = "127.0.0.1:1", max_idle = 0 } end }, { $LISTEN })
    ]])
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "option 'max_idle' must be a whole number from 1 to 4294967295; got '0'"
    local path = require("process").write_file(require("process").directory() .. "/policy.lua",
      'require("perilune").listen("127.0.0.1:0", { upstream_peer = function() end }, { fields_limit = 0 })')
    local result = perilune.run("check", path)
    assert.equal(2, result.code)
    assert.matches("policy.lua:1: perilune.listen: option 'fields_limit' must be a whole number from 1", result.stderr)
  end)
end)

describe("parts of heads", function()
  -- A worker of the release build that has served a request; and by how many MiB it has grown since.
  local function start_small(listen)
    local proxy = perilune.start {
      workers = 1,
      release = true,
      policy = policies.fill([[
        require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
          return session:respond { status = 200 }
        end }, { $LISTEN })
      ]], { LISTEN = listen }),
    }
    assert.equal(200, client.request(proxy.port).status)
    local before = proxy:rss()
    return proxy, function() return (proxy:rss() - before) / 1048576 end
  end

  -- Twice as many as the bound has room for: a bound of twice the size would show, too.
  it("hold 32 MiB of a worker at most: those that wait for longest get 408, and who comes is served", function()
    local proxy, grown = start_small ""
    local fat = {}
    local head = "GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(60000)
    for i = 1, 1200 do
      fat[i] = client.connect(proxy.port)
      assert(fat[i]:send(head))
    end
    assert.equal(408, fat[1]:read_response().status)
    assert.equal(200, client.request(proxy.port).status)
    assert.is_true(grown() < 40, grown() .. " MiB")
    proxy:wait_log "the request head took too long: too much memory is held by heads that are not whole"
    fat[1200]:send "\r\n\r\n"
    assert.equal(200, fat[1200]:read_response().status)
  end)

  it("of HTTP/2 count as well: the connections that wait for longest end", function()
    local proxy, grown = start_small "h2c = true"
    local fat = {}
    local part = "\0\1x\127\225\211\3" .. ("x"):rep(15000) -- of a value of 60,000 bytes
    for i = 1, 1400 do
      fat[i] = frames.connect { port = proxy.port }
      fat[i]:await "SETTINGS" -- which is confirmed: nothing may come between the pieces of a block
      fat[i]:send("HEADERS", frames.END_STREAM, 1, part)
      for _, bytes in ipairs { 15000, 15000, 14990 } do fat[i]:send("CONTINUATION", 0, 1, ("x"):rep(bytes)) end
    end
    local goaway = fat[1]:await "GOAWAY"
    assert.equal("ENHANCE_YOUR_CALM", goaway.code)
    assert.equal(200, client.request(proxy.port).status)
    assert.is_true(grown() < 70, grown() .. " MiB")
    proxy:wait_log "too much memory is held by heads that are not whole"
    fat[1400]:send("CONTINUATION", frames.END_HEADERS, 1, ("x"):rep(10)
      .. frames.block { { ":method", "GET" } }) -- a pseudo-field behind an ordinary one
    assert.equal("PROTOCOL_ERROR", fat[1400]:await("RST_STREAM", 1).code)
  end)
end)
