-- SPDX-License-Identifier: Apache-2.0
-- A start, a reload or an upgrade for which this machine lacks something ends with a sentence, and never with a signal.
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local shortage = require "shortage"

after_each(require("cleanup").run)

-- By call: the code, and what is said.
local LACKS = {
  epoll_ctl = { "ENOSPC", "perilune: no loop can be made: the kernel watches no more descriptors; raise fs.epoll." },
  eventfd = { "EMFILE", "perilune: no loop can be made: Too many open files; raise LimitNOFILE" },
}

local function written_policy(text)
  return process.write_file(process.directory() .. "/policy.lua", text or running.POLICY)
end

describe("a start without what its loops need", function()
  for call, lacks in pairs(LACKS) do
    it(("says so, and fails (%s)"):format(call), function()
      local lack = shortage.new()
      lack:begin(call, lacks[1], 1)
      local words = { "run", "--workers", "2", written_policy() }
      local result = perilune.run { args = words, env = lack.env, timeout = 60 }
      assert.equal(1, result.code, result.stderr)
      running.has(result.stderr, lacks[2])
      local test = perilune.run { args = { "test", written_policy 'describe("x", function() end)' }, env = lack.env,
        timeout = 60 }
      assert.is_true(test.code > 0)
      running.has(test.stdout .. test.stderr, lacks[2]:match ": (.*)")
    end)
  end

  it("either fails with a sentence or serves, where only some calls fail", function()
    local lack, served, failed = shortage.new(), 0, 0
    local path = written_policy()
    for try = 1, 12 do
      lack:begin("epoll_ctl", "ENOSPC", try % 3 == 0 and 0.2 or 0.5)
      local proxy = process.start({ perilune.binary, "run", "--workers", "2", path }, { env = lack.env })
      scheduler.eventually(function() return proxy:exit_code() or proxy:stderr():find "ready: 2 workers" end)
      lack:over()
      if proxy:exit_code() then
        failed = failed + 1
        assert.equal(1, proxy:exit_code(), proxy:stderr())
        running.has(proxy:stderr(), LACKS.epoll_ctl[2])
      else
        served = served + 1
        local port = tonumber(proxy:stderr():match "listening on [%d.]+:(%d+)")
        assert.equal("ok", client.request(port).body)
        proxy:signal "TERM"
        assert.equal(0, proxy:wait(60), proxy:stderr())
      end
    end
    assert.is_true(failed > 0, served .. " served")
  end)
end)

describe("a process that serves, while the kernel watches no more descriptors", function()
  it("is reloaded, or says why not; and its successor says why it cannot begin", function()
    local lack = shortage.new()
    local proxy, pid_file, path = running.start { env = lack.env }
    process.write_file(path, running.POLICY .. [[
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = "two" }
      end })
    ]])
    lack:begin("epoll_ctl", "ENOSPC", 1)
    scheduler.eventually(function() -- a command may be obeyed, but there is no memory for its answer
      local reload = running.command(pid_file, "reload")
      if reload.code ~= 0 then running.has(reload.stderr, "closed the connection without an answer") end
      return proxy:log():find "reloaded: generation 2 is in force"
    end)
    scheduler.eventually(function()
      running.command(pid_file, "upgrade")
      return proxy:log():find(LACKS.epoll_ctl[2], 1, true)
    end)
    assert.is_nil(proxy:exit_code())
    lack:over()
    proxy:wait_log "this process goes on"
    assert.equal("ok", client.request(proxy.port).body)
    assert.equal(0, running.command(pid_file, "reload").code)
    local ports = {}
    for port in proxy:log():gmatch "listening on [%d.]+:(%d+)" do ports[#ports + 1] = tonumber(port) end
    assert.equal("two", client.request(ports[2]).body)
    assert.equal(0, running.command(pid_file, "stop").code)
  end)
end)
