-- SPDX-License-Identifier: Apache-2.0
-- Settings of the process that cannot be: what is wrong is said before anything serves, and by perilune check as well.
local client = require "client"
local perilune = require "perilune"
local preload = require "preload"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local command = running.command

local function policy(settings)
  local text = settings and ("require('perilune').configure %s\n"):format(settings) or ""
  return process.write_file(process.directory() .. "/policy.lua", text .. running.POLICY)
end

local function is_refused(result, pattern)
  assert.equal(2, result.code, result.stderr)
  assert.matches(pattern, result.stderr)
end

describe("perilune check", function()
  local impossible = {
    ["user = 'no such user'"] = "user 'no such user': there is none of that name",
    ["group = 'no such group'"] = "group 'no such group': there is none of that name",
    ["pid_file = '/nonexistent/pid'"] = "pid_file '/nonexistent/pid': its folder does not exist",
    ["socket = '/nonexistent/socket'"] = "socket '/nonexistent/socket'",
    ["error_log = '/nonexistent/log'"] = "error_log '/nonexistent/log'",
    ["access_log = '/'"] = "access_log '/': it is a directory",
    ["admin = '0.0.0.0:1'"] = "admin '0%.0%.0%.0:1'",
    ["log_level = 'loud'"] = "log_level wants debug, info, warn or error, not 'loud'",
    ["workers = 0"] = "workers wants a whole number from 1 to 1024, or auto, not '0'",
    ["wrokers = 1"] =
      "unknown setting 'wrokers' %(did you mean workers%?%); valid are workers, grace, .*log_level, .*memory_limit",
  }
  for settings, message in pairs(impossible) do
    it("finds that " .. settings .. " cannot be", function()
      is_refused(perilune.run("check", policy("{ " .. settings .. " }")), message)
    end)
  end

  it("finds it on the command line, too", function()
    is_refused(perilune.run("check", "--user", "no such user", policy()), "no such user")
  end)

  it("has nothing against settings that are fine", function()
    local result = perilune.run("check", policy "{ user = 'root', access_log = 'stdout', error_log = 'syslog' }")
    assert.equal(0, result.code, result.stderr)
  end)
end)

describe("an object of more memory than there can be", function()
  local function check(text)
    local path = process.write_file(process.directory() .. "/policy.lua", running.POLICY .. text)
    return perilune.run("check", path)
  end

  for _, call in ipairs { "new", "sliding", "bucket" } do
    it("is refused at the policy's line, and does not end the process: rate_limit." .. call, function()
      is_refused(check(('require("perilune.rate_limit").%s { by = "path", max = 1, keys = 1e9 }'):format(call)),
        "policy%.lua:%d+: rate_limit.*keys must be from 1 to 67108864")
    end)
  end

  -- A check on a machine of so much memory.
  local function check_with(mib, text)
    local env = preload.library(([[
      #include <unistd.h>
      long sysconf(int name) {
        long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
        return name == _SC_PHYS_PAGES ? %dL * 1024 * 1024 / real(_SC_PAGESIZE) : real(name);
      }
    ]]):format(mib))
    local path = process.write_file(process.directory() .. "/policy.lua", running.POLICY .. text)
    return perilune.run { args = { "check", path }, env = env, release = true }
  end

  -- 2^20 entries, and the MiB that they take.
  for call, mib in pairs {
    ['perilune.rate("all", { slots = 1048576 })'] = 64, ['perilune.inflight("all", { keys = 1048576 })'] = 48,
    ['require("perilune.rate_limit").new { by = "path", max = 1, keys = 1048576 }'] = 32,
    ['require("perilune.rate_limit").bucket { by = "path", max = 1, keys = 1048576 }'] = 24,
  } do
    it("is one that would take more than half of the machine's memory: " .. call, function()
      local text = "local perilune = require 'perilune' " .. call
      is_refused(check_with(2 * mib - 2, text), ("policy%%.lua:%%d+: .* would take %d MiB; "):format(mib)
        .. ("an object may take half of the machine's memory, %d MiB"):format(mib - 1))
      local fits = check_with(2 * mib, text)
      assert.equal(0, fits.code, fits.stderr)
    end)
  end
end)

describe("an option of a health check by HTTP", function()
  local wrong = {
    ['lenient = { "bare_cr" }'] = "option 'lenient' must be .*bare_lf.*, got 'bare_cr'",
    ["lenient = { no_close_notify = true }"] = ".*got 'no_close_notify'",
    ["lenient = { bare_lf = 1 }"] = ".*got 'bare_lf'",
    ['method = "get"'] = "option 'method' must be a method in upper case, got 'get'",
    ['path = "health"'] = "option 'path' must be a path, which begins with \"/\", got 'health'",
  }
  for option, message in pairs(wrong) do
    it("that no request could have is refused where the policy says it: " .. option, function()
      local text = 'local set = require("perilune.round_robin").new { "127.0.0.1:1" } ' ..
        ('require("perilune.health_check").http(set, { %s })'):format(option)
      local path = process.write_file(process.directory() .. "/policy.lua", running.POLICY .. text)
      is_refused(perilune.run("check", path), "policy%.lua:%d+: health_check%.http: " .. message)
    end)
  end
end)

describe("an option that there is not", function()
  it("is answered with the one that is nearest, or else with those that there are, of that command", function()
    is_refused(perilune.run("run", "--wrokers", "2", "x.lua"), "no option %-%-wrokers; did you mean %-%-workers%?")
    is_refused(perilune.run("run", "--port", "2", "x.lua"),
      "no option %-%-port; see 'perilune help run'")
    is_refused(perilune.run("stop", "--later"), "valid are %-%-now, %-%-pid, %-%-pid%-file, %-%-socket;")
    is_refused(perilune.run("version", "--short"), "version has no option %-%-short; it takes none")
  end)

  it("or that belongs to another one is refused, too", function()
    is_refused(perilune.run("reload", "--for", "1s"), "%-%-for belongs to %-%-canary or %-%-shadow")
    is_refused(perilune.run("reload", "--shadow", "--max-errors", "1%"), "%-%-max%-errors belongs to %-%-canary")
  end)
end)

describe("a pid file", function()
  it("that cannot be written keeps the proxy from starting", function()
    is_refused(perilune.run("run", "--pid-file", "/nonexistent/pid", policy()),
      "cannot write the pid file /nonexistent/pid")
  end)

  it("that is not there is told from one that is wrong", function()
    local path = process.directory() .. "/pid"
    local result = command(path, "status")
    assert.equal(1, result.code)
    assert.matches("cannot open the pid file .*/pid: No such file or directory; a proxy writes it once it serves, " ..
      "and removes it", result.stderr)
    process.write_file(path, "none\n")
    assert.matches("no process id in .*/pid", command(path, "status").stderr)
  end)

  it("that was left behind is told from a proxy, and taken over", function()
    local pid_file = process.write_file(process.directory() .. "/pid", "123456789 old\n")
    local result = command(pid_file, "status")
    assert.equal(1, result.code)
    assert.matches("no proxy answers for the process id in", result.stderr)
    local proxy = perilune.start { args = { "run", "--pid-file", pid_file, policy() } }
    assert.equal(proxy.pid .. "\n", process.read_file(pid_file))
    assert.equal(0, command(pid_file, "stop").code)
    assert.is_nil(io.open(pid_file))
  end)
end)

describe("a socket of commands", function()
  it("that cannot be listened on keeps the proxy from starting", function()
    local _, _, path = running.start()
    local socket = path .. ".socket"
    local first = perilune.start { args = { "run", "--socket", socket, path } }
    is_refused(perilune.run("run", "--socket", socket, path),
      "cannot listen on unix:.*%.socket: Address already in use")
    assert.equal("ok", client.request(first.port).body)
    assert.equal(0, perilune.run("status", "--socket", socket).code)
  end)
end)

describe("an older generation", function()
  it("that is in use after the time called drain is reported, and shown", function()
    local proxy, pid_file = running.start { words = { "--drain", "0.1" } }
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    scheduler.eventually(function() return command(pid_file, "status").stdout:find "[^%d]1 under way" end)
    assert.equal(0, command(pid_file, "reload").code)
    proxy:wait_log "(generation 1 is still in use by 1 exchange;)"
    scheduler.eventually(function() return command(pid_file, "status").stdout:find "still in use by 1 exchange;" end)
    assert.equal(0, command(pid_file, "reload", "--close-old").code)
    scheduler.eventually(function() return not command(pid_file, "status").stdout:find "still in use" end)
  end)
end)
