-- SPDX-License-Identifier: Apache-2.0
-- health_check.http of backends that speak HTTP/2: alone, or as their choice.
local origins = require "origins"
local perilune = require "perilune"
local tls = require "tls"

after_each(require("cleanup").run)

local function pattern(text) return (text:gsub("%p", "%%%0")) end

local function start(origin, options)
  return perilune.start { workers = 1, policy = ([[
    local perilune = require "perilune"
    local upstreams = require("perilune.round_robin").new { %q }
    require("perilune.health_check").http(upstreams, { interval = 0.1, timeout = 10, %s })
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = upstreams:select() } end })
  ]]):format(origin.address, options) }
end

local function expect(proxy, origin, what) proxy:wait_log("backend " .. pattern(origin.address) .. " is " .. what) end

local UNHEALTHY = 'start = "unhealthy", '

describe("a health check over HTTP/2", function()
  it("asks a backend that speaks nothing else, and leaves no fault or connection behind", function()
    local origin = origins.start("fine", { http2 = true })
    local proxy = start(origin, UNHEALTHY .. [[http2 = true, path = "/health?a=b", host = "app.test",
      headers = { ["X-Check"] = "yes", Cookie = { "a=1", "b=2" } } ]])
    expect(proxy, origin, "healthy")
    local request = origin.requests[1]
    assert.same({ "GET", "/health?a=b", "app.test", "http", "yes", "perilune" }, { request.method, request.target,
      request.authority, request.scheme, request.headers.x_check, request.headers.user_agent })
    require("scheduler").eventually(function() return origin.accepted > 3 and origin:open_count() <= 1 end)
    assert.same({}, origin.faults)
  end)

  it("judges the status and the beginning of the body, and says what was wrong", function()
    local cases = {
      [ [[http2 = true]] ] = { { status = 503 }, "it answered 503" },
      [ [[http2 = true, body = "^ready"]] ] = { { body = "not ready" }, "its body lacks ^ready" },
      [ [[http2 = true, method = "HEAD", statuses = { "300-399" }]] ] = { { status = 200 }, "it answered 200" },
    }
    for options, case in pairs(cases) do
      local origin = origins.start(function(stream) stream:respond(case[1]) end, { http2 = true })
      expect(start(origin, options), origin, "unhealthy: " .. pattern(case[2]))
    end
    local resetting = origins.start(function(stream) stream:reset "refused_stream" end, { http2 = true })
    expect(start(resetting, "http2 = true"), resetting, "unhealthy: [^\n]*REFUSED_STREAM")
    local plain = origins.start "hello"
    expect(start(plain, "http2 = true"), plain, "unhealthy: ")
  end)

  it("reads no further than it needs to: a body without end is no failure", function()
    local origin = origins.start(function(stream)
      stream:send_fields({ { ":status", "200" } }, false)
      stream:send "is ready, and more"
      stream:sleep(60)
    end, { http2 = true })
    expect(start(origin, UNHEALTHY .. 'http2 = true, body = "ready"'), origin, "healthy")
  end)

  it("is chosen by ALPN, and where both are offered HTTP/1.1 will do", function()
    local files = tls.certificate "app.test"
    local options = UNHEALTHY .. ('tls = true, sni = "app.test", ca = %q, alpn = '):format(files.ca)
    local http2 = origins.start("fine", { http2 = true, names = { "app.test" } })
    for _, alpn in ipairs { "h2", "h2,http/1.1" } do
      expect(start(http2, options .. ("%q"):format(alpn)), http2, "healthy")
    end
    assert.equal("2", http2.requests[1].version)
    assert.same({}, http2.faults)
    local http1 = origins.start("fine", { names = { "app.test" } })
    expect(start(http1, options .. '"h2,http/1.1"'), http1, "healthy")
    expect(start(http1, options:gsub("unhealthy", "healthy") .. '"h2"'), http1, "unhealthy: ")
  end)

  it("is not asked for in ways that contradict each other, at the policy's line", function()
    for options, why in pairs {
      ['tls = true, http2 = true'] = "option 'http2' is for backends without tls",
      ['alpn = "spdy"'] = 'option \'alpn\' must be "http/1.1", "h2" or "h2,http/1.1", got \'spdy\'',
    } do
      local result = perilune.run { policy = ([[
        local set = require("perilune.round_robin").new { "127.0.0.1:9" }
        require("perilune.health_check").http(set, { %s })
      ]]):format(options), timeout = 30 }
      assert.matches("policy.lua:2: health_check.http: " .. pattern(why), result.stderr)
    end
  end)
end)
