-- SPDX-License-Identifier: Apache-2.0
-- What this machine lacks is no failure of those whom our modules ask: on virtual time, they are asked again soon while
-- it lasts, however long it has lasted, and nothing is counted or given up.
local authority = require "spec.support.acme_authority"
local cluster_purge = require "perilune.cluster_purge"
local core = require "perilune.core"
local discovery = require "perilune.discovery"
local manager = require "perilune.acme_manager"
local perilune = require "perilune"
local redis = require "perilune.redis"
local round_robin = require "perilune.round_robin"
local tcp = require "perilune.tcp"
local test = require "perilune.test"

local OURS = { "local_shortage", "no_port" }

local function nothing() end

-- Those who were asked: { at = { moments }, kind = the error that each gets }.
local function nobody(kind)
  local self = { at = {}, kind = kind }
  function self.ask()
    self.at[#self.at + 1] = core.now()
    return { error = self.kind }
  end
  return self
end

local function longest_gap(moments)
  local longest = 0
  for i = 2, #moments do longest = math.max(longest, moments[i] - moments[i - 1]) end
  return longest
end

describe("a shortage of this machine", function()
  for _, engine in ipairs { "consul", "etcd", "kubernetes" } do
    it(("does not lengthen the pauses of discovery (%s)"):format(engine), function()
      local function follow(kind)
        local asked = nobody(kind)
        test.policy { request_filter = nothing }
        test.http(asked.ask)
        local set = round_robin.new { name = engine .. kind }
        if engine == "consul" then discovery.consul(set, "app", { address = "http://10.0.0.1:8500" }) end
        if engine == "etcd" then discovery.etcd(set, "/app/", { endpoints = "http://10.0.0.1:2379" }) end
        if engine == "kubernetes" then
          discovery.kubernetes(set, "default/app", { address = "http://10.0.0.1:8001" })
        end
        test.clock:advance(120)
        return asked
      end
      for _, kind in ipairs(OURS) do
        local asked = follow(kind)
        assert.is_true(longest_gap(asked.at) < 1.3, longest_gap(asked.at))
        assert.is_true(#asked.at > 90, #asked.at)
      end
      assert.is_true(longest_gap(follow("connect_refused").at) > 10)
    end)
  end

  it("does not lengthen the pauses of a subscription to Redis", function()
    local function follow(kind)
      local asked, real = nobody(kind), tcp.connect
      test.policy { request_filter = nothing }
      tcp.connect = function()
        asked.ask()
        return nil, "it fails", kind
      end
      local subscription = redis.new("10.0.0.1:6379"):subscribe { "news" }
      local task = perilune.spawn(function()
        while true do subscription:receive(60) end
      end)
      test.clock:advance(60)
      task:stop()
      tcp.connect = real
      return asked
    end
    for _, kind in ipairs(OURS) do assert.is_true(longest_gap(follow(kind).at) < 0.2) end
    assert.is_true(longest_gap(follow("connect_refused").at) > 2)
  end)

  it("does not lengthen the pauses of those who read the purges of others", function()
    local function follow(kind)
      local asked, real = nobody(kind), tcp.connect
      test.policy { request_filter = nothing }
      tcp.connect = function()
        asked.ask()
        return nil, "it fails", kind
      end
      local pages = perilune.cache("pages of " .. kind, { size = "1M" })
      cluster_purge.start(pages, { store = redis.new "10.0.0.1:6379" })
      test.clock:advance(60)
      tcp.connect = real
      return asked
    end
    for _, kind in ipairs(OURS) do
      local asked = follow(kind)
      assert.is_true(longest_gap(asked.at) < 1.3, longest_gap(asked.at))
      assert.is_true(#asked.at > 40, #asked.at)
    end
    assert.is_true(longest_gap(follow("connect_refused").at) > 4)
  end)

  it("is no failure of an order of a certificate, which is tried again as soon as it is over", function()
    test.policy { request_filter = nothing }
    local asked = nobody "local_shortage"
    local server = authority.start { days = 90, wrong = {
      ["/dir"] = function() return asked.kind and asked.ask() end } }
    local self = { options = { directory = authority.HOST .. "/dir", most = 1 }, entries = {}, by_id = {}, busy = 0,
      storage = { read = nothing, write = function() return true end,
        lock = function() return { unlock = nothing } end },
      live = { set = function() return true end }, failed = perilune.dict "failed",
      known_until = { set = nothing }, orders = { add = nothing },
      new_solver = function() return { prove = nothing, finish = nothing } end }
    local entry = manager.add(self, { "a.example" })
    manager.start(self)
    test.clock:advance(3600)
    assert.is_true(longest_gap(asked.at) < 6, longest_gap(asked.at))
    assert.equal(0, entry.failures)
    assert.is_nil(self.failed:get "a.example")
    asked.kind = nil
    test.clock:advance(8)
    assert.same({ "a.example" }, server.issued)
  end)
end)
