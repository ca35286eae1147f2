-- SPDX-License-Identifier: Apache-2.0
-- perilune repl: Lua in a VM of a running policy, where the proxy was started with --repl.
local client = require "client"
local cleanup = require "cleanup"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local terminal = require "terminal"

after_each(cleanup.run)

local POLICY = [[
local perilune = require "perilune"
perilune.configure { hook_time = 0.3, memory_limit = 64e6 }
local limit = 5
local seen = { "a", b = true }
local function greet() return "limit " .. limit .. " " .. tostring(seen.b) end
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  return session:respond { status = 200, body = greet() }
end })
]]

local function start(options)
  options = options or {}
  return running.start { policy = options.policy or POLICY, words = options.words or { "--repl" },
    workers = options.workers or 2 }
end

local function ask(pid_file, ...) return running.command(pid_file, "repl", ...) end

describe("perilune repl", function()
  it("evaluates Lua in the VM of the worker that is named: locals of the policy, globals, perilune", function()
    local proxy, pid_file = start()
    assert.equal("5\n", ask(pid_file, "limit").stdout)
    assert.equal('{ "a", b = true }\t3\n', ask(pid_file, "seen, 1 + 2").stdout)
    assert.equal("1\n", ask(pid_file, "--worker", "1", "perilune.worker()").stdout)
    assert.equal("true\n", ask(pid_file, "--worker", "control", "perilune.is_control()").stdout)
    assert.equal("a\tb\n", ask(pid_file, "print('a', 'b')").stdout)
    running.has(ask(pid_file, "print").stdout, "function") -- what it is given here is Lua
    assert.equal('"\\027[31m\\n"\n', ask(pid_file, "'\\27[31m\\n'").stdout)
    running.has(proxy:log(), "repl: user " .. (process.run { "id", "-u" }).stdout:match "%d+" .. " (process ")
    running.has(proxy:log(), ") evaluates in worker 1: perilune.worker()\n")
  end)

  it("changes a local of the policy in that worker, and keeps names until the next load", function()
    local proxy, pid_file = start { workers = 1 }
    assert.equal(0, ask(pid_file, "limit = 7").code)
    assert.equal("limit 7 true", client.request({ port = proxy.port }).body)
    assert.equal(0, ask(pid_file, "mine = { 1 }").code)
    assert.equal("{ 1 }\n", ask(pid_file, "mine").stdout)
    assert.equal(0, running.command(pid_file, "reload").code)
    assert.equal("nil\t5\n", ask(pid_file, "mine, limit").stdout)
  end)

  it("may wait, as a hook does", function()
    local _, pid_file = start()
    assert.equal("1\n", ask(pid_file, "perilune.sleep(0.05) return 1").stdout)
  end)

  it("tells errors, with the exit code 1", function()
    local _, pid_file = start()
    local function fails(text, wanted)
      local result = ask(pid_file, text)
      assert.equal(1, result.code)
      running.has(result.stderr, wanted)
    end
    fails("error 'boom'", "error: boom")
    fails("local x = = 1", "error: input:1: unexpected symbol")
    fails("nowhere()", "error: input:1: ")
    fails("do", "perilune: the text ends too early")
  end)

  it("holds hook_time, memory_limit and the bounds of what it says, and serves on", function()
    local proxy, pid_file = start { workers = 1 }
    assert.equal(0, ask(pid_file, "mine = 1").code)
    local endless = ask(pid_file, "while true do end").stderr
    assert.matches("^used up its time: it ran for more than 0%.3 s without a pause", endless)
    running.has(ask(pid_file, "#('x'):rep(1e9)").stderr, "not enough memory")
    local long = ask(pid_file, "for i = 1, 3000 do print(('y'):rep(100)) end")
    assert.is_true(#long.stdout < 20000)
    running.has(long.stdout, "bytes in all)")
    local rows = ask(pid_file, "local t = {} for i = 1, 10000 do t[i] = i end return t, t, t")
    assert.is_true(#rows.stdout < 1000)
    assert.equal("1\n", ask(pid_file, "mine").stdout) -- its VM was not given up
    assert.equal("{ t = { t = { t = {...} } } }\n", ask(pid_file, "local t = {} t.t = t return t").stdout)
    assert.equal("limit 5 true", client.request({ port = proxy.port }).body)
  end)

  it("is switched off unless it was asked for, on the command line or by the policy", function()
    local _, pid_file = start { words = {} }
    local result = ask(pid_file, "limit")
    assert.equal(1, result.code)
    running.has(result.stderr, "the repl is switched off: start the proxy with --repl")
    _, pid_file = start { words = {}, policy = POLICY:gsub("configure {", "%0 repl = true,") }
    assert.equal("5\n", ask(pid_file, "limit").stdout)
  end)

  it("refuses workers that there are not, and texts that are too long", function()
    local _, pid_file = start()
    local result = ask(pid_file, "--worker", "2", "1")
    assert.equal(2, result.code)
    running.has(result.stderr, "there is no worker 2: there are 0 to 1, and control")
    result = ask(pid_file, "--worker", "x", "1")
    assert.equal(2, result.code)
    running.has(result.stderr, "--worker wants the number of a worker, or control, not 'x'")
    result = ask(pid_file, "'" .. ("x"):rep(5000) .. "'")
    assert.equal(2, result.code)
    running.has(result.stderr, "that is too long")
  end)

  it("reads lines in a terminal, of which a text may take several", function()
    local _, pid_file = start()
    local t = terminal.start { perilune.binary, "repl", "--pid-file", pid_file }
    t:wait "lua> "
    assert.equal("6\n", t:ask("limit + 1", "lua> "))
    t:type "for i = 1, 2 do"
    t:wait "%.%.%. "
    t:type "  print(i)"
    t:wait "%.%.%. "
    t:type "end"
    t:wait "1\n2\n"
    t:wait "lua> "
    t:key "\4"
    assert.equal(0, t:ended())
  end)

  it("reads lines of a pipe, and ends with the last one's outcome", function()
    local _, pid_file = start()
    local result = process.run { "sh", "-c", "printf 'limit\\nerror(1)\\n' | \"$0\" repl --pid-file \"$1\"",
      perilune.binary, pid_file }
    assert.equal("5\n", result.stdout)
    assert.equal(1, result.code)
    running.has(result.stderr, "error: 1")
  end)

  it("says where there is no script", function()
    local proxy = perilune.start { to = { "127.0.0.1:1" }, settings = { "--repl" } }
    local result = perilune.run("repl", "--pid", tostring(proxy.pid), "1")
    assert.equal(1, result.code)
    running.has(result.stderr, "the proxy runs without a script, so there is no Lua")
  end)

  it("ends with its proxy, and a client that goes leaves nothing behind", function()
    local proxy, pid_file = start()
    local waiting = process.start { perilune.binary, "repl", "--pid-file", pid_file, "perilune.sleep(20)" }
    local other = process.start { perilune.binary, "repl", "--pid-file", pid_file, "perilune.sleep(20)" }
    scheduler.eventually(function() return proxy:count_log "evaluates in worker 0" == 2 end)
    other:kill()
    assert.equal(0, running.command(pid_file, "stop", "--now").code)
    assert.equal(1, waiting:wait())
    assert.equal(0, proxy:ended())
  end)
end)
