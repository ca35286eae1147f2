-- SPDX-License-Identifier: Apache-2.0
-- Services that a policy asks, and that stand still (SIGSTOP): their kernel goes on to accept connections, and nothing
-- answers. Whoever needs them gets an answer in the time that was set, everybody else notices nothing, nothing piles
-- up, and all is as before when they go on.
local client = require "client"
local discovered = require "discovered"
local etcd_server = require "etcd_server"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"
local sys = require "sys"

local cleanup = require "cleanup"
after_each(cleanup.run)

local CLIENTS = 20
local PATIENCE = 30 -- seconds: many times the second that the policies give those services

local function freeze(service)
  service:signal "STOP"
  cleanup.add(1, function() service:signal "CONT" end)
end

-- What so many clients get at once, by status; each within its time.
local function ask_together(proxy, request)
  local statuses, bodies = {}, {}
  for i = 1, CLIENTS do
    bodies[i] = function()
      local begun = sys.now()
      local given = { port = proxy.port, timeout = PATIENCE }
      for name, value in pairs(request) do given[name] = value end
      local status = client.request(given).status
      assert(sys.now() - begun < PATIENCE / 2, "it waits for what stands still")
      statuses[status] = (statuses[status] or 0) + 1
    end
  end
  scheduler.all(bodies, 2 * PATIENCE)
  return statuses
end

-- Open ones, of everybody, to an IPv4 address that nobody else uses.
local function connections_to(host)
  local a, b, c, d = host:match "(%d+)%.(%d+)%.(%d+)%.(%d+)"
  local remote, count = ("%02X%02X%02X%02X"):format(d, c, b, a), 0
  for line in io.lines "/proc/net/tcp" do -- number, local address, remote address, state: 01 established, 02 on its way
    local address, state = line:match "^%s*%d+: %x+:%x+ (%x+):%x+ (%x+)"
    if address == remote and (state == "01" or state == "02") then count = count + 1 end
  end
  return count
end

local function status_of(proxy, path, headers)
  return client.request({ port = proxy.port, path = path, headers = headers, timeout = PATIENCE }).status
end

describe("where a service stands still", function()
  etcd_server.it(it, pending)("the last list of backends serves on, and is followed afterwards", function()
    local etcd, origin = etcd_server.start(), origins.start "hello"
    etcd:put("/app/1", origin.address)
    local code = 'discovery.etcd(upstreams, "/app/", { endpoints = %q, silence = 0.5, timeout = 0.5 })'
    local proxy = discovered.start(code:format(etcd.url))
    discovered.wait_list(proxy, origin.address)
    assert.equal(200, status_of(proxy, "/"))
    freeze(etcd)
    local rounds = 0
    repeat -- through several attempts to reach it
      assert.same({ [200] = CLIENTS }, ask_together(proxy, { path = "/" }))
      rounds = rounds + 1
      scheduler.sleep(0.1)
    until metrics.status(proxy).discovery[1].failures >= 3 or rounds > 600
    local source = metrics.status(proxy).discovery[1]
    assert.same({ 1, true }, { source.backends, source.is_down })
    assert.is_true(connections_to(etcd.host) <= 3)
    assert.is_true(select(2, proxy:log():gsub("\n", "")) < 30, proxy:log())
    etcd:signal "CONT"
    local other = origins.start "other"
    etcd:put("/app/2", other.address)
    discovered.wait_list(proxy, origin.address, other.address)
    scheduler.eventually(function() return not metrics.status(proxy).discovery[1].is_down end)
  end)

  it("forward_auth answers 503 in its time, or from what it knows, and lets in again afterwards", function()
    local auth = perilune.start { workers = 1, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, headers = { ["X-User"] = "ada" }, body = "" }
      end })
    ]] }
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      local forward_auth = require "perilune.forward_auth"
      local url = "http://127.0.0.1:%d/verify"
      local checks = { ["/asked"] = forward_auth.new { url = url, copy = { "X-User" }, timeout = 1 },
        ["/known"] = forward_auth.new { url = url, copy = { "X-User" }, timeout = 1, ttl = 600, name = "known" } }
      perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
        local check = checks[session:path()]
        if check and check(session, ctx) then return true end
        return session:respond { status = 200, body = session:get_header "x-user" or "nobody" }
      end })
    ]]):format(auth.port) }
    for _, path in ipairs { "/asked", "/known" } do
      assert.equal("ada", client.request({ port = proxy.port, path = path }).body)
    end
    local files = proxy:open_files()
    freeze(auth)
    scheduler.all({
      function() assert.same({ [503] = CLIENTS }, ask_together(proxy, { path = "/asked" })) end,
      function() assert.same({ [200] = CLIENTS }, ask_together(proxy, { path = "/known" })) end,
      function() assert.same({ [200] = CLIENTS }, ask_together(proxy, { path = "/open" })) end,
    }, 2 * PATIENCE)
    scheduler.eventually(function() return proxy:open_files() <= files + 4 end)
    auth:signal "CONT"
    scheduler.eventually(function() return status_of(proxy, "/asked") == 200 end)
  end)

  it("oidc answers 503 in its time where it needs the provider, and sends people there again afterwards", function()
    local provider = perilune.start { workers = 1, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local issuer = "http://" .. session:get_header "host"
        return session:respond { status = 200, body = perilune.json.encode { issuer = issuer,
          authorization_endpoint = issuer .. "/authorize", token_endpoint = issuer .. "/token",
          jwks_uri = issuer .. "/jwks" } }
      end })
    ]] }
    freeze(provider)
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      local login = require("perilune.oidc").new { issuer = "http://127.0.0.1:%d", client_id = "shop", timeout = 1,
        client_secret = "secret", secret = ("k"):rep(32), redirect_uri = "http://shop.example/callback" }
      perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
        if session:path() ~= "/open" and login(session, ctx) then return true end
        return session:respond { status = 200, body = "open" }
      end })
    ]]):format(provider.port) }
    local page = { path = "/page", headers = { Accept = "text/html" } }
    scheduler.all({
      function() assert.same({ [503] = CLIENTS }, ask_together(proxy, page)) end,
      function() assert.same({ [200] = CLIENTS }, ask_together(proxy, { path = "/open" })) end,
    }, 2 * PATIENCE)
    provider:signal "CONT"
    local began
    scheduler.eventually(function()
      began = client.request { port = proxy.port, path = "/page", headers = page.headers, timeout = PATIENCE }
      return began.status == 302 or began.status == 303
    end)
    provider:signal "STOP" -- what it has said of itself is known: people are sent there, and come back with a code
    assert.equal(began.status, status_of(proxy, "/page", page.headers))
    local state = began.headers.location:match "state=([^&]+)"
    local back = { path = "/callback?code=c0de&state=" .. state,
      headers = { Cookie = began.headers.set_cookie:match "^[^;]+" } }
    assert.same({ [502] = CLIENTS }, ask_together(proxy, back))
    assert.equal(200, status_of(proxy, "/open"))
    assert.is_true(proxy:count_log "oidc" < CLIENTS) -- not a line for each
    provider:signal "CONT"
  end)
end)
