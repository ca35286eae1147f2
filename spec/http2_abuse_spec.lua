-- SPDX-License-Identifier: Apache-2.0
-- What a client of HTTP/2 can make the proxy do for nothing has an end (RFC 9113 10.5): ENHANCE_YOUR_CALM, a line in
-- the log and a metric, and nobody else notices.
local client = require "client"
local frames = require "frames"
local metrics = require "metrics"
local perilune = require "perilune"

after_each(require("cleanup").run)

local u32, block = frames.u32, frames.block
local END_BOTH = frames.END_HEADERS + frames.END_STREAM
local OPEN = { { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/hold" }, { ":authority", "a" } }
local HOLD = block(OPEN)
local GET = block { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" } }

local POLICY = [[
local perilune = require "perilune"
perilune.listen("127.0.0.1:0", { request_filter = function(session)
  if session:path() == "/hold" then perilune.sleep(60) end
  return session:respond { status = 200, body = "ok" }
end }, { h2c = true, $ })
]]

local function start(options)
  local policy = POLICY:gsub("%$", options or "")
  return perilune.start { workers = 1, settings = { "--admin", "127.0.0.1:0" }, policy = policy }
end

local function open(proxy) return frames.connect { port = proxy.port } end

-- Sends until the connection is ended, which it must be before `most` times.
local function flood(connection, most, body)
  for i = 1, most do
    local ok = pcall(body, connection, i)
    if not ok then break end
  end
  return connection:await "GOAWAY"
end

local function is_stopped(most, body, options)
  local proxy = start(options)
  local goaway = flood(open(proxy), most, body)
  assert.equal("ENHANCE_YOUR_CALM", goaway and goaway.code)
  assert.equal("ok", client.request(proxy.port).body)
  proxy:wait_log "client 127%.0%.0%.1:%d+: HTTP/2 connection ended with ENHANCE_YOUR_CALM: %a"
  local count = 'perilune_http2_faults_total{listener="127.0.0.1:%d",code="ENHANCE_YOUR_CALM"}'
  metrics.wait(proxy, count:format(proxy.port), 1)
end

local function goes_on(times, body, options)
  local proxy = start(options)
  local connection = open(proxy)
  for i = 1, times do body(connection, i) end
  connection:send("HEADERS", END_BOTH, 100001, GET)
  assert.equal("ok", connection:body(100001))
end

local attacks = {
  { "streams that are reset at once (CVE-2023-44487)", 400, function(c, i)
    c:send("HEADERS", END_BOTH, 2 * i - 1, HOLD)
    c:send("RST_STREAM", 0, 2 * i - 1, u32(8))
  end },
  { "streams that it makes us reset by WINDOW_UPDATE (CVE-2025-8671)", 400, function(c, i)
    c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, HOLD)
    c:send("WINDOW_UPDATE", 0, 2 * i - 1, u32(0))
  end },
  { "streams that it makes us reset by a window too large (CVE-2025-8671)", 400, function(c, i)
    c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, HOLD)
    c:send("WINDOW_UPDATE", 0, 2 * i - 1, u32(0x7fffffff))
  end },
  { "streams whose bodies are longer than they say (CVE-2025-8671)", 400, function(c, i)
    c:send("HEADERS", frames.END_HEADERS, 2 * i - 1, HOLD .. block { { "content-length", "1" } })
    c:send("DATA", 0, 2 * i - 1, "12")
  end },
  { "malformed requests", 400, function(c, i)
    c:send("HEADERS", END_BOTH, 2 * i - 1, GET .. block { { "connection", "x" } })
  end },
  { "more streams at a time than it may have", 600, function(c, i) c:send("HEADERS", END_BOTH, 2 * i - 1, HOLD) end },
  { "SETTINGS (CVE-2019-9515)", 5000, function(c) c:send("SETTINGS", 0, 0, "") end },
  { "PING (CVE-2019-9512)", 5000, function(c) c:send("PING", 0, 0, "12345678") end },
  { "answers to no PING", 5000, function(c) c:send("PING", 1, 0, "12345678") end },
  { "PRIORITY (CVE-2019-9513)", 5000, function(c) c:send("PRIORITY", 0, 1, u32(3) .. "\1") end },
  { "WINDOW_UPDATE", 5000, function(c) c:send("WINDOW_UPDATE", 0, 0, u32(1)) end },
  { "unknown frames", 5000, function(c) c:send(0x42, 0, 0, "") end },
  { "empty DATA (CVE-2019-9518)", 5000, function(c, i)
    if i == 1 then c:send("HEADERS", frames.END_HEADERS, 1, HOLD) end
    c:send("DATA", 0, 1, "")
  end },
  { "DATA of padding alone", 5000, function(c, i)
    if i == 1 then c:send("HEADERS", frames.END_HEADERS, 1, HOLD) end
    c:send("DATA", 8, 1, "\0")
  end },
  { "a head without end (CVE-2024-27316)", 50000, function(c, i)
    c:send(i == 1 and "HEADERS" or "CONTINUATION", 0, 1, i == 1 and GET or block { { "x", ("y"):rep(100) } })
  end },
  { "a head in pieces of nothing", 50000, function(c, i)
    c:send(i == 1 and "HEADERS" or "CONTINUATION", 0, 1, "")
  end },
  { "many long heads at once", 400, function(c, i)
    -- One entry of 4000 octets in the table, and then references to it (CVE-2016-6581).
    local bomb = i == 1 and "\64\1x\127\161\30" .. ("y"):rep(4000) or "\190"
    c:send("HEADERS", END_BOTH, 2 * i - 1, HOLD .. bomb .. ("\190"):rep(14))
  end },
}

describe("A client of HTTP/2 is stopped that sends", function()
  for _, case in ipairs(attacks) do
    it(case[1], function() is_stopped(case[2], case[3]) end)
  end

  it("windows of one octet (CVE-2019-9511)", function()
    local proxy = start()
    local connection = frames.connect { port = proxy.port, settings = "\0\4" .. u32(0) }
    for stream = 1, 199, 2 do connection:send("HEADERS", END_BOTH, stream, GET) end
    local goaway = flood(connection, 3000, function(c, i) c:send("WINDOW_UPDATE", 0, i % 2 == 1 and 1 or 3, u32(1)) end)
    assert.equal("ENHANCE_YOUR_CALM", goaway and goaway.code)
  end)

  it("less, where its listener allows less", function()
    is_stopped(30, function(c) c:send("PING", 0, 0, "12345678") end, "max_control_frames = 10")
    local malformed = GET .. block { { "te", "x" } }
    is_stopped(30, function(c, i) c:send("HEADERS", END_BOTH, 2 * i - 1, malformed) end, "max_resets = 10")
    is_stopped(40, function(c, i) c:send("HEADERS", END_BOTH, 2 * i - 1, HOLD) end, "max_resets = 10, max_streams = 5")
  end)
end)

describe("A client of HTTP/2 may", function()
  it("ask thousands of times on one connection, and give windows back", function()
    goes_on(2000, function(c, i)
      c:send("HEADERS", END_BOTH, 2 * i - 1, GET)
      c:body(2 * i - 1)
      if i % 2 == 0 then c:send("WINDOW_UPDATE", 0, 0, u32(4)) end
    end)
  end)

  it("send what it likes where its listener sets no limit", function()
    goes_on(2000, function(c) c:send("PRIORITY", 0, 1, u32(3) .. "\1") end, "max_control_frames = 0")
    goes_on(500, function(c, i)
      c:send("HEADERS", END_BOTH, 2 * i - 1, GET .. block { { "te", "x" } })
      c:await("RST_STREAM", 2 * i - 1)
    end, "max_resets = 0")
  end)

  it("send one long head, which is answered with 431", function()
    local connection = open(start())
    connection:send("HEADERS", END_BOTH, 1, GET .. "\64\1x\127\161\30" .. ("y"):rep(4000) .. ("\190"):rep(20))
    assert.equal("431 Request Header Fields Too Large\n", (connection:body(1)))
  end)
end)
