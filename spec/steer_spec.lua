-- SPDX-License-Identifier: Apache-2.0
-- `perilune backend`, `perilune log-level` and `perilune ps`: people steer a proxy that runs, and see which do.
local cleanup = require "cleanup"
local cjson = require "cjson"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)
local has = running.has

local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { name = "app", "$A", "$B" }
  require("perilune.round_robin").new { name = "other", "$B", "127.0.0.1:9" }
  perilune.listen("127.0.0.1:0", {
    upstream_peer = function() return set:select() end,
  })
]]

-- A proxy between two origins; `ask(n)` gives how many of n answers came from each.
local function start(slow)
  local a, b = origins.start(slow or "a"), origins.start "b"
  local policy = policies.fill(POLICY, { A = a.address, B = b.address })
  local proxy, pid_file, path = running.start { policy = policy, words = { "--admin", "127.0.0.1:0" } }
  local scene = { a = a, b = b, proxy = proxy, pid_file = pid_file, path = path }
  function scene.say(...) return running.command(pid_file, ...) end
  function scene.ask(count)
    local counts = { a = 0, b = 0 }
    for _ = 1, count do
      local body = client.request(proxy.port).body
      counts[body] = (counts[body] or 0) + 1
    end
    return counts
  end
  return scene
end

describe("perilune backend", function()
  it("takes a backend out, keeps it out over a reload and an upgrade, and puts it back", function()
    local s = start()
    assert.same({ a = 5, b = 5 }, s.ask(10))
    local result = s.say("backend", "disable", "app", s.a.address)
    assert.equal(0, result.code, result.stderr)
    assert.equal(("backend %s of set 'app' is disabled\n"):format(s.a.address), result.stdout)
    assert.same({ a = 0, b = 10 }, s.ask(10))
    assert.equal(0, s.say("reload").code)
    assert.same({ a = 0, b = 10 }, s.ask(10))
    assert.equal(0, s.say("upgrade").code)
    assert.same({ a = 0, b = 10 }, s.ask(10))
    has(s.say("status").stdout, s.a.address .. "              disabled")
    result = s.say("backend", "enable", "app", s.a.address)
    assert.equal(("backend %s of set 'app' is enabled\n"):format(s.a.address), result.stdout)
    assert.same({ a = 5, b = 5 }, s.ask(10))
  end)

  it("gives a backend another weight, and shows it", function()
    local s = start()
    assert.equal(0, s.say("backend", "weight", "app", s.a.address, "4").code)
    assert.same({ a = 8, b = 2 }, s.ask(10))
    assert.equal(0, s.say("reload").code)
    assert.same({ a = 8, b = 2 }, s.ask(10))
    local list = s.say("backend", "list", "app").stdout
    has(list, "weight 4 (policy: 1), 0 requests in flight, expected latency ")
    local samples = metrics.read(s.proxy)
    assert.equal(4, samples[('perilune_backend_weight{set="app",backend="%s"}'):format(s.a.address)])
    local decoded = cjson.decode(s.say("backend", "list", "--json").stdout)
    assert.equal(4, #decoded)
    assert.equal("forgotten: 1 order; what the policy says holds\n", s.say("backend", "--forget", "app").stdout)
    assert.same({ a = 5, b = 5 }, s.ask(10))
  end)

  it("drains: new requests go elsewhere, those under way end, and the command waits for them", function()
    local gate = process.directory() .. "/gate"
    local s = start(function(connection)
      while connection:read_request() do
        scheduler.eventually(function() return io.open(gate) end)
        connection:respond { body = "a" }
      end
    end)
    local bodies = {}
    scheduler.spawn(function() bodies[1] = client.request(s.proxy.port).body end)
    scheduler.eventually(function() return #s.a.requests == 1 end)
    local result = s.say("backend", "drain", s.a.address, "--for", "1ms")
    assert.equal(1, result.code)
    has(result.stderr, "1 request is still under way at " .. s.a.address .. "; new ones do not come, and these go on")
    has(s.say("status").stdout, "draining")
    assert.same({ a = 0, b = 6 }, s.ask(6))
    local drain
    scheduler.spawn(function() drain = s.say("backend", "drain", "app", s.a.address, "--for=1m") end)
    process.write_file(gate, "")
    scheduler.eventually(function() return drain end)
    assert.equal(0, drain.code, drain.stderr)
    assert.equal("drained: no request is left at " .. s.a.address .. "\n", drain.stdout)
    scheduler.eventually(function() return bodies[1] end)
    assert.equal("a", bodies[1])
    has(s.say("backend", "list").stdout, "drained")
  end)

  it("warns where no backend of a set is left, and the error of a request says so", function()
    local s = start()
    assert.equal(0, s.say("backend", "disable", "app", s.a.address).code)
    local result = s.say("backend", "disable", "app", s.b.address)
    assert.equal(0, result.code)
    has(result.stdout, "WARNING: no backend of set 'app' is left: its requests get 503 now")
    s.proxy:wait_log "set 'app': no backend is left that is not drained or disabled"
    assert.equal(503, client.request(s.proxy.port).status)
    s.proxy:wait_log "set 'app': 2 backends, and each is drained or disabled"
    result = s.say("backend", "drain", "app", s.b.address)
    assert.equal(0, result.code)
    has(result.stderr, "WARNING: no backend of set 'app' is left")
  end)

  it("says what there is where nothing has that name, and needs no set where one alone has the address", function()
    local s = start()
    local function refused(wanted, ...)
      local result = s.say("backend", ...)
      assert.equal(2, result.code)
      has(result.stderr, wanted)
    end
    refused("there is no set 'apt'; there is app, other", "drain", "apt", s.a.address)
    refused("there is no backend '1.2.3.4:5' in app; there is " .. s.a.address .. ", " .. s.b.address, "drain", "app",
      "1.2.3.4:5")
    refused("several sets have " .. s.b.address .. ": say which of app, other", "disable", s.b.address)
    refused("a weight is a whole number from 1 to 65535, not '0'; drain takes a backend out", "weight", s.a.address,
      "0")
    refused("there is no set 'apt' with backends", "list", "apt")
    refused("backend has no action 'stop'; valid are list, drain, disable, enable and weight", "stop", "x")
    refused("drain wants [SET] ADDRESS", "drain")
    refused("--for belongs to drain", "disable", s.a.address, "--for", "1s")
    refused("--forget takes no ACTION such as 'drain'", "--forget", "drain", s.a.address)
    assert.equal(0, s.say("backend", "disable", s.a.address).code)
  end)

  it("keeps what was said of a backend that is away, and lists it", function()
    local s = start()
    assert.equal(0, s.say("backend", "disable", "app", s.a.address).code)
    local with = process.read_file(s.path)
    local both, one = ('"%s", "%s"'):format(s.a.address, s.b.address), ('"%s"'):format(s.b.address)
    process.write_file(s.path, (with:gsub(both, one, 1)))
    assert.equal(0, s.say("reload").code)
    has(s.say("backend", "list").stdout, "disabled    (the set has it not at the moment)")
    process.write_file(s.path, with)
    assert.equal(0, s.say("reload").code)
    assert.same({ a = 0, b = 6 }, s.ask(6))
  end)

  it("steers the peers of a proxy without a script, too", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = perilune.start { to = { a.address, b.address }, workers = 1 }
    local result = perilune.run("backend", "disable", a.address, "--pid", tostring(proxy.pid))
    assert.equal(0, result.code, result.stderr)
    for _ = 1, 4 do assert.equal("b", client.request(proxy.port).body) end
  end)
end)

describe("perilune log-level", function()
  it("changes the level at once, over reloads, and back", function()
    local s = start()
    assert.equal("log level: info, as configured\n", s.say("log-level").stdout)
    has(s.say("log-level", "error").stdout, "log level: error until the process ends")
    assert.equal(0, s.say("reload").code)
    has(s.say("status").stdout, "log         level error until the process ends")
    assert.is_nil(s.proxy:log():match "generation 2 is in force")
    assert.equal("log level: info, as configured\n", s.say("log-level", "default").stdout)
    s.proxy:wait_log "log level: info again"
  end)

  it("goes back by itself after a time", function()
    local s = start()
    has(s.say("log-level", "debug", "--for", "10m").stdout, "log level: debug for 10 min more, then info")
    assert.equal(0, s.say("log-level", "debug", "--for", "20ms").code)
    s.proxy:wait_log "log level: info again: the time is over"
  end)

  it("refuses what is no level", function()
    local s = start()
    local result = s.say("log-level", "loud")
    assert.equal(2, result.code)
    has(result.stderr, "a level is debug, info, warn or error, or 'default' for the configured one, not 'loud'")
  end)
end)

describe("perilune ps", function()
  it("lists the proxies that run here, what they serve and how to name them", function()
    local s = start()
    local text = perilune.run("ps").stdout
    has(text, ("process %d, user "):format(s.proxy.pid))
    has(text, (": %s\n  listens on  127.0.0.1:%d"):format(s.path, s.proxy.port))
    has(text, ("  name it     --pid %d or --pid-file %s\n"):format(s.proxy.pid, s.pid_file))
    local found
    for _, one in ipairs(cjson.decode(perilune.run("ps", "--json").stdout)) do
      if one.pid == s.proxy.pid then found = one end
    end
    assert.equal(s.path, found.policy)
    assert.equal(1, found.generation)
    assert.same({ ("127.0.0.1:%d"):format(s.proxy.port) }, { found.listeners[1] })
    assert.equal("serving", found.state)
  end)
end)
