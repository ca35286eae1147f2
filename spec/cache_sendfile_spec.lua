-- SPDX-License-Identifier: Apache-2.0
-- Long bodies that the kernel sends out of the cache's memory: what a socket still has stays as it was, whatever is
-- stored since.
local client = require "client"
local metrics = require "metrics"
local process = require "process"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local LONG = 2000000

-- Bytes that tell where they are.
local rows = {}
for i = 1, LONG / 10 do rows[i] = ("%09d\n"):format(i) end
local BODY, OTHER = table.concat(rows), ("x"):rep(LONG)

local function start(options)
  options = options or {}
  options.admin = true
  options.size = options.size or "64M"
  local function answer(request) return scene.fresh { body = request.target == "/a" and BODY or OTHER } end
  return scene.start(answer, options)
end

local function sent_bytes(proxy) return metrics.status(proxy).caches[1].sent_bytes end

describe("a long body of the cache", function()
  it("is sent by the kernel, but for the piece that goes with its head; a short one is not", function()
    local ask, _, proxy = scene.start(function(request)
      return scene.fresh { body = request.target == "/long" and BODY or ("x"):rep(100000) }
    end, { size = "64M", admin = true })
    for _ = 1, 2 do assert.equal(100000, #ask({ target = "/short" }).body) end
    for _ = 1, 2 do assert.is_true(ask({ target = "/long" }).body == BODY) end
    local sent = sent_bytes(proxy)
    assert.is_true(sent > LONG * 0.9 and sent < LONG)
  end)

  it("is whole where a client asks for ranges, and for several", function()
    local ask = start()
    local all = ask({ target = "/a" }).body
    local function part(first, last)
      return ask({ target = "/a", headers = { Range = ("bytes=%d-%d"):format(first, last) } }).body
    end
    assert.is_true(part(1, 180001) == all:sub(2, 180002))
    assert.is_true(part(100000, LONG - 1) == all:sub(100001))
    local several = ask { target = "/a", headers = { Range = "bytes=0-29999,30100-30109,50000-199999" } }
    assert.equal(206, several.status)
    for _, run in ipairs { { 1, 30000 }, { 30101, 30110 }, { 50001, 200000 } } do
      assert.is_truthy(several.body:find("\r\n\r\n" .. all:sub(run[1], run[2]) .. "\r\n--", 1, true))
    end
  end)

  for where, cache in pairs { memory = "", ["a file"] = ", path = %q" } do
    it("stays right in the socket of a client that stalls, though all of the cache was stored over: in " .. where,
      function()
        local path = process.directory() .. "/pages.cache"
        local ask, origin, proxy = start { cache = cache:format(path) }
        ask { target = "/a" }
        local stalled = client.connect { port = proxy.port, receive_buffer = 4096 }
        stalled:send_request { target = "/a" }
        assert.is_true(scheduler.eventually(function() return sent_bytes(proxy) > 100000 end))
        for number = 1, 34 do ask { target = "/" .. number, method = "HEAD" } end
        ask { target = "/a", method = "HEAD" } -- it was dropped
        assert.equal(36, #origin.requests)
        assert.is_true(stalled:read_response("GET").body == BODY)
      end)
  end
end)
