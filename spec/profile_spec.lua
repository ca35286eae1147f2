-- SPDX-License-Identifier: Apache-2.0
-- perilune profile: where the hooks of a running proxy spend their time, by line.
local browser = require "browser"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- Line 6 is slow, the others are not.
local SLOW = [[
local perilune = require "perilune"
local policy = {}
local function work(count)
  local sum = 0
  for i = 1, count do
    sum = sum + (i * i) % 7 + math.sin(i)
  end
  return sum
end
function policy.request_filter(session, ctx)
  ctx.before = session:path():upper():rep(3)
  ctx.sum = work(400000)
  return session:respond { status = 200, body = ctx.before .. ctx.sum }
end
perilune.listen("127.0.0.1:0", policy)
]]

-- Requests, one after another on each of some connections, until the spec ends or the proxy does.
local function load(proxy, path, connections)
  for _ = 1, connections or 4 do
    scheduler.spawn(function()
      while true do
        if not pcall(client.request, { port = proxy.port, target = path or "/" }) then scheduler.sleep(0.02) end
      end
    end)
  end
end

local function profile(proxy, ...) return perilune.run("profile", "--pid", tostring(proxy.pid), ...) end

-- Shares of the stacks that a pattern finds, of those of hooks; and all of them.
local function shares(folded, pattern)
  local found, all = 0, 0
  for stack, us in folded:gmatch "([^\n]+) (%d+)\n" do
    if stack:find "^request_filter" then
      all = all + us
      if stack:find(pattern) then found = found + us end
    end
  end
  return all > 0 and found / all or 0, all
end

-- One that lasts until its client ends, and has begun.
local function begin_long(proxy)
  local long = process.start { perilune.binary, "profile", "--pid", tostring(proxy.pid), "--for", "1h" }
  scheduler.eventually(function() return long:stderr():find "profiling for 3600 s" end)
  return long
end

describe("a profile", function()
  local sees_samples = not perilune.binary:find "thread" -- that sanitizer holds signals back

  it("shows the one slow line on top, with over 90 % of the time, over all workers", function()
    local proxy = perilune.start { policy = SLOW, workers = 2 }
    load(proxy)
    local file = proxy.directory .. "/flame.svg"
    local result = profile(proxy, "--for", "3s", "-o", file)
    assert.equal(0, result.code, result.stderr)
    local svg = process.read_file(file)
    assert.truthy(svg:find("<svg xmlns", 1, true) and svg:find("</svg>", 1, true))
    if not sees_samples then return end
    local share, line = result.stdout:match "\n%s*([%d.]+) %%%s+[%d.]+ ms%s+(%S+)"
    assert.equal("policy.lua:6", line, result.stdout)
    assert.truthy(tonumber(share) > 90, result.stdout)
    assert.truthy(result.stdout:find("sum = sum + (i * i)", 1, true), result.stdout)
    assert.truthy(svg:find("policy.lua:6 work", 1, true))
  end)

  it("as folded text has a line for each stack, from the hook to the line that ran", function()
    local proxy = perilune.start { policy = SLOW, workers = 1 }
    load(proxy)
    local result = profile(proxy, "--for", "1500ms", "--folded")
    assert.equal(0, result.code, result.stderr)
    if not sees_samples then return end
    local share, all = shares(result.stdout, "^request_filter;policy.lua:12;policy.lua:6 work$")
    assert.truthy(share > 0.9 and all > 50000, result.stdout)
  end)

  it("names the C function that a line calls, and Lua that C calls below it", function()
    local proxy = perilune.start { workers = 1, policy = [[
      local policy = {}
      function policy.request_filter(session)
        local text = ("abc"):rep(100000):gsub("%w", { a = "d" })
        return session:respond { status = 200, body = text:sub(1, 9) }
      end
      function policy.early_request_filter()
        local list = {}
        for i = 1, 5000 do list[i] = (i * 7919) % 10007 end
        table.sort(list, function(a, b)
          return a < b
        end)
      end
      require("perilune").listen("127.0.0.1:0", policy)
    ]] }
    load(proxy)
    local told = ""
    for _ = 1, sees_samples and 10 or 1 do -- a busy machine lets few samples be taken
      local result = profile(proxy, "--for", "2s", "--folded")
      assert.equal(0, result.code, result.stderr)
      told = told .. result.stdout
      if told:find "rep or gsub" and told:find "lua:10" then break end
    end
    if not sees_samples then return end
    assert.truthy(told:find("request_filter;policy.lua:3;[C] rep or gsub ", 1, true), told)
    assert.truthy(told:find "early_request_filter;policy.lua:9;%[C%] sort;policy.lua:10 ?", told)
  end)

  it("of waits tells for how long hooks wait, at which line, with the waits that began before", function()
    local proxy = perilune.start { workers = 2, policy = [[
      local perilune = require "perilune"
      local policy = {}
      local function nap(seconds)
        perilune.sleep(seconds)
      end
      function policy.request_filter(session)
        if session:path() == "/long" then perilune.sleep(3600) end
        nap(0.03)
        coroutine.wrap(function() nap(0.01) end)()
        return session:respond { status = 200 }
      end
      perilune.listen("127.0.0.1:0", policy)
    ]] }
    load(proxy, "/long", 1)
    load(proxy)
    scheduler.eventually(function() return client.request { port = proxy.port }.status == 200 end)
    local result = profile(proxy, "--for", "2s", "--wait", "--folded")
    assert.equal(0, result.code, result.stderr)
    local long = tonumber(result.stdout:match "request_filter;policy.lua:7;%[C%] sleep (%d+)")
    local short = tonumber(result.stdout:match "request_filter;policy.lua:8;policy.lua:4 nap;%[C%] sleep (%d+)")
    assert.truthy(long and long > 1.5e6 and long < 6e6, result.stdout)
    assert.truthy(short and short > 0, result.stdout)
    assert.truthy(result.stdout:find "request_filter;policy.lua:9[^\n]*;policy.lua:9;policy.lua:4 nap;%[C%] sleep %d",
      result.stdout)
  end)

  it("goes on over reloads, and ends with its client", function()
    local proxy = perilune.start { policy = SLOW, workers = 2 }
    load(proxy)
    local gone = begin_long(proxy)
    assert.truthy(profile(proxy, "--for", "50ms").stderr:find "is being made already")
    gone:signal "INT"
    gone:wait()
    local result
    scheduler.eventually(function()
      result = profile(proxy, "--for", "50ms")
      return result.code == 0
    end)
    local done = scheduler.all {
      function() return profile(proxy, "--for", "2s", "--folded") end,
      function()
        for _ = 1, 5 do assert.equal(0, perilune.run("reload", "--pid", tostring(proxy.pid)).code) end
      end,
    }
    assert.equal(0, done[1].code, done[1].stderr)
    assert.truthy(not sees_samples or shares(done[1].stdout, "policy.lua:6 work$") > 0.8, done[1].stdout)
  end)

  it("can be begun and ended many times under load and reloads, and the proxy stops while one is made", function()
    local proxy = perilune.start { policy = SLOW:gsub("400000", "4000"), workers = 2 }
    load(proxy)
    for i = 1, 12 do
      if i % 4 == 0 then perilune.run("reload", "--pid", tostring(proxy.pid)) end
      local result = profile(proxy, "--for", "60ms", i % 2 == 0 and "--wait" or "--folded")
      assert.equal(0, result.code, result.stderr)
    end
    local last = begin_long(proxy)
    proxy:stop()
    assert.equal(1, last:wait())
  end)

  it("of a VM that is given up meanwhile ends with it, and the next one works", function()
    local proxy = perilune.start { workers = 1, policy = [[
      local policy = {}
      require("perilune").configure { hook_time = 0.05 }
      function policy.request_filter(session)
        if session:path() == "/loop" then
          local x = 0
          while true do x = x + 1 end
        end
        return session:respond { status = 200, body = session:path():rep(300):upper() }
      end
      require("perilune").listen("127.0.0.1:0", policy)
    ]] }
    load(proxy)
    local done = scheduler.all {
      function() return profile(proxy, "--for", "2s") end,
      function()
        scheduler.sleep(0.3)
        pcall(client.request, { port = proxy.port, target = "/loop" })
      end,
    }
    assert.truthy(done[1].code == 0 or done[1].stderr:find "its VM was given up", done[1].stderr)
    scheduler.eventually(function()
      local after = profile(proxy, "--for", "500ms", "--folded")
      return after.code == 0 and (not sees_samples or shares(after.stdout, ".") > 0)
    end)
  end)

  it("says at once what it cannot write, and what no script has", function()
    local proxy = perilune.start { to = { "127.0.0.1:1" } }
    local result = profile(proxy, "-o", "/nowhere/flame.svg")
    assert.equal(1, result.code)
    assert.truthy(result.stderr:find("cannot write /nowhere/flame.svg: its folder does not exist", 1, true),
      result.stderr)
    local file = proxy.directory .. "/none.svg"
    result = profile(proxy, "--for", "50ms", "-o", file)
    assert.equal(1, result.code)
    assert.truthy(result.stderr:find("worker 0: it runs without a script", 1, true), result.stderr)
    assert.equal("", process.read_file(file))
  end)

  it("finds a word and zooms, in a browser", function()
    if not browser.find() then return pending "no Chromium" end
    if not sees_samples then return pending "the thread sanitizer holds signals back" end
    local proxy = perilune.start { policy = SLOW, workers = 1 }
    load(proxy)
    local file = proxy.directory .. "/flame.svg"
    assert.equal(0, profile(proxy, "--for", "1500ms", "-o", file).code)
    local svg = process.read_file(file):gsub("</svg>%s*$", [[<script>addEventListener("load", () => {
      const input = document.getElementById("search");
      input.value = "policy.lua:6"; input.dispatchEvent(new Event("input"));
      const found = document.querySelectorAll(".found").length;
      const frames = [...document.querySelectorAll(".f")];
      const slow = frames.find(f => f.dataset.l === "policy.lua:6 work");
      slow.dispatchEvent(new Event("click"));
      document.documentElement.dataset.told = found + " found, width " +
        slow.querySelector("rect").getAttribute("width") + ", " + document.getElementById("found").textContent;
    });</script></svg>]])
    local seen = browser.render("file://" .. process.write_file(proxy.directory .. "/told.svg", svg))
    assert.truthy(seen:find 'data%-told="[1-9]%d* found, width 1180, [%d.]+ %% found"', seen:match 'data%-told="[^"]*"')
  end)
end)
