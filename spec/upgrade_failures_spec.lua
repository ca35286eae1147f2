-- SPDX-License-Identifier: Apache-2.0
-- An upgrade that cannot be: the running proxy serves on, and who asked is told why.
local client = require "client"
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local command = running.command

-- A proxy whose program file is a copy, to be replaced, in a tree of its own.
local function start_copy(words)
  local root = process.directory()
  local program, original = root .. "/bin/perilune", perilune.binary
  lfs.mkdir(root .. "/bin")
  lfs.link(lfs.currentdir() .. "/lua", root .. "/lua", true)
  lfs.link(lfs.currentdir() .. "/scripts", root .. "/scripts", true)
  assert(os.execute(("cp '%s' '%s'"):format(original, program)) == 0)
  perilune.binary = program
  local ok, proxy, pid_file, path = pcall(running.start, { words = words })
  perilune.binary = original
  return assert(ok and proxy, proxy), pid_file, path, program
end

local function replace(program, text)
  process.write_file(program .. ".new", text)
  assert(os.execute(("chmod +x '%s.new'"):format(program)) == 0)
  assert(os.rename(program .. ".new", program))
end

local function serves_on(proxy, pid_file)
  assert.equal("ok", client.request(proxy.port).body)
  assert.equal(proxy.pid, tonumber(process.read_file(pid_file)))
  assert.matches("this process goes on", proxy:log())
  local status = command(pid_file, "status")
  assert.equal(0, status.code, status.stderr)
end

describe("perilune upgrade", function()
  it("says so when the program file is no program, and when it is gone", function()
    local proxy, pid_file, _, program = start_copy()
    replace(program, "no program at all\n")
    local result = command(pid_file, "upgrade")
    assert.equal(1, result.code)
    assert.matches("perilune: Exec format error", result.stderr)
    assert.matches("this process goes on", result.stderr)
    os.remove(program)
    assert.matches("perilune: No such file or directory", command(pid_file, "upgrade").stderr)
    serves_on(proxy, pid_file)
  end)

  it("says so when the program is another one", function()
    local proxy, pid_file, _, program = start_copy()
    replace(program, "#!/bin/sh\nexit 0\n")
    assert.matches("ended before it served; is it a perilune", command(pid_file, "upgrade").stderr)
    replace(program, "#!/bin/sh\nkill -SEGV $$\n")
    assert.matches("ended before it served, by signal 11", command(pid_file, "upgrade").stderr)
    serves_on(proxy, pid_file)
  end)

  it("ends a successor that does not serve in time, or that nobody can hear any more", function()
    local proxy, pid_file, _, program = start_copy { "--upgrade-timeout", "0.3" }
    replace(program, "#!/bin/sh\nexec sleep 60\n")
    local result = command(pid_file, "upgrade")
    assert.matches("did not serve within 0.3 s, and was killed", result.stderr)
    local successor = tonumber(result.stderr:match "process (%d+)")
    assert.is_nil(lfs.attributes("/proc/" .. successor))
    replace(program, "#!/bin/sh\nfor i in 3 4 5 6 7 8 9; do eval \"exec $i>&-\"; done\nexec sleep 60\n")
    assert.matches("ended before it served", command(pid_file, "upgrade").stderr)
    serves_on(proxy, pid_file)
  end)

  it("tells the reason for which a new policy or setting keeps the successor from serving", function()
    local proxy, pid_file, path = running.start()
    process.write_file(path, running.POLICY .. "\nrequire('perilune').configure { user = 'no such user' }")
    local result = command(pid_file, "upgrade")
    assert.equal(1, result.code)
    assert.matches("user 'no such user': there is none of that name", result.stderr)
    serves_on(proxy, pid_file)
  end)

  it("that hangs is ended by a stop", function()
    local proxy, pid_file, _, program = start_copy()
    replace(program, "#!/bin/sh\necho $$ >$0.pid\nexec sleep 60\n")
    local results = scheduler.all({
      function() return command(pid_file, "upgrade").stderr end,
      function()
        scheduler.eventually(function() return process.read_file(program .. ".pid") ~= "" end)
        return command(pid_file, "stop").code
      end,
    }, 20)
    assert.equal(0, results[2])
    assert.matches("the proxy is stopping", results[1])
    assert.equal(0, proxy:ended(10))
    assert.is_nil(lfs.attributes("/proc/" .. process.read_file(program .. ".pid"):match "%d+"))
  end)

  it("under way, other upgrades and reloads are refused; a HUP is made up for", function()
    local proxy, pid_file, _, program = start_copy { "--upgrade-timeout", "2" }
    replace(program, "#!/bin/sh\nexec sleep 60\n")
    local results = scheduler.all({
      function() return command(pid_file, "upgrade").stderr end,
      function()
        proxy:wait_log "(starting a successor)"
        proxy:signal "HUP"
        proxy:wait_log "(reload: an upgrade is under way, since [^;]+; the reload follows after it)"
        return command(pid_file, "upgrade").stderr .. command(pid_file, "reload").stderr
          .. command(pid_file, "reload", "--shadow").stderr
      end,
    }, 20)
    assert.matches("did not serve", results[1])
    assert.matches("^" .. ("perilune: an upgrade is under way, since [^\n]+ %(%d+ s ago%)\n"):rep(3) .. "$", results[2])
    proxy:wait_log "(generation 2) is in force"
    serves_on(proxy, pid_file)
  end)

  it("tells the reason for which the command line keeps the successor from serving", function()
    local directory = process.directory()
    local key, certificate, socket = directory .. "/key", directory .. "/certificate", directory .. "/commands"
    assert.equal(0, process.run({ "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
      "-keyout", key, "-out", certificate }).code)
    perilune.start { args = { "proxy", "--listen", "https://127.0.0.1:0", "--to", "127.0.0.1:9", "--tls-cert",
      certificate, "--tls-key", key, "--socket", socket } }
    os.remove(key)
    local result = perilune.run("upgrade", "--socket", socket)
    assert.equal(1, result.code)
    assert.matches("upgrade: %-%-tls%-key .*/key: No such file", result.stderr)
  end)

  it("is refused where the proxy is process 1, with which its container would end", function()
    local socket = process.directory() .. "/commands"
    local place = { "unshare", "-p", "-f", "--kill-child" }
    if process.run({ "unshare", "-p", "-f", "true" }).code ~= 0 then
      place = { "unshare", "-U", "-r", "-p", "-f", "--kill-child" } -- who is not root needs a user namespace
    end
    local proxy = running.start { under = place, words = { "--socket", socket } }
    local result = perilune.run("upgrade", "--socket", socket)
    assert.equal(1, result.code)
    assert.matches("the end of process 1 would end the container", result.stderr)
    assert.equal("ok", client.request(proxy.port).body)
    assert.equal(0, perilune.run("stop", "--socket", socket).code)
    assert.equal(0, proxy:ended(10))
  end)

  it("is refused while a canary is tried", function()
    local _, pid_file = running.start()
    local results = scheduler.all({
      function() return command(pid_file, "reload", "--canary", "5%", "--for", "60s").code end,
      function()
        scheduler.eventually(function() return command(pid_file, "status").stdout:find "canary" end)
        local refused = command(pid_file, "upgrade").stderr
        command(pid_file, "stop", "--now")
        return refused
      end,
    }, 90)
    assert.matches("a canary is under way, since .*, of /.*; 'perilune reload %-%-abort' ends it", results[2])
  end)
end)
