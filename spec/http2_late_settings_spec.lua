-- SPDX-License-Identifier: Apache-2.0
-- SETTINGS in the middle of a connection of HTTP/2: they count from their acknowledgement on, also for streams that
-- have begun (RFC 9113 sections 6.5.3 and 6.9.2, RFC 7541 section 4.2).
local client = require "client"
local frames = require "frames"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local u32, ACK = frames.u32, frames.ACK
local WINDOW, LONGEST = 65535, 2147483647
local BODY = ("0123456789"):rep(30000)
local SIZE_0 = 0x20 -- "the table has no room from here on"

local function setting(id, value) return u32(id):sub(3) .. u32(value) end
local function table_bytes(value) return setting(1, value) end
local function initial_window(value) return setting(4, value) end
local function max_frame(value) return setting(5, value) end

-- Four heads alike: two as usual, and two behind SETTINGS that leave the table no room.
local function require_lost_table(one, two, first, second)
  assert.is_true(#two < #one) -- by what is in the table
  assert.equal(SIZE_0, first:byte(1))
  assert.not_equal(SIZE_0, second:byte(1))
  assert.equal(#first - 1, #second)
  assert.is_true(#second > #two)
end

describe("SETTINGS of a client in the middle of its connection", function()
  local function open(handler, settings)
    local proxy = scene.proxied(handler or BODY, { listen = "h2c = true" })
    local at = frames.connect { port = proxy.port, settings = settings }
    at:send("WINDOW_UPDATE", 0, 0, u32(10000000))
    return at
  end

  -- The octets of DATA that come before the answer to a PING. All of them have come when `least` have.
  local function octets(at, least)
    local count, longest = 0, 0
    at:send("PING", 0, 0, "octets..")
    local is_answered = false
    while count < least or not is_answered do
      local frame = assert(at:read())
      if frame.type == "DATA" then count, longest = count + frame.length, math.max(longest, frame.length) end
      if frame.type == "SETTINGS" and frame.flags == 0 then at:send("SETTINGS", ACK, 0, "") end
      is_answered = is_answered or frame.type == "PING" and frame.payload == "octets.."
    end
    return count, longest
  end

  -- The block of the head that answers the request on `stream`.
  local function head(at, stream)
    at:request(stream)
    return at:await("HEADERS", stream).payload
  end

  it("are acknowledged, each of them", function()
    local at = open()
    local count = 0
    for i = 1, 5 do at:send("SETTINGS", 0, 0, initial_window(i)) end
    at:send("PING", 0, 0, "12345678")
    while true do
      local frame = at:read()
      if frame.type == "SETTINGS" and frame.flags == ACK then count = count + 1 end
      if frame.type == "PING" then break end
    end
    assert.equal(6, count) -- and those at the beginning
  end)

  it("make windows smaller, also below zero", function()
    local at = open()
    at:request(1)
    assert.equal(WINDOW, octets(at, WINDOW))
    at:send("SETTINGS", 0, 0, initial_window(1000))
    at:send("WINDOW_UPDATE", 0, 1, u32(WINDOW - 1000))
    assert.equal(0, octets(at, 0))
    at:send("WINDOW_UPDATE", 0, 1, u32(10))
    assert.equal(10, octets(at, 10))
    at:send("WINDOW_UPDATE", 0, 1, u32(#BODY))
    assert.equal(#BODY - WINDOW - 10, octets(at, #BODY - WINDOW - 10))
  end)

  it("make windows larger, and streams that have waited go on", function()
    local at = open()
    at:request(1)
    assert.equal(WINDOW, octets(at, WINDOW))
    at:send("SETTINGS", 0, 0, initial_window(WINDOW + 100))
    assert.equal(100, octets(at, 100))
    at:send("SETTINGS", 0, 0, initial_window(#BODY))
    assert.equal(#BODY - WINDOW - 100, octets(at, #BODY - WINDOW - 100))
  end)

  it("end the connection where they make a window longer than 2^31-1", function()
    local at = open(function(connection)
      connection:read_request()
      connection:read_until "never"
    end)
    at:request(1)
    at:send("WINDOW_UPDATE", 0, 1, u32(LONGEST - WINDOW))
    at:send("SETTINGS", 0, 0, initial_window(WINDOW + 1))
    assert.equal("FLOW_CONTROL_ERROR", at:await("GOAWAY").code)
  end)

  it("take the table of heads away, which the next head says first", function()
    local at = open "hello"
    local one, two = head(at, 1), head(at, 3)
    at:send("SETTINGS", 0, 0, table_bytes(0))
    octets(at, 0)
    require_lost_table(one, two, head(at, 5), head(at, 7))
  end)

  it("make frames longer, and shorter again", function()
    local at = open(nil, initial_window(LONGEST) .. max_frame(40000))
    at:request(1)
    local count, longest = octets(at, #BODY)
    assert.equal(#BODY, count)
    assert.is_true(longest <= 40000)
    at:send("SETTINGS", 0, 0, max_frame(16384))
    octets(at, 0)
    at:request(3)
    count, longest = octets(at, #BODY)
    assert.equal(#BODY, count)
    assert.is_true(longest <= 16384)
  end)
end)

describe("SETTINGS of a peer in the middle of its connection", function()
  -- Its streams are read by the spec alone.
  local function start(settings)
    local state = { streams = {} }
    local proxy = scene.proxied(function(stream)
      state.streams[#state.streams + 1] = stream
      scheduler.wait_until(function() return stream.may_end end, scheduler.deadline(scheduler.TIMEOUT))
      stream:read_request()
      stream:respond { body = "fine" }
    end, { peer = ", http2 = true", origin = { http2 = { settings = settings,
      on_connection = function(connection) state.connection = connection end } } })
    return state, function(body)
      return scheduler.spawn(function()
        return client.request { port = proxy.port, method = body and "POST" or "GET", body = body }
      end)
    end
  end

  local function await(what, number)
    scheduler.eventually(function() return what.received == number end, nil, number .. " octets")
    assert(what.connection:ping())
    assert.equal(number, what.received)
  end

  local function settle(state, settings)
    state.connection:send_settings(settings)
    assert(state.connection:ping())
  end

  local function ends_well(task)
    scheduler.eventually(function() return task.is_done end)
    assert.equal("fine", task.result.body)
  end

  local function stream_of(state, number)
    return scheduler.eventually(function() return state.streams[number] end)
  end

  it("make windows smaller, also below zero", function()
    local state, ask = start()
    local task = ask(BODY)
    local stream = stream_of(state, 1)
    await(stream, WINDOW)
    settle(state, { initial_window_size = 1000 })
    stream:add_window(WINDOW - 1000)
    await(stream, WINDOW)
    stream:add_window(10)
    await(stream, WINDOW + 10)
    stream:add_window(#BODY)
    await(stream, #BODY)
    stream.may_end = true
    ends_well(task)
  end)

  it("make windows larger, and streams that have waited go on", function()
    local state, ask = start()
    local task = ask(BODY)
    local stream = stream_of(state, 1)
    await(stream, WINDOW)
    settle(state, { initial_window_size = WINDOW + 100 })
    await(stream, WINDOW + 100)
    stream:add_window(#BODY)
    await(stream, #BODY)
    stream.may_end = true
    ends_well(task)
  end)

  -- The blocks of the heads that have come.
  local function heads(state)
    local blocks = {}
    for _, frame in ipairs(state.connection.frames) do
      if frame.type == "HEADERS" then blocks[#blocks + 1] = frame.payload end
    end
    return blocks
  end

  it("take the table of heads away, which the next head says first", function()
    local state, ask = start()
    for i = 1, 4 do
      if i == 3 then settle(state, { header_table_size = 0 }) end
      local task = ask()
      stream_of(state, i).may_end = true
      ends_well(task)
    end
    require_lost_table(unpack(heads(state)))
  end)

  it("make frames shorter again", function()
    local state, ask = start { max_frame_size = 60000, initial_window_size = 1000000 }
    local function longest_of(number)
      local task, longest = ask(BODY), 0
      stream_of(state, number).may_end = true
      ends_well(task)
      for _, frame in ipairs(state.connection.frames) do
        if frame.type == "DATA" and frame.stream == state.streams[number].id then
          longest = math.max(longest, frame.length)
        end
      end
      return longest
    end
    assert.is_true(longest_of(1) <= 60000)
    settle(state, { max_frame_size = 16384 })
    assert.is_true(longest_of(2) <= 16384)
  end)
end)
