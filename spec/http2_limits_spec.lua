-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 with clients that are slow, silent, or stay too long: the limits of a listener hold for each stream, and for
-- the connection.
local client = require "client"
local frames = require "frames"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local u32 = frames.u32
local END_BOTH = frames.END_HEADERS + frames.END_STREAM
local GET = frames.block { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" } }

local function start(handler, listen)
  return scene.proxied(handler, { listen = "h2c = true, " .. listen })
end
local function open(proxy, settings) return frames.connect { port = proxy.port, settings = settings } end

-- The code of the GOAWAY, when the connection has ended behind it: sooner than by the default, which is so many
-- seconds. A graceful end has two.
local function ending(connection, default)
  return scene.sooner_than(default, function()
    local code
    for goaway in function() return connection:await "GOAWAY" end do code = goaway.code end
    return code
  end)
end

describe("a client of HTTP/2", function()
  it("that does not finish a head is ended after head_timeout", function()
    local connection = open((start("hello", "head_timeout = 0.3")))
    connection:await "SETTINGS"
    connection:send("HEADERS", frames.END_STREAM, 1, GET)
    assert.equal("ENHANCE_YOUR_CALM", ending(connection, 30))
  end)

  it("that does not finish the frame of a head is ended after head_timeout, also beside other streams", function()
    local origin = origins.start(function(at) at:read_request() scheduler.sleep(60) end)
    local connection = open(scene.start(origin, { listen = "h2c = true, head_timeout = 0.3" }))
    connection:send("HEADERS", END_BOTH, 1, GET)
    connection.wire:send("\0\0\20\1\5\0\0\0\3" .. GET:sub(1, 5))
    assert.equal("ENHANCE_YOUR_CALM", ending(connection, 30))
  end)

  it("that never asks is ended after head_timeout", function()
    assert.equal("NO_ERROR", ending(open((start("hello", "head_timeout = 0.3"))), 30))
    local silent = client.connect((start("hello", "head_timeout = 0.3")).port)
    silent:send "PRI * HTTP/2.0\r\n\r\nSM"
    assert.is_nil(scene.sooner_than(30, function() return silent:read_until "never" end))
  end)

  it("that asks no more is ended after keepalive_timeout, whatever else it sends", function()
    local connection = open((start("hello", "keepalive_timeout = 0.5")))
    connection:request(1)
    assert.equal("hello", connection:body(1))
    scheduler.spawn(function()
      for _ = 1, 400 do -- for 20 seconds
        if not pcall(connection.send, connection, "PING", 0, 0, "12345678") then return end
        scheduler.sleep(0.05)
      end
    end)
    assert.equal("NO_ERROR", ending(connection, 20))
  end)

  it("is told the last of keepalive_requests, and loses none that it had sent", function()
    local connection = open((start("hello", "keepalive_requests = 3")))
    for stream = 1, 9, 2 do connection:request(stream) end
    local got, last = {}, nil
    while true do
      local frame = connection:read()
      if not frame then break end
      if frame.type == "GOAWAY" then last = frame.last end
      if frame.type == "DATA" then got[#got + 1] = frame.payload end
      if frame.type == "PING" then connection:send("PING", frames.ACK, 0, frame.payload) end
    end
    assert.same({ "hello", "hello", "hello", "hello", "hello" }, got)
    assert.equal(9, last)
  end)

  it("that takes nothing of one stream loses it after send_timeout, and keeps the others, however they move", function()
    local connection = open((start(function(at)
      while true do
        local request = at:read_request()
        if not request then return end
        at:respond { body = request.target == "/long" and ("x"):rep(1000000) or "short" }
      end
    end, "send_timeout = 1")))
    connection:request(1, { path = "/long" })
    local code, stream
    while not code do
      stream = (stream or 1) + 2
      connection:request(stream, { path = "/short" })
      local frame
      repeat
        frame = connection:read()
        if frame.type == "DATA" then connection:send("WINDOW_UPDATE", 0, 0, u32(#frame.payload + 1)) end
        if frame.type == "RST_STREAM" and frame.stream == 1 then code = frame.code end
      until frame.stream == stream and frame.type == "DATA" and frame.flags % 2 == 1
      scheduler.sleep(0.02)
    end
    assert.equal("CANCEL", code)
    connection:request(stream + 2, { path = "/short" })
    assert.equal("short", connection:body(stream + 2))
  end)

  it("that reads nothing at all is given up after send_timeout", function()
    local proxy = start(function(at)
      while at:read_request() do at:respond { body = ("x"):rep(4000000) } end
    end, "send_timeout = 0.5")
    local connection = frames.connect { port = proxy.port, receive_buffer = 4096, settings = "\0\4" .. u32(0x7fffffff) }
    connection:send("WINDOW_UPDATE", 0, 0, u32(0x7fff0000 - 65535))
    for stream = 1, 9, 2 do connection:request(stream) end
    proxy:wait_log "does not read its response"
  end)

  it("counts as one of max_connections_per_client", function()
    local proxy = start("hello", "max_connections_per_client = 1")
    local connection = open(proxy)
    connection:request(1)
    assert.equal("hello", connection:body(1))
    assert.is_nil(open(proxy):read())
    connection:request(3)
    assert.equal("hello", connection:body(3))
  end)

  it("has the limits of a head and of a body on each stream", function()
    local connection = open((start("hello", "target_limit = 100, fields_limit = 5, body_limit = 10")))
    connection:request(1, { path = "/" .. ("x"):rep(100) })
    assert.equal("414 URI Too Long\n", (connection:body(1)))
    local many = {}
    for i = 1, 6 do many[i] = { "x" .. i, "1" } end
    connection:request(3, { fields = many })
    assert.equal("431 Request Header Fields Too Large\n", (connection:body(3)))
    connection:request(5, { method = "POST", ends = false, fields = { { "content-length", "11" } } })
    assert.equal("413 Content Too Large\n", (connection:body(5)))
    connection:request(7, { method = "POST", ends = false })
    connection:send("DATA", 0, 7, ("x"):rep(11))
    assert.equal("413 Content Too Large\n", (connection:body(7)))
    connection:request(9)
    assert.equal("hello", connection:body(9))
  end)

  it("is refused one stream more than max_streams (RFC 9113 5.1.2)", function()
    local gate = false
    local connection = open((start(function(at)
      while at:read_request() do
        scheduler.eventually(function() return gate end, 20)
        at:respond { body = "late" }
      end
    end, "max_streams = 2")))
    local announced = connection:await "SETTINGS".payload
    assert.matches(("\0\3" .. u32(2)):gsub("%z", "%%z"), announced)
    for stream = 1, 5, 2 do connection:request(stream) end
    assert.equal("REFUSED_STREAM", connection:await("RST_STREAM", 5).code)
    gate = true
    assert.equal("late", connection:body(1))
    connection:request(7)
    assert.equal("late", connection:body(7))
  end)

  it("is told stream_window", function()
    local connection = open((start("hello", "stream_window = 1000")))
    local announced = connection:await "SETTINGS".payload
    assert.matches(("\0\4" .. u32(1000)):gsub("%z", "%%z"), announced)
  end)
end)

describe("perilune.listen refuses for HTTP/2", function()
  for text, why in pairs {
    ["max_streams = 0"] = "max_streams' must be", ["stream_window = 0"] = "stream_window' must be",
    ["stream_window = 2147483648"] = "stream_window' must be a number from 1 to 2147483647, got 2147483648",
    ["connection_window = 65534"] = "connection_window' must be a number from 65535",
    ["max_resets = -1"] = "max_resets' must be", ["max_control_frames = 'x'"] = "max_control_frames' must be",
  } do
    it(text, function()
      local script = process.write_file(process.directory() .. "/policy.lua", policies.fill(policies.one_peer, {
        ADDRESS = "127.0.0.1:1", OPTIONS = "", HOOKS = "", LISTEN = text }))
      local result = perilune.run("check", script)
      assert.not_equal(0, result.code)
      assert.matches(why, result.stderr)
    end)
  end
end)
