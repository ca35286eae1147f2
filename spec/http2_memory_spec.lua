-- SPDX-License-Identifier: Apache-2.0
-- What connections of HTTP/2 cost in memory. Of the release build, because sanitizers allocate themselves.
local frames = require "frames"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
  require("perilune").listen("127.0.0.1:0", {
    request_filter = function(session) return session:respond { status = 200, body = "hello" } end,
  }, { h2c = true, head_timeout = 300, keepalive_timeout = 300 })
]]

local function start()
  return perilune.start { policy = policies.fill(POLICY, {}), workers = 1, release = true, timeout = 60 }
end

local FIELDS = {}
for i = 1, 8 do FIELDS[i] = { "x-field-" .. i, ("v"):rep(40) } end

-- Connections on which `work` was done, and which do nothing from then on.
local function open(proxy, count, work)
  local connections = {}
  for i = 1, count do
    local connection = frames.connect { port = proxy.port }
    connection:await "SETTINGS"
    work(connection)
    connections[i] = connection
  end
  return connections
end

-- Bytes of each connection that is idle for a while, beside those that a worker needs once.
local function costs_at_most(most, work)
  local FIRST, MORE = 50, 350
  local proxy = start()
  open(proxy, FIRST, work)
  local before = proxy:rss()
  open(proxy, MORE, work)
  local function each() return (proxy:rss() - before) / MORE end
  scheduler.eventually(function() return each() <= most end, 30, "so little memory of an idle connection")
end

describe("an idle connection of HTTP/2", function()
  it("costs 5 KiB at most, where it has not asked for anything", function() costs_at_most(5120, function() end) end)

  it("costs 8 KiB at most, where it has asked with a head of many fields", function()
    costs_at_most(8192, function(connection)
      connection:send("HEADERS", frames.END_HEADERS + frames.END_STREAM, 1, frames.block({
        { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "spec.example" } })
        .. frames.indexed(FIELDS))
      assert.equal("hello", connection:body(1))
    end)
  end)
end)
