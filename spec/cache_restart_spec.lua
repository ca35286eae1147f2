-- SPDX-License-Identifier: Apache-2.0
-- A cache with a file, over a restart: what is found again, and what is not.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local AGE = 100 -- seconds, of what the origin gives

-- An origin that counts, and a function that starts a proxy in front of it with the cache in that file.
local function scene(size)
  local path, count = process.directory() .. "/pages.cache", 0
  local origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      count = count + 1
      connection:respond { headers = { ["Cache-Control"] = "max-age=600", ["Surrogate-Key"] = "t", Age = AGE },
        body = (request.target .. " " .. count .. " "):rep(3000) }
    end
  end)
  local function start()
    local proxy = perilune.start { workers = 2, policy = ([[
      local perilune = require "perilune"
      local policy = { upstream_peer = function() return "%s" end }
      perilune.listen("127.0.0.1:0", policy, { cache = perilune.cache("pages", { size = "%s", path = %q }) })
    ]]):format(origin.address, size or "2M", path) }
    local function ask(target) return client.request { port = proxy.port, target = target } end
    return ask, proxy
  end
  return start, path
end

local function kill(proxy)
  proxy:kill()
  proxy:ended()
end

local function bodies(ask)
  return { ask("/a").body, ask("/b").body, ask("/c").body }
end

describe("a cache with a path", function()
  it("has everything again after a stop and after kill -9, with its age", function()
    local start = scene()
    local ask, proxy = start()
    local before = bodies(ask)
    local function age() return tonumber(ask("/a").headers.age) end
    scheduler.eventually(function() return age() > AGE end)
    for _, ending in ipairs { "kill", "stop" } do
      local least = age()
      if ending == "stop" then proxy:stop() else kill(proxy) end
      ask, proxy = start()
      assert.same(before, bodies(ask))
      assert.is_true(age() >= least and age() < 600, age() .. " after " .. least)
    end
  end)

  it("does not bring back what was purged, by whatever", function()
    local start = scene()
    local ask, proxy = start()
    local before = bodies(ask)
    local function purge(...)
      assert.equal(0, perilune.run("purge", "--pid", tostring(proxy.pid), ...).code)
      kill(proxy)
      ask, proxy = start()
    end
    purge("--url", "http://spec.example/a")
    local after = bodies(ask)
    assert.not_equal(before[1], after[1])
    assert.same({ before[2], before[3] }, { after[2], after[3] })
    purge("--tag", "t")
    local last = bodies(ask)
    for i = 1, 3 do assert.not_equal(after[i], last[i]) end
    purge("--prefix", "http://spec.example/")
    for i, body in ipairs(bodies(ask)) do assert.not_equal(last[i], body) end
  end)

  it("does not bring back what its peer has withdrawn, not even where that is away now", function()
    local path, says = process.directory() .. "/pages.cache", "max-age=0, stale-if-error=600"
    local origin = origins.start(function(connection)
      while connection:read_request() do
        if says == "error" then
          connection:respond { status = 503, body = "away" }
        else
          connection:respond { headers = { ["Cache-Control"] = says }, body = says }
        end
      end
    end)
    local function start()
      local proxy = perilune.start { workers = 1, policy = ([[
        local perilune = require "perilune"
        local policy = { upstream_peer = function() return "%s" end }
        perilune.listen("127.0.0.1:0", policy, { cache = perilune.cache("pages", { size = "1M", path = %q }) })
      ]]):format(origin.address, path) }
      return function() return client.request { port = proxy.port, target = "/" } end, proxy
    end
    local ask, proxy = start()
    assert.equal(says, ask().body)
    says = "error"
    assert.matches("stale%-if%-error", ask().body)
    says = "no-store"
    assert.equal(says, ask().body)
    says = "error"
    assert.equal(503, ask().status)
    kill(proxy)
    ask = start()
    assert.equal(503, ask().status)
  end)

  it("says what is wrong with the file, and serves", function()
    local start, path = scene()
    process.write_file(path, "somebody else's text")
    local ask, proxy = start()
    assert.matches("/a 1", ask("/a").body, 1, true)
    assert.matches(path .. " is no file of a cache, and is left alone; the cache is in memory", proxy:log(), 1, true)
    assert.equal("somebody else's text", process.read_file(path))
  end)

  it("is there after a reload, too", function()
    local start = scene()
    local ask, proxy = start()
    local before = bodies(ask)
    assert.equal(0, perilune.run("reload", "--pid", tostring(proxy.pid)).code)
    assert.same(before, bodies(ask))
    assert.is_nil(proxy:log():find("in memory only", 1, true))
  end)

  it("is not touched by `perilune check`", function()
    local path = process.directory() .. "/pages.cache"
    local policy = process.write_file(process.directory() .. "/policy.lua", ([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end },
        { cache = perilune.cache("pages", { size = "1M", path = %q }) })
    ]]):format(path))
    assert.equal(0, perilune.run("check", policy).code)
    assert.is_nil(io.open(path))
  end)
end)
