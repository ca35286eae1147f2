-- SPDX-License-Identifier: Apache-2.0
-- The files of unix sockets, and of logs: who made one removes it, and nobody else.
local cleanup = require "cleanup"
local client = require "client"
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local HOOKS = [==[
  local perilune = require "perilune"
  local hooks = { request_filter = function(session)
    if session:path() == "/stuck" then
      perilune.log.info "it has begun"
      os.execute [[echo $$ >"$GO.pid"; until [ -e "$GO" ]; do sleep 0.02; done]]
    end
    return session:respond { status = 200, body = "ok" }
  end }
  local home = os.getenv "SPEC_HOME"
]==]
local LISTENS = HOOKS .. [[
  perilune.listen("127.0.0.1:0", hooks)
  perilune.listen("unix:" .. home .. "/listener", hooks)
]]
local NAMES = { "admin", "command", "listener" }

local function found(home)
  local names = {}
  for _, name in ipairs(NAMES) do
    if lfs.attributes(home .. "/" .. name, "mode") == "socket" then names[#names + 1] = name end
  end
  return table.concat(names, " ")
end

local ALL = table.concat(NAMES, " ")

-- With all kinds of sockets that have files: proxy.home holds them.
local function start(policy, words, options)
  local home = process.directory()
  options = options or {}
  options.policy, options.env = policy or LISTENS, { SPEC_HOME = home }
  options.words = { "--admin", "unix:" .. home .. "/admin", "--socket", home .. "/command", unpack(words or {}) }
  local proxy, pid_file, path = running.start(options)
  proxy.home = home
  function proxy.command(name, ...)
    return perilune.run { args = { name, "--socket", home .. "/command", ... } }
  end
  return proxy, pid_file, path
end

-- Makes one worker of it wait for a program, which ends when the specs do.
local function get_stuck(proxy, pid_file)
  local go = pid_file:gsub("pid$", "go")
  cleanup.add(3, function()
    proxy.go()
    local pid = process.read_file(go .. ".pid"):match "%d+"
    scheduler.eventually(function() return not lfs.attributes("/proc/" .. pid) end)
  end)
  client.connect(proxy.port):send_request { path = "/stuck" }
  proxy:wait_log "(it has begun)"
end

local function serves(proxy)
  for _, name in ipairs { "listener", "admin" } do
    assert.equal(200, client.request { path = "/", host = "localhost", unix = proxy.home .. "/" .. name }.status, name)
  end
  assert.equal(0, proxy.command "status".code)
end

local function taken_port()
  local fd = assert(sys.listen("127.0.0.1", 0))
  cleanup.add(2, function() sys.close(fd) end)
  return sys.port(fd)
end

describe("the files of sockets", function()
  for signal, words in pairs { QUIT = "draining", TERM = "stopping gracefully", INT = "stopping now" } do
    it("are gone after a " .. signal .. ", also where no successor has them", function()
      local proxy = start()
      assert.equal(ALL, found(proxy.home))
      proxy:signal(signal)
      assert.equal(0, proxy:wait())
      assert.matches(words, proxy:log())
      assert.equal("", found(proxy.home))
    end)
  end

  it("are gone where the process ends without a worker that is stuck", function()
    local proxy, pid_file = start(nil, { "--grace", "0.1" }, { workers = 1 })
    get_stuck(proxy, pid_file)
    proxy:signal "TERM"
    assert.equal(1, proxy:ended(20))
    assert.matches("the process ends without", proxy:log())
    assert.equal("", found(proxy.home))
  end)

  it("stay the serving process's where a successor takes its sockets and then fails", function()
    local faults = {
      ["cannot listen on"] = ("\nperilune.listen('127.0.0.1:%d', hooks)"):format(taken_port()),
      ["no such user"] = "\nperilune.configure { user = 'no such user' }",
      ["a fault of the policy"] = "\nerror 'a fault of the policy'",
    }
    local proxy, _, path = start()
    for message, fault in pairs(faults) do
      process.write_file(path, LISTENS .. fault)
      local result = proxy.command "upgrade"
      assert.equal(1, result.code)
      assert.matches(message, result.stderr)
      assert.equal(ALL, found(proxy.home))
      serves(proxy)
    end
  end)

  it("go over to a successor, which removes them in the end", function()
    local proxy, pid_file = start()
    assert.equal(0, proxy.command "upgrade".code)
    assert.equal(0, proxy:wait())
    assert.equal(ALL, found(proxy.home))
    serves(proxy)
    local successor = process.read_file(pid_file)
    assert.equal(0, proxy.command "stop".code)
    scheduler.eventually(function() return not lfs.attributes("/proc/" .. successor) end)
    assert.equal("", found(proxy.home))
  end)

  it("go with a listener that a reload removes, and stay where that is refused", function()
    local proxy, _, path = start()
    process.write_file(path, HOOKS .. "perilune.listen('127.0.0.1:0', hooks) error 'no'")
    assert.equal(2, proxy.command "reload".code)
    assert.equal(ALL, found(proxy.home))
    process.write_file(path, HOOKS .. "perilune.listen('127.0.0.1:0', hooks)")
    assert.equal(0, proxy.command "reload".code)
    assert.equal("admin command", found(proxy.home))
  end)
end)

describe("sockets of the service manager", function()
  -- As systemd hands them over: the manager goes on to hold them.
  local function start_activated(home, hosts, options)
    local fds = {}
    for i, host in ipairs(hosts) do
      fds[i] = assert(sys.listen(host, 0))
      sys.inherit(fds[i])
      cleanup.add(2, function() sys.close(fds[i]) end)
    end
    options.under = { "luajit", "spec/support/activated.lua", table.concat(fds, ",") }
    options.env = { SPEC_HOME = home, SPEC_PORT = tostring(sys.port(fds[1]) or 0) }
    local proxy, pid_file = running.start(options)
    return proxy, pid_file, fds
  end

  it("serve on after a stop that leaves a stuck worker behind, whose connections another one took", function()
    local home = process.directory()
    local proxy, pid_file, fds = start_activated(home, { "127.0.0.1" }, { words = { "--grace", "0.1" },
      policy = HOOKS .. 'perilune.listen("127.0.0.1:" .. os.getenv "SPEC_PORT", hooks)' })
    get_stuck(proxy, pid_file)
    proxy:wait_log "(accepts)"
    assert.equal(1, running.command(pid_file, "stop").code)
    assert.equal(1, proxy:ended())
    local fd = assert(sys.connect("127.0.0.1", sys.port(fds[1])))
    scheduler.eventually(function() return sys.accept(fds[1]) end)
    sys.close(fd)
  end)

  it("keep their file over an upgrade and a stop", function()
    local home = process.directory()
    local proxy, pid_file, fds = start_activated(home, { "unix:" .. home .. "/listener" }, { policy = LISTENS })
    local place = { path = "/", unix = home .. "/listener" }
    assert.equal(200, client.request(place).status)
    assert.equal(0, running.command(pid_file, "upgrade").code)
    assert.equal(0, proxy:wait())
    assert.equal(200, client.request(place).status)
    assert.equal(0, running.command(pid_file, "stop").code)
    assert.equal("listener", found(home))
    local fd = assert(sys.connect("unix:" .. place.unix))
    sys.close(fd)
    assert.is_truthy(sys.accept(fds[1]))
  end)
end)

describe("the file of an access log", function()
  local function listen(path)
    local log = path and ("'%s'"):format(path) or "false"
    return ("perilune.listen('127.0.0.1:0', hooks, { access_log = %s })\n"):format(log)
  end
  local function mode(path) return lfs.attributes(path, "mode") end

  it("is not left by a policy that is refused or tried in the shadow, and is by one that was in force", function()
    local proxy, _, path = start(HOOKS .. listen())
    local fresh, old = proxy.home .. "/fresh", process.write_file(proxy.home .. "/old", "")
    local faults = {
      listen("/nowhere/at/all"), ("perilune.listen('127.0.0.1:%d', hooks)\n"):format(taken_port()), "error 'no'\n",
    }
    for _, fault in ipairs(faults) do
      process.write_file(path, HOOKS .. listen(fresh) .. listen(old) .. fault)
      assert.equal(2, proxy.command "reload".code)
      assert.is_nil(mode(fresh))
      assert.equal("file", mode(old))
    end
    process.write_file(path, HOOKS .. listen(fresh))
    assert.equal(1, proxy.command("reload", "--shadow", "--for", "10ms").code) -- no request came
    scheduler.eventually(function() return not mode(fresh) end)
    assert.equal(0, proxy.command "reload".code)
    process.write_file(path, HOOKS .. listen())
    assert.equal(0, proxy.command "reload".code)
    assert.equal("file", mode(fresh))
  end)

  it("is not left by a start that fails", function()
    local fresh = process.directory() .. "/fresh"
    local text = HOOKS .. listen(fresh) .. ("perilune.listen('127.0.0.1:%d', hooks)"):format(taken_port())
    local result = perilune.run("run", process.write_file(fresh .. ".lua", text))
    assert.equal(2, result.code)
    assert.is_nil(mode(fresh))
  end)
end)
