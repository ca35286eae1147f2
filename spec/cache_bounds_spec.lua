-- SPDX-License-Identifier: Apache-2.0
-- The bounds of the cache: how long a request waits for another's fetch, how many variants a URL has, and fetches that
-- are under way when the policy changes.
local perilune = require "perilune"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local cached, fresh = scene.start, scene.fresh

describe("the cache", function()
  it("lets a request ask for itself once it has waited for lock_wait, and both are answered", function()
    local arrived, is_released = 0, false
    local ask, origin = cached(function()
      arrived = arrived + 1
      local number = arrived
      if number == 1 then scheduler.wait_until(function() return is_released end) end
      return fresh { body = "answer " .. number }
    end, { cache = ", lock_wait = 0.2" })
    local first
    scheduler.spawn(function() first = ask().body end)
    assert.is_true(scheduler.wait_until(function() return arrived == 1 end))
    assert.equal("answer 2", ask().body)
    is_released = true
    assert.is_true(scheduler.wait_until(function() return first end) and first == "answer 1")
    assert.equal(2, #origin.requests)
  end)

  it("keeps max_variants of a URL, the newest", function()
    local count = 0
    local ask = cached(function()
      count = count + 1
      return fresh { headers = { Vary = "X-V" }, body = tostring(count) }
    end, { cache = ", max_variants = 2" })
    local function of(v) return ask({ headers = { ["X-V"] = v } }).body end
    assert.same({ "1", "2", "3" }, { of "a", of "b", of "c" })
    assert.same({ "3", "2" }, { of "c", of "b" })
    assert.same({ "4", "3", "5" }, { of "a", of "c", of "b" })
  end)

  it("goes on with what is on its way when the policy is loaded again", function()
    local is_released = false
    local ask, origin, proxy = cached(function()
      scheduler.wait_until(function() return is_released end)
      return fresh { body = ("x"):rep(100000) }
    end)
    local got
    scheduler.spawn(function() got = ask() end)
    assert.is_true(scheduler.wait_until(function() return #origin.requests == 1 end))
    local result = perilune.run("reload", "--pid", tostring(proxy.pid))
    assert.equal(0, result.code, result.stderr)
    is_released = true
    assert.is_true(scheduler.wait_until(function() return got end) and #got.body == 100000)
    assert.equal(100000, #ask().body)
    assert.equal(1, #origin.requests)
  end)
end)
