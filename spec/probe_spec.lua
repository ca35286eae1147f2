-- SPDX-License-Identifier: Apache-2.0
-- /healthz of the admin listener: may clients be sent here?
local blocked = require "blocked"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local perilune = require "perilune"
local scheduler = require "scheduler"

after_each(cleanup.run)

local POLICY = [[
  local perilune = require "perilune"
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
]] .. blocked.BLOCK .. [[
    if session:path() == "/slow" then repeat perilune.sleep(0.01) until io.open(os.getenv "GO") end
    return session:respond { status = 200 }
  end })
]]

local function start(workers) return blocked.start { workers = workers, policy = POLICY } end

local function health(proxy, method)
  local response = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/healthz",
    method = method or "GET" }
  return response.status, response.body
end

describe("/healthz", function()
  it("says 200 and ok of a proxy that serves, to GET and HEAD", function()
    local proxy = perilune.start { to = { "127.0.0.1:1" }, settings = { "--admin", "127.0.0.1:0" } }
    assert.same({ 200, "ok\n" }, { health(proxy) })
    assert.same({ 200, "" }, { health(proxy, "HEAD") })
  end)

  it("says 503 and why of one that stops, while its last requests go on", function()
    local proxy = start(1)
    client.connect(proxy.port):send_request { path = "/slow" }
    metrics.wait(proxy, "perilune_requests_active", 1)
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    assert.same({ 503, "stopping\n" }, { health(proxy) })
    proxy.go()
    assert.equal(0, proxy:ended(10))
  end)

  it("says 503 where no worker comes back to its loop, and 200 once one does", function()
    local proxy = start(1)
    blocked.ask(proxy)
    scheduler.eventually(function() return health(proxy) == 503 end, 15, "503")
    assert.matches("^stuck: no worker", select(2, health(proxy)))
    proxy.go()
    scheduler.eventually(function() return health(proxy) == 200 end, 15, "200")
  end)

  it("says 200 where one of two workers is stuck: the other accepts for it", function()
    local proxy = start(2)
    blocked.ask(proxy)
    proxy:wait_log("(is stuck: it has not come back)", 15)
    assert.same({ 200, "ok\n" }, { health(proxy) })
    proxy.go()
  end)
end)
