-- SPDX-License-Identifier: Apache-2.0
-- perilune.acme_manager on virtual time: how often it orders for which name, and what a clock that is wrong, or that is
-- set right, makes it do. The authority is scripted, and has the right time.
local authority = require "spec.support.acme_authority"
local core = require "perilune.core"
local date = require "perilune.date"
local json = require "perilune.json"
local manager = require "perilune.acme_manager"
local perilune = require "perilune"
local test = require "perilune.test"

local DAY, POLL = 86400, 31 -- it looks at each certificate within POLL
local NOW = 1900000000

-- What is kept in memory. Its locks are always free.
local function new_storage()
  local texts = {}
  return {
    texts = texts,
    read = function(_, name) return texts[name] end,
    write = function(_, name, text) texts[name] = text return true end,
    lock = function() return { unlock = function() end } end,
  }
end

local function nothing() end

-- A manager of these names, each with a certificate of its own, that has begun. It has `tried`: name = the times of
-- its orders, by the authority's clock.
local function start(server, names, storage)
  local self = { options = { directory = authority.HOST .. "/dir", most = 100 }, storage = storage or new_storage(),
    entries = {}, by_id = {}, busy = 0,
    live = { set = function() return true end }, failed = perilune.dict("failed" .. core.now()),
    known_until = { set = nothing }, orders = { add = nothing },
    new_solver = function() return { prove = nothing, finish = nothing } end }
  server.wrong["/order"] = function(payload, nth)
    local name = payload.identifiers[1].value
    local times = server.tried[name] or {}
    server.tried[name] = times
    times[#times + 1] = server.time()
    return server.refuse and server.refuse(name, #times, nth)
  end
  for _, name in ipairs(names) do manager.add(self, { name }) end
  manager.load(self)
  manager.start(self)
  return self
end

-- An authority whose clock goes on by itself, whatever the proxy's is set to.
local function new_authority(given)
  local since, leapt = nil, 0
  given.tried, given.wrong = {}, {}
  given.time = function() return NOW + leapt + core.now() - since end
  -- So many seconds pass, on both clocks. It is no work to let them pass in one step.
  given.pass = function(seconds)
    leapt = leapt + seconds - POLL
    test.clock:set_time(core.time() + seconds - POLL)
    test.clock:advance(POLL)
  end
  test.policy { request_filter = nothing }
  test.clock:set_time(NOW)
  since = core.now()
  return authority.start(given)
end

-- Sets the proxy's clock, and lets it notice.
local function set_clock(time)
  test.clock:set_time(time)
  test.clock:advance(POLL)
end

-- The seconds between two orders and the next.
local function gaps(times)
  local list = {}
  for i = 2, #times do list[#list + 1] = times[i] - times[i - 1] end
  return list
end

local function status_of(self, name)
  for _, one in ipairs(manager.status(self)) do if one.name == name then return one end end
end

describe("acme_manager", function()
  it("waits twice as long after each failure of a name, and lets no other name wait for it", function()
    local server = new_authority { days = 90, refuse = function(name)
      if name == "bad.example" then return authority.problem(403, "rejectedIdentifier") end
    end }
    local self = start(server, { "bad.example", "good.example" })
    test.clock:advance(3600)
    local between = gaps(server.tried["bad.example"])
    assert.is_true(#between >= 4 and #between <= 6, #between)
    for i, gap in ipairs(between) do
      local pause = 60 * 2 ^ (i - 1)
      assert.is_true(gap > 0.74 * pause and gap < 1.26 * pause + 1, ("gap %d is %g s"):format(i, gap))
    end
    assert.same({ "good.example" }, server.issued)
    assert.is_true(server.tried["good.example"][1] - NOW < 2)
    assert.equal(0, status_of(self, "good.example").failures)
    assert.equal(#between + 1, status_of(self, "bad.example").failures)
    assert.matches("rejectedIdentifier", status_of(self, "bad.example").why)
  end)

  it("tries again after a day at the latest, however often it has failed", function()
    local storage = new_storage()
    storage.texts["states/a.example.json"] = json.encode { failures = 900, retry_at = NOW - 1 }
    local server = new_authority { refuse = function() return authority.problem(500, "serverInternal") end }
    start(server, { "a.example" }, storage)
    test.clock:advance(POLL)
    assert.equal(1, #server.tried["a.example"])
    local retry_at = json.decode(storage.texts["states/a.example.json"]).retry_at - NOW
    assert.is_true(retry_at > 0.7 * DAY and retry_at < 1.3 * DAY, retry_at)
    server.pass(1.3 * DAY)
    assert.equal(2, #server.tried["a.example"])
  end)

  it("asks an authority that names a time not before that, also where it was started again meanwhile", function()
    local storage = new_storage()
    local server = new_authority { days = 90, refuse = function(_, nth)
      if nth == 1 then return authority.problem(429, "rateLimited", { ["Retry-After"] = "7200" }) end
    end }
    start(server, { "a.example" }, storage)
    test.clock:advance(600)
    test.policy { request_filter = nothing } -- it ends what ran before
    authority.start(server)
    start(server, { "a.example" }, storage)
    test.clock:advance(6500)
    assert.equal(1, #server.tried["a.example"])
    test.clock:advance(200)
    assert.equal(2, #server.tried["a.example"])
    assert.same({ "a.example" }, server.issued)
  end)

  it("waits no longer than a day where the clock was set back after a failure", function()
    local server = new_authority { days = 90, refuse = function(_, nth)
      if nth == 1 then return authority.problem(403, "unauthorized") end
    end }
    start(server, { "a.example" })
    test.clock:advance(1)
    set_clock(NOW - 365 * DAY)
    server.pass(DAY - 2 * POLL)
    assert.same({}, server.issued)
    server.pass(2 * POLL)
    assert.same({ "a.example" }, server.issued)
  end)

  for what, years in pairs { ahead = 1, behind = -1 } do
    it("says it and orders no more than once a day where the clock is a year " .. what, function()
      local server = new_authority { days = 90 }
      local wrong = years * 365 * DAY
      test.clock:set_time(NOW + wrong)
      local self = start(server, { "a.example" })
      test.clock:advance(3 * 3600)
      assert.equal(1, #server.tried["a.example"])
      for _ = 1, 10 do server.pass(DAY) end
      local orders = #server.tried["a.example"]
      assert.is_true(years > 0 and orders > 5 and orders <= 11 or orders == 1, orders)
      assert.equal(orders, #server.issued) -- they were in force all the same
      assert.is_truthy(test.log.find("the clock of this machine is %d+ s " .. what))
      if years > 0 then assert.matches("one of the clocks is wrong", status_of(self, "a.example").why) end
    end)
  end

  it("orders nothing where a clock is set right again, and the certificate is good", function()
    for _, years in ipairs { -1, 1 } do
      local server = new_authority { days = 90 }
      local self = start(server, { "a.example" })
      test.clock:advance(1)
      assert.same({ "a.example" }, server.issued)
      set_clock(NOW + years * 365 * DAY)
      set_clock(server.time())
      local orders = #server.issued
      assert.is_true(orders <= 2, orders)
      for _ = 1, 5 do server.pass(10 * DAY) end
      assert.equal(orders, #server.issued)
      server.pass(11 * DAY)
      assert.equal(orders + 1, #server.issued)
      assert.equal(0, status_of(self, "a.example").failures)
    end
  end)

  it("renews when the authority wants it, asks as often as it says, and not because a clock has stepped", function()
    local from, asked = NOW + 20 * DAY, 0
    local server = new_authority { days = 90 }
    server.on_ari = function()
      asked = asked + 1
      return { headers = { ["Retry-After"] = "21600" }, body = json.encode { suggestedWindow = {
        start = date.iso8601(from), ["end"] = date.iso8601(from + DAY) } } }
    end
    local self = start(server, { "a.example" })
    test.clock:advance(2 * POLL)
    assert.equal(1, asked)
    local at = status_of(self, "a.example").renew_at
    assert.is_true(at >= from and at <= from + DAY, at)
    set_clock(NOW + 10 * DAY) -- steps of the clock are no time that has passed
    set_clock(NOW - 10 * DAY)
    assert.equal(1, asked)
    assert.same({ "a.example" }, server.issued)
    from = NOW + 5 * DAY
    set_clock(NOW)
    test.clock:advance(21600)
    assert.equal(2, asked)
    at = status_of(self, "a.example").renew_at
    assert.is_true(at >= from and at <= from + DAY, at)
    server.pass(from - server.time() - 60)
    assert.equal(1, #server.issued)
    server.pass(DAY + 120)
    assert.equal(2, #server.issued)
    assert.is_true(server.replaces ~= nil)
  end)
end)
