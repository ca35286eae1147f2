-- SPDX-License-Identifier: Apache-2.0
-- Sets whose backends come from somewhere while the proxy runs: names, services, a file, a function.
local client = require "client"
local name_server = require "name_server"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
local discovery = require "perilune.discovery"
local upstreams = require("perilune.round_robin").new { $LIST }
$CODE
perilune.listen("127.0.0.1:0", {
  request_filter = function(session)
    if session:path() ~= "/list" then return false end
    local list = upstreams:addresses()
    for i, address in ipairs(list) do
      list[i] = ("%s %s %d"):format(address, tostring(upstreams:is_healthy(address)), upstreams:in_flight(address))
    end
    return session:respond { status = 200, body = table.concat(list, "\n") }
  end,
  upstream_peer = function() return { address = upstreams:select() } end,
})
]]

local function start(code, list)
  return perilune.start {
    workers = 2, policy = policies.fill(POLICY, { CODE = code, LIST = list or "" }),
  }
end

local function list(proxy) return client.request({ port = proxy.port, path = "/list" }).body end

-- Waits until the list is these addresses, in any order.
local function wait_list(proxy, ...)
  local wanted = { ... }
  table.sort(wanted)
  local got
  scheduler.eventually(function()
    got = {}
    for address in list(proxy):gmatch "[^\n ]+ %a+ %d+" do got[#got + 1] = address:match "^%S+" end
    table.sort(got)
    return table.concat(got, " ") == table.concat(wanted, " ")
  end, 10, table.concat(wanted, " "))
end

local function dns(server, call)
  return ('require("perilune.dns").set_servers "%s"\n'):format(server.address) .. call
end

-- Origins on one port of several addresses, as the A records of a name have it.
local function row(...)
  local first, all = origins.start((...), { host = "127.0.0.2" }), {}
  for i, text in ipairs { ... } do
    all[i] = i == 1 and first or origins.start(text, { host = "127.0.0." .. i + 1, port = first.port })
  end
  return all, first.port
end

describe("backends by DNS name", function()
  it("are the addresses of the name, and follow its changes when the time to live is over", function()
    local all, port = row("a", "b", "c")
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2", "127.0.0.3" }, ttl = 1 } }
    local proxy = start(dns(server, ('discovery.dns(upstreams, "app.test:%d", { least = 0.2 })'):format(port)))
    wait_list(proxy, all[1].address, all[2].address)
    local seen = {}
    for _ = 1, 4 do seen[client.request(proxy.port).body] = true end
    assert.same({ a = true, b = true }, seen)
    server.names["app.test"].A = { "127.0.0.3", "127.0.0.4" }
    wait_list(proxy, all[2].address, all[3].address)
    proxy:wait_log "round_robin: 2 backends: %+127.0.0.4:%d+ %-127.0.0.2"
    assert.equal(200, client.request(proxy.port).status)
  end)

  it("are not asked for before the time to live is over", function()
    local all, port = row "a"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2" }, ttl = 60 } }
    local proxy = start(dns(server, ('discovery.dns(upstreams, "app.test:%d", { least = 0.1 })'):format(port)))
    wait_list(proxy, all[1].address)
    local questions = #server.questions
    scheduler.sleep(0.5)
    assert.equal(questions, #server.questions)
  end)

  it("stay when the name is gone, or its server does not answer, which is said once", function()
    local all, port = row "a"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2" }, ttl = 0 } }
    local proxy = start(dns(server, ('discovery.dns(upstreams, "app.test:%d", { least = 0.1 })'):format(port)))
    wait_list(proxy, all[1].address)
    server.names["app.test"] = nil
    proxy:wait_log "warn [^\n]*app.test:%d+: Domain name not found; the last list stays"
    local questions = #server.questions
    scheduler.eventually(function() return #server.questions > questions + 6 end)
    assert.equal(1, proxy:count_log "the last list stays")
    assert.equal(200, client.request(proxy.port).status)
    server.names["app.test"] = { A = {}, ttl = 0 }
    proxy:wait_log "warn [^\n]*DNS server returned answer with no data; the last list stays"
    server.names["app.test"] = { A = { "127.0.0.2" }, ttl = 0 }
    proxy:wait_log "app.test:%d+ is back"
    wait_list(proxy, all[1].address)
  end)

  it("stay while an answer is late, and are those of the answer when it comes", function()
    local all, port = row("a", "b")
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.2" }, ttl = 0 } }
    local proxy = start(dns(server, ('discovery.dns(upstreams, "app.test:%d", { least = 0.1 })'):format(port)))
    wait_list(proxy, all[1].address)
    server.names["app.test"] = false
    local questions = #server.questions
    scheduler.eventually(function() return #server.questions > questions + 1 end) -- asked again
    assert.equal("a", client.request(proxy.port).body)
    server.names["app.test"] = { A = { "127.0.0.3" }, ttl = 0 }
    wait_list(proxy, all[2].address)
    assert.equal("b", client.request(proxy.port).body)
  end)

  it("start empty where the name does not resolve: 503, and a line that says why", function()
    local server = name_server.start {}
    local proxy = start(dns(server, 'discovery.dns(upstreams, "app.test:80", { least = 0.1 })'))
    proxy:wait_log "Domain name not found"
    assert.equal(503, client.request(proxy.port).status)
  end)

  it("keep the list of the policy until the name resolves", function()
    local all, port = row "a"
    local server = name_server.start {}
    local proxy = start(dns(server, ('discovery.dns(upstreams, "app.test:%d", { least = 0.1 })'):format(port)),
      ("%q"):format(all[1].address))
    proxy:wait_log "Domain name not found"
    assert.equal(200, client.request(proxy.port).status)
  end)
end)

describe("backends by the services of a name", function()
  it("have its weights and priorities", function()
    local near, far = origins.start "near", origins.start "far"
    local server = name_server.start {
      ["_http._tcp.app.test"] = { ttl = 0, SRV = {
        { priority = 20, weight = 1, port = far.port, target = "far.test" },
        { priority = 10, weight = 0, port = near.port, target = "near.test" },
      } },
      ["near.test"] = { A = { "127.0.0.1" } }, ["far.test"] = { A = { "127.0.0.1" } },
    }
    local proxy = start(dns(server, 'discovery.srv(upstreams, "_http._tcp.app.test", { least = 0.1 })'))
    wait_list(proxy, "near.test:" .. near.port, "far.test:" .. far.port)
    for _ = 1, 4 do assert.equal("near", client.request(proxy.port).body) end
    table.remove(server.names["_http._tcp.app.test"].SRV)
    wait_list(proxy, "far.test:" .. far.port)
    assert.equal("far", client.request(proxy.port).body)
  end)
end)

describe("backends of a file", function()
  local function with_file(text)
    local path = process.write_file(process.directory() .. "/backends.txt", text)
    return path, ('discovery.file(upstreams, "%s", { interval = 0.1 })'):format(path)
  end

  it("follow the file, and stay when it cannot be read", function()
    local a, b = origins.start "a", origins.start "b"
    local path, code = with_file("# all of them\n" .. a.address .. " weight=2 # a\n\n")
    local proxy = start(code)
    wait_list(proxy, a.address)
    process.write_file(path, a.address .. "\n" .. b.address .. " backup\n")
    wait_list(proxy, a.address, b.address)
    for _ = 1, 4 do assert.equal("a", client.request(proxy.port).body) end
    for _, bad in ipairs { a.address .. " wieght=2", "nonsense", a.address .. " weight=x", "# nothing" } do
      local from = #proxy:log() + 1
      process.write_file(path, bad)
      proxy:wait_log("warn [^\n]*the last list stays", nil, from)
    end
    os.remove(path)
    proxy:wait_log "No such file or directory; the last list stays"
    wait_list(proxy, a.address, b.address)
  end)
end)

describe("backends of a function", function()
  it("keep their health and their requests under way when the list changes", function()
    local origin
    origin = origins.start(function(connection)
      while connection:read_request() do
        scheduler.eventually(function() return origin.go end)
        connection:respond { body = "done" }
      end
    end)
    local proxy = start(([[
      local started = perilune.now()
      discovery.every(upstreams, 0.1, function()
        upstreams.backends:set_healthy("127.0.0.9:1", false)
        perilune.sleep(0)
        if perilune.now() - started < 0.5 then return { "127.0.0.9:1", %q } end
        return { "127.0.0.8:1", { address = %q, weight = 2 }, "127.0.0.9:1" }
      end)]]):format(origin.address, origin.address), ('"127.0.0.9:1", %q'):format(origin.address))
    local connection = client.connect(proxy.port)
    proxy:wait_log "ready"
    scheduler.eventually(function() return list(proxy):find "9:1 false" end)
    connection:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    wait_list(proxy, origin.address, "127.0.0.8:1", "127.0.0.9:1")
    assert.truthy(list(proxy):find "127.0.0.9:1 false 0")
    assert.truthy(list(proxy):find(origin.address .. " true 1", 1, true))
    origin.go = true
    assert.equal(200, connection:read_response().status)
    scheduler.eventually(function() return list(proxy):find(origin.address .. " true 0", 1, true) end)
  end)

  it("stay when it raises, or gives nothing or nonsense", function()
    local origin = origins.start "a"
    local proxy = start(([[
      local calls = 0
      discovery.every(upstreams, 0.05, function()
        calls = calls + 1
        if calls == 1 then return { %q } end
        if calls == 2 then error "deliberate" end
        if calls == 3 then return nil, "not today" end
        if calls == 4 then return {} end
        if calls == 5 then return { "no port" } end
        return 7
      end)]]):format(origin.address))
    for _, why in ipairs { "deliberate", "not today", "has no backends", "backend 'no port'", "gave a number value" } do
      proxy:wait_log(why .. "[^\n]*; the last list stays")
    end
    assert.equal(200, client.request(proxy.port).status)
  end)
end)

describe("a reload", function()
  it("keeps what was discovered, and what is known of backends that stay", function()
    local a, b = origins.start "a", origins.start "b"
    local path = process.write_file(process.directory() .. "/backends.txt", a.address .. "\n" .. b.address)
    local proxy = start(('discovery.file(upstreams, %q)\nupstreams.backends:set_start(false)'):format(path))
    wait_list(proxy, a.address, b.address)
    scheduler.eventually(function() return list(proxy):find "false" end)
    os.remove(path)
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    wait_list(proxy, a.address, b.address)
    assert.equal(503, client.request(proxy.port).status)
  end)

  it("with another list keeps what is known of the backends that stay", function()
    local a, b = origins.start "a", origins.start "b"
    local dead = origins.dead_address()
    local path = process.write_file(process.directory() .. "/peers.lua", ("return { %q, %q }"):format(a.address, dead))
    local policy = [[
      local perilune = require "perilune"
      local upstreams = require("perilune.round_robin").new(dofile "$PATH")
      require("perilune.health_check").tcp(upstreams, { interval = 0.1, failures = $FAILURES })
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = upstreams:select() } end })
    ]]
    local function text(failures) return policies.fill(policy, { PATH = path, FAILURES = failures }) end
    local script = process.write_file(process.directory() .. "/policy.lua", text(1))
    local proxy = perilune.start { script = script, workers = 2 }
    proxy:wait_log "is unhealthy"
    process.write_file(path, ("return { %q, %q, %q }"):format(dead, b.address, a.address))
    process.write_file(script, text(1000)) -- the new generation would not find out so soon
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    local seen = {}
    for _ = 1, 6 do
      local response = client.request(proxy.port)
      assert.equal(200, response.status)
      seen[response.body] = true
    end
    assert.same({ a = true, b = true }, seen)
  end)
end)
