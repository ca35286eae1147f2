-- SPDX-License-Identifier: Apache-2.0
-- Background work: perilune.every, after and spawn in the main chunk, and from hooks.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(code, workers)
  local policy = policies.to(origins.start "hello", { hooks = code })
  return perilune.start { workers = workers or 1, policy = policy }
end

local function workers_in(log)
  local seen, list = {}, {}
  for worker in log:gmatch "ran on (%d+)" do
    if not seen[worker] then list[#list + 1] = worker end
    seen[worker] = true
  end
  table.sort(list)
  return table.concat(list, " ")
end

describe("background work of the main chunk", function()
  for _, call in ipairs { "perilune.spawn(", "perilune.after(0.01, ", "perilune.every(0.01, " } do
    it("runs in the control worker alone: " .. call .. "...)", function()
      local proxy = start(call .. "function() io.stderr:write('ran on ' .. perilune.worker() .. '\\n') end)", 2)
      proxy:wait_log "(ran on)"
      scheduler.sleep(0.2)
      assert.equal("2", workers_in(proxy:log()))
    end)
  end

  for _, call in ipairs { "perilune.after(0.01, ", "perilune.every(0.01, " } do
    it("runs on every worker where it is asked to: " .. call .. "...)", function()
      local proxy = start(call .. "function() io.stderr:write('ran on ' .. perilune.worker() .. '\\n') end, " ..
        "{ on = 'every worker' })", 2)
      scheduler.eventually(function() return workers_in(proxy:log()) == "0 1 2" end)
    end)
  end

  it("goes on after an error, which is logged", function()
    local proxy = start [[
      local runs = 0
      perilune.every(0.02, function()
        runs = runs + 1
        if runs < 3 then error("deliberate " .. runs) end
        perilune.sleep(0)
        io.stderr:write("run " .. runs .. "\n")
      end)
    ]]
    proxy:wait_log "perilune.every failed: [^\n]*deliberate 1.*deliberate 2.*run 3.*run 4"
  end)

  it("ends when it is stopped, also from inside a run", function()
    local proxy = start [[
      local runs, job, other = 0
      other = perilune.every(0.001, function() io.stderr:write "other\n" end)
      other:stop()
      other:stop()
      job = perilune.every(0.01, function()
        runs = runs + 1
        io.stderr:write("run " .. runs .. "\n")
        if runs == 2 then job:stop() end
        perilune.sleep(0.01)
        if runs == 2 then io.stderr:write "to the end\n" end
      end, { immediately = true })
      perilune.after(0, function() collectgarbage() end)
    ]]
    proxy:wait_log "(to the end)"
    scheduler.sleep(0.1)
    assert.equal(0, proxy:count_log "run 3")
    assert.equal(0, proxy:count_log "other")
  end)
end)

describe("background work that a hook begins", function()
  it("with perilune.after or every outlives its exchange, in the hook's worker", function()
    local proxy = start([[
      function policy.logging()
        perilune.after(0.1, function() io.stderr:write("ran on " .. perilune.worker() .. "\n") end)
      end
    ]])
    client.request(proxy.port)
    assert.equal("0", proxy:wait_log "ran on (%d)")
  end)
end)

describe("options of background work", function()
  for options, message in pairs {
    ["{ on = 'two workers' }"] = "option 'on' is", ["{ on = 1 }"] = "unknown or unfit option 'on'",
    ["7"] = "table expected",
  } do
    it("are checked: " .. options, function()
      local result = perilune.run { policy = "require('perilune').every(1, print, " .. options .. ")" }
      assert.equal(2, result.code)
      assert.matches(message, result.stderr)
    end)
  end
end)

describe("the number of timers", function()
  it("has a bound in each worker: beyond it after and every raise, and those that are stopped make room", function()
    local proxy = start [[
      local jobs, which = {}, 0
      function policy.request_filter(session)
        local ok, why
        repeat
          which = which + 1
          local call = which % 2 == 0 and perilune.after or perilune.every
          ok, why = pcall(function() jobs[#jobs + 1] = call(3600, function() end) end)
        until not ok
        local held = #jobs
        for _, job in ipairs(jobs) do job:stop() end
        jobs = { perilune.after(3600, function() end) }
        return session:respond { status = 200, body = held .. " " .. why }
      end
    ]]
    for _ = 1, 2 do
      assert.matches("^20000 .*policy.lua:%d+: perilune.%a+: 20000 timers wait already in this worker",
        client.request { port = proxy.port, timeout = 30 }.body)
    end
  end)
end)

describe("a chain of tasks that wait for each other", function()
  -- In the control worker, whose stack is what the process gets: 1 MiB here.
  it("ends with the result of the last, however long it is", function()
    local policy = policies.to(origins.start "hello", { hooks = [[
      perilune.configure { memory_limit = 512 * 1024 * 1024, hook_time = 60 }
      perilune.after(0, function()
        local before = perilune.spawn(function() perilune.sleep(0.01) return 1 end)
        for _ = 2, 19999 do
          local awaited = before
          before = perilune.spawn(function() return perilune.wait(awaited) + 1 end)
        end
        io.stderr:write("the chain ends with ", perilune.wait(before), "\n")
      end)
    ]] })
    local proxy = perilune.start { workers = 1, policy = policy,
      under = { "sh", "-c", 'ulimit -s 1024; exec "$@"', "sh" } }
    proxy:wait_log "(the chain ends with 19999)"
  end)
end)
