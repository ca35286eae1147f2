-- SPDX-License-Identifier: Apache-2.0
-- Many requests for one response that the cache does not have yet.
local client = require "client"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local cached, fresh, FRESH = scene.start, scene.fresh, scene.FRESH

describe("requests for what is on its way", function()
  local BODY = ("0123456789abcdef"):rep(16384)

  -- So many at once; the origin goes on when `go` is called.
  local function crowd(ask, count, request)
    local asks = {}
    for i = 1, count do asks[i] = function() return ask(request) end end
    return scheduler.all(asks, 60)
  end

  it("are one to the origin, whatever worker they come to, and each gets all of it", function()
    local ask, origin = cached(function(request)
      scheduler.sleep(0.3)
      return fresh { body = BODY, chunked = request.target == "/chunked" }
    end, { workers = 4 })
    for i, target in ipairs { "/length", "/chunked" } do
      for _, answer in ipairs(crowd(ask, 40, { target = target })) do
        assert.is_true(answer.body == BODY)
      end
      assert.equal(i, #origin.requests)
    end
  end)

  it("get the first bytes when they come", function()
    local are_there = false
    local ask, origin, proxy = cached(function(_, connection)
      connection:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nfirst")
      scheduler.wait_until(function() return are_there end, scheduler.deadline(20))
      connection:send("other")
      return false
    end)
    local one, two = client.connect(proxy.port), client.connect(proxy.port)
    for _, at in ipairs { one, two } do at:send_request {} end
    for _, at in ipairs { one, two } do
      assert.is_truthy(at:read_until("first", 20))
      assert.is_nil(at.buffer:find("other", 1, true))
    end
    are_there = true
    assert.equal("firstother", ask().body)
    assert.equal(1, #origin.requests)
  end)

  it("are not held up by each other where it is not for the cache", function()
    for _, headers in ipairs { {}, { Authorization = "Basic eDp5" } } do
      local ask, origin
      ask, origin = cached(function(request) -- whoever is told or known to be alone comes at once
        if #origin.requests > 1 or request.headers.authorization then
          scheduler.wait_until(function() return #origin.requests == 10 end, scheduler.deadline(20))
        end
        return { body = "mine of " .. #origin.requests, headers = { ["Cache-Control"] = "private" } }
      end, { cache = ", lock_wait = 3600" })
      local last = 0
      for _, answer in ipairs(crowd(ask, 10, { headers = headers })) do
        last = last + (answer.body == "mine of 10" and 1 or 0)
      end
      assert.equal(headers.Authorization and 10 or 9, last)
      assert.equal(10, #origin.requests)
    end
  end)

  it("go on where the one that asked first is gone", function()
    local go = false
    local ask, origin, proxy = cached(function()
      scheduler.wait_until(function() return go end, scheduler.deadline(20))
      return FRESH
    end)
    local first = client.connect(proxy.port)
    first:send_request {}
    scheduler.wait_until(function() return #origin.requests == 1 end, scheduler.deadline(10))
    local others = function() return crowd(ask, 3) end
    local leave = function()
      scheduler.sleep(0.2)
      first:reset()
      scheduler.sleep(0.2)
      go = true
    end
    local answers = scheduler.all({ others, leave }, 30)[1]
    for _, answer in ipairs(answers) do assert.equal("stored", answer.body) end
    assert.equal(1, #origin.requests)
  end)

  it("are cut, not completed, where the origin breaks off; and it is asked anew", function()
    local breaks = true
    local ask, origin, proxy = cached(function(_, connection)
      if not breaks then return fresh { body = BODY } end
      connection:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: " .. #BODY .. "\r\n\r\n")
      connection:send(BODY:sub(1, 1000))
      scheduler.sleep(0.2)
      return false
    end)
    local waiting = {}
    for i = 1, 3 do
      waiting[i] = function()
        local at = client.connect(proxy.port)
        local answer = at:request {}
        return answer == nil or #answer.body < #BODY
      end
    end
    assert.same({ true, true, true }, scheduler.all(waiting, 30))
    breaks = false
    assert.is_true(ask().body == BODY)
    assert.equal(2, #origin.requests)
  end)
end)
