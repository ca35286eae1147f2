-- SPDX-License-Identifier: Apache-2.0
-- The command socket takes any line from its own user and from root, such as those of another version's program:
-- whatever it says, the proxy answers or closes, and serves on.
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local stream = require "stream"

after_each(require("cleanup").run)

local LINES = { "status", "status json", "summary", "trace", "trace count=1\tpath=/a*\tstatus=5xx\tclient=10.0.0.0/8",
  "recent", "figures", "ps", "backend list", "backend drain app\t127.0.0.1:1\t50", "backend disable app\t127.0.0.1:1",
  "backend weight app\t127.0.0.1:1\t5", "backend enable app\t127.0.0.1:1", "log-level info", "log-level error 5",
  "purge url\tpages\thttp://a/b", "purge prefix soft\t\thttp://a/", "purge all\tpages", "purge tag\t\tx",
  "record 100 10000 10",
  "profile cpu 50", "profile wait 1", "ping", "reload canary 5000 50 10", "reload shadow 50", "reload abort", "reload",
  "close old" }
local WORDS = { "\t", " ", "=", "-1", "0", "4294967296", ("9"):rep(30), "%s%n", ("*"):rep(300), "\0", "\255", "\r",
  "[::1]:0", "app", " progress" }

-- A generator of its own, so that each run sends the same.
local function numbers(seed)
  return function(most)
    seed = (seed * 16807) % 2147483647
    return 1 + seed % most
  end
end

local function changed(line, random)
  for _ = 1, random(3) do
    local at, how = random(#line + 1), random(4)
    if how == 1 then line = line:sub(1, at - 1) .. WORDS[random(#WORDS)] .. line:sub(at) end
    if how == 2 then line = line:sub(1, at - 1) .. line:sub(at + random(6)) end
    if how == 3 then line = line:sub(1, at) .. LINES[random(#LINES)]:sub(random(8)) end
    if how == 4 then line = line .. line:sub(-random(20)) end
  end
  return (line:gsub("\n", ""))
end

local function ask(path, line, waits)
  local connection = assert(stream.connect("unix:" .. path))
  connection:send(line .. "\n")
  local answer = waits and connection:receive_all(60)
  connection:close()
  return answer
end

describe("the command socket", function()
  it("takes any line, and goes on", function()
    local path = process.directory() .. "/commands"
    local proxy = perilune.start { workers = 2, settings = { "--socket", path }, policy = [[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { "127.0.0.1:1", "127.0.0.1:2", name = "app" }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = "ok" }
      end, upstream_peer = function() return set:select() end }, { cache = perilune.cache("pages", { size = "1M" }) })
    ]] }
    local random = numbers(tonumber(os.getenv "SEED") or 7)
    for _ = 1, tonumber(os.getenv "LINES") or 300 do
      local line = changed(LINES[random(#LINES)], random)
      if not line:find "^stop" and not line:find "^upgrade" then ask(path, line) end
    end
    ask(path, "reload abort", true)
    assert.equal("0\n", ask(path, "ping", true))
    assert.equal("ok", client.request(proxy.port).body)
  end)

  it("refuses numbers that are none, or too large, before it begins", function()
    local path = process.directory() .. "/commands"
    perilune.start { workers = 1, settings = { "--socket", path }, policy = [[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })
    ]] }
    for _, line in ipairs { "reload shadow -5", "reload shadow 0", "reload shadow x", "reload shadow 99999999999",
      "reload canary 5000 100", "reload canary 0 100 10", "reload canary 10001 100 10", "reload canary 5000 0 10",
      "reload canary -1 100 10", "reload canary 5000 100 -1", "reload canary 5000 100 10001",
      "reload canary 5000 100 10 7" } do
      assert.equal("2\nmalformed command\n", ask(path, line, true), line)
    end
    assert.matches("^1\ncanary: 0 of 0 requests", ask(path, "reload canary 5000 50 10", true))
    assert.equal("0\n", ask(path, "ping", true))
  end)
end)
