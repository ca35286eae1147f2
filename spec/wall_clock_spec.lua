-- SPDX-License-Identifier: Apache-2.0
-- The wall clock may step, by an hour as well, in either direction: time servers and people do that. Whatever takes
-- time takes the same time: nothing ends early, nothing hangs, nothing is said about it. What is a date and what is
-- none is in spec/wall_clock_dates_spec.lua.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local stepped = require "stepped"
local sys = require "sys"
local tls = require "tls"

after_each(require("cleanup").run)

local HOUR = stepped.HOUR

local POLICY = [[
  local perilune = require "perilune"
  local http = require "perilune.http"
  local set = require("perilune.round_robin").new { "$ADDRESS" }
  require("perilune.health_check").http(set, { interval = 0.2, timeout = 0.2, failures = 100, path = "/check" })
  local kept, seen = perilune.dict "kept", perilune.rate "seen"
  perilune.every(0.05, function() kept:incr("ticks", 1, 0) end)
  perilune.after(1, function() perilune.log.info "it was due" end)
  perilune.configure { hook_time = 1 }
  local ways = {
    sleep = function() perilune.sleep(0.5) end,
    ticks = function() return tostring(kept:get "ticks" or 0) end,
    set = function() kept:set("a", "value", 2) kept:set("b", "value", 600) end,
    get = function() return tostring(kept:get "a") .. " " .. tostring(kept:get "b") end,
    rate = function() return tostring(seen:observe "a") end,
    busy = function()
      perilune.log.info "it is busy"
      while true do pcall(string.gsub, "a", "a", "b") end
    end,
    ask = function() return assert(http.get("http://$ADDRESS/", { timeout = 5 })).body end,
  }
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      local way = ways[session:path():sub(2)]
      if way then return session:respond { status = 200, body = way() or "done" } end
    end,
    upstream_peer = function() return { address = set:select(), $PEER } end,
  }, { $LISTEN })
]]

-- A proxy of one worker, and step(seconds): its wall clock is so far from the machine's from now on.
local function start(origin, options)
  options = options or {}
  local env, step = stepped.new()
  return perilune.start {
    workers = options.workers or 1, release = true, env = env, settings = options.settings,
    policy = policies.fill(POLICY, {
      ADDRESS = origin.address, PEER = options.peer or "", LISTEN = options.listen or "",
    }),
  }, step
end

local function ask(proxy, path) return client.request { port = proxy.port, path = path, timeout = 60 } end

-- All within a minute, or it raises.
local function soon(...)
  local begun, results = sys.now(), scheduler.all { ... }
  assert.is_true(sys.now() - begun < 60)
  return results
end

-- Answers "/slow" after a moment, "/silent" never.
local function origin_of_all()
  return origins.start(function(c)
    local request = c:read_request()
    while request do
      if request.target == "/silent" then
        c:is_closed(60)
        return
      end
      if request.target == "/slow" then c:sleep(0.7) end
      c:respond { body = "hello" }
      request = c:read_request()
    end
  end)
end

for _, way in ipairs { { "back", -HOUR }, { "forth", HOUR } } do
  local where, seconds = unpack(way)

  describe("A wall clock that steps an hour " .. where, function()
    it("changes no timeout of what is under way", function()
      local origin = origin_of_all()
      local proxy, step = start(origin, { peer = "first_byte_timeout = 2", listen = "max_retries = 0" })
      local results = soon(
        function() return ask(proxy, "/silent").status end,
        function() return ask(proxy, "/slow").status end,
        function() return ask(proxy, "/sleep").status end,
        function()
          scheduler.eventually(function() return #origin.requests >= 2 end)
          step(seconds)
          return "stepped"
        end)
      assert.same({ 504, 200, 200, "stepped" }, results)
      proxy:wait_log "it was due"
    end)

    it("changes nothing for idle connections, timers, checks, dicts and rates", function()
      local proxy, step = start(origin_of_all(), { listen = "keepalive_timeout = 2" })
      local idle, kept = client.connect(proxy.port), client.connect(proxy.port)
      assert.equal(200, idle:request({ path = "/set" }).status)
      assert.equal(200, kept:request({ path = "/rate" }).status)
      step(seconds)
      assert.equal("value value", kept:request({ path = "/get" }).body)
      local before = tonumber(kept:request({ path = "/ticks" }).body)
      scheduler.eventually(function() return tonumber(ask(proxy, "/ticks").body) > before + 5 end)
      scheduler.eventually(function() return ask(proxy, "/get").body == "nil value" end)
      assert.is_true(tonumber(ask(proxy, "/rate").body) >= 1)
      assert.equal("hello", ask(proxy, "/ask").body)
      assert.is_true(idle:is_closed(30))
    end)

    it("neither shortens nor extends hook_time, where a hook is running", function()
      local proxy, step = start(origin_of_all())
      local begun, ended = sys.now(), nil
      local results = soon(
        function()
          local status = ask(proxy, "/busy").status
          ended = sys.now()
          return status
        end,
        function()
          proxy:wait_log "it is busy"
          local steps = 0
          repeat -- again and again: the first may come before anybody has looked at the clock
            steps = steps + 1
            step(steps * seconds)
            scheduler.sleep(0.05)
          until ended
          return "stepped"
        end)
      assert.same({ 504, "stepped" }, results)
      assert.is_true(ended - begun >= 1, ended - begun)
    end)
  end)
end

describe("A wall clock that steps to and fro under load", function()
  it("fails no request, resumes sessions of TLS, and floods no log", function()
    local files = tls.certificate "proxy.example"
    local log = process.directory() .. "/access.log"
    local proxy, step = start(origin_of_all(), {
      workers = 2, settings = { "--access-log", log },
      listen = ("certificate = %q, key = %q"):format(files.certificate, files.key),
    })
    local over, asked, works = false, 0, {}
    for i = 1, 8 do
      works[i] = function()
        local ticket
        while not over do
          local connection = client.connect { port = proxy.port,
            tls = { name = "proxy.example", ca = files.ca, ticket = ticket } }
          for _, path in ipairs { "/", "/rate", "/get", "/ask", "/slow" } do
            assert.equal(200, connection:request({ path = path }).status)
            asked = asked + 1
          end
          ticket = connection.tls:ticket()
          connection:close()
        end
      end
    end
    works[9] = function()
      for i = 1, 40 do
        step(i % 2 * 2 * HOUR - HOUR)
        scheduler.sleep(0.1)
      end
      over = true
    end
    scheduler.all(works)
    local lines = select(2, process.read_file(log):gsub("\n", ""))
    assert.is_true(lines >= asked - 8 and lines <= asked + 8, lines .. " lines for " .. asked)
    assert.is_true(select(2, proxy:log():gsub("\n", "")) < 20, proxy:log())
  end)
end)
