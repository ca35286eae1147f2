-- SPDX-License-Identifier: Apache-2.0
-- perilune run --break: a prompt in the terminal for what comes to a line of the policy, while everything else goes on.
local client = require "client"
local cleanup = require "cleanup"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local terminal = require "terminal"

after_each(cleanup.run)

local PROMPT = "debug[^>]*> "

local POLICY = [[
local perilune = require "perilune"
local policy = {}
local count = 0
local ticks = 0
perilune.every(0.02, function() ticks = ticks + 1 end)

local function double(number)
  local twice = number * 2
  return twice
end

local function in_c(text)
  return (text:gsub(".", function(letter)
    local upper = letter:upper()
    return upper
  end))
end

local function in_coroutine(first)
  local step = coroutine.wrap(function(number)
    local more = number + 1
    coroutine.yield(more)
    local last = more + 1
    return last
  end)
  return step(first) + step()
end

function policy.request_filter(session, ctx)
  local path = session:path()
  if path == "/other" then return session:respond { status = 200, body = "other" } end
  local fine, sum = pcall(function()
    local first = double(#path)
    return first + double(1)
  end)
  count = count + 1
  ctx.sum = sum
  if path == "/c" then ctx.sum = in_c(path) end
  if path == "/co" then ctx.sum = in_coroutine(1) end
  return session:respond { status = 200, body = path .. " " .. tostring(fine) .. " " .. tostring(ctx.sum) }
end

function policy.logging(session, failure, ctx)
  local ended = ctx.sum
  return ended
end

perilune.listen("127.0.0.1:0", policy)
]]

-- The number of the line of POLICY that has this text.
local function line_of(text)
  local number = 0
  for line in POLICY:gmatch "([^\n]*)\n" do
    number = number + 1
    if line:find(text, 1, true) then return number end
  end
  error("no line has " .. text)
end

local COUNT = line_of "count = count + 1"
local DOUBLE = line_of "local twice"
local FIRST = line_of "local first = double"

-- A proxy at a terminal, with a breakpoint at that line of POLICY.
local function start(line, options)
  options = options or {}
  local directory = process.directory()
  local path = process.write_file(directory .. "/policy.lua", options.policy or POLICY)
  local pid_file = directory .. "/pid"
  local words = { perilune.binary, "run", "--workers", "1", "--pid-file", pid_file, "--access-log", "stderr",
    "--break", "policy.lua:" .. line }
  for _, word in ipairs(options.words or {}) do words[#words + 1] = word end
  words[#words + 1] = path
  local t = terminal.start(words)
  t.pid_file, t.path = pid_file, path
  cleanup.add(1, function()
    if io.open(pid_file) then running.command(pid_file, "stop", "--now") end
  end)
  scheduler.eventually(function() return t:log():find " ready: " end, nil, "it is ready")
  t.port = tonumber(t:log():match "listening on 127.0.0.1:(%d+)")
  return t
end

-- A request that is under way; wait() gives its response.
local function request(t, path)
  local result = {}
  scheduler.spawn(function()
    local fine, response = pcall(client.request, { port = t.port, target = path, timeout = 60 })
    result.response = fine and response or nil
    result.is_over = true
  end)
  function result.wait()
    scheduler.eventually(function() return result.is_over end, 60, "the response to " .. path)
    return result.response
  end
  return result
end

-- What start gives, and a request that is stopped at that line.
local function stop_at(line, path, options)
  local t = start(line, options)
  local stopped = request(t, path)
  t:wait(PROMPT)
  return t, stopped
end

local function ask(t, line) return t:ask(line, PROMPT) end

local function has(text, wanted)
  assert.truthy(text:find(wanted, 1, true), ("%q is not in:\n%s"):format(wanted, text))
end

describe("perilune run --break", function()
  it("stops at the line, shows it, and lets it go on; others go on meanwhile, and so do timers", function()
    local t = start(COUNT)
    local stopped = request(t, "/a")
    t:wait("stopped in worker 0:\nrequest_filter %(GET /a of client 127%.0%.0%.1:%d+%), at [^\n]*policy%.lua:" ..
      COUNT .. "\n")
    t:wait("%->   " .. COUNT .. "    count = count %+ 1\n")
    t:wait(PROMPT)
    assert.equal("other", client.request { port = t.port, target = "/other" }.body)
    local before = tonumber((ask(t, "print count"):match "%d+"))
    assert.equal(0, before)
    assert.falsy(stopped.is_over)
    ask(t, "backtrace")
    t:type "continue"
    assert.equal("/a true 6", stopped.wait().body)
    t:wait "nothing is stopped now\n"
  end)

  it("shows and changes locals, upvalues and ctx, and evaluates Lua in the frame", function()
    local t, stopped = stop_at(DOUBLE + 1, "/abc")
    assert.equal("  number = 4\n  twice = 8\n", ask(t, "locals"))
    assert.equal("13\n", ask(t, "print twice + 5"))
    assert.equal('"x"\t{ 1, 2 }\n', ask(t, "p 'x', { 1, 2 }"))
    assert.equal("error: boom\n", ask(t, "error 'boom'"))
    has(ask(t, "print ("), "error: ")
    assert.equal("", ask(t, "twice = 100"))
    has(ask(t, "bt"), "->  0  double at ")
    has(ask(t, "frame 1"), "policy.lua:" .. FIRST)
    has(ask(t, "frame 77"), "frame wants a number")
    t:type "c"
    t:wait("policy%.lua:" .. DOUBLE + 1 .. "\n") -- the second call of double
    t:wait(PROMPT)
    t:type "c"
    assert.equal("/abc true 102", stopped.wait().body)
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
    for _ = 1, 3 do at "n" end
    assert.equal(line_of "local ended", at "n")
    t:type "c"
    assert.equal("/a true 6", stopped.wait().body)
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
    local passed = request(t, "/c")
    assert.equal("/c true /C", passed.wait().body)
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
      t:wait(PROMPT)
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
local ticks = 0
perilune.every(0.02, function()
  ticks = ticks + 1
end)
perilune.listen("127.0.0.1:0", {
  upstream_peer = function() return "$ORIGIN" end,
  response_body_filter = function(session, chunk, is_last)
    local text = chunk and chunk:upper()
    return text
  end,
})
]]
    local t = start(5, { policy = policy:gsub("%$ORIGIN", origin.address), words = { "--break", "policy.lua:10" } })
    t:wait "stopped in worker control:\nbackground work, at [^\n]*policy%.lua:5\n"
    t:wait(PROMPT)
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
