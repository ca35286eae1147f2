-- SPDX-License-Identifier: Apache-2.0
-- One of three backends goes bad under load: killed, frozen, slow, or failing half of the time. Counts what the clients
-- notice, and for how long. The backends are processes of their own: in the one of the spec they would all freeze when
-- that one waits for a processor, and their checks would say so.
local cleanup = require "cleanup"
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local CLIENTS, INTERVAL, MIN_REQUESTS = 8, 0.5, 10

-- Obeys /mode/<mode>: "slow" or "failing", for what is not /health.
local BACKEND = [[
local perilune = require "perilune"
local mode, count = "good", 0
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  local path = session:path()
  mode = path:match "^/mode/(.*)" or mode
  if path ~= "/" then return session:respond { status = 200 } end
  if mode == "slow" then perilune.sleep(2) end
  count = count + 1
  local fails = mode == "failing" and count % 2 == 0
  return session:respond { status = fails and 503 or 200, body = "served" }
end })
]]

-- Reads are tried again elsewhere; checks and results take a bad backend out. Each attempt is logged.
local POLICY = [[
local perilune = require "perilune"
local upstreams = require("perilune.$MODULE").new {
  $PEERS, passive = { failures = 5, error_share = 0.3, window = 60, min_requests = $MIN, eject = 300 },
  retry_budget = { share = 0.5, min = 8 },
}
require("perilune.health_check").http(upstreams, { path = "/health", interval = $INTERVAL, timeout = $TIMEOUT })
local policy = {}
function policy.upstream_peer(_, ctx)
  ctx.tried = ctx.tried or {}
  local address = upstreams:select(nil, { exclude = ctx.tried })
  ctx.tried[#ctx.tried + 1] = address
  perilune.log.info("asks " .. tostring(address))
  return { address = address, first_byte_timeout = $PATIENCE }
end
function policy.error_while_proxy(_, _, failure) failure.retry = true end
perilune.listen("127.0.0.1:0", policy)
]]

local function start_backends()
  local list = {}
  for i = 1, 3 do
    list[i] = perilune.start { workers = 1, release = true, policy = BACKEND }
    list[i].address = "127.0.0.1:" .. list[i].port
  end
  return list
end

local function set_mode(backend, mode) client.request { port = backend.port, path = "/mode/" .. mode } end

-- options: module, patience and check (seconds)
local function start(list, options)
  local peers = {}
  for i, backend in ipairs(list) do peers[i] = ("%q"):format(backend.address) end
  return perilune.start {
    workers = 2,
    policy = policies.fill(POLICY, {
      MODULE = options.module or "round_robin", PEERS = table.concat(peers, ", "), MIN = MIN_REQUESTS,
      INTERVAL = INTERVAL, TIMEOUT = options.check or 10, PATIENCE = options.patience or 20,
    }),
  }
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
      load.ended = (load.ended or 0) + 1
    end
  end
  load.runner = scheduler.spawn(function() scheduler.all(load.tasks, 120) end)
  return load
end

-- All, those that failed, and those that took longer than 1.5 s.
local function count_from(load, from)
  local count, failed, late = 0, 0, 0
  for _, answer in ipairs(load.answers) do
    if answer.at >= from then
      count = count + 1
      if answer.status ~= 200 then failed = failed + 1 end
      if answer.seconds > 1.5 then late = late + 1 end
    end
  end
  return count, failed, late
end

-- Until so many requests that began at `from` or later have been answered.
local function load_until(load, from, wanted)
  scheduler.eventually(function() return count_from(load, from) >= wanted end, 60, wanted .. " answers")
end

local function load_end(load)
  load.stopped = true
  scheduler.eventually(function() return load.ended == CLIENTS end, 30, "end of the load")
end

-- What the log has behind its first line with `text`: how often a backend was asked.
local function asked_behind(proxy, text, backend)
  local log, count = proxy:log(), 0
  local _, last = assert(log:find(text))
  for _ in log:sub(last):gmatch("asks " .. backend.address:gsub("%p", "%%%0") .. "\n") do count = count + 1 end
  return count
end

describe("a set under load, one of whose three backends", function()
  it("is killed: no read fails", function()
    local list = start_backends()
    local load = load_begin(start(list, {}))
    load_until(load, 0, 100)
    local killed = sys.now()
    list[2]:signal "KILL"
    list[2]:ended()
    load_until(load, killed, 200)
    load_end(load)
    assert.equal(0, select(2, count_from(load, 0)))
  end)

  it("freezes: no read fails, and it is asked no more after two intervals", function()
    local list = start_backends()
    local proxy = start(list, { check = INTERVAL, patience = 0.3 })
    local load = load_begin(proxy)
    load_until(load, 0, 100)
    local frozen = sys.now()
    list[2]:signal "STOP"
    cleanup.add(1, function() list[2]:signal "CONT" end)
    proxy:wait_log("backend " .. list[2].address .. " is unhealthy")
    local seen = sys.now()
    load_until(load, seen, 200)
    load_end(load)
    assert.equal(0, select(2, count_from(load, 0)))
    assert.is_true(seen - frozen < 2 * INTERVAL + 1, ("seen after %.2f s"):format(seen - frozen))
    -- a worker that chose at that very moment
    assert.is_true(asked_behind(proxy, list[2].address .. " is unhealthy", list[2]) <= 2)
  end)

  it("answers after two seconds: the others take over within five seconds", function()
    local list = start_backends()
    local load = load_begin(start(list, { module = "least_latency" }))
    load_until(load, 0, 100)
    local turned = sys.now()
    set_mode(list[2], "slow")
    scheduler.sleep(5)
    load_until(load, turned + 5, 300)
    load_end(load)
    assert.equal(0, select(2, count_from(load, 0)))
    local count, _, late = count_from(load, turned + 5)
    -- its latency fades, so it is tried again: one request in a hundred; one a second, where there are few requests
    local most = math.max(count / 100, sys.now() - (turned + 5))
    assert.is_true(late <= most, ("%d of %d requests were late, %.1f may be"):format(late, count, most))
  end)

  it("fails half of the time: it is ejected, and nothing fails any more", function()
    local list = start_backends()
    set_mode(list[2], "failing")
    local proxy = start(list, {})
    local load = load_begin(proxy)
    proxy:wait_log("set '[^']+': backend " .. list[2].address .. " is ejected")
    local ejected = sys.now()
    load_until(load, ejected, 200)
    load_end(load)
    assert.equal(0, select(2, count_from(load, ejected)))
    -- Half of the least number of requests, twice if a window ended meanwhile; and what was under way.
    local _, failed = count_from(load, 0)
    assert.is_true(failed <= MIN_REQUESTS + 1 + CLIENTS, failed .. " requests failed")
    assert.is_true(asked_behind(proxy, "is ejected", list[2]) <= 2)
  end)
end)
