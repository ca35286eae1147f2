-- SPDX-License-Identifier: Apache-2.0
-- A peer that wants HTTP/1.1 says so by HTTP_1_1_REQUIRED (RFC 9113 7), of a stream or of the connection. It has not
-- handled the request, which goes over HTTP/1.1 where the peer may choose its protocol.
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local BOTH = ', tls = true, verify = false, sni = "a.example", alpn = "h2,http/1.1"'

-- A peer of both versions; `over_http2` is what it does with a request of HTTP/2.
local function start(over_http2, options)
  options = options or {}
  local function plain(at)
    while true do
      local request = at:read_request()
      if not request then return end
      at:respond { body = "over 1.1 " .. request.body }
    end
  end
  local origin = origins.start(over_http2, { names = { "a.example" }, http2 = { http1 = plain } })
  local proxy = scene.start(origin, { peer = options.peer or BOTH, hooks = options.hooks })
  return proxy, origin
end

local function requires(stream)
  stream:read_request_body()
  stream:reset "http_1_1_required"
end

describe("HTTP_1_1_REQUIRED of a peer", function()
  it("sends the request over HTTP/1.1, whatever its method, and those behind it at once", function()
    local proxy, origin = start(requires)
    local response = client.request { port = proxy.port, method = "POST", body = "abc" }
    assert.same({ 200, "over 1.1 abc" }, { response.status, response.body })
    for _ = 1, 3 do assert.equal("over 1.1 ", client.request({ port = proxy.port }).body) end
    local over_http2 = 0
    for _, request in ipairs(origin.requests) do
      if request.version == "2" then over_http2 = over_http2 + 1 end
    end
    assert.same({ 1, 5, 2 }, { over_http2, #origin.requests, origin.accepted })
    scheduler.eventually(function() return proxy:log():find("HTTP_1_1_REQUIRED", 1, true) end)
  end)

  it("does the same as the code of GOAWAY", function()
    local proxy = start(function(_, connection)
      connection:send_goaway(0, "http_1_1_required")
    end)
    local response = client.request { port = proxy.port, method = "POST", body = "abc" }
    assert.same({ 200, "over 1.1 abc" }, { response.status, response.body })
    assert.equal("over 1.1 ", client.request({ port = proxy.port }).body)
  end)

  it("leaves other requests on the connection alone", function()
    local gate = true
    local proxy, origin = start(function(stream)
      if stream.request.target == "/strict" then return requires(stream) end
      scheduler.eventually(function() return not gate end, 20)
      stream:respond "over 2"
    end)
    local slow = client.connect(proxy.port)
    slow:send_request { target = "/slow" }
    scheduler.eventually(function() return #origin.requests == 1 end)
    assert.equal("over 1.1 ", client.request({ port = proxy.port, target = "/strict" }).body)
    gate = false
    assert.equal("over 2", slow:read_response("GET").body)
  end)

  it("is 502 where the peer may speak HTTP/2 alone", function()
    local proxy, origin = start(requires, { peer = BOTH:gsub(",http/1.1", "") })
    assert.equal(502, client.request({ port = proxy.port }).status)
    assert.equal(1, #origin.requests)
    scheduler.eventually(function() return proxy:log():find("HTTP_1_1_REQUIRED", 1, true) end)
  end)

  it("is 502 where the policy does not want a retry, and says which error it was", function()
    local proxy, origin = start(requires, { hooks = [[
      function policy.error_while_proxy(_, _, failure) failure.retry = false end
      function policy.fail_to_proxy(session, failure) return session:respond { status = 502, body = failure:kind() } end
    ]] })
    local response = client.request { port = proxy.port }
    assert.matches("version_required", response.body)
    assert.equal(1, #origin.requests)
  end)
end)
