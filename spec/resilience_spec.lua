-- SPDX-License-Identifier: Apache-2.0
-- One of three backends goes bad under load: killed, frozen, slow, or failing half of the time. Counts what the clients
-- notice, and for how long.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local CLIENTS, INTERVAL = 8, 0.5

-- Reads are tried again elsewhere; checks and results take a bad backend out.
local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.$MODULE").new {
  $PEERS, passive = { failures = 5, error_share = 0.3, window = 0.5, min_requests = 10, eject = 30 },
  retry_budget = { share = 0.5, min = 8 },
}
require("perilune.health_check").http(upstreams, { path = "/health", interval = $INTERVAL, timeout = $INTERVAL })
local policy = {}
function policy.upstream_peer(_, ctx)
  ctx.tried = ctx.tried or {}
  local address = upstreams:select(nil, { exclude = ctx.tried })
  ctx.tried[#ctx.tried + 1] = address
  return { address = address, first_byte_timeout = $PATIENCE }
end
function policy.error_while_proxy(_, _, failure) failure.retry = true end
perilune.listen("127.0.0.1:0", policy)
]]

local function start(module, patience, list)
  local peers = {}
  for i, origin in ipairs(list) do peers[i] = ("%q"):format(origin.address) end
  return perilune.start {
    workers = 2,
    policy = policies.fill(POLICY, {
      MODULE = module, PEERS = table.concat(peers, ", "), INTERVAL = INTERVAL, PATIENCE = patience,
    }),
  }
end

-- An origin that obeys origin.mode: "frozen", "slow" or "failing", for what is not /health unless it is frozen.
local function fickle(text)
  local origin
  local count = 0
  origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local is_check = request.target == "/health"
      count = count + 1
      if not is_check then origin.asked_last = sys.now() end
      if origin.mode == "frozen" then return scheduler.sleep(60) end
      if origin.mode == "slow" and not is_check then scheduler.sleep(2) end
      local fails = origin.mode == "failing" and not is_check and count % 2 == 0
      connection:respond { status = fails and 503 or 200, body = text }
    end
  end)
  return origin
end

-- Clients that ask without a pause, until the load is stopped. All answers: { at, seconds, status }.
local function load_begin(proxy)
  local load = { answers = {}, tasks = {} }
  for i = 1, CLIENTS do
    load.tasks[i] = function()
      local connection = client.connect(proxy.port)
      while not load.stopped do
        local begun = sys.now()
        local response = connection:request { timeout = 20 }
        local status = response and response.status or 0
        load.answers[#load.answers + 1] = { at = begun, seconds = sys.now() - begun, status = status }
        if not response or response.headers.connection == "close" then connection = client.connect(proxy.port) end
        scheduler.sleep(0.002)
      end
    end
  end
  load.runner = scheduler.spawn(function() scheduler.all(load.tasks, 60) end)
  return load
end

local function load_end(load)
  load.stopped = true
  scheduler.sleep(0.2)
end

local function select_from(load, from)
  local failed, seconds = 0, {}
  for _, answer in ipairs(load.answers) do
    if answer.at >= from then
      if answer.status ~= 200 then failed = failed + 1 end
      seconds[#seconds + 1] = answer.seconds
    end
  end
  table.sort(seconds)
  return failed, seconds[math.ceil(#seconds * 0.99)] or 0, #seconds
end

local function run(module, patience, turn_bad, lasts)
  local list = { fickle "a", fickle "b", fickle "c" }
  local proxy = start(module, patience, list)
  local load = load_begin(proxy)
  scheduler.sleep(1)
  local turned = sys.now()
  turn_bad(list[2])
  scheduler.sleep(lasts)
  load_end(load)
  return load, turned, list, proxy
end

describe("a set under load, one of whose three backends", function()
  it("is killed: no read fails", function()
    local load, turned = run("round_robin", 5, function(origin) origin:stop() end, 2)
    local failed, _, count = select_from(load, turned)
    assert.equal(0, failed)
    assert.is_true(count > 100, count .. " requests")
  end)

  it("freezes: no read fails, and it is asked no more after two intervals", function()
    local load, turned, list = run("round_robin", 0.3, function(origin) origin.mode = "frozen" end, 3)
    assert.equal(0, (select_from(load, turned)))
    local after = list[2].asked_last - turned
    assert.is_true(after < 2 * INTERVAL + 0.5, ("it was asked %.2f s after it froze"):format(after))
  end)

  it("answers after two seconds: the others take over within five seconds", function()
    local load, turned = run("least_latency", 5, function(origin) origin.mode = "slow" end, 7)
    assert.equal(0, (select_from(load, turned)))
    local _, p99, count = select_from(load, turned + 5)
    assert.is_true(p99 < 1, ("p99 is %.3f s of %d requests"):format(p99, count))
  end)

  it("fails half of the time: it is ejected, and nothing fails any more", function()
    local load, turned, _, proxy = run("round_robin", 5, function(origin) origin.mode = "failing" end, 3)
    proxy:wait_log "ejected"
    local early = select_from(load, turned)
    assert.is_true(early < 80, early .. " requests failed")
    assert.equal(0, (select_from(load, turned + 1.5)))
  end)
end)
