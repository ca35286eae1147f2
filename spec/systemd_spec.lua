-- SPDX-License-Identifier: Apache-2.0
-- What the service manager is told, and by whom: the datagrams to $NOTIFY_SOCKET. And the units of dist/.
local cleanup = require "cleanup"
local client = require "client"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local command = running.command

-- The manager's end: wait(pattern) returns what the first message that has it holds, of all since forget().
local function listen()
  local path = process.directory() .. "/notify"
  local fd = assert(sys.bind_datagram("unix:" .. path))
  cleanup.add(1, function() sys.close(fd) end)
  local manager = { path = path, seen = {} }
  function manager.receive()
    local text = sys.receive(fd)
    while text do
      manager.seen[#manager.seen + 1] = text
      text = sys.receive(fd)
    end
    return manager.seen
  end
  function manager.forget()
    manager.receive()
    manager.seen = {}
  end
  function manager.wait(pattern)
    local found
    scheduler.eventually(function()
      for _, text in ipairs(manager.receive()) do found = found or text:match(pattern) end
      return found
    end)
    return found
  end
  return manager
end

local function start(manager, env)
  env = env or {}
  env.NOTIFY_SOCKET = manager.path
  return running.start { env = env }
end

describe("the service manager", function()
  it("is told when the proxy serves, and when it stops", function()
    local manager = listen()
    local proxy = start(manager)
    assert.equal("READY=1\nMAINPID=" .. proxy.pid, manager.wait "READY=1.*")
    proxy:stop()
    manager.wait "STOPPING=1"
  end)

  it("is told of a reload's begin and end, also when it fails", function()
    local manager = listen()
    local _, pid_file, path = start(manager)
    manager.wait "MAINPID"
    command(pid_file, "reload")
    local time = manager.wait "RELOADING=1\nMONOTONIC_USEC=(%d+)"
    assert.is_true(math.abs(tonumber(time) / 1e6 - sys.now()) < 60)
    process.write_file(path, "no policy")
    command(pid_file, "reload")
    manager.wait "READY=1\nSTATUS=(.*policy%.lua:1:)"
  end)

  it("gets its watchdog's signs of life, after an upgrade from the successor", function()
    local manager = listen()
    local proxy, pid_file = start(manager, { WATCHDOG_USEC = "200000" })
    manager.wait "MAINPID"
    manager.wait "WATCHDOG=1"
    assert.equal(0, command(pid_file, "upgrade").code)
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    manager.forget()
    manager.wait "WATCHDOG=1"
  end)

  it("gets none while no worker comes back to its loop", function()
    local manager = listen()
    local proxy = running.start { workers = 1, env = { NOTIFY_SOCKET = manager.path, WATCHDOG_USEC = "200000" },
      policy = [[
        require("perilune").configure { hook_time = 60 }
        require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
          repeat until io.open(os.getenv "GO")
          return session:respond { status = 200, body = "ok" }
        end })
      ]] }
    manager.wait "WATCHDOG=1"
    client.connect(proxy.port):send "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    proxy:wait_log "(worker 0 is stuck)"
    manager.forget()
    scheduler.sleep(0.5) -- more than two of its periods
    for _, text in ipairs(manager.receive()) do assert.not_matches("WATCHDOG", text) end
    proxy.go()
    manager.wait "WATCHDOG=1"
  end)

  it("watches the process that it has started, not another that inherits its environment", function()
    local manager = listen()
    local _, pid_file = start(manager, { WATCHDOG_USEC = "2000", WATCHDOG_PID = "1" })
    command(pid_file, "status")
    command(pid_file, "reload")
    manager.wait "STATUS="
    for _, text in ipairs(manager.receive()) do assert.not_matches("WATCHDOG", text) end
  end)

  it("learns of an upgrade as of a new main process, not as of a stop", function()
    local manager = listen()
    local proxy, pid_file = start(manager, { WATCHDOG_USEC = "60000000" })
    manager.wait "MAINPID"
    manager.forget()
    assert.equal(0, command(pid_file, "upgrade").code)
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    local told = {}
    for _, text in ipairs(manager.receive()) do
      if text ~= "WATCHDOG=1" then told[#told + 1] = text end
    end
    assert.same({ "READY=1\nMAINPID=" .. process.read_file(pid_file):match "%d+" }, told)
    assert.equal("ok", client.request(proxy.port).body)
  end)
end)

local function find_program(name)
  local pipe = io.popen("command -v " .. name .. " 2>/dev/null")
  local path = pipe:read "*l"
  pipe:close()
  return path
end

describe("the units of dist/", function()
  if not find_program "systemd-analyze" then
    pending "are verified by systemd-analyze, which is not installed here: make deps"
    return
  end

  -- Copies, whose program is one that exists.
  local function units()
    local directory = process.directory()
    for _, name in ipairs { "perilune.service", "perilune.socket" } do
      local text = process.read_file("dist/" .. name):gsub("/usr/local/bin/perilune", "/bin/true")
      process.write_file(directory .. "/" .. name, text)
    end
    return directory
  end

  it("are valid", function()
    local directory = units()
    local result = process.run({
      "systemd-analyze", "verify", "--man=no", directory .. "/perilune.service", directory .. "/perilune.socket",
    }, { timeout = 30 })
    assert.equal(0, result.code, result.stderr)
    assert.not_matches("perilune", result.stderr)
  end)

  it("leave little that a taken process could reach", function()
    local result = process.run({
      "systemd-analyze", "security", "--offline=yes", "--threshold=20", units() .. "/perilune.service",
    }, { timeout = 30 })
    assert.equal(0, result.code, result.stdout)
  end)
end)
