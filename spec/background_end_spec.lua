-- SPDX-License-Identifier: Apache-2.0
-- Background work when its policy is replaced, and when the proxy stops: what has begun goes on to its end.
local client = require "client"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local command = running.command

-- "/begin" runs `work` as background work of a worker, by whatever `work` calls; GO is a file that the spec makes.
local function start(work, main, words)
  return running.start { words = words, policy = ([[
    local perilune = require "perilune"
    local function say(text) io.stderr:write("said " .. text .. "\n") end
    local function until_go() repeat perilune.sleep(0.01) until io.open(os.getenv "GO") end
    perilune.listen("127.0.0.1:0", { request_filter = function(session)
      if session:path() == "/begin" then %s end
      return session:respond { status = 200, body = "ok" }
    end })
    %s
  ]]):format(work or "", main or "") }
end

local function begin(proxy)
  assert.equal(200, client.request({ port = proxy.port, path = "/begin", fields = "Connection: close\r\n" }).status)
end

-- What ends a policy, as a command whose answer need not be waited for.
local ENDS = { "reload", "stop", "upgrade" }

-- Runs the command beside `meanwhile`.
local function beside(pid_file, name, meanwhile)
  return scheduler.all({ function() return command(pid_file, name) end, meanwhile }, 90)[1]
end

describe("background work that has begun", function()
  local kinds = {
    ["after, of a hook"] = { "perilune.after(0, function() say 'begun' until_go() say 'ended' end)" },
    ["spawn in a job"] = { "perilune.after(0, function() "
      .. "perilune.spawn(function() say 'begun' until_go() say 'ended' end) end)" },
    ["every, of the main chunk"] = { nil, "perilune.every(0.01, function() say 'begun' until_go() say 'ended' end)" },
    ["spawn, of the main chunk"] = { nil, "perilune.spawn(function() say 'begun' until_go() say 'ended' end)" },
  }
  for kind, code in pairs(kinds) do
    for _, name in ipairs(ENDS) do
      it(("goes on to its end over %s: %s"):format(name, kind), function()
        local proxy, pid_file, path = start(code[1], code[2])
        begin(proxy)
        proxy:wait_log "(said begun)"
        process.write_file(path, running.POLICY)
        beside(pid_file, name, function()
          local begun = { reload = "(generation 2)", stop = "(stopping gracefully)", upgrade = "(draining)" }
          proxy:wait_log(begun[name])
          scheduler.sleep(0.1) -- in which it would end, were it not waited for
          assert.equal(0, proxy:count_log "said ended")
          proxy.go()
        end)
        proxy:wait_log "(said ended)"
        assert.equal(1, proxy:count_log "said begun")
        if name ~= "reload" then assert.equal(0, proxy:ended(20)) end
      end)
    end
  end

  it("is begun where it is due at once, however soon the policy is replaced", function()
    local proxy, pid_file = start("for i = 1, 50 do perilune.after(0, function() say('run ' .. i) end) end")
    scheduler.all({ function() begin(proxy) end, function() command(pid_file, "stop") end }, 90)
    assert.equal(0, proxy:ended(20))
    local count = proxy:count_log "said run"
    assert.is_true(count == 50 or count == 0, "of 50 there were " .. count) -- 0: the stop was faster than the request
  end)

  it("is cut when it takes longer than drain at a reload, and grace at a stop; the log says so", function()
    local code = "perilune.after(0, function() say 'begun' until_go() say 'ended' end)"
    local proxy, pid_file = start(code, nil, { "--drain", "0.2", "--grace", "0.5" })
    begin(proxy)
    proxy:wait_log "(said begun)"
    scheduler.eventually(function()
      return command(pid_file, "status").stdout:find "background  1 run " -- stated once a second
    end)
    assert.equal(0, command(pid_file, "reload").code)
    proxy:wait_log "generation 1: (1) run of background work did not end in time and is cut"
    begin(proxy)
    scheduler.eventually(function() return proxy:count_log "said begun" == 2 end)
    assert.equal(0, command(pid_file, "stop").code)
    assert.equal(0, proxy:ended(10))
    assert.matches("1 run of background work", proxy:log():match "stopping gracefully.*")
    assert.equal(0, proxy:count_log "said ended")
  end)

  it("is cut by a stop at once, without a warning: that was asked for", function()
    local proxy = start("perilune.after(0, function() say 'begun' until_go() end)")
    begin(proxy)
    proxy:wait_log "(said begun)"
    proxy:signal "INT"
    assert.equal(0, proxy:ended(10))
    assert.equal(0, proxy:count_log "background work")
  end)

  it("can ask whether its policy is retired, and frees it by its end", function()
    local proxy, pid_file = start(nil, [[
      perilune.spawn(function()
        repeat perilune.sleep(0.01) until perilune.is_retired()
        say "retired"
      end)
    ]])
    command(pid_file, "reload")
    proxy:wait_log "(said retired)"
    command(pid_file, "stop")
    assert.equal(0, proxy:ended(10))
    assert.equal(2, proxy:count_log "said retired")
  end)
end)

describe("what perilune.after has planned for later", function()
  local PLANS = "perilune.after(600, function(premature) say('premature ' .. tostring(premature)) end) "
    .. "perilune.after(600, function() say 'never' end) perilune.after(600, function() say 'never' end)"
  for _, name in ipairs(ENDS) do
    it("is told that it is the last time, or dropped with a line, over " .. name, function()
      local proxy, pid_file, path = start(PLANS)
      begin(proxy)
      process.write_file(path, running.POLICY)
      assert.equal(0, command(pid_file, name).code)
      proxy:wait_log "(said premature true)"
      proxy:wait_log "(2) functions of perilune.after that were due later are dropped"
      if name ~= "reload" then assert.equal(0, proxy:ended(20)) end
      assert.equal(0, proxy:count_log "said never")
    end)
  end

  it("is planned in vain on a policy that is retired already", function()
    local proxy, pid_file, path = start("until_go() perilune.after(0, function() say 'at once' end) "
      .. "perilune.every(0.01, function() say 'never' end) " .. PLANS)
    local waiting = client.connect(proxy.port)
    waiting:send "GET /begin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    scheduler.eventually(function() return command(pid_file, "status").stdout:find "1 under way" end)
    process.write_file(path, running.POLICY)
    assert.equal(0, command(pid_file, "reload").code)
    proxy.go()
    proxy:wait_log "(said at once)"
    proxy:wait_log "(said premature true)"
    proxy:wait_log "(2) functions of perilune.after"
    assert.equal(0, proxy:count_log "said never")
  end)
end)
