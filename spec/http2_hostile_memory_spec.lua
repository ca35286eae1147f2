-- SPDX-License-Identifier: Apache-2.0
-- What one hostile connection of HTTP/2 can make the proxy hold of requests that nobody reads, and of frames without
-- use: less than 1 MiB, some of which is left for what such a spec does not think of. Of the release build, because
-- sanitizers allocate themselves.
local frames = require "frames"
local perilune = require "perilune"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
  local perilune = require "perilune"
  local policy = {}
  function policy.request_filter(session)
    perilune.sleep(60)
    return session:respond { status = 200, body = "ok" }
  end
  perilune.listen("127.0.0.1:0", policy, { h2c = true })
]]

local u32, block = frames.u32, frames.block
local END_BOTH = frames.END_HEADERS + frames.END_STREAM
local function head(path, method, extra)
  return block { { ":method", method or "GET" }, { ":scheme", "http" }, { ":path", path }, { ":authority", "a" } }
    .. (extra or "")
end
-- One entry of 4000 octets in the table, and then references to it (CVE-2016-6581).
local function bomb(i, times)
  return (i == 1 and "\64\1x\127\161\30" .. ("y"):rep(4000) or "\190") .. ("\190"):rep(times)
end

local CONNECTIONS, MOST = 12, 896 * 1024
local attacks = {
  ["streams that wait, 100 of them"] = function(c)
    for i = 1, 100 do c:send("HEADERS", END_BOTH, 2 * i - 1, head("/hold")) end
  end,
  ["streams that wait, with a piece of a body each"] = function(c)
    for i = 1, 100 do
      c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, head("/hold", "POST"))
      c:send("DATA", 0, 2 * i - 1, ("b"):rep(1))
    end
  end,
  ["bodies that nobody reads, as much as the windows take"] = function(c)
    for i = 1, 100 do c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, head("/hold", "POST")) end
    for i = 1, 100 do c:send("DATA", 0, 2 * i - 1, ("b"):rep(1280)) end
  end,
  ["long heads"] = function(c)
    for i = 1, 100 do pcall(c.send, c, "HEADERS", END_BOTH, 2 * i - 1, head("/hold", nil, bomb(i, 6))) end
  end,
  ["heads without end"] = function(c)
    c:send("HEADERS", 0, 1, head "/hold")
    for _ = 1, 7 do c:send("CONTINUATION", 0, 1, block { { "x", ("y"):rep(100) } }:rep(30)) end
  end,
  ["resets, one for each stream that waits"] = function(c)
    for i = 1, 90 do
      c:send("HEADERS", END_BOTH, 2 * i - 1, head "/hold")
      c:send("RST_STREAM", 0, 2 * i - 1, u32(8))
    end
  end,
  ["resets that it makes us send"] = function(c)
    for i = 1, 90 do
      c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, head("/hold", "POST"))
      c:send("WINDOW_UPDATE", 0, 2 * i - 1, u32(0))
    end
  end,
  ["PING and SETTINGS whose answers it does not read"] = function(c)
    for _ = 1, 900 do c:send("PING", 0, 0, "12345678") end
  end,
}

describe("a hostile connection of HTTP/2 holds less than 1 MiB, with", function()
  for name, attack in pairs(attacks) do
    it(name, function()
      local proxy = perilune.start { policy = POLICY, workers = 1,
        release = true, timeout = 60 }
      local function assault(count)
        for _ = 1, count do
          local connection = frames.connect { port = proxy.port }
          connection:await "SETTINGS"
          pcall(attack, connection)
          pcall(connection.send, connection, "PING", 0, 0, "12345678")
        end
      end
      assault(1)
      proxy:wait_log "ready"
      local before, most = proxy:rss(), 0
      assault(CONNECTIONS)
      scheduler.wait_until(function()
        most = math.max(most, proxy:rss())
        return false
      end, scheduler.deadline(1))
      local each = (most - before) / CONNECTIONS
      assert.is_true(each < MOST, ("%d bytes each"):format(each))
    end)
  end
end)
