-- SPDX-License-Identifier: Apache-2.0
-- What goes on while a policy loads: everything. A main chunk here runs until the spec lets it go.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local command = running.command

local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { "$ORIGIN" }
  require("perilune.health_check").tcp(set, { interval = 0.05 })
  local ticks = perilune.counter "ticks"
  perilune.every(0.02, function() ticks:add() end)
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    return session:respond { status = 200, body = "$WORD " .. ticks:get() }
  end })
]]
local HELD = [[
  if not io.open(os.getenv "GO") then io.stderr:write "it loads\n" end
  repeat until io.open(os.getenv "GO")
]]

local function policy(word, origin, more)
  return (POLICY:gsub("%$(%u+)", { WORD = word, ORIGIN = origin.address })) .. (more or "")
end

-- A proxy with an admin page, and the origin that it checks.
local function start()
  local origin = origins.start "checked"
  local proxy, pid_file, path = running.start {
    policy = policy("one", origin), workers = 4, words = { "--admin", "127.0.0.1:0" },
  }
  return proxy, pid_file, path, origin
end

-- The changed policy is being loaded.
local function begin_load(proxy, path, text)
  process.write_file(path, text)
  proxy:signal "HUP"
  proxy:wait_log "it loads"
end

local function ticks(proxy) return tonumber(client.request(proxy.port).body:match "%d+$") end

describe("While a policy loads", function()
  it("timers, health checks, requests, status and the admin page go on", function()
    local proxy, pid_file, path, origin = start()
    begin_load(proxy, path, policy("two", origin, HELD))
    local checks, before = origin.accepted, ticks(proxy)
    scheduler.eventually(function() return origin.accepted > checks + 3 and ticks(proxy) > before + 3 end)
    assert.equal(0, command(pid_file, "status").code)
    assert.matches("perilune_", client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body)
    assert.matches("^one", client.request(proxy.port).body)
    proxy.go()
    scheduler.eventually(function() return client.request(proxy.port).body:find "^two" end)
  end)

  it("a reload by command is refused with the reason, one by HUP is made up for", function()
    local proxy, pid_file, path, origin = start()
    begin_load(proxy, path, policy("two", origin, HELD))
    for _, words in ipairs { {}, { "--canary", "5%" }, { "--shadow" } } do
      local result = command(pid_file, "reload", unpack(words))
      assert.is_true(result.code ~= 0)
      assert.matches("a reload is under way already, since %d+%-%d+%-%d+ %d+:%d+:%d+ %(%d+ s ago%), of /.*%.lua; "
        .. "'perilune reload %-%-abort' ends it", result.stderr)
    end
    process.write_file(path, policy("three", origin))
    proxy:signal "HUP"
    proxy.go()
    scheduler.eventually(function() return client.request(proxy.port).body:find "^three" end)
  end)

  it("a stop ends the process at once, also where the main chunk never ends or is blocked in a call", function()
    for _, endless in ipairs { HELD, "io.stderr:write 'it loads\\n' io.open('$FIFO', 'r')" } do
      local proxy, pid_file, path, origin = start()
      local fifo = path .. ".fifo"
      assert(os.execute(("mkfifo '%s'"):format(fifo)) == 0)
      begin_load(proxy, path, policy("two", origin, (endless:gsub("%$FIFO", fifo))))
      local begun = sys.now()
      assert.equal(0, command(pid_file, "stop").code)
      assert.equal(0, proxy:ended(10))
      assert.is_true(sys.now() - begun < 4, ("%.1f s"):format(sys.now() - begun))
    end
  end)

  it("who waits for the reload is told when the proxy stops", function()
    local proxy, pid_file, path, origin = start()
    process.write_file(path, policy("two", origin, HELD))
    local result
    scheduler.all({
      function() result = command(pid_file, "reload") end,
      function()
        proxy:wait_log "it loads"
        command(pid_file, "stop")
      end,
    }, 90)
    assert.equal(1, result.code)
    assert.matches("the proxy is stopping", result.stderr)
  end)

  it("its main chunk has its load_time all the same", function()
    local proxy, pid_file, path, origin = start()
    process.write_file(path, policy("two", origin) .. "perilune.configure { load_time = 0.2 }\n" .. HELD)
    local result = command(pid_file, "reload")
    assert.equal(2, result.code)
    assert.matches("used up its time", result.stderr)
    assert.matches("^one", client.request(proxy.port).body)
  end)

  it("its main chunk may wait, but not for ever", function()
    local proxy, pid_file, path, origin = start()
    process.write_file(path, policy("two", origin) .. "perilune.configure { load_time = 0.1 }\n"
      .. "repeat os.execute 'exec sleep 0.02' until io.open(os.getenv 'GO')")
    local result = command(pid_file, "reload")
    assert.equal(2, result.code)
    assert.matches("policy%.lua:%d+: used up its time", result.stderr)
    assert.matches("^one", client.request(proxy.port).body)
  end)

  it("who waits for it is told that it is blocked in a call, and it is put in force when it comes back", function()
    local origin = origins.start "checked"
    local words = { "--reload-timeout", "0.3" }
    local proxy, pid_file, path = running.start { policy = policy("one", origin), words = words }
    local fifo = path .. ".fifo"
    assert(os.execute(("mkfifo '%s'"):format(fifo)) == 0)
    process.write_file(path, policy("two", origin, ("io.open('%s', 'r'):read '*a'"):format(fifo)))
    for _, how in ipairs { {}, { "--canary", "5%" } } do
      local result = command(pid_file, "reload", unpack(how))
      assert.is_true(result.code ~= 0)
      assert.matches(#how == 0 and "has not come to its end in 0%.3 s.*generation 1 stays" or "under way already",
        result.stderr)
    end
    assert.matches("^one", client.request(proxy.port).body)
    os.remove(path)
    process.write_file(path, policy("two", origin))
    process.write_file(fifo, "")
    scheduler.eventually(function() return client.request(proxy.port).body:find "^two" end)
    proxy:wait_log "(reload: the main chunk a?t? ?[^\n]*has not come to its end in 0%.3 s)"
  end)

  it("and is blocked in a call, the log says at which line it is, also where that is a module's", function()
    local origin = origins.start "checked"
    local proxy, pid_file, path = running.start { policy = policy("one", origin) }
    process.write_file(path:gsub("policy%.lua$", "module.lua"), [[
      local function wait() os.execute("until [ -e '" .. os.getenv "GO" .. "' ]; do sleep 0.05; done") end
      wait()
    ]])
    process.write_file(path, policy("two", origin, "perilune.configure { load_time = 0.1 } require 'module'"))
    local result
    scheduler.all({
      function() result = command(pid_file, "reload") end,
      function()
        proxy:wait_log("(a policy is being loaded: the main chunk at [^\n]*module%.lua:1 has not come to its end in "
          .. "%d+%.%d s and cannot be interrupted: it waits in a call)", 20)
        proxy.go()
      end,
    }, 60)
    assert.equal(2, result.code)
    assert.not_matches("hook", proxy:log())
  end)

  it("what waits for something raises, and says where that is possible", function()
    local directory = process.directory()
    for _, call in ipairs { 'require("perilune.dns").addresses "name:1"', "perilune.sleep(1)",
      'require("perilune.tcp").connect "127.0.0.1:1"', 'require("perilune.http").get "http://127.0.0.1:1/"' } do
      local path = process.write_file(directory .. "/policy.lua", "local perilune = require 'perilune'\n" .. call)
      local result = perilune.run { args = { "check", path }, timeout = 30 }
      assert.equal(2, result.code, call)
      assert.matches("policy%.lua:2: .*nothing can wait while the policy loads", result.stderr)
    end
  end)
end)
