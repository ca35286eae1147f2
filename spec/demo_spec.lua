-- SPDX-License-Identifier: Apache-2.0
-- What `make run` starts: the tutorial's policy in front of two TLS origins of its own, without internet.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

describe("the demo", function()
  it("balances over two live peers, never asks the dead one, limits by appid, and says what to try", function()
    local dead = origins.dead_address()
    local proxy = perilune.start {
      script = "examples/demo.lua",
      env = {
        LISTEN = origins.free_address(), DEMO_DEAD = dead,
        DEMO_ORIGINS = origins.free_address() .. "," .. origins.free_address(),
      },
    }
    scheduler.eventually(function()
      return select(2, (proxy:stdout() .. proxy:log()):gsub("curl ", "")) >= 3
    end, 40, "three curl lines to try")
    proxy:wait_log(dead:gsub("%p", "%%%0") .. "[^\n]*unhealthy")
    local bodies = {}
    for i = 1, 4 do
      local response = client.request(proxy.port)
      assert.equal(200, response.status)
      bodies[i] = response.body
    end
    assert.not_equal(bodies[1], bodies[2])
    assert.same({ bodies[1], bodies[2] }, { bodies[3], bodies[4] })
    local function ask() return client.request({ port = proxy.port, headers = { appid = "1" } }).status end
    assert.equal(200, ask())
    -- One a second: the next one may come in another second, but not all that follow.
    scheduler.eventually(function() return ask() == 429 end)
    proxy:wait_log(("[^\n]*GET / %-> 127%.0%.0%.1:%d+, status 200[^\n]*\n.-"):rep(4))
    assert.is_nil(proxy:log():match("GET / %-> " .. dead:gsub("%p", "%%%0")))
  end)

  it("takes free ports for its origins, and keeps them over a reload", function()
    local busy = sys.listen("127.0.0.1", 16443) -- or somebody else has it, which is as good
    cleanup.add(3, function() if busy then sys.close(busy) end end)
    local proxy = perilune.start {
      script = "examples/demo.lua", workers = 2, env = { LISTEN = origins.free_address(), DEMO_ORIGINS = false },
    }
    local first, second = proxy.ports[2], proxy.ports[3]
    assert.is_true(first > 16443 and second > first)
    assert.equal(200, client.request(proxy.port).status)
    proxy:signal "HUP"
    proxy:wait_log "generation 2 is in force"
    assert.not_matches("no longer listening", proxy:log())
    assert.equal(200, client.request(proxy.port).status)
  end)
end)
