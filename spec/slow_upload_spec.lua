-- SPDX-License-Identifier: Apache-2.0
-- Request bodies that come slowly: what they hold meanwhile, and when they are given up.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local function start(origin, listen, hooks)
  return perilune.start {
    workers = 1,
    policy = policies.fill([[
      require("perilune").listen("127.0.0.1:0", {
        upstream_peer = function() return "$ORIGIN" end, $HOOKS
      }, { $LISTEN })
    ]], { ORIGIN = origin.address, LISTEN = listen or "", HOOKS = hooks or "" }),
  }
end

local function echo()
  return origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      connection:respond { body = request.body }
    end
  end)
end

--- Sends a body piece by piece, one each `pause` seconds, and gives the response and how long it took.
local function drip(proxy, pieces, pause, options)
  local connection = client.connect(proxy.port)
  local begun, length = sys.now(), options and options.length or #table.concat(pieces)
  connection:send(("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(length))
  local task = scheduler.spawn(function()
    for _, piece in ipairs(pieces) do
      scheduler.sleep(pause)
      if not connection:send(piece) then return end
    end
  end)
  local response = connection:read_final_response("POST", 30)
  scheduler.cancel(task)
  return response, sys.now() - begun
end

local function pieces(count, text)
  local list = {}
  for i = 1, count do list[i] = text end
  return list
end

describe("min_receive_rate", function()
  it("ends a body that is slower in the long run, however often a byte comes (408)", function()
    local origin = echo()
    local proxy = start(origin, "body_timeout = 1")
    local bodies = {}
    for i = 1, 20 do
      bodies[i] = function()
        local response, seconds = drip(proxy, pieces(200, "x"), 0.1, { length = 1000000 })
        assert.equal(408, response.status)
        assert.is_true(seconds > 4.5 and seconds < 9, seconds)
      end
    end
    scheduler.all(bodies, 30)
    assert.matches("the request body stalled: it is slower than min_receive_rate", proxy:log())
  end)

  it("may be stalled now and then by who sends enough in the long run", function()
    local proxy = start(echo(), "body_timeout = 2, min_receive_rate = 1000")
    local response, seconds = drip(proxy, pieces(6, ("x"):rep(1000)), 1)
    assert.equal(200, response.status)
    assert.equal(6000, #response.body)
    assert.is_true(seconds > 5.5, seconds)
  end)

  it("is none where it is 0", function()
    local proxy = start(echo(), "body_timeout = 1, min_receive_rate = 0")
    local response, seconds = drip(proxy, pieces(30, "x"), 0.2)
    assert.equal(200, response.status)
    assert.is_true(seconds > 5.5, seconds)
  end)
end)

describe("upload_timeout", function()
  it("ends a body that is not whole in that time, however fast it comes", function()
    local proxy = start(echo(), "upload_timeout = 0.6, min_receive_rate = 1")
    local response, seconds = drip(proxy, pieces(400, ("x"):rep(1000)), 0.01, { length = 1000000 })
    assert.equal(408, response.status)
    assert.is_true(seconds > 0.5 and seconds < 5, seconds)
    assert.matches("it takes longer than upload_timeout", proxy:log())
    assert.equal(200, (drip(proxy, pieces(3, "x"), 0.05)).status)
  end)
end)

describe("a small body", function()
  it("is awaited before a peer is asked, so that a slow client holds no connection to it", function()
    local origin = echo()
    local proxy = start(origin)
    local slow = {}
    for i = 1, 10 do
      slow[i] = client.connect(proxy.port)
      slow[i]:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"
    end
    assert.equal("hello", client.request { port = proxy.port, method = "POST", body = "hello" }.body)
    scheduler.sleep(0.1)
    assert.equal(1, origin.accepted)
    for i = 1, 10 do slow[i]:send "67890" end
    for i = 1, 10 do assert.equal("1234567890", slow[i]:read_response("POST").body) end
  end)

  it("is not awaited any longer when its client pauses, which may wait for an answer", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" .. connection:read(4))
      connection:read(4)
      connection:sleep(30)
    end)
    local proxy = start(origin, "await_body = 0.2")
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nping"
    assert.equal("ping", connection:read_response("POST").body)
    connection:send "pong"
    local off = start(origin, "await_body = false")
    local begun = sys.now()
    connection = client.connect(off.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nping"
    assert.equal("ping", connection:read_response("POST").body)
    assert.is_true(sys.now() - begun < 1.5)
  end)

  it("that ends early is a bad request of its client, and no peer is asked", function()
    local origin = echo()
    local proxy = start(origin)
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"
    connection:half_close()
    assert.equal(400, connection:read_response("POST").status)
    assert.equal(0, origin.accepted)
  end)

  it("passes the filters, and hooks can read it, as if it had come with its head", function()
    local origin = echo()
    local proxy = start(origin, "", [[
      request_body_filter = function(_, chunk) return chunk and chunk:upper() end,
    ]])
    assert.equal("HELLO WORLD", (drip(proxy, { "hello ", "world" }, 0.05)).body)
    local reader = start(origin, "", [[
      request_filter = function(session) session:read_body() end,
    ]])
    assert.equal("hello world", (drip(reader, { "hello ", "world" }, 0.05)).body)
  end)

  it("is not awaited where it comes in chunks, is large, or where the peer is to say whether it wants it", function()
    local heads = {}
    local origin = origins.start(function(connection)
      local request = connection:read_request_head()
      heads[#heads + 1] = request.target
      connection:sleep(30)
    end)
    local proxy = start(origin)
    for i, head in ipairs { "Transfer-Encoding: chunked", "Content-Length: 100000",
      "Content-Length: 10\r\nExpect: 100-continue" } do
      local connection = client.connect(proxy.port)
      connection:send(("POST /%d HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"):format(i, head))
      scheduler.eventually(function() return heads[#heads] == "/" .. i end)
    end
  end)
end)
