-- SPDX-License-Identifier: Apache-2.0
-- Active TCP health checks: peers leave the rotation and come back.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local POLICY = [[
local perilune     = require "perilune"
local round_robin  = require "perilune.round_robin"
local health_check = require "perilune.health_check"
local upstreams = round_robin.new $PEERS
health_check.tcp(upstreams, { interval = $INTERVAL$MORE })
perilune.listen("127.0.0.1:0", {
  upstream_peer = function() return { address = upstreams:select() } end,
})
]]

local function start(peers, options)
  options = options or {}
  return perilune.start {
    workers = options.workers or 4,
    policy = policies.fill(POLICY, { PEERS = peers, INTERVAL = options.interval or 0.2, MORE = options.more or "" }),
  }
end

local function pattern(address) return (address:gsub("%p", "%%%0")) end

describe("a TCP health check", function()
  it("takes a stopped peer out within two intervals, after which no request gets 502", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = start({ a.address, b.address }, { interval = 0.5 })
    scheduler.eventually(function() return a.accepted > 0 and b.accepted > 0 end)
    b:stop()
    local checks = a.accepted -- which tell how many intervals have gone by, however slow the machine is
    proxy:wait_log "unhealthy"
    assert.is_true(a.accepted - checks <= 2, a.accepted - checks .. " checks later")
    for _ = 1, 20 do
      local response = client.request(proxy.port)
      assert.equal(200, response.status)
      assert.equal("a", response.body)
    end
    proxy:wait_log("warn [^\n]*" .. pattern(b.address) .. "[^\n]*unhealthy")
  end)

  it("takes a peer in again when it is back", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = start { a.address, b.address }
    b:stop()
    proxy:wait_log(pattern(b.address) .. "[^\n]*unhealthy")
    b:listen()
    proxy:wait_log("info [^\n]*" .. pattern(b.address) .. "[^\n]* healthy")
    local seen = {}
    for _ = 1, 4 do seen[client.request(proxy.port).body] = true end
    assert.same({ a = true, b = true }, seen)
  end)

  it("logs transitions only", function()
    local a, b = origins.start "a", origins.start "b"
    b:stop()
    local proxy = start({ a.address, b.address }, { interval = 0.1 })
    proxy:wait_log "unhealthy"
    local checks = a.accepted
    scheduler.eventually(function() return a.accepted >= checks + 5 end)
    assert.equal(1, proxy:count_log "unhealthy")
  end)

  it("runs on one worker, whatever their number", function()
    local origin = origins.start "a"
    start({ origin.address }, { interval = 0.2, workers = 4 })
    scheduler.eventually(function() return origin.accepted > 0 end)
    local before, begun = origin.accepted, sys.now()
    scheduler.sleep(2)
    local expected = (sys.now() - begun) / 0.2
    assert.is_true(origin.accepted - before <= expected + 2, ("%d checks"):format(origin.accepted - before))
  end)

  it("flips only after as many checks as the thresholds say", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = start({ a.address, b.address }, { interval = 0.2, more = ", failures = 5" })
    scheduler.eventually(function() return b.accepted > 1 end)
    b:stop()
    local stopped, checks = sys.now(), a.accepted
    proxy:wait_log "unhealthy"
    scheduler.sleep(0.01) -- what has come by now is accepted
    assert.is_true(a.accepted - checks >= 4, "after too few checks")
    assert.is_true(sys.now() - stopped >= 0.7, "too early")
  end)
end)

describe("an HTTP health check", function()
  local function http(peers, options, more)
    return perilune.start {
      workers = 2,
      policy = policies.fill([[
        local perilune = require "perilune"
        local health_check = require "perilune.health_check"
        local upstreams = require("perilune.round_robin").new $PEERS
        health_check.http(upstreams, { interval = 0.1, jitter = 0.5, $OPTIONS })
        $MORE
        perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = upstreams:select() } end })
      ]], { PEERS = peers, OPTIONS = options or "", MORE = more or "" }),
    }
  end

  -- Answers checks with origin.check, and others with the text.
  local function checked(text, answer)
    local origin
    origin = origins.start(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        if request.target == "/health" then
          if origin.check.silent then return scheduler.sleep(30) end
          connection:respond(origin.check)
        else
          connection:respond { body = text }
        end
      end
    end)
    origin.check = answer or { body = "fine" }
    return origin
  end

  it("takes a peer out for its status and its body, says why, and takes it in again", function()
    local a, b = checked "a", checked "b"
    local proxy = http({ a.address, b.address }, [[path = "/health", host = "app.test", body = "fi+ne",
      statuses = { 204, "200-299" }, headers = { ["X-Check"] = "1" }]])
    scheduler.eventually(function() return #a.requests > 1 and #b.requests > 1 end)
    assert.equal("app.test", b.requests[1].headers.host)
    assert.equal("1", b.requests[1].headers["x-check"])
    local unhealthy = "set '[^']+': backend " .. pattern(b.address) .. " is unhealthy: "
    b.check = { status = 500, body = "fine" }
    proxy:wait_log(unhealthy .. "it answered 500")
    for _ = 1, 4 do assert.equal("a", client.request(proxy.port).body) end
    b.check = { body = "fiiine" }
    proxy:wait_log(pattern(b.address) .. " is healthy")
    b.check = { body = "broken" }
    proxy:wait_log(unhealthy .. "its body lacks fi%+ne")
  end)

  it("does not wait longer for a peer that hangs than its timeout, nor keeps others waiting", function()
    local a, b = checked "a", checked("b", { silent = true })
    local proxy = http({ a.address, b.address }, 'path = "/health", timeout = 1, failures = 2')
    proxy:wait_log(pattern(b.address) .. " is unhealthy: no answer within 1 s")
    assert.is_true(#a.requests > 4)
    assert.equal("a", client.request(proxy.port).body)
  end)

  it("asks at another port, and over TLS", function()
    local a, health = origins.start "a", origins.start("fine", { names = { "app.test" } })
    local proxy = http({ a.address }, ('tls = true, port = %d, host = "app.test", ca = %q, body = "fine"'):format(
      health.port, require("tls").authority().certificate))
    scheduler.eventually(function() return #health.requests > 0 end)
    assert.equal("app.test", health.requests[1].sni)
    assert.equal(200, client.request(proxy.port).status)
    health:stop()
    proxy:wait_log "is unhealthy"
    assert.equal(503, client.request(proxy.port).status)
  end)

  it("can hold a peer unhealthy until its first check, and tells a function of each change", function()
    local a = checked("a", { status = 503 })
    local proxy = http({ a.address }, [[path = "/health", start = "unhealthy", successes = 2,
      on_change = function(address, healthy, why) perilune.log.info("changed", address, healthy, why) end]])
    scheduler.eventually(function() return #a.requests > 0 end)
    assert.equal(503, client.request(proxy.port).status)
    a.check = { body = "fine" }
    proxy:wait_log("changed " .. pattern(a.address) .. " true nil")
    assert.equal(200, client.request(proxy.port).status)
    a.check = { status = 500 }
    proxy:wait_log("changed " .. pattern(a.address) .. " false it answered 500")
  end)

  it("checks peers that join the list, and forgets those that left", function()
    local a, b = checked "a", checked "b"
    b:stop()
    local proxy = http({ a.address }, 'path = "/health"', ([[
      perilune.after(0.2, function() upstreams:update { %q, %q } end)
      perilune.after(2.2, function() upstreams:update { %q } end)]]):format(a.address, b.address, a.address))
    proxy:wait_log(pattern(b.address) .. " is unhealthy")
    for _ = 1, 4 do assert.equal("a", client.request(proxy.port).body) end
    proxy:wait_log("1 backends: %-" .. pattern(b.address))
    scheduler.sleep(0.1) -- a check that has begun may still connect
    b:listen()
    scheduler.sleep(0.4)
    assert.equal(0, #b.requests)
  end)
end)

describe("a health check with a function", function()
  it("takes false for unhealthy; an error says nothing of the backend, and is told once", function()
    local a, b, c = origins.start "a", origins.start "b", origins.start "c"
    local proxy = perilune.start {
      policy = policies.fill([[
        local perilune = require "perilune"
        local upstreams = require("perilune.random").new $PEERS
        local checks = 0
        require("perilune.health_check").with(upstreams, function(address)
          perilune.sleep(0.01)
          if address == "$B" then error "deliberate" end
          if address == "$C" then return nil, "not that one" end
          checks = checks + 1
          if checks > 5 then perilune.log.info "five checks" end
          return true
        end, { interval = 0.1 })
        perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = upstreams:select() } end })
      ]], { PEERS = { a.address, b.address, c.address }, B = b.address, C = c.address }),
    }
    proxy:wait_log(pattern(b.address) .. " cannot be checked: the check failed: [^\n]*deliberate; its health stays")
    proxy:wait_log(pattern(c.address) .. " is unhealthy: not that one")
    proxy:wait_log "five checks"
    assert.equal(1, proxy:count_log(pattern(b.address) .. " cannot be checked"))
    local seen = {}
    for _ = 1, 40 do seen[client.request(proxy.port).body] = true end
    assert.same({ a = true, b = true }, seen)
  end)
end)

describe("a TLS health check", function()
  it("takes a peer out that speaks no TLS, or shows a certificate for another name", function()
    local good = origins.start("a", { names = { "app.test" } })
    local other, plain = origins.start("b", { names = { "other.test" } }), origins.start "c"
    local proxy = perilune.start {
      policy = policies.fill([[
        local upstreams = require("perilune.random").new $PEERS
        require("perilune.health_check").tls(upstreams, { interval = 0.1, sni = "app.test", ca = "$CA" })
        require("perilune").listen("127.0.0.1:0", { upstream_peer = function()
          return { address = upstreams:select(), tls = true, sni = "app.test", ca = "$CA" }
        end })
      ]], {
        PEERS = { good.address, other.address, plain.address }, CA = require("tls").authority().certificate,
      }),
    }
    proxy:wait_log(pattern(other.address) .. " is unhealthy: [^\n]*[Hh]ost ?name mismatch")
    proxy:wait_log(pattern(plain.address) .. " is unhealthy")
    for _ = 1, 4 do assert.equal("a", client.request(proxy.port).body) end
  end)
end)
