-- SPDX-License-Identifier: Apache-2.0
-- Which proxy a command is for: the one that is named, or the only one that runs, of which it says what it is. The
-- proxies of other people are out of sight in a network namespace of their own, where one can be made.
local cleanup = require "cleanup"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)
local has = require("running").has

local POLICY = [[
  local perilune = require "perilune"
  perilune.listen("unix:$PATH", { request_filter = function(s) return s:respond { status = 200, body = "ok" } end })
]]

-- The words before a program that is to run in a new namespace; none where nobody may make one.
local function new_place()
  for _, user in ipairs { {}, { "-U", "-r" } } do
    local flags = { user[1] or "-n", user[2] or "-n" }
    local holder = process.start { "unshare", "-n", flags[1], flags[2], "sh", "-c", "echo in; exec sleep 600" }
    cleanup.add(2, function() holder:kill() end)
    scheduler.eventually(function() return holder:stdout() == "in\n" or holder:exit_code() end)
    if not holder:exit_code() then
      local words = { "nsenter", "-t", tostring(holder.pid), "-n" }
      if user[1] then
        words[#words + 1] = "-U"
        words[#words + 1] = "--preserve-credentials"
      end
      return words, true
    end
  end
  return {}, false
end

-- For what holds only where no other proxy is in sight: pending where no namespace can be made.
local function own_place()
  local place, is_own = new_place()
  if not is_own then pending "no network namespace can be made here: proxies of others may run" end
  return place
end

local function start(place, name, ...)
  local directory = process.directory()
  local path = directory .. "/" .. name .. ".sock"
  local script = process.write_file(directory .. "/" .. name .. ".lua", (POLICY:gsub("%$PATH", path)))
  local proxy = perilune.start { args = { "run", "--workers", "1", script, ... }, under = place }
  proxy.script, proxy.path = script, path
  return proxy
end

local function command(place, ...)
  local words = { unpack(place) }
  for _, word in ipairs { perilune.binary, ... } do words[#words + 1] = word end
  return process.run(words, { timeout = 60 })
end

local function user() return (io.popen("id -un"):read "*l") end

describe("a command", function()
  it("that names no proxy lists those that run: how to name each, its policy, where it listens, its user", function()
    local place, is_own = new_place()
    local a, b = start(place, "a"), start(place, "b", "--pid-file", process.directory() .. "/b.pid")
    for _, word in ipairs { "stop", "reload", "upgrade", "status" } do
      local result = command(place, word)
      assert.equal(1, result.code)
      for _, proxy in ipairs { a, b } do
        has(result.stderr, ("  --pid %d  %s on unix:%s, up "):format(proxy.pid, proxy.script, proxy.path))
      end
      has(result.stderr, "/b.pid; user " .. (is_own and place[5] and "root" or user()) .. "\n")
    end
    assert.is_nil(a:log():match "generation 2")
  end)

  it("that names no proxy says how many run, those with a command socket of their own, too", function()
    local place = own_place()
    start(place, "a", "--socket", process.directory() .. "/commands")
    start(place, "b")
    assert.equal("perilune: 2 proxies are running; say which:", command(place, "stop").stderr:match "[^\n]*")
  end)

  it("that names no proxy says which one it has found, where it changes something", function()
    local place = own_place()
    local proxy = start(place, "a")
    local which = ("perilune: the proxy that runs is process %d: %s on unix:"):format(proxy.pid, proxy.script)
    local result = command(place, "reload")
    assert.equal(0, result.code, result.stderr)
    has(result.stderr, which)
    assert.equal("", command(place, "status").stderr)
    result = command(place, "stop")
    assert.equal("stopped\n", result.stdout)
    has(result.stderr, which)
    assert.equal(0, proxy:ended())
  end)

  it("names a proxy by its process", function()
    local place = new_place()
    local a, b = start(place, "a"), start(place, "b")
    local result = command(place, "stop", "--pid", tostring(b.pid))
    assert.equal(0, result.code, result.stderr)
    assert.equal("", result.stderr)
    assert.equal(0, b:ended())
    assert.is_nil(a:exit_code())
    has(command(place, "status", "--pid=" .. a.pid).stdout, a.script)
  end)

  it("says of a process that it is gone, or no proxy that could be named so", function()
    local place = new_place()
    local result = command(place, "status", "--pid", "4194303")
    assert.equal(1, result.code)
    has(result.stderr, "there is no process 4194303; 'perilune ps' lists the proxies that run")
    local other = process.start { "sleep", "600" }
    cleanup.add(2, function() other:kill() end)
    result = command(place, "reload", "--pid", tostring(other.pid))
    assert.equal(1, result.code)
    has(result.stderr, ("process %d is no proxy, it is 'sleep'"):format(other.pid))
  end)

  -- The first run of the main chunk waits in a call, or those behind it do, when there is a command socket already.
  for run, begun in ipairs { "first", "next" } do
    local function start_slowly(place)
      local directory = process.directory()
      local script = process.write_file(directory .. "/slow.lua", ([[
        local run = %d
        if run == 1 or io.open "%s/ran" then
          os.execute "echo > %s/begun; while ! [ -e %s/go ]; do sleep 0.02; done"
        end
        io.open("%s/ran", "w"):close()
      ]]):format(run, directory, directory, directory, directory) .. POLICY:gsub("%$PATH", directory .. "/s"))
      local words = { unpack(place) }
      for _, word in ipairs { perilune.binary, "run", "--workers", "1", script } do words[#words + 1] = word end
      local proxy = process.start(words)
      cleanup.add(1, function() proxy:kill() end)
      function proxy.go() process.write_file(directory .. "/go", "") end
      cleanup.add(2, proxy.go)
      scheduler.eventually(function() return io.open(directory .. "/begun") end)
      return proxy
    end

    it("ends a proxy that loads its first policy on TERM, in the " .. begun .. " run of it", function()
      local proxy = start_slowly {}
      proxy:signal "TERM"
      local begin = sys.now()
      scheduler.eventually(function() return proxy:exit_code() end)
      assert.is_true(sys.now() - begin < 25) -- and not in the 30 s of `grace`
    end)

    it("says of a proxy that it loads its first policy, in the " .. begun .. " run of it", function()
      local place = own_place()
      local proxy = start_slowly(place)
      for _, more in ipairs { { "status" }, { "status", "--pid", tostring(proxy.pid) } } do
        local result = command(place, unpack(more))
        assert.equal(1, result.code)
        has(result.stderr, ("process %d is still loading its first policy, "):format(proxy.pid))
        assert.matches("slow%.lua, for %d+ s; it answers once it serves, and 'kill %d+' ends it\n$", result.stderr)
      end
      proxy.go()
      scheduler.eventually(function() return command(place, "status").code == 0 end)
      assert.equal(0, command(place, "stop").code)
    end)
  end

  it("finds a proxy that has a command socket of its own by its process and pid file, too", function()
    local place = new_place()
    local pid_file = process.directory() .. "/pid"
    local a = start(place, "a", "--socket", process.directory() .. "/commands", "--pid-file", pid_file)
    has(command(place, "status", "--pid", tostring(a.pid)).stdout, a.script)
    has(command(place, "status", "--pid-file", pid_file).stdout, a.script)
    local b = start(place, "b")
    local result = command(place, "stop")
    assert.equal(1, result.code)
    for _, proxy in ipairs { a, b } do has(result.stderr, ("  --pid %d  %s"):format(proxy.pid, proxy.script)) end
    assert.equal("stopped\n", command(place, "stop", "--pid-file", pid_file).stdout)
    assert.equal(0, a:ended(5))
  end)

  it("says how to start a proxy where none runs", function()
    local result = command(own_place(), "reload")
    assert.equal(1, result.code)
    has(result.stderr, "no proxy is running that could be found; start one with 'perilune run SCRIPT'")
  end)

  it("takes one way of naming a proxy at a time", function()
    local result = perilune.run("stop", "--pid", "1", "--socket", "/x")
    assert.equal(2, result.code)
    has(result.stderr, "--pid, --pid-file and --socket each name the proxy: give one")
  end)
end)
