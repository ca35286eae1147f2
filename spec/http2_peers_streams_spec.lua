-- SPDX-License-Identifier: Apache-2.0
-- How many streams a peer of HTTP/2 takes at once, where it takes none, or changes its mind (RFC 9113 5.1.2, 6.5.2).
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local eventually = scheduler.eventually

-- A proxy, and an origin that answers each request with the number of its connection, once that is let go.
local function start(http2, peer)
  local state = { connections = {}, open = {}, gates = {} }
  http2.on_connection = function(connection)
    state.connections[#state.connections + 1] = connection
    state.open[#state.connections] = 0
  end
  local function number_of(connection)
    for i, other in ipairs(state.connections) do if other == connection then return i end end
  end
  local origin = origins.start(function(stream, connection)
    local number, target = assert(number_of(connection)), stream.request.target
    state.open[number] = state.open[number] + 1
    eventually(function() return not state.gates[target] end, 30, target)
    state.open[number] = state.open[number] - 1
    stream:respond { body = tostring(number) }
  end, { http2 = http2 })
  local proxy = scene.start(origin, { peer = ", http2 = true" .. (peer or "") })
  return proxy, state
end

local function ask(proxy, target)
  local connection = client.connect(proxy.port)
  connection:send_request { target = target }
  return function() return assert(connection:read_response "GET") end
end

-- The peer has said it, and heard that we know.
local function settle(connection, settings)
  connection:send_settings(settings)
  assert(connection:ping())
end

describe("a peer of HTTP/2 that takes fewer streams than before", function()
  for _, most in ipairs { 0, 1, 2 } do
    it(("keeps those that run, and gets no others before fewer than %d do"):format(most), function()
      local proxy, state = start { settings = { max_concurrent_streams = 10 } }
      for i = 1, 3 do state.gates["/" .. i] = true end
      local running = {}
      for i = 1, 3 do running[i] = ask(proxy, "/" .. i) end
      eventually(function() return state.open[1] == 3 end)
      settle(state.connections[1], { max_concurrent_streams = most })
      assert.equal("2", ask(proxy, "/other")().body)
      assert.equal("2", ask(proxy, "/other")().body)
      for i = 1, 3 do
        state.gates["/" .. i] = nil
        assert.equal("1", running[i]().body)
      end
      assert.equal(2, #state.connections)
    end)
  end

  it("is asked again on that connection once it takes more", function()
    local proxy, state = start { settings = { max_concurrent_streams = 10 } }
    assert.equal("1", ask(proxy, "/")().body)
    settle(state.connections[1], { max_concurrent_streams = 0 })
    assert.equal("2", ask(proxy, "/")().body)
    settle(state.connections[1], { max_concurrent_streams = 5 })
    settle(state.connections[2], { max_concurrent_streams = 0 })
    assert.equal("1", ask(proxy, "/")().body)
    assert.equal(2, #state.connections)
  end)
end)

describe("a peer of HTTP/2 that takes no stream at first", function()
  it("is waited for by more requests than the one that came before its SETTINGS", function()
    local proxy, state = start { settings = { max_concurrent_streams = 0 } }
    state.gates["/1"] = true
    local first = ask(proxy, "/1")
    eventually(function() return #state.connections == 1 end)
    assert(state.connections[1]:ping())
    local others = { ask(proxy, "/2"), ask(proxy, "/3") }
    assert.is_false(scheduler.wait_until(function() return state.open[1] > 1 end, scheduler.deadline(0.2)))
    state.gates["/1"] = nil
    assert.equal("1", first().body)
    settle(state.connections[1], { max_concurrent_streams = 2 })
    for _, read in ipairs(others) do assert.equal("1", read().body) end
    assert.equal(1, #state.connections)
  end)

  it("is not waited for longer than handshake_timeout", function()
    local proxy, state = start({ settings = { max_concurrent_streams = 0 } }, ", handshake_timeout = 0.5")
    state.gates["/1"], state.gates["/2"] = true, true
    local reads, since = { ask(proxy, "/1"), ask(proxy, "/2") }, scheduler.now()
    for _, read in ipairs(reads) do assert.equal(502, read().status) end
    assert.is_true(scheduler.now() - since < 15) -- by default it would be 20 s: of two attempts
    state.gates = {}
  end)
end)
