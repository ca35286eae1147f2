-- SPDX-License-Identifier: Apache-2.0
-- What one hostile connection of HTTP/2 can make the proxy hold of requests that nobody reads, of answers that it does
-- not read, and of frames without use: less than 1 MiB, some of which is left for what such a spec does not think of.
-- Of the release build, because sanitizers allocate themselves.
local frames = require "frames"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
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

-- With these increments a WINDOW_UPDATE makes us reset a stream whose request is whole, while it runs.
local NOTHING, TOO_MUCH = u32(0), u32(0x7fffffff)

-- What such a connection sends. All of it is less than what ends one: 200 resets, 1000 frames without use. The head of
-- those that return false has not ended: no other frame may follow.
local attacks = {
  ["streams that wait, and those for which there is no room"] = function(c)
    for i = 1, 280 do c:send("HEADERS", END_BOTH, 2 * i - 1, head "/hold") end
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
    for i = 1, 100 do c:send("HEADERS", END_BOTH, 2 * i - 1, head("/hold", nil, bomb(i, 6))) end
  end,
  ["heads without end"] = function(c)
    c:send("HEADERS", 0, 1, head "/hold")
    for _ = 1, 7 do c:send("CONTINUATION", 0, 1, block { { "x", ("y"):rep(100) } }:rep(30)) end
    return false
  end,
  ["a head of empty frames"] = function(c)
    c:send("HEADERS", 0, 1, head "/hold")
    for _ = 1, 7 do c:send("CONTINUATION", 0, 1, "") end
    return false
  end,
  ["resets, one for each stream that waits"] = function(c)
    for i = 1, 180 do
      c:send("HEADERS", END_BOTH, 2 * i - 1, head "/hold")
      c:send("RST_STREAM", 0, 2 * i - 1, u32(8))
    end
  end,
  ["resets that it makes us send, of requests whose bodies are to come"] = function(c)
    for i = 1, 180 do
      c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, head("/hold", "POST"))
      c:send("WINDOW_UPDATE", 0, 2 * i - 1, NOTHING)
    end
  end,
  ["resets that it makes us send, of requests that run (CVE-2025-8671)"] = function(c)
    for i = 1, 170 do -- a window too large counts twice
      c:send("HEADERS", END_BOTH, 2 * i - 1, head "/hold")
      c:send("WINDOW_UPDATE", 0, 2 * i - 1, i % 9 == 0 and TOO_MUCH or NOTHING)
    end
  end,
  ["PING and SETTINGS whose answers it does not read"] = function(c)
    for i = 1, 450 do
      c:send("PING", 0, 0, "12345678")
      c:send("SETTINGS", 0, 0, "\0\4" .. u32(i))
    end
  end,
  ["empty DATA, and DATA of padding alone"] = function(c)
    for i = 1, 90 do
      c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, head("/hold", "POST"))
      for _ = 1, 5 do
        c:send("DATA", 0, 2 * i - 1, "")
        c:send("DATA", 8, 2 * i - 1, "\255" .. ("\0"):rep(255))
      end
    end
  end,
}

-- All that was sent before has been taken, and has not ended the connection.
local function is_taken(connection)
  connection:send("PING", 0, 0, "the last")
  while true do
    local frame = connection:await "PING"
    if not frame then return false end
    if frame.payload == "the last" then return true end
  end
end

local CONNECTIONS, MOST = 12, 896 * 1024

describe("a hostile connection of HTTP/2 holds less than 1 MiB, with", function()
  for name, attack in pairs(attacks) do
    it(name, function()
      local proxy = perilune.start { policy = POLICY, workers = 1, release = true, timeout = 60 }
      local function connect()
        local connection = frames.connect { port = proxy.port }
        connection:await "SETTINGS"
        return connection
      end
      local most = 0
      local function measure() most = math.max(most, proxy:rss()) end
      local function assault(count)
        local connections, have_ended_heads = {}, true
        for i = 1, count do
          connections[i] = connect()
          have_ended_heads = attack(connections[i]) ~= false
          measure()
        end
        assert.is_true(is_taken(connect())) -- and so has been what came to the worker before
        measure()
        for _, connection in ipairs(connections) do
          if have_ended_heads then
            assert.is_true(is_taken(connection))
          else
            connection:send("PING", 0, 0, "12345678")
            assert.equal("PROTOCOL_ERROR", connection:await("GOAWAY").code)
          end
          measure()
        end
      end
      assault(1)
      local before = proxy:rss()
      assault(CONNECTIONS)
      local each = (most - before) / CONNECTIONS
      assert.is_true(each < MOST, ("%d bytes each"):format(each))
    end)
  end
end)

-- Answers that the client does not read. Those of a peer have to stay there, whether their length is known or not; the
-- policy's own are there once, however many of them are sent.
local MIB = 1024 * 1024
local PIECE = ("x"):rep(16384)
local function sends_for_ever(fields, piece)
  return function(at)
    at:read_request()
    at:send(fields)
    while pcall(at.send, at, piece) do scheduler.sleep(0) end
  end
end
local LONG = sends_for_ever("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", PIECE)
local CHUNKED = sends_for_ever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4000\r\n" .. PIECE .. "\r\n")
local OWN = [[
  local body = ("x"):rep(1048576)
  require("perilune").listen("127.0.0.1:0", {
    request_filter = function(session) return session:respond { status = 200, body = body } end,
  }, { h2c = true })
]]
local OPEN = { settings = "\0\4" .. u32(0x7fffffff), more = u32(0x7fff0000 - 65535) }

local unread = {
  ["of a peer that says their length"] = { origin = LONG, windows = {} },
  ["of a peer that sends chunks"] = { origin = CHUNKED, windows = {} },
  ["of a peer, with a window that is shut"] = { origin = CHUNKED, windows = { settings = "\0\4" .. u32(0) } },
  ["of a peer, with windows wide open"] = { origin = LONG, windows = OPEN },
  ["of the policy's own"] = { policy = OWN, windows = {} },
  ["of the policy's own, with windows wide open"] = { policy = OWN, windows = OPEN },
}

describe("a hostile connection of HTTP/2 that does not read holds about 1 MiB of its answers,", function()
  for name, case in pairs(unread) do
    it(name, function()
      local policy = case.policy or policies.to(origins.start(case.origin), { listen = "h2c = true" })
      local proxy = perilune.start { policy = policy, workers = 1, release = true, timeout = 60 }
      local most = 0
      local function attack()
        local connection = frames.connect { port = proxy.port, receive_buffer = 4096, settings = case.windows.settings }
        if case.windows.more then connection:send("WINDOW_UPDATE", 0, 0, case.windows.more) end
        for i = 1, 100 do connection:send("HEADERS", END_BOTH, 2 * i - 1, head "/") end
        for _ = 1, 10 do
          scheduler.sleep(0.02)
          most = math.max(most, proxy:rss())
        end
        return connection
      end
      local connections = { attack() }
      local before = proxy:rss()
      for i = 2, 6 do connections[i] = attack() end
      local each = (most - before) / (#connections - 1)
      assert.is_true(each < 1.5 * MIB, ("%d bytes each"):format(each))
    end)
  end
end)
