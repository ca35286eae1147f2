-- SPDX-License-Identifier: Apache-2.0
-- `perilune top`, in a terminal that tmux makes. Without tmux it cannot be looked at.
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { name = "app", "$ADDRESS", "127.0.0.1:9" }
  local other = require("perilune.round_robin").new { name = "other", "127.0.0.1:19" }
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session) return session:respond { status = 200, body = "ok" } end,
    upstream_peer = function() return set:select() or other:select() end,
  })
]]

local function has_tmux() return os.execute "command -v tmux >/dev/null 2>&1" == 0 end

-- `perilune top` of that proxy in a terminal of 80x24.
local function show(pid_file, columns, lines)
  if not has_tmux() then pending "there is no tmux" end
  local socket = process.directory() .. "/tmux"
  local screen = {}
  local function tmux(...) return process.run({ "tmux", "-f", "/dev/null", "-S", socket, ... }, { timeout = 60 }) end
  local result = tmux("new-session", "-d", "-x", tostring(columns or 80), "-y", tostring(lines or 24), "-e",
    "LC_ALL=C.UTF-8", perilune.binary .. " top --pid-file " .. pid_file .. "; echo it ended with $?; exec sleep 600")
  assert.equal(0, result.code, result.stderr)
  cleanup.add(1, function() tmux "kill-server" end)
  function screen.text() return tmux("capture-pane", "-p").stdout end
  function screen.keys(...) tmux("send-keys", ...) end
  function screen.resize(width, height) tmux("resize-window", "-x", tostring(width), "-y", tostring(height)) end
  function screen.await(wanted)
    local text
    scheduler.eventually(function()
      text = screen.text()
      return text:find(wanted)
    end, nil, wanted)
    return text
  end
  function screen.await_not(unwanted)
    scheduler.eventually(function() return not screen.text():find(unwanted) end, nil, "the end of " .. unwanted)
  end
  return screen
end

describe("perilune top", function()
  it("draws rates and tables on 80x24, sorts, filters, takes another size, and quits", function()
    local policy = policies.fill(POLICY, { ADDRESS = origins.start("a").address })
    local proxy, pid_file, path = running.start { policy = policy }
    for _ = 1, 20 do client.request(proxy.port) end
    local screen = show(pid_file)
    local text = screen.await "127%.0%.0%.1:19"
    assert.matches("^perilune " .. proxy.pid .. "  " .. path:gsub("%p", "%%%0"):sub(1, 20), text)
    for line in text:gmatch "[^\n]*" do
      assert.is_true(#line:gsub("[\128-\191]", "") <= 80, line)
    end
    screen.await "addressv +set +state +weight"
    screen.keys("s")
    screen.await "address +setv"
    screen.keys("/", "o", "t", "h", "e", "r", "Enter")
    screen.await_not "127%.0%.0%.1:9 "
    assert.matches("127%.0%.0%.1:19 +other", screen.text())
    screen.keys("/", "Escape")
    screen.await "127%.0%.0%.1:9 "
    screen.keys("Tab")
    screen.await "request_filter +[%d.]+ +20"
    screen.resize(40, 10)
    screen.await "^perilune[^\n]*\n[^\n]*\n"
    screen.keys("q")
    screen.await "it ended with 0"
  end)

  it("shows which routes are asked for, and looks on at requests only while it does", function()
    local policy = policies.fill(POLICY, { ADDRESS = "127.0.0.1:1" })
    local proxy, pid_file = running.start { policy = policy, words = { "--admin", "127.0.0.1:0" } }
    local function under_way() return metrics.status(proxy).live_traces.under_way end
    local screen = show(pid_file)
    screen.await "backends"
    assert.equal(0, under_way())
    screen.keys("BTab")
    scheduler.eventually(function() return under_way() == 1 end)
    for i = 1, 3 do client.request { port = proxy.port, path = "/orders/" .. i .. "?x=1", host = "a.example" } end
    screen.await "GET a%.example/orders +[%d.]+ +0"
    screen.keys("Tab")
    scheduler.eventually(function() return under_way() == 0 end)
    screen.keys("q")
    screen.await "it ended with 0"
  end)

  it("goes on over a proxy that has ended, and says so", function()
    local _, pid_file = running.start { policy = policies.fill(POLICY, { ADDRESS = "127.0.0.1:1" }) }
    local screen = show(pid_file)
    screen.await "backends"
    assert.equal(0, running.command(pid_file, "stop").code)
    screen.await "THE PROXY HAS GONE"
    screen.keys("q")
    screen.await "it ended with 0"
  end)

  it("wants a terminal", function()
    local _, pid_file = running.start { policy = policies.fill(POLICY, { ADDRESS = "127.0.0.1:1" }) }
    local result = running.command(pid_file, "top")
    assert.equal(1, result.code)
    assert.matches("top draws on a terminal; in scripts use 'perilune status'", result.stderr)
  end)
end)
