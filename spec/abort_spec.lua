-- SPDX-License-Identifier: Apache-2.0
-- `perilune reload --abort` ends what is under way and not in force yet: a canary, a shadow, the load of a policy.
local blocked = require "blocked"
local cleanup = require "cleanup"
local client = require "client"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local command = running.command
local TRIALS = { canary = "--canary=50%", shadow = "--shadow" }

local POLICY = [[
  local perilune = require "perilune"
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
]] .. blocked.BLOCK .. [[
    return session:respond { status = 200, body = "$WORD" }
  end })
]]
-- A main chunk that runs until proxy.go(), and one that is blocked in a call until then.
local HELD = [[
  if not io.open(os.getenv "GO") then io.stderr:write "it loads\n" end
  repeat until io.open(os.getenv "GO")
]]
local BLOCKED = [[
  io.stderr:write "it loads\n"
  os.execute("until [ -e '" .. os.getenv "GO" .. "' ]; do sleep 0.05; done")
]]

local function policy(word, more) return (POLICY:gsub("%$WORD", word)) .. (more or "") end

local function body(proxy) return client.request(proxy.port).body end

local function abort(pid_file) return command(pid_file, "reload", "--abort") end

-- Begins `words`, a reload of `changed`; `meanwhile` runs once `is_begun`. The reload's result.
local function during(pid_file, words, is_begun, meanwhile)
  local result
  scheduler.all({
    function() result = command(pid_file, "reload", unpack(words)) end,
    function()
      scheduler.eventually(is_begun)
      meanwhile()
    end,
  }, 90)
  return result
end

local function begun(proxy, word)
  local from = #proxy:log() + 1
  return function() return proxy:log():find(word, from, true) end
end

describe("perilune reload --abort", function()
  it("ends a canary or a shadow at once, says which and what it has seen; the old policy stays whole", function()
    for name, option in pairs(TRIALS) do
      local proxy, pid_file, path = running.start { policy = policy "one" }
      process.write_file(path, policy "two")
      local aborted
      local result = during(pid_file, { option, "--for", "10m" }, begun(proxy, name .. ": "), function()
        for _ = 1, 10 do client.request(proxy.port) end
        aborted = abort(pid_file)
      end)
      assert.equal(0, aborted.code, aborted.stderr)
      assert.matches("^" .. name .. ": %d+ [^\n]*ended by 'perilune reload %-%-abort'\n", aborted.stdout)
      assert.equal(1, result.code)
      assert.matches(name .. ": %d+ [^\n]*ended by 'perilune reload %-%-abort'\n", result.stderr)
      for _ = 1, 20 do assert.equal("one", body(proxy)) end
      local status = command(pid_file, "status").stdout
      assert.matches("generation  1, in force", status)
      assert.not_matches("is tried", status)
      assert.equal(0, command(pid_file, "reload").code) -- nothing stands in its way
      for _ = 1, 20 do assert.equal("two", body(proxy)) end
    end
  end)

  it("says that there is nothing to end, and fails, where nothing is tried; also the second time", function()
    local proxy, pid_file, path = running.start { policy = policy "one" }
    local function is_refused()
      local result = abort(pid_file)
      assert.equal(1, result.code)
      assert.matches("there is nothing to end: .* generation 1 is in force\n", result.stderr)
    end
    is_refused()
    process.write_file(path, policy "two")
    during(pid_file, { "--canary=50%", "--for", "10m" }, begun(proxy, "canary: "), function()
      assert.equal(0, abort(pid_file).code)
      is_refused()
    end)
    assert.equal("one", body(proxy))
  end)

  it("told twice at the same time ends one trial, and each is answered", function()
    local proxy, pid_file, path = running.start { policy = policy "one" }
    process.write_file(path, policy "two")
    local codes = {}
    during(pid_file, { "--shadow", "--for", "10m" }, begun(proxy, "shadow: "), function()
      codes = scheduler.all({ function() return abort(pid_file).code end, function() return abort(pid_file).code end })
    end)
    assert.is_true(codes[1] == 0 or codes[2] == 0)
    assert.equal(1, abort(pid_file).code)
  end)

  it("ends the load of a canary, a shadow or a reload, however long the main chunk runs", function()
    for what, words in pairs { canary = { "--canary=5%" }, shadow = { "--shadow" }, reload = {} } do
      local proxy, pid_file, path = running.start { policy = policy "one" }
      process.write_file(path, policy("two", HELD))
      local aborted, begin
      local result = during(pid_file, words, begun(proxy, "it loads"), function()
        begin = sys.now()
        aborted = abort(pid_file)
      end)
      assert.is_true(sys.now() - begin < 8) -- its load_time is 10 s
      assert.equal(0, aborted.code, aborted.stderr)
      assert.equal(("the %s was ended while it was being loaded; generation 1 stays in force\n"):format(what),
        aborted.stdout)
      assert.equal(1, result.code)
      assert.matches("ended by 'perilune reload %-%-abort'\ngeneration 1 stays in force\n$", result.stderr)
      process.write_file(path, policy("three", "for _ = 1, 1e6 do end")) -- the next one has all its time
      assert.equal(0, command(pid_file, "reload").code)
      assert.equal("three", body(proxy))
    end
  end)

  it("says so when a load is blocked in a call; what comes of that is dropped", function()
    local proxy, pid_file, path = running.start { policy = policy "one", workers = 1 }
    cleanup.add(1, proxy.go)
    process.write_file(path, policy("two", BLOCKED))
    local aborted
    local result = during(pid_file, { "--canary=5%" }, begun(proxy, "it loads"), function()
      aborted = abort(pid_file)
    end)
    for _, told in ipairs { aborted, result } do
      assert.equal(1, told.code)
      assert.matches("the main chunk at [^\n]*policy%.lua:%d+ is blocked in a call .* " ..
        "until then nothing else can be loaded\ngeneration 1 stays in force\n", told.stderr)
    end
    proxy.go()
    proxy:wait_log "(canary: ended by 'perilune reload %-%-abort'; generation 1 stays in force)"
    assert.equal("one", body(proxy))
    assert.equal(0, command(pid_file, "reload").code)
    assert.equal("two", body(proxy))
  end)

  it("does not wait for a worker that is stuck, which leaves the trial when it comes back", function()
    for name, option in pairs(TRIALS) do
      local proxy, pid_file, path = blocked.start { policy = policy "one" }
      process.write_file(path, policy "two")
      local aborted
      during(pid_file, { option, "--for", "10m" }, begun(proxy, name .. ": "), function()
        blocked.ask(proxy)
        blocked.await_helper(proxy)
        aborted = abort(pid_file)
      end)
      assert.equal(0, aborted.code, aborted.stderr)
      assert.matches(name .. ": .*ended by", aborted.stdout)
      proxy.go()
      scheduler.eventually(function()
        return not command(pid_file, "status").stdout:find "stuck"
      end)
      for _ = 1, 40 do assert.equal("one", body(proxy)) end
      assert.equal(0, command(pid_file, "reload").code)
      scheduler.eventually(function() return not command(pid_file, "status").stdout:find "older" end)
    end
  end)

  it("lets a reload that a HUP has asked for meanwhile follow", function()
    local proxy, pid_file, path = running.start { policy = policy "one" }
    process.write_file(path, policy "two")
    during(pid_file, { "--canary=5%", "--for", "10m" }, begun(proxy, "canary: "), function()
      proxy:signal "HUP"
      proxy:wait_log "(the reload follows after it)"
      assert.equal(0, abort(pid_file).code)
    end)
    proxy:wait_log "(generation 2 is in force)"
    assert.equal("two", body(proxy))
  end)
end)
