-- SPDX-License-Identifier: Apache-2.0
-- scripts/mirror.lua and its example, between two origins.
local test = require "perilune.test"

local function start(shadow, env)
  local shadow_origin = { serve = shadow }
  local h
  local policy = [[
    local perilune = require "perilune"
    local mirror = require("perilune.mirror").new { to = "http://" .. os.getenv "ORIGIN_SHADOW", max_body = 10,
      percent = tonumber(os.getenv "PERCENT") }
    perilune.listen("127.0.0.1:6188", { request_filter = function(session) mirror(session) end,
      upstream_peer = function() return os.getenv "ORIGIN_LIVE" end })
  ]]
  h = test.harness { policy = policy, origins = { live = "live", shadow = shadow and shadow_origin or "shadow" },
    env = env }
  return h
end

local function arrived(h, count)
  h:eventually(function() return #h.origins.shadow.requests >= count end, nil, "a copy")
end

describe("mirror", function()
  it("sends a copy of the request, and answers from the peer", function()
    local h = start()
    assert.body("live", h:request { path = "/a?b", headers = { { "X-A", "1" }, { "X-A", "2" }, { "Cookie", "c=d" } } })
    arrived(h, 1)
    assert.received({ method = "GET", target = "/a?b", headers = { Cookie = "c=d" } }, h.origins.shadow)
    assert.same({ "1", "2" }, h.origins.shadow.requests[1].headers:all "x-a")
    assert.equal(h.origins.shadow.address, h.origins.shadow.requests[1].headers.host)
  end)

  it("sends small bodies along, and leaves large ones and those of unknown length alone", function()
    local h = start()
    h:request { method = "POST", path = "/small", body = "0123456789" }
    arrived(h, 1)
    h:request { method = "POST", path = "/large", body = "0123456789x" }
    h:request { method = "POST", path = "/chunked", body = "0123", chunked = true }
    h:request { path = "/end" }
    arrived(h, 2)
    assert.received({ target = "/small", body = "0123456789" }, h.origins.shadow)
    assert.requests(2, h.origins.shadow)
    assert.requests(4, h.origins.live)
    assert.received({ target = "/large", body = "0123456789x" }, h.origins.live)
    assert.received({ target = "/small", body = "0123456789" }, h.origins.live)
  end)

  it("does not mind a server that is slow, or breaks off", function()
    local h = start(function(connection)
      connection:read_request()
      if connection.number == 1 then connection:sleep(60) else connection:reset() end
    end)
    for _ = 1, 3 do assert.body("live", h:request()) end
    arrived(h, 3)
    assert.body("live", h:request())
  end)

  it("copies as many as it should", function()
    local h = start(nil, { PERCENT = "0" })
    for _ = 1, 10 do h:request() end
    h:sleep(0.02)
    assert.requests(0, h.origins.shadow)
  end)

  it("is shown by its example", function()
    local shadow = require("perilune.test.origins").start "shadow"
    local h = test.harness { policy = "examples/mirror.lua", origins = { live = "live" },
      env = { SHADOW = "http://" .. shadow.address, PERCENT = "100" } }
    assert.body("live", h:request { path = "/x" })
    h:eventually(function() return #shadow.requests == 1 end)
    assert.received({ target = "/x" }, shadow)
  end)

  it("says what is wrong with where to", function()
    assert.has_error(function() require("perilune.mirror").new { to = "host" } end,
      "mirror.new: 'to': not an absolute URL: write \"https://host:port\", got \"host\"")
  end)
end)
