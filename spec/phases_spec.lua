-- SPDX-License-Identifier: Apache-2.0
-- Commands and signals in any order: one process serves in the end, each refusal says why, nothing spins or hangs.
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

local POLICY = [[
  local perilune = require "perilune"
  perilune.configure { hook_time = 60 }
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    if session:path() == "/busy" then
      io.stderr:write "it is busy\n"
      while not io.open(os.getenv "GO") do end -- the spec makes the file
    end
    return session:respond { status = 200, body = "ok" }
  end })
]]

local BUSY = "GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

-- A proxy whose one worker is kept busy until proxy.go().
local function start_busy(words, workers)
  local proxy, pid_file, path = running.start { policy = POLICY, words = words, workers = workers or 1 }
  cleanup.add(2, proxy.go)
  local busy = client.connect(proxy.port)
  busy:send(BUSY)
  proxy:wait_log "(it is busy)"
  return proxy, pid_file, path
end

-- Seconds of the processor that a process has used.
local function cpu_seconds(pid)
  local fields = process.read_file("/proc/" .. pid .. "/stat"):match "%) (.*)"
  local at, sum = 0, 0
  for field in fields:gmatch "%S+" do
    at = at + 1
    if at == 12 or at == 13 then sum = sum + tonumber(field) end
  end
  return sum / 100
end

-- Processes that were started with this pid file, and are no zombies.
local function processes(pid_file)
  local found = {}
  for name in lfs.dir "/proc" do
    local line = name:match "^%d+$" and process.read_file("/proc/" .. name .. "/cmdline")
    if line and line:find("\0run\0", 1, true) and line:find(pid_file, 1, true) then
      found[#found + 1] = tonumber(name)
    end
  end
  return found
end

local function lines_of(text) return select(2, text:gsub("\n", "\n")) end

describe("a worker that does not come back to its loop", function()
  it("does not hold up a reload beyond its limit, nor the next one, and goes over to the newest", function()
    local proxy, pid_file, path = start_busy { "--reload-timeout", "1.5" }
    local directory = path:match "^(.*)/"
    local function listen(name)
      return ("\nrequire('perilune').listen('unix:%s/%s', { request_filter = function(session) "
        .. "return session:respond { status = 200, body = 'ok' } end })"):format(directory, name)
    end
    process.write_file(path, POLICY .. listen "one" .. listen "two")
    local result = command(pid_file, "reload")
    assert.equal(1, result.code)
    assert.matches("generation 2 is in force on 0 of 1 worker after 1.5 s .*; worker 0 ", result.stderr)
    process.write_file(path, POLICY .. listen "three" .. listen "two")
    for generation = 3, 6 do
      assert.matches("generation " .. generation .. " is in force on 0 of 1", command(pid_file, "reload").stderr)
    end
    assert.matches("generation%s+6", command(pid_file, "status").stdout)
    for _, option in ipairs { "--canary=5%", "--shadow" } do
      local word, share = option:match "([^=]+)=?(.*)"
      local words = { "reload", word, share ~= "" and share or nil }
      assert.matches("has not come to the generation in force", command(pid_file, unpack(words)).stderr)
    end
    proxy.go()
    proxy:wait_log "worker 0 has come to (generation 6), too"
    assert.equal(0, proxy:count_log "has come to generation [2-5]")
    assert.equal("ok", client.request(proxy.port).body)
    for name, code in pairs { one = sys.ENOENT, two = 0, three = 0 } do
      local fd, _, errno = sys.connect("unix:" .. directory .. "/" .. name)
      if fd then sys.close(fd) end
      assert.equal(code, errno or 0, name)
    end
    assert.equal(0, command(pid_file, "reload").code)
  end)

  it("lets a canary and a shadow end without it", function()
    local proxy, pid_file = running.start { policy = POLICY, workers = 2 }
    cleanup.add(2, proxy.go)
    local trials = {
      { "--canary", "50%", "--for", "4s" }, { "--shadow", "--for", "4s" },
    }
    local results = scheduler.all({
      function() return command(pid_file, "reload", unpack(trials[1])) end,
      function()
        scheduler.eventually(function() return command(pid_file, "status").stdout:find "canary" end)
        client.connect(proxy.port):send(BUSY)
        proxy:wait_log "(it is busy)"
      end,
    }, 90)
    assert.matches("canary: %d+ of %d+ requests?", results[1].stdout .. results[1].stderr)
    proxy.go()
    scheduler.eventually(function() return command(pid_file, "reload").code == 0 end)
    os.remove(pid_file:gsub("pid$", "go"))
    local from = #proxy:log() + 1
    results = scheduler.all({
      function() return command(pid_file, "reload", unpack(trials[2])) end,
      function()
        scheduler.eventually(function() return command(pid_file, "status").stdout:find "shadow" end)
        client.connect(proxy.port):send(BUSY)
        proxy:wait_log("(it is busy)", nil, from)
      end,
    }, 90)
    assert.equal(1, results[1].code) -- no request came
    assert.matches("without the reports of 1 of 2 workers: worker %d", results[1].stderr)
    proxy.go()
    scheduler.eventually(function() return command(pid_file, "reload").code == 0 end)
  end)

  it("does not let two upgrades start two successors", function()
    local proxy, pid_file, path = start_busy()
    local loads = path:gsub("policy%.lua$", "loads")
    local results = scheduler.all({
      function() return command(pid_file, "reload") end,
      function()
        scheduler.eventually(function() return proxy:count_log "now switching" > 0
          or command(pid_file, "status").stdout:find "generation%s+2" end)
        local held = "require('perilune').configure { load_time = 60 } repeat until io.open %q\n"
        process.write_file(path, held:format(loads) .. POLICY)
        local function upgrade()
          local result = command(pid_file, "upgrade")
          process.write_file(loads, "") -- a successor serves only now: the first that is answered is the one refused
          return result
        end
        local upgrades = scheduler.all({ upgrade, upgrade }, 90)
        proxy.go()
        return upgrades
      end,
    }, 90)
    local codes = { results[2][1].code, results[2][2].code }
    table.sort(codes)
    assert.same({ 0, 1 }, codes)
    local refused = results[2][1].code == 1 and results[2][1] or results[2][2]
    assert.matches("upgrade is under way", refused.stderr)
    assert.equal(0, proxy:ended(30))
    assert.equal(1, proxy:count_log "has taken over")
    assert.same({ tonumber(process.read_file(pid_file)) }, processes(pid_file))
  end)
end)

describe("a control worker that does not come back to its loop", function()
  local LOOP = POLICY .. [[
    perilune.every(0.02, function()
      if not io.open(os.getenv "GO" .. ".loop") or io.open(os.getenv "GO") then return end
      io.stderr:write "it loops\n"
      while not io.open(os.getenv "GO") do end
    end)
  ]]
  local function start(words)
    local proxy, pid_file = running.start { policy = LOOP, words = words }
    cleanup.add(2, proxy.go)
    process.write_file(pid_file:gsub("pid$", "go.loop"), "") -- once it has said that it serves
    proxy:wait_log "(it loops)"
    return proxy, pid_file
  end

  it("does not keep a TERM from stopping the workers, and then the process", function()
    local proxy = start()
    proxy:signal "TERM"
    assert.equal(1, proxy:ended(20))
    assert.matches("the workers stop without it", proxy:log())
    assert.matches("the process ends without its control worker", proxy:log())
  end)

  it("does not keep an INT, or a second TERM, from ending the process at once", function()
    local proxy = start()
    proxy:signal "INT"
    assert.equal(1, proxy:ended(20))
    proxy = start()
    local busy = client.connect(proxy.port)
    busy:send(BUSY)
    proxy:wait_log "(it is busy)"
    proxy:signal "TERM"
    proxy:wait_log "(the workers stop without it)"
    proxy:signal "TERM"
    assert.equal(1, proxy:ended(20))
  end)

  it("is told to who gives a command", function()
    local _, pid_file = start()
    local result = perilune.run { args = { "status", "--pid-file", pid_file }, timeout = 30 }
    assert.equal(1, result.code)
    assert.matches("has not answered for %d+ s.*kill %-TERM %d+", result.stderr)
  end)
end)

describe("a storm", function()
  it("of HUPs is made good by few reloads, and one of USR2s starts one successor", function()
    local proxy, pid_file = running.start()
    for _ = 1, 1000 do proxy:signal "HUP" end
    proxy:wait_log "(generation 2 is in force)"
    scheduler.eventually(function() return not command(pid_file, "status").stdout:find "under way already" end)
    assert.is_true(lines_of(proxy:log()) < 200, proxy:log())
    local go = process.read_file(pid_file)
    scheduler.eventually(function() -- while a reload is under way they are refused
      for _ = 1, 50 do
        proxy:signal "USR2"
        proxy:signal "HUP"
      end
      return proxy:count_log "starting a successor" > 0
    end)
    assert.equal(0, proxy:ended(40))
    assert.equal(1, proxy:count_log "has taken over")
    assert.not_equal(go, process.read_file(pid_file))
    assert.is_true(lines_of(proxy:log()) < 300, proxy:log())
    assert.same({ tonumber(process.read_file(pid_file)) }, processes(pid_file))
  end)

  it("of signals that are refused makes few lines, and says how many more there were", function()
    local proxy = start_busy()
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    scheduler.eventually(function() -- signals that come at once are one
      proxy:signal "HUP"
      return proxy:count_log " error control: HUP: the proxy is stopping" == 5
    end)
    for _ = 1, 20 do
      proxy:signal "HUP"
      scheduler.sleep(0.02)
    end
    proxy.go()
    assert.equal(0, proxy:ended(30))
    assert.equal(5, proxy:count_log " error control: HUP: the proxy is stopping")
    assert.matches(" error control: %d+ more in [%d.]+ s: HUP: the proxy is stopping", proxy:log())
  end)

  it("of clients that say nothing does not keep commands from being heard", function()
    local socket = process.directory() .. "/command"
    local proxy = running.start { words = { "--socket", socket } }
    local silent = {}
    for i = 1, 200 do silent[i] = assert(sys.connect("unix:" .. socket)) end
    cleanup.add(1, function() for _, fd in ipairs(silent) do sys.close(fd) end end)
    local result = perilune.run { args = { "status", "--socket", socket }, timeout = 20 }
    assert.equal(0, result.code, result.stderr)
    -- those that were left are dropped after a while
    scheduler.eventually(function() return proxy:open_sockets() < 20 end)
  end)
end)

describe("commands and signals in any order", function()
  for seed = 1, 3 do
    it("leave one process that serves: sequence " .. seed, function()
      math.randomseed(seed)
      local proxy, pid_file = running.start()
      local first, answers = proxy.pid, {}
      local function serving() return tonumber(process.read_file(pid_file):match "%d+") end
      local words = {
        { "reload" }, { "reload", "--canary", "50%", "--for", "300ms" }, { "reload", "--shadow", "--for", "300ms" },
        { "upgrade" }, { "reload", "--close-old" }, { "status" },
      }
      local signals = { HUP = 1, USR1 = 10, USR2 = 12 }
      local names = { "HUP", "USR1", "USR2" }
      local tasks = {}
      for i = 1, 14 do
        tasks[i] = function()
          scheduler.sleep(math.random() * 1.5)
          if math.random() < 0.3 then
            sys.kill(serving(), signals[names[math.random(3)]])
            return
          end
          local result = command(pid_file, unpack(words[math.random(#words)]))
          answers[#answers + 1] = result
        end
      end
      scheduler.all(tasks, 60)
      for _, answer in ipairs(answers) do
        local text = answer.stdout .. answer.stderr
        assert.is_true(#text > 5, "no reason given")
        assert.is_true(answer.code == 0 or #answer.stderr > 10, text)
      end
      scheduler.eventually(function() return command(pid_file, "reload").code == 0 end)
      scheduler.eventually(function() return #processes(pid_file) == 1 end)
      local pid = processes(pid_file)[1]
      assert.equal(pid, serving())
      assert.equal("ok", client.request(proxy.port).body)
      local before = cpu_seconds(pid)
      scheduler.sleep(0.5)
      assert.is_true(cpu_seconds(pid) - before < 0.3, "it spins")
      assert.is_true(lines_of(proxy:log()) < 400, proxy:log())
      if pid ~= first then assert.equal(0, proxy:ended(20)) end
    end)
  end
end)
