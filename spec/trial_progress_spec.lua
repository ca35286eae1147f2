-- SPDX-License-Identifier: Apache-2.0
-- Who waits for a trial (reload --canary, --shadow) sees how long it takes and how far it has come.
local cleanup = require "cleanup"
local client = require "client"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

-- A trial of that many seconds, with a few requests meanwhile.
local function try(seconds, ...)
  local proxy, pid_file = running.start { workers = 2 }
  local words, result = { ... }, nil
  if seconds then words[#words + 1], words[#words + 2] = "--for", seconds end
  scheduler.all({
    function() result = running.command(pid_file, "reload", unpack(words)) end,
    function()
      while not result do
        client.request(proxy.port)
        scheduler.sleep(0.05)
      end
    end,
  }, 60)
  return result
end

describe("reload --canary and --shadow", function()
  it("say at once how long the trial takes", function()
    local canary, shadow
    scheduler.all({
      function() canary = try("300ms", "--canary", "50%") end,
      function() shadow = try("300ms", "--shadow") end,
    }, 60)
    assert.equal("canary: 50.00 % of the requests try the new policy for 0.3 s (--for); then all or none\n",
      canary.stderr)
    assert.equal("shadow: the new policy sees copies of request heads for 0.3 s (--for)\n", shadow.stderr)
  end)

  it("say every few seconds how far it has come, and the result alone on standard output", function()
    local canary, shadow
    scheduler.all({
      function() canary = try("5600ms", "--canary", "50%") end,
      function() shadow = try("5600ms", "--shadow") end,
    }, 60)
    assert.matches("canary: [01] s left; so far [1-9]%d* requests? on trial, 0 script errors, 0 answers of 500",
      canary.stderr)
    assert.matches("^canary: %d+ of %d+ requests; .* goes on to 100 %%", canary.stdout)
    assert.matches("shadow: [01] s left", shadow.stderr)
    assert.matches("^shadow: %d+ requests? compared, 0 decided otherwise", shadow.stdout)
  end)

  it("exit with 1 where no request came, because nothing was tested", function()
    local _, pid_file = running.start { workers = 2 }
    local result = running.command(pid_file, "reload", "--shadow", "--for", "50ms")
    assert.equal(1, result.code)
    assert.matches("0 requests compared, .*no request was compared: nothing was tested", result.stdout .. result.stderr)
  end)

  it("tell response times finer than a millisecond", function()
    local result = try("300ms", "--canary", "50%")
    assert.matches("mean response time %d+%.%d%d%d ms %(%d+%.%d%d%d ms%)", result.stdout)
    assert.not_matches("response time 0%.000 ms %(0%.000 ms%)", result.stdout)
  end)

  it("say of one worker that it is one", function()
    local proxy, pid_file = running.start { workers = 1 }
    local result = running.command(pid_file, "reload")
    assert.matches("in force on 1 worker\n", result.stdout)
    assert.matches("ready: 1 worker,", proxy:log())
    assert.not_matches("%f[%d]1 workers", running.command(pid_file, "status").stdout)
  end)
end)
