-- SPDX-License-Identifier: Apache-2.0
-- The examples about backends, each as it stands.
local client = require "client"
local name_server = require "name_server"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(name, env)
  env.LISTEN = "127.0.0.1:0"
  return perilune.start { script = "examples/" .. name, workers = 2, env = env }
end

local function peers(...)
  local list = {}
  for i, origin in ipairs { ... } do list[i] = origin.address end
  return table.concat(list, ",")
end

local function ask(proxy, headers) return client.request { port = proxy.port, headers = headers } end

describe("examples/sticky.lua", function()
  it("keeps each user at one backend, and spreads the users", function()
    local a, b, c = origins.start "a", origins.start "b", origins.start "c"
    local proxy, seen = start("sticky.lua", { PEERS = peers(a, b, c) }), {}
    for user = 1, 20 do
      local cookie = { Cookie = "x=1; user=u" .. user }
      local body = ask(proxy, cookie).body
      seen[body] = true
      scheduler.sleep(0.01) -- a backend whose request has not ended yet may have no room for another
      assert.equal(body, ask(proxy, cookie).body)
    end
    -- The ports are others each time, and so are the shares: 20 users may miss one.
    for user = 21, 300 do seen[ask(proxy, { Cookie = "user=u" .. user }).body] = true end
    assert.same({ a = true, b = true, c = true }, seen)
    assert.equal(200, ask(proxy).status)
  end)
end)

describe("examples/hedging.lua", function()
  it("answers every read at once while one backend takes its time", function()
    local slow = origins.start(function(connection)
      connection:read_request()
      scheduler.sleep(20)
    end)
    local proxy = start("hedging.lua", { PEERS = peers(slow, origins.start "fast") })
    for _ = 1, 5 do assert.equal("fast", ask(proxy).body) end
  end)
end)

describe("examples/retry.lua", function()
  it("answers every read while one backend fails, and soon asks it no more", function()
    local bad = origins.start(function(connection) connection:read_request() end)
    local good, dead = origins.start "good", origins.dead_address()
    local proxy = start("retry.lua", { PEERS = peers(bad, good) .. "," .. dead })
    for _ = 1, 20 do assert.equal(200, ask(proxy).status) end
    assert.is_true(#bad.requests <= 3, #bad.requests .. " requests for the bad one")
  end)
end)

describe("examples/discovery.lua", function()
  it("uses the addresses of a name, and a file's where the name has none", function()
    local main, backup = origins.start "main", origins.start "backup"
    local file = process.write_file(process.directory() .. "/backups.txt", backup.address .. "\n")
    local server = name_server.start {}
    local proxy = start("discovery.lua", {
      NAME = "app.test:" .. main.port, FILE = file, NAME_SERVERS = server.address,
    })
    proxy:wait_log "Domain name not found"
    scheduler.eventually(function() return ask(proxy).body == "backup" end)
    server.names["app.test"] = { A = { "127.0.0.1" } }
    scheduler.eventually(function() return ask(proxy).body == "main" end)
  end)
end)

describe("examples/rate_limits.lua", function()
  it("limits the rate by address and by key, and tells what is left", function()
    local origin = origins.start "hello"
    local proxy = start("rate_limits.lua", { PEER = origin.address })
    local response = ask(proxy)
    assert.equal(200, response.status)
    assert.truthy(response.headers.ratelimit:match '^"address";r=19;t=1$')
    scheduler.eventually(function()
      local clients = {}
      for i = 1, 40 do clients[i] = function() return ask(proxy).status end end
      for _, status in ipairs(scheduler.all(clients)) do
        if status == 429 then return true end
      end
    end)
  end)
end)

describe("examples/health_checks.lua", function()
  it("uses backends that say they are well", function()
    local well, ill = origins.start "well", origins.start(function(connection)
      while connection:read_request() do connection:respond { status = 500, body = "ill" } end
    end)
    local proxy = start("health_checks.lua", { PEERS = peers(well, ill) })
    proxy:wait_log(well.address:gsub("%p", "%%%0") .. " is healthy")
    proxy:wait_log "1 backends are ready"
    for _ = 1, 4 do assert.equal("well", ask(proxy).body) end
  end)
end)
