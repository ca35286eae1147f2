-- SPDX-License-Identifier: Apache-2.0
-- What is seen of the cache from outside: metrics, status and the access log.
local metrics = require "metrics"
local perilune = require "perilune"
local process = require "process"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

describe("a cache", function()
  it("tells metrics, status.json, `perilune status` and the access log what it did", function()
    local log = process.directory() .. "/access.log"
    local ask, _, proxy = scene.start(function(request)
      if request.target == "/private" then return { headers = { ["Cache-Control"] = "private" }, body = "x" } end
      return scene.FRESH
    end, { listen = (', access_log = %q, access_log_format = "json"'):format(log), admin = true })
    for _, path in ipairs { "/a", "/a", "/a", "/private" } do ask { target = path } end
    ask { target = "/a", method = "POST", body = "x" }

    local text = require("client").request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    for status, count in pairs { hit = 2, miss = 2, bypass = 1, stale = 0 } do
      local sample = ('perilune_cache_requests_total{cache="pages",status="%s"} %d\n'):format(status, count)
      assert.matches(sample, text, 1, true)
    end
    assert.matches('perilune_cache_size_bytes{cache="pages"} 8388608\n', text, 1, true)
    assert.matches('perilune_cache_served_bytes_total{cache="pages"} 18\n', text, 1, true)

    local cache = metrics.status(proxy).caches[1]
    assert.same({ "pages", 2, 2, 0.5, 1, 1 },
      { cache.name, cache.hits, cache.misses, cache.hit_ratio, cache.stored, cache.purges })
    local said = perilune.run("status", "--pid", tostring(proxy.pid)).stdout
    assert.matches("cache +pages +50%.0%% hits of 4 requests, 0 MiB of 8 used, 0 on their way", said)

    local lines
    scheduler.wait_until(function()
      lines = {}
      for line in (process.read_file(log) or ""):gmatch "[^\n]+" do lines[#lines + 1] = line end
      return #lines == 5
    end)
    for i, status in ipairs { "miss", "hit", "hit", "miss", "bypass" } do
      assert.matches('"cache":"' .. status .. '"', lines[i], 1, true)
    end
    assert.matches('"cache":"hit","cache_age":%d', lines[2])
    assert.is_nil(lines[1]:find("cache_age", 1, true))
    assert.is_nil(lines[2]:find("upstream", 1, true))
  end)

  it("says how old what it drops is", function()
    local ask, _, proxy = scene.start(scene.fresh { body = ("x"):rep(50000) }, { size = "1M", admin = true })
    for number = 1, 40 do ask { target = "/" .. number } end
    local cache = metrics.status(proxy).caches[1]
    assert.is_true(cache.eviction_age_us > 0)
    assert.is_true(cache.used_bytes <= cache.size_bytes)
  end)
end)
