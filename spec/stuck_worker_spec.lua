-- SPDX-License-Identifier: Apache-2.0
-- A worker that is blocked in a call cannot be rescued. Others accept for it until it comes back to its loop.
local blocked = require "blocked"
local cjson = require "cjson.safe"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

-- /block holds its worker in a call until proxy.go(); all else says which worker answered.
local POLICY = [[
  local perilune = require "perilune"
  local function answer(session)
]] .. blocked.BLOCK .. [[
    return session:respond { status = 200, body = tostring(perilune.worker()) }
  end
  perilune.listen("127.0.0.1:0", { request_filter = answer })
]]

local function start(options)
  options = options or {}
  local proxy, pid_file, path = blocked.start { workers = options.workers, policy = POLICY .. (options.more or ""),
    words = { "--reload-timeout", "0.5" } }
  local function status() return cjson.decode(running.command(pid_file, "status", "--json").stdout) end
  return proxy, pid_file, path, status
end

-- A worker that stays blocked, and the connection whose request it has.
local function block(proxy)
  local connection = blocked.ask(proxy)
  return blocked.await_helper(proxy), connection
end

-- Who answers `count` new connections at the same time.
local function answers(port, count)
  local asks, seen = {}, {}
  for i = 1, count do asks[i] = function() return client.request { port = port, timeout = 2 }.body end end
  for _, body in ipairs(scheduler.all(asks)) do seen[body] = (seen[body] or 0) + 1 end
  return seen
end

local function await_return(proxy, status)
  proxy.go()
  scheduler.eventually(function()
    for _, worker in ipairs(status().workers) do
      if worker.is_stuck or worker.helper then return false end
    end
    return true
  end, 10, "no worker that is stuck")
end

describe("a worker that is blocked in a call", function()
  it("has another one accept for it, until it comes back", function()
    local proxy, _, _, status = start()
    local stuck, connection = block(proxy)
    assert.same({ [tostring(1 - stuck.id)] = 40 }, answers(proxy.port, 40))
    await_return(proxy, status)
    assert.equal(tostring(stuck.id), connection:read_response().body)
    scheduler.eventually(function()
      local seen = answers(proxy.port, 40)
      return seen["0"] and seen["1"]
    end)
    scheduler.eventually(function() return status().listeners[1].open == 0 end)
  end)

  it("is named with its hook and line in status, metrics, log and on the page", function()
    local proxy, pid_file, _, status = start()
    local stuck = block(proxy)
    assert.matches("^is stuck in request_filter at .*policy.lua:4 for %d+ s$", stuck.stuck)
    assert.equal(1 - stuck.id, stuck.helper)
    local text = running.command(pid_file, "status").stdout
    assert.matches(("STUCK: worker %d is stuck in request_filter at [^\n]*policy.lua:4 for %%d+ s; worker %d accepts")
      :format(stuck.id, 1 - stuck.id), text)
    assert.matches("take the call that blocks out of the policy; then 'perilune upgrade' replaces the process", text)
    local samples = metrics.read(proxy)
    assert.equal(1, samples[('perilune_worker_stuck{worker="%d"}'):format(stuck.id)])
    assert.equal(0, samples[('perilune_worker_stuck{worker="%d"}'):format(1 - stuck.id)])
    proxy:wait_log "(worker %d is stuck in request_filter at [^\n]*policy.lua:4 for %d+ s; worker %d accepts)"
    local page = cjson.decode(client.request { port = proxy.admin_port, host = "127.0.0.1",
      path = "/status.json" }.body)
    assert.is_true(page.workers[stuck.id + 1].is_stuck)
    await_return(proxy, status)
    assert.equal(0, metrics.read(proxy)[('perilune_worker_stuck{worker="%d"}'):format(stuck.id)])
  end)

  it("is named with the policy's line also where a module that comes with the proxy is in the call", function()
    local proxy = blocked.start { policy = [[
      local perilune = require "perilune"
      local log = require("perilune.access_log").new {
        fields = function() return { held = "$(until [ -e $GO ]; do sleep 0.05; done)" } end, write = os.execute }
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session) return session:respond { status = 200 } end,
        logging = function(session, failure, ctx)
          if session:path() == "/block" then log(session, failure, ctx) end
        end,
      })
    ]] }
    assert.matches("^is stuck in logging at .*policy.lua:7 for %d+ s$", (block(proxy).stuck))
  end)

  it("has one whose listeners a reload adds and removes meanwhile", function()
    local proxy, pid_file, path, status = start { more = "perilune.listen('127.0.0.1:0', { request_filter = answer })" }
    local function ports()
      local list = {}
      for i, listener in ipairs(status().listeners) do list[i] = tonumber(listener.address:match ":(%d+)$") end
      return list
    end
    local before = ports()
    local stuck = block(proxy)
    local other = tostring(1 - stuck.id)
    require("process").write_file(path, (POLICY:gsub("127.0.0.1:0", "127.0.0.2:0"))
      .. "perilune.listen('127.0.0.1:0', { request_filter = answer })")
    assert.equal(1, running.command(pid_file, "reload").code) -- one worker is behind
    local after = ports()
    assert.same({ [other] = 20 }, answers(before[1], 20)) -- the kept one
    local added = after[1] == before[1] and after[2] or after[1]
    local asks = {}
    for i = 1, 20 do
      asks[i] = function()
        return client.request { port = added, ip = "127.0.0.2", timeout = 2 }.body
      end
    end
    for _, body in ipairs(scheduler.all(asks)) do assert.equal(other, body) end
    for _ = 1, 20 do assert.is_false((pcall(client.request, { port = before[2], timeout = 2 }))) end -- it is closed
    await_return(proxy, status)
  end)

  it("has a new helper where its helper is blocked, too", function()
    local proxy, _, _, status = start { workers = 3 }
    local first = block(proxy)
    local connection
    repeat connection = client.connect(proxy.port) until connection:request().body == tostring(first.helper)
    connection:send_request { path = "/block" }
    scheduler.eventually(function()
      local helpers = {}
      for _, worker in ipairs(status().workers) do
        if worker.is_stuck then helpers[#helpers + 1] = worker.helper end
      end
      return #helpers == 2 and helpers[1] == helpers[2]
    end, 10, "two stuck workers with the same helper")
    local seen = answers(proxy.port, 40)
    local who, count = next(seen)
    assert.equal(40, count)
    assert.is_nil(next(seen, who))
    assert.not_equal(tostring(first.id), who)
    await_return(proxy, status)
    scheduler.eventually(function()
      local back = answers(proxy.port, 40)
      return back["0"] and back["1"] and back["2"]
    end)
  end)

  it("does not hold up a stop, nor an upgrade", function()
    local proxy, pid_file = start()
    block(proxy)
    assert.equal(0, running.command(pid_file, "upgrade").code)
    for _ = 1, 20 do assert.equal(200, client.request { port = proxy.port, timeout = 2 }.status) end
    proxy.go()
    scheduler.eventually(function() return proxy:exit_code() == 0 end, 20, "the end of the predecessor")
    for _ = 1, 20 do assert.equal(200, client.request { port = proxy.port, timeout = 2 }.status) end
  end)
end)
