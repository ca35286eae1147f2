-- SPDX-License-Identifier: Apache-2.0
-- Files, sockets and descriptors: no link is followed as root, no path is believed twice, nothing is left to children.
local cleanup = require "cleanup"
local client = require "client"
local lfs = require "lfs"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

local command = running.command

local function output_of(line)
  local pipe = io.popen(line)
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local is_root = output_of "id -u" == "0\n"
local as_root = is_root and it or function(sentence) pending(sentence .. " (only as root)") end

local function owner_of(path) return output_of(("stat -c %%U '%s'"):format(path)):match "%S+" end

-- So that others can come to a folder.
local function open_up(folder)
  for at in (folder .. "/"):gmatch "()/" do os.execute(("chmod o+x '%s' 2>/dev/null"):format(folder:sub(1, at))) end
end

-- A folder that belongs to nobody, and a file that only root may read, outside of it.
local function places()
  local folder, secret = process.directory(), process.write_file(process.directory() .. "/secret", "root only\n")
  assert(os.execute(("chown nobody '%s' && chmod 600 '%s'"):format(folder, secret)) == 0)
  open_up(folder)
  return folder, secret
end

local function run(...) return perilune.run { args = { "run", ... }, timeout = 20 } end

local POLICY = [[
  require("perilune").listen("%s", { request_filter = function(session)
    return session:respond { status = 200, body = "ok" }
  end })
]]

local function policy(listen)
  return process.write_file(process.directory() .. "/policy.lua", POLICY:format(listen or "127.0.0.1:0"))
end

describe("started as root", function()
  for _, option in ipairs { "--pid-file", "--error-log", "--access-log" } do
    as_root("follows no link in a folder of another: " .. option, function()
      local folder, secret = places()
      lfs.link(secret, folder .. "/link", true)
      local result = run("--user", "nobody", option, folder .. "/link", policy())
      assert.equal(2, result.code, result.stderr)
      assert.matches("symbolic link", result.stderr)
      assert.equal("root only\n", process.read_file(secret))
      assert.equal("root", owner_of(secret))
    end)

    as_root("writes to no file that has a second name: " .. option, function()
      local folder, secret = places()
      lfs.link(secret, folder .. "/link")
      local result = run("--user", "nobody", option, folder .. "/link", policy())
      assert.equal(2, result.code, result.stderr)
      assert.matches("second name", result.stderr)
      assert.equal("root only\n", process.read_file(secret))
      assert.equal("root", owner_of(secret))
    end)
  end

  as_root("gives what it opened to the user, and keeps no group of its own", function()
    local folder = places()
    local proxy = running.start { policy = POLICY:format "127.0.0.1:0",
      words = { "--user", "nobody", "--access-log", folder .. "/log", "--socket", folder .. "/socket" } }
    assert.equal("nobody", owner_of(folder .. "/log"))
    assert.equal("nobody", owner_of(folder .. "/socket"))
    local status = process.read_file("/proc/" .. proxy.pid .. "/status")
    local id = output_of("id -u nobody"):match "%d+"
    assert.matches(("Uid:%s+%s%s+%s%s+%s%s+%s\n"):gsub("%%s%+", "%%%%s+"):format(id, id, id, id), status)
  end)

  as_root("with --group alone has that group and no other", function()
    local proxy = running.start { words = { "--group", "nogroup" } }
    local id = output_of("getent group nogroup"):match ":(%d+):"
    local status = process.read_file("/proc/" .. proxy.pid .. "/status")
    assert.equal(id, status:match "Groups:%s*(.-)%s*\n")
    assert.equal(id, status:match "Gid:%s+(%d+)")
  end)
end)

describe("a pid file", function()
  it("is neither a link, whoever made it, nor a file with something else in it, nor a pipe", function()
    local folder = process.directory()
    local text = process.write_file(folder .. "/notes", "not a number\n")
    lfs.link(text, folder .. "/link", true)
    assert(os.execute("mkfifo " .. folder .. "/pipe") == 0)
    for name, reason in pairs {
      notes = "something else than a number", link = "symbolic link", pipe = "no regular file",
    } do
      local result = run("--pid-file", folder .. "/" .. name, policy())
      assert.equal(2, result.code, name .. ": " .. result.stderr)
      assert.matches(reason, result.stderr)
    end
    assert.equal("not a number\n", process.read_file(text))
  end)

  it("belongs to one proxy, also after an upgrade; one that was left behind is taken", function()
    local proxy, pid_file, path = running.start()
    local function is_refused(pid)
      local second = run("--pid-file", pid_file, path)
      assert.equal(2, second.code)
      assert.matches("the pid file .*: process " .. pid .. " has it locked: another proxy uses it", second.stderr)
    end
    is_refused(proxy.pid)
    assert.equal(0, command(pid_file, "upgrade").code)
    assert.equal(0, proxy:ended(20))
    local successor = tonumber(process.read_file(pid_file):match "%d+")
    is_refused(successor)
    assert.equal("ok", client.request(proxy.port).body)
    sys.kill(successor, 9)
    scheduler.eventually(function() return not lfs.attributes("/proc/" .. successor) end)
    local third = perilune.start { args = { "run", "--pid-file", pid_file, path } }
    assert.equal(third.pid, tonumber(process.read_file(pid_file)))
  end)

  it("that is another's by now is not removed", function()
    local proxy, pid_file = running.start()
    os.remove(pid_file)
    process.write_file(pid_file, tostring(proxy.pid))
    proxy:stop()
    assert.equal(tostring(proxy.pid), process.read_file(pid_file))
    os.remove(pid_file)
  end)
end)

describe("a socket's file", function()
  it("is removed when the proxy stops or does not come to serve, also of a relative path", function()
    local folder = process.directory()
    local _, depth = lfs.currentdir():gsub("/", "")
    local relative = ("unix:%s%s/listener"):format(("../"):rep(depth), folder:sub(2))
    perilune.start({ policy = POLICY:format(relative) }):stop()
    assert.is_nil(lfs.attributes(folder .. "/listener"))
    local second = POLICY:format "unix:/nowhere/at/all"
    local result = run(process.write_file(folder .. "/two.lua", POLICY:format(relative) .. second))
    assert.equal(2, result.code)
    assert.matches("cannot listen on unix:/nowhere", result.stderr)
    assert.is_nil(lfs.attributes(folder .. "/listener"))
  end)

  it("is not removed at the end by who does not listen there any more", function()
    local folder = process.directory()
    local proxy = perilune.start { policy = POLICY:format("unix:" .. folder .. "/listener"),
      settings = { "--socket", folder .. "/command", "--admin", "unix:" .. folder .. "/admin" } }
    local fds = {}
    for _, name in ipairs { "listener", "command", "admin" } do
      os.remove(folder .. "/" .. name)
      fds[#fds + 1] = assert(sys.listen("unix:" .. folder .. "/" .. name))
    end
    proxy:stop()
    for _, name in ipairs { "listener", "command", "admin" } do
      assert.equal("socket", lfs.attributes(folder .. "/" .. name, "mode"), name)
    end
    for _, fd in ipairs(fds) do sys.close(fd) end
  end)

  it("whose queue is full is somebody's, and does not hold up a start", function()
    local path = process.directory() .. "/full"
    local fd = assert(sys.listen("unix:" .. path, nil, 0))
    local waiting = {}
    repeat
      local one = sys.connect("unix:" .. path)
      waiting[#waiting + 1] = one
    until not one
    local result = run(policy("unix:" .. path))
    assert.equal(2, result.code)
    assert.matches("cannot listen on unix:.*Address already in use", result.stderr)
    for _, one in ipairs(waiting) do sys.close(one) end
    sys.close(fd)
  end)
end)

describe("a program that the policy starts", function()
  it("gets no descriptor of the proxy's", function()
    local log = process.directory() .. "/access"
    local settings = { "--admin", "127.0.0.1:0", "--access-log", log }
    local proxy = perilune.start { workers = 2, settings = settings, policy = [[
      local perilune = require "perilune"
      for _, address in ipairs { "127.0.0.1:0", "unix:" .. os.getenv "FOLDER" .. "/socket" } do
        perilune.listen(address, { request_filter = function(session)
          local pipe = io.popen "exec ls -l /proc/self/fd"
          local text = pipe:read "*a"
          pipe:close()
          return session:respond { status = 200, body = text }
        end })
      end
    ]], env = { FOLDER = process.directory() } }
    client.request(proxy.port)
    local body = client.request(proxy.port).body
    assert.matches("1 %-> pipe:", body)
    -- Others may come from whoever started the specs.
    for _, ours in ipairs { "socket:", "anon_inode:", log } do assert.is_nil(body:find(ours, 1, true), body) end
  end)
end)

-- Listens where the proxy of that process would, and answers one command.
local function squat(pid, text)
  return ([[exec python3 - <<'END'
import os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.bind("\0perilune-%s"); s.listen(8)
print("bound", flush=True)
while True:
    c, _ = s.accept(); c.recv(100); c.sendall(b"%s"); c.close()
END
]]):format(pid, text)
end

describe("perilune's commands", function()
  local has_python = output_of "command -v python3" ~= ""
  local with_python = is_root and has_python and it or function(sentence) pending(sentence .. " (root, python3)") end

  with_python("are not told to another user who has taken the name", function()
    local impostor = process.start { "sh", "-c", squat(4000001, "0\\nall is well\\n") }
    cleanup.add(1, function() impostor:kill() end)
    scheduler.eventually(function() return impostor:stdout():find "bound" end)
    local pid_file = process.write_file(process.directory() .. "/pid", "4000001\n")
    local result = command(pid_file, "reload")
    assert.equal(1, result.code)
    assert.matches("belongs to user 65534", result.stderr)
    assert.not_matches("all is well", result.stdout .. result.stderr)
  end)

  with_python("print nothing that a terminal would obey", function()
    local impostor = process.start { "sh", "-c",
      (squat(4000002, "0\\nfine \\x1b]0;owned\\x07 \\xc2\\x9b2J \\xff \\xe2\\x96\\x81\\n"):gsub("os.set[^\n]*\n", "")) }
    cleanup.add(1, function() impostor:kill() end)
    scheduler.eventually(function() return impostor:stdout():find "bound" end)
    local pid_file = process.write_file(process.directory() .. "/pid", "4000002\n")
    local result = command(pid_file, "reload")
    assert.equal("fine \\x1b]0;owned\\x07 \\xc2\\x9b2J \\xff ▁\n", result.stdout, result.stderr .. impostor:stderr())
  end)

  -- By another user than the proxy's, which is root: told so, or killed by what it writes to a connection that is gone.
  local function refused_to_nobody(...)
    local proxy, pid_file = running.start { workers = 1 }
    local program, words = process.directory() .. "/program", { ... }
    assert(os.execute(("cp '%s' '%s'"):format(perilune.binary, program)) == 0)
    open_up(program)
    for _, word in ipairs { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "stop",
      "--pid", tostring(proxy.pid) } do words[#words + 1] = word end
    local result = process.run(words, { env = { ASAN_OPTIONS = "detect_leaks=0" }, timeout = 60 })
    assert.same({ 1, "perilune: commands are heard from the user that the proxy runs as, and from root\n" },
      { result.code, result.stderr })
    assert.equal(0, command(pid_file, "status").code)
  end

  as_root("are heard from root and the proxy's own user alone", function() refused_to_nobody() end)

  local has_strace = output_of "command -v strace" ~= ""
  local traced = is_root and has_strace and it or function(sentence) pending(sentence .. " (root, strace)") end

  traced("say why they are refused, also where the proxy has hung up before they spoke", function()
    local late = "inject=write:delay_enter=500000:when=1"
    refused_to_nobody("strace", "-f", "-o", "/dev/null", "-e", "trace=write", "-e", late)
  end)

  with_python("are not heard in the name of another: a proxy whose name is taken does not start", function()
    local taken = [[
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("\0perilune-%d" % os.getpid()); s.set_inheritable(True)
os.execv(sys.argv[1], sys.argv[1:])
]]
    local result = process.run({ "python3", "-c", taken, perilune.binary, "run", policy() }, { timeout = 20 })
    assert.equal(2, result.code)
    assert.matches("perilune%-%d+: Address already in use", result.stderr)
  end)

  it("are not heard in the name of another: a proxy whose socket is taken does not start", function()
    local socket = process.directory() .. "/socket"
    local first = running.start { words = { "--socket", socket } }
    local second = run("--socket", socket, policy())
    assert.equal(2, second.code)
    assert.matches("Address already in use", second.stderr)
    first:stop()
  end)
end)
