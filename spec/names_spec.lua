-- SPDX-License-Identifier: Apache-2.0
-- Peers by name: how often servers are asked, what a silent one costs, and which of several addresses is used.
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local name_server = require "name_server"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local POLICY = [[
local perilune = require "perilune"
perilune.dns.set_servers "$SERVERS"
perilune.listen("127.0.0.1:0", {
  request_filter = function(session)
    local kind, tcp = session:path(), perilune.tcp
    if kind == "/http" then
      local response, why = perilune.http.get("http://$NAME/", { keep = false })
      return session:respond { status = response and response.status or 500, body = response and response.body or why }
    elseif kind == "/tcp" then
      local fine, why = tcp.check("$NAME", { family = "ipv4" })
      return session:respond { status = fine and 200 or 500, body = why }
    end
  end,
  upstream_peer = function() return { address = "$NAME", idle_timeout = false, $MORE } end,
}, { max_retries = 0 })
]]

local function start(server, name, more, servers, settings)
  return perilune.start {
    workers = 1, settings = settings,
    policy = policies.fill(POLICY, { SERVERS = servers or server.address, NAME = name, MORE = more or "" }),
  }
end

local function timed(proxy, path)
  local begun = sys.now()
  local response = client.request { port = proxy.port, path = path }
  return response, sys.now() - begun
end

local function ask(proxy, path) return client.request({ port = proxy.port, path = path }).body end

-- A port whose queue is full, so that the kernel drops what knocks: as an address behind which nobody is.
local function silent_port(host, port)
  local listener = sys.listen(host, port, 0)
  local fillers = {}
  for i = 1, 4 do fillers[i] = sys.connect(host, sys.port(listener)) end
  cleanup.add(3, function()
    for _, fd in ipairs(fillers) do sys.close(fd) end
    sys.close(listener)
  end)
  return sys.port(listener)
end

describe("a peer by name", function()
  it("costs one question per family while the answer holds, also of 100 connections at once", function()
    local origin = origins.start "hello"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.1" }, ttl = 60 } }
    local proxy = start(server, "app.test:" .. origin.port)
    local clients = {}
    for i = 1, 100 do clients[i] = function() return ask(proxy) end end
    for _, body in ipairs(scheduler.all(clients, 60)) do assert.equal("hello", body) end
    for _ = 1, 10 do assert.equal("hello", ask(proxy)) end
    assert.equal("hello", ask(proxy, "/http"))
    assert.equal(200, timed(proxy, "/tcp").status)
    assert.equal(2, #server.questions)
    assert.equal(111, #origin.requests)
  end)

  it("is asked for again when its time to live is over", function()
    local first = origins.start("one", { host = "127.0.0.2" })
    origins.start("two", { host = "127.0.0.3", port = first.port })
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2" }, ttl = 1 } }
    local proxy = start(server, "app.test:" .. first.port)
    assert.equal("one", ask(proxy))
    server.names["app.test"].A = { "127.0.0.3" }
    scheduler.eventually(function() return ask(proxy) == "two" end)
  end)

  it("is reached by its IPv4 address where nobody answers for IPv6, at once", function()
    local origin = origins.start "hello"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.1" }, silent = "AAAA" } }
    local proxy = start(server, "app.test:" .. origin.port)
    local response, took = timed(proxy)
    assert.equal("hello", response.body)
    assert.is_true(took < 3, took)
    response, took = timed(proxy)
    assert.equal("hello", response.body)
    assert.is_true(took < 3, took)
  end)

  it("asks for one family where the peer has one", function()
    for family, case in pairs { ipv4 = { "127.0.0.1", "A" }, ipv6 = { "::1", "AAAA" } } do
      local origin = origins.start("hello", { host = case[1] })
      local server = name_server.start { ["app.test"] = { A = { "127.0.0.1" }, AAAA = { "::1" } } }
      local proxy = start(server, "app.test:" .. origin.port, ("family = %q"):format(family))
      assert.equal("hello", ask(proxy))
      assert.equal(case[2], table.concat(server.kinds, " "))
    end
  end)

  it("is reached by IPv4 where its IPv6 address refuses", function()
    local origin = origins.start "hello"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.1" }, AAAA = { "::1" } } }
    local proxy = start(server, "app.test:" .. origin.port)
    for _ = 1, 3 do assert.equal("hello", ask(proxy)) end
  end)

  it("is reached by its second address where the first is silent, and by that at once from then on", function()
    local origin = origins.start("hello", { host = "127.0.0.3" })
    silent_port("127.0.0.2", origin.port)
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2", "127.0.0.3" } } }
    local proxy = start(server, "app.test:" .. origin.port, "connect_timeout = 30")
    for _ = 1, 4 do
      local response, took = timed(proxy)
      assert.equal("hello", response.body)
      assert.is_true(took < 10, took)
    end
    assert.equal("hello", ask(proxy, "/http"))
    assert.equal(200, timed(proxy, "/tcp").status)
  end)

  it("is reached by its other address where a TLS handshake fails at the first", function()
    local origin = origins.start("hello", { host = "127.0.0.3", tls = {}, names = { "app.test" } })
    origins.start(function(connection) connection:close() end, { host = "127.0.0.2", port = origin.port })
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2", "127.0.0.3" } } }
    local proxy = start(server, "app.test:" .. origin.port, "tls = true, verify = false")
    for _ = 1, 4 do assert.equal("hello", ask(proxy)) end
  end)

  it("spreads its connections over its addresses, as name servers do that turn their answers", function()
    local first = origins.start("one", { host = "127.0.0.2" })
    origins.start("two", { host = "127.0.0.3", port = first.port })
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2", "127.0.0.3" } } }
    local proxy = start(server, "app.test:" .. first.port)
    local seen = {}
    for _ = 1, 4 do seen[ask(proxy)] = true end
    assert.same({ one = true, two = true }, seen)
    assert.equal(2, #server.questions)
  end)

  it("waits for a dead name server once, not each time", function()
    local origin = origins.start "hello"
    local dead, server = name_server.start {}, name_server.start {}
    for i = 1, 3 do
      dead.names["app" .. i .. ".test"] = false
      server.names["app" .. i .. ".test"] = { A = { "127.0.0.1" } }
    end
    local proxy = perilune.start { workers = 1, settings = { "--admin", "127.0.0.1:0" }, policy = policies.fill([[
      local perilune = require "perilune"
      perilune.dns.set_servers "$SERVERS"
      perilune.listen("127.0.0.1:0", { upstream_peer = function(session)
        return session:path():match "%w+" .. ".test:$PORT"
      end })
    ]], { SERVERS = dead.address .. "," .. server.address, PORT = origin.port }) }
    assert.equal("hello", ask(proxy, "/app1"))
    local asked = #dead.questions
    assert.equal(2, asked)
    assert.equal("hello", ask(proxy, "/app2"))
    assert.equal("hello", ask(proxy, "/app3"))
    assert.equal(asked, #dead.questions)
    metrics.wait(proxy, "perilune_names_total", 3)
    local samples = metrics.read(proxy)
    assert.equal(1, samples.perilune_name_servers_silent)
    assert.equal(8, samples.perilune_name_questions_total)
    assert.equal(0, samples.perilune_name_failures_total)
  end)

  it("that does not exist is asked for once", function()
    local server = name_server.start {}
    local proxy = start(server, "gone.test:80")
    for _ = 1, 3 do assert.equal(502, timed(proxy).status) end
    local count = 0
    for _, name in ipairs(server.questions) do count = count + (name == "gone.test" and 1 or 0) end
    assert.equal(2, count)
  end)
end)

describe("the option family", function()
  it("is refused where it is none", function()
    local proxy = start(name_server.start {}, "app.test:80", 'family = "ipv5"')
    assert.equal(500, timed(proxy).status)
    proxy:wait_log "family"
  end)
end)
