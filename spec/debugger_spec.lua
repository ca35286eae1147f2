-- SPDX-License-Identifier: Apache-2.0
-- perilune run --break: a prompt in the terminal for what comes to a line of the policy, while everything else goes on.
local client = require "client"
local debugged = require "debugged"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY, PROMPT, line_of = debugged.POLICY, debugged.PROMPT, debugged.line_of
local start, stop_at, request, ask = debugged.start, debugged.stop_at, debugged.request, debugged.ask
local has, wait_log = running.has, debugged.wait_log

local COUNT = line_of "count = count + 1"
local DOUBLE = line_of "local twice"
local FIRST = line_of "local first = double"
local SUMMED = line_of 'if path == "/c"'

describe("perilune run --break", function()
  it("stops at the line, shows it, and lets it go on; others go on meanwhile, and so do timers", function()
    local t = start(COUNT)
    local stopped = request(t, "/a")
    t:wait("stopped in worker 0:\nrequest_filter %(GET /a of client 127%.0%.0%.1:%d+%), at [^\n]*policy%.lua:" ..
      COUNT .. "\n")
    t:wait("%->   " .. COUNT .. "    count = count %+ 1\n")
    t:wait(PROMPT)
    assert.equal("other", client.request { port = t.port, target = "/other" }.body)
    assert.equal("0\n", ask(t, "print count"))
    wait_log(t, "tick")
    assert.falsy(stopped.is_over)
    t:type "continue"
    assert.equal("/a true 6", stopped.wait().body)
    t:wait "nothing is stopped now\n"
  end)

  it("shows and changes locals, and evaluates Lua in the frame, or in another one", function()
    local t, stopped = stop_at(DOUBLE + 1, "/abc")
    assert.equal("  number = 4\n  twice = 8\n", ask(t, "locals"))
    assert.equal("13\n", ask(t, "print twice + 5"))
    assert.equal('"x"\t{ 1, 2 }\n', ask(t, "p 'x', { 1, 2 }"))
    assert.equal("error: boom\n", ask(t, "error 'boom'"))
    has(ask(t, "print ("), "error: ")
    assert.equal("", ask(t, "twice = 100"))
    has(ask(t, "bt"), "->  0  double at ")
    has(ask(t, "frame 1"), "policy.lua:" .. FIRST)
    assert.equal("4\n", ask(t, "print #path"))
    has(ask(t, "bt"), "->  1  ")
    has(ask(t, "frame 77"), "frame wants a number")
    t:type "c"
    t:wait("policy%.lua:" .. DOUBLE + 1 .. "\n") -- the second call of double
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/abc true 102", stopped.wait().body)
  end)

  it("shows and changes upvalues and ctx, and lists the lines around", function()
    local t, stopped = stop_at(SUMMED, "/a")
    local locals = ask(t, "locals")
    has(locals, '  path = "/a"\n')
    has(locals, "  count = 1 (upvalue)\n")
    assert.equal("6\n", ask(t, "print ctx.sum"))
    assert.equal("", ask(t, "count = 41"))
    assert.equal("", ask(t, "ctx.sum = path .. count"))
    has(ask(t, "list"), ("->  %3d  "):format(SUMMED))
    has(ask(t, "list 1"), '    1  local perilune = require "perilune"\n')
    t:type "c"
    assert.equal("/a true /a41", stopped.wait().body)
    local next_one = debugged.stop(t, "/b")
    assert.equal("42\n", ask(t, "print count"))
    t:type "c"
    assert.equal("/b true 6", next_one.wait().body)
  end)

  it("steps into functions, over them and out of them, and on in the exchange's next hook", function()
    local t, stopped = stop_at(FIRST, "/a")
    local function at(order)
      t:type(order)
      local line = t:wait "at [^\n]*policy%.lua:(%d+)\n"
      t:wait(PROMPT)
      return tonumber(line)
    end
    assert.equal(DOUBLE, at "step")
    assert.equal(DOUBLE + 1, at "s")
    assert.equal(FIRST + 1, at "out")
    assert.equal(COUNT, at "next") -- the line of pcall had begun before
    assert.equal(COUNT + 1, at "") -- the same again
    for _ = 1, 4 do at "n" end
    assert.equal(line_of "local ended", at "n")
    t:type "c"
    assert.equal("/a true 6", stopped.wait().body)

    local next_one = debugged.stop(t, "/b")
    assert.equal(DOUBLE, at "step")
    assert.equal(FIRST + 1, at "out") -- the other lines of double are passed
    t:type "c"
    assert.equal("/b true 6", next_one.wait().body)
  end)

  it("stops a line once for each time that it begins, whatever it calls", function()
    local t, stopped = stop_at(FIRST, "/a")
    t:type "c"
    assert.equal("/a true 6", stopped.wait().body)
    t:wait "nothing is stopped now"
  end)

  it("stops in a coroutine that the hook has made", function()
    local t = start(line_of "coroutine.yield(more)")
    local stopped = request(t, "/co")
    t:wait "%->[^\n]*coroutine%.yield"
    t:wait(PROMPT)
    assert.equal("2\n", ask(t, "print more"))
    t:type "next"
    t:wait "%->[^\n]*local last"
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/co true 5", stopped.wait().body)
  end)

  it("says where nothing can stop, and passes", function()
    local t = start(line_of "return upper")
    assert.equal("/c true /C", request(t, "/c").wait().body)
    assert.equal("/cw true /CW", request(t, "/cw").wait().body)
    t:wait "policy%.lua:%d+ is passed: it runs in a function that C calls back %(from string%.gsub"
  end)

  it("speaks of one at a time, and keeps a step's exchange before the others", function()
    local t, first = stop_at(COUNT, "/1")
    local second = request(t, "/2")
    t:wait "one more is stopped, and waits for its turn: request_filter %(GET /2 "
    t:wait(PROMPT)
    t:type "next"
    t:wait "GET /1 of client [^\n]*policy%.lua:%d+\n[^>]*%->[^\n]*ctx%.sum = sum"
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/1 true 6", first.wait().body)
    t:wait "GET /2 of client [^\n]*policy%.lua:%d+\n[^>]*%->[^\n]*count = count"
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/2 true 6", second.wait().body)
  end)

  it("ends a step in its own exchange, whoever passes or is spoken of meanwhile", function()
    local t, stepping = stop_at(9, "/b", { words = { "--break", "policy.lua:6" }, policy = [[
local perilune = require "perilune"
local released = false
local function wait() while not released do perilune.sleep(0.005) end end
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  if session:path() == "/a" then
    local body = tostring(released)
    return session:respond { status = 200, body = body }
  end
  wait()
  return session:respond { status = 200, body = "waited" }
end })
]] })
    t:type "next"
    t:wait "nothing is stopped now"
    local other = request(t, "/a")
    t:wait "%->[^\n]*local body"
    t:wait(PROMPT)
    ask(t, "released = true require('perilune').sleep(0.1)") -- the step ends meanwhile
    t:type "c"
    assert.equal("true", other.wait().body)
    t:wait "%->[^\n]*return session:respond { status = 200, body = \"waited\""
    t:wait(PROMPT)
    t:type "c"
    assert.equal("waited", stepping.wait().body)
  end)

  it("stops a hundred at once, says so, and lets the others pass", function()
    local t = start(COUNT)
    local stopped = {}
    for i = 1, 100 do stopped[i] = request(t, "/1") end
    t:wait "debug %(%+99%)> "
    assert.equal("/2 true 6", request(t, "/2").wait().body)
    t:wait "policy%.lua:%d+ is passed: a hundred are stopped already"
    for i = 1, 100 do assert.is_nil(stopped[i].is_over) end
    t:key "quit\n"
    for i = 1, 100 do assert.equal("/1 true 6", stopped[i].wait().body) end
  end)

  it("lets everything go on at quit, and at Ctrl-D, and stops nothing any more", function()
    for _, ending in ipairs { "quit\n", "\4" } do
      local t = start(COUNT)
      local first, second = request(t, "/1"), request(t, "/2")
      t:wait "debug %(%+1%)> "
      t:key(ending)
      assert.equal("/1 true 6", first.wait().body)
      assert.equal("/2 true 6", second.wait().body)
      t:wait "the breakpoints are off, and what was stopped goes on"
      assert.equal("/3 true 6", client.request({ port = t.port, target = "/3" }).body)
      assert.equal(0, running.command(t.pid_file, "stop").code)
      assert.equal(0, t:ended())
    end
  end)

  it("lets everything go on when the terminal goes", function()
    local t, stopped = stop_at(COUNT, "/1")
    t.process:kill() -- the other end of the terminal
    assert.equal("/1 true 6", stopped.wait().body)
    scheduler.eventually(function() return t:log():find "debugging has ended" end)
    assert.equal("/2 true 6", client.request({ port = t.port, target = "/2" }).body)
    assert.equal(0, running.command(t.pid_file, "stop").code)
  end)

  it("stops in background work of the control worker, and in a body filter, and others of these go on", function()
    local origin = origins.start "text"
    local policy = [[
local perilune = require "perilune"
perilune.every(0.02, function() perilune.log.info "tick" end)
perilune.every(0.02, function()
  perilune.log.info "stopped"
end)
perilune.listen("127.0.0.1:0", {
  upstream_peer = function() return "$ORIGIN" end,
  response_body_filter = function(session, chunk, is_last)
    local text = chunk and chunk:upper()
    return text
  end,
})
]]
    local t = start(4, { policy = policy:gsub("%$ORIGIN", origin.address), words = { "--break", "policy.lua:10" } })
    t:wait "stopped in worker control:\nbackground work, at [^\n]*policy%.lua:4\n"
    t:wait(PROMPT)
    wait_log(t, "tick")
    local filtered = request(t, "/")
    t:wait "one more is stopped, and waits for its turn: response_body_filter %(GET / "
    t:wait(PROMPT)
    t:type "quit"
    assert.equal("TEXT", filtered.wait().body)
  end)

  it("ends at once at Ctrl-C, with what is stopped", function()
    local t, stopped = stop_at(COUNT, "/1")
    t:key "\3"
    assert.equal(0, t:ended())
    stopped.wait() -- it may have been answered
    assert.falsy(t:log():find "ERROR: %w+Sanitizer")
  end)

  it("lets what is stopped go on when the proxy is told to stop", function()
    local t, stopped = stop_at(COUNT, "/1")
    assert.equal(0, running.command(t.pid_file, "stop").code)
    assert.equal("/1 true 6", stopped.wait().body)
    assert.equal(0, t:ended())
  end)

  it("says that the client of what was stopped has gone", function()
    local t = start(COUNT)
    local connection = client.connect { port = t.port }
    connection:send_request { target = "/1" }
    t:wait(PROMPT)
    connection:close()
    t:wait "what was stopped has been ended: its client has gone, or its policy ends\n"
    local next_one = request(t, "/2")
    t:wait "GET /2 of client"
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/2 true 6", next_one.wait().body)
  end)

  it("keeps what is stopped over a reload, says that a line has moved, and looks at the new one", function()
    local t, old = stop_at(COUNT, "/1")
    process.write_file(t.path, (POLICY:gsub("  count = count %+ 1\n", "\n")))
    assert.equal(0, running.command(t.pid_file, "reload").code)
    scheduler.eventually(function()
      return t:log():find(("--break policy.lua:%d: no function has code at that line; the nearest lines with code " ..
        "are %d and %d"):format(COUNT, COUNT - 1, COUNT + 1), 1, true)
    end, nil, "what is said of the line")
    assert.equal("/2 true 6", client.request({ port = t.port, target = "/2" }).body)
    assert.equal("0\n", ask(t, "print count"))
    t:type "c"
    assert.equal("/1 true 6", old.wait().body)
  end)

  it("bears orders, clients that go and reloads in whatever order, and lets everything go on at the end", function()
    local t = start(COUNT, { words = { "--workers", "3", "--break", "policy.lua:" .. line_of "local ended" } })
    local is_over, ended = false, 0
    for i = 1, 9 do
      scheduler.spawn(function()
        while not is_over do
          local fine, connection = pcall(client.connect, { port = t.port, timeout = i % 3 == 0 and 0.1 or 60 })
          if fine then pcall(connection.request, connection, { target = "/co" }) end
          if fine then connection:close() end
        end
        ended = ended + 1
      end)
    end
    t:wait(PROMPT)
    local orders = { "c", "step", "out", "c", "locals", "next", "path = 'x'", "bt", "frame 1", "c" }
    for i = 1, 50 do
      t:type(orders[i % #orders + 1])
      scheduler.sleep(0.01) -- so that some come before the prompt, and some behind it
      if i % 20 == 0 then assert.equal(0, running.command(t.pid_file, "reload").code) end
    end
    t:type "quit"
    t:wait "the breakpoints are off"
    is_over = true
    scheduler.eventually(function() return ended == 9 end, 60, "nothing is stopped any more")
    assert.equal(0, running.command(t.pid_file, "stop").code)
    assert.equal(0, t:ended(), t:log())
  end)

  it("ends what a person evaluates that takes too long, and goes on", function()
    local t, stopped = stop_at(COUNT, "/1", { policy = 'require("perilune").configure { hook_time = 0.2 }' .. POLICY })
    has(ask(t, "while true do end"), "used up its time")
    has(ask(t, "print #('x'):rep(1e9)"), "not enough memory")
    assert.equal("0\n", ask(t, "print count"))
    t:type "c"
    assert.equal("/1 true 6", stopped.wait().body)
  end)

  it("refuses lines without code with the nearest, files that are not there, and what is no place", function()
    local path = process.write_file(process.directory() .. "/policy.lua", POLICY)
    local function refused(point, wanted)
      local result = perilune.run("run", "--break", point, path)
      assert.equal(2, result.code)
      has(result.stderr, wanted)
    end
    refused("policy.lua:" .. DOUBLE + 3, ("no function has code at that line; the nearest lines with code are " ..
      "%d and %d"):format(DOUBLE + 1, DOUBLE + 5))
    refused("policy.lua:1", "that line runs while the policy loads, when nothing can be stopped; the nearest line " ..
      "with code is 5")
    refused("policy.lua:999", "the nearest line with code is " .. line_of "return ended")
    refused("absent.lua:1", "there is no file absent.lua, beside the script or here")
    refused("policy.lua", "--break wants FILE:LINE, such as policy.lua:12")
    refused("policy.lua:0", "--break wants FILE:LINE")
    refused("policy.lua:x", "--break wants FILE:LINE")
  end)

  it("wants a terminal, and no daemon", function()
    local path = process.write_file(process.directory() .. "/policy.lua", POLICY)
    local result = process.run { "setsid", "-w", perilune.binary, "run", "--break", "policy.lua:" .. COUNT, path }
    assert.equal(2, result.code)
    has(result.stderr, "--break wants a terminal, and this process has none")
    result = perilune.run("run", "--daemon", "--break", "policy.lua:" .. COUNT, path)
    assert.equal(2, result.code)
    has(result.stderr, "--break wants a terminal, and a daemon has none")
    result = perilune.run("run", "--bundle", "http://127.0.0.1:1/", "--bundle-key", path, "--break", "policy.lua:39")
    assert.equal(2, result.code)
    has(result.stderr, "--break is for a SCRIPT")
  end)
end)
