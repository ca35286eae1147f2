-- SPDX-License-Identifier: Apache-2.0
-- perilune.http over HTTP/2: by ALPN, and by prior knowledge.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

-- Runs `code` in request_filter, with `http` and `base` (the URL of the origin); gives a function that asks, and the
-- proxy.
local function run(origin, code, scheme)
  local policy = policies.answering(('local http, base = require "perilune.http", %q'):format(
    (scheme or "http") .. "://" .. origin.address), code)
  local proxy = perilune.start { workers = 1, policy = policy }
  return function() return client.request { port = proxy.port, timeout = 60 }.body end, proxy
end

local function h2_origin(answer, options)
  return origins.start(answer, { http2 = options or true })
end

local function echo(stream)
  local request = stream:read_request()
  stream:respond { status = 203, body = request.method .. " " .. request.target .. " " .. request.body,
    headers = { { "X-Many", "a" }, { "X-Many", "b" } } }
end

describe("perilune.http over HTTP/2", function()
  it("gets and posts, with status, fields and body, on one connection", function()
    local origin = h2_origin(echo)
    local ask = run(origin, [[
      local h2 = { http2 = true, headers = { Host = "app.test", ["X-One"] = "1", Cookie = { "a=1", "b=2" } } }
      local first = assert(http.get(base .. "/path?query", h2))
      local second = assert(http.post(base, { "a", 1 }, h2))
      return first.status, first.body, first.headers["X-Many"], second.body
    ]])
    assert.equal("203|GET /path?query |a, b|POST / a1", ask())
    assert.equal("203|GET /path?query |a, b|POST / a1", ask())
    local request = origin.requests[1]
    assert.same({ "app.test", "http", "1", "perilune" },
      { request.authority, request.scheme, request.headers.x_one, request.headers.user_agent })
    assert.same({ 4, 1 }, { #origin.requests, origin.accepted })
    assert.same({}, origin.faults)
  end)

  it("sends what a function gives, also beyond the windows, and reads bodies longer than a window", function()
    local ask = run(h2_origin(function(stream)
      local request = stream:read_request()
      stream:respond { body = ("y"):rep(700000) .. #request.body }
    end), [[
      local left = 10
      local response = assert(http.post(base, function()
        perilune.sleep(0)
        left = left - 1
        return left >= 0 and ("x"):rep(50000) or nil
      end, { http2 = true }))
      return #response.body, response.body:sub(-6)
    ]])
    assert.equal("700006|500000", ask())
  end)

  it("gives a streamed body piece by piece as it comes, and trailers behind it", function()
    local ask = run(h2_origin(function(stream)
      stream:read_request()
      stream:send_fields({ { ":status", "200" } }, false)
      stream:send "one"
      stream:send "two"
      stream:send_fields({ { "x-sum", "2" } }, true)
    end), [[
      local response = assert(http.get(base, { http2 = true, stream = true }))
      local before, text = response.trailers, ""
      for piece in response.read, response do text = text .. piece end
      return before, text, table.concat(response.trailers, "=")
    ]])
    assert.equal("nil|onetwo|x-sum=2", ask())
  end)

  it("is chosen by ALPN, and where both are offered HTTP/1.1 will do", function()
    local files = tls.certificate "app.test"
    local function answer(stream)
      local request = stream:read_request()
      if request then stream:respond { body = "version " .. request.version } end
    end
    local function ask(speaks, alpn)
      local origin = origins.start(answer, { names = { "app.test" }, http2 = speaks })
      return run(origin, ([[
        local response, why = http.get(base, { ca = %q, sni = "app.test", verify_name = "app.test", alpn = %s })
        return response and response.body or why
      ]]):format(files.ca, alpn), "https")()
    end
    local both = { http1 = answer }
    assert.equal("version 2", ask(both, '"h2,http/1.1"'))
    assert.equal("version 2", ask(both, '"h2"'))
    assert.equal("version 1.1", ask(both, "nil"))
    assert.equal("version 1.1", ask(nil, '"h2,http/1.1"'))
    assert.matches("HTTP/2", ask(nil, '"h2"'))
  end)

  it("asks once more on a new connection if the server has not acted on a request, and only then", function()
    local has_refused = false
    local origin = h2_origin(function(stream)
      local request = stream:read_request()
      if request.target == "/refused" and not has_refused then
        has_refused = true
        return stream:reset "refused_stream"
      end
      if request.target == "/internal" then return stream:reset "internal_error" end
      stream:respond { body = request.target }
    end)
    local ask = run(origin, [[
      local h2 = { http2 = true }
      assert(http.get(base .. "/a", h2))
      local refused = assert(http.post(base .. "/refused", "x", h2))
      local _, why = http.post(base .. "/internal", "x", h2)
      return refused.body, why
    ]])
    assert.matches("^/refused|.*: it has reset the stream: INTERNAL_ERROR$", ask())
    local asked = {}
    for i, request in ipairs(origin.requests) do asked[i] = request.target end
    assert.same({ "/a", "/refused", "/refused", "/internal" }, asked)
  end)

  it("makes a new connection where a spare one goes away, and loses nothing", function()
    local origin = h2_origin(function(stream)
      stream:read_request()
      stream.connection:send_goaway() -- before the answer, so that no next request crosses it
      stream:respond { body = "fine" }
    end)
    local ask = run(origin, [[
      local bodies = {}
      for i = 1, 3 do bodies[i] = assert(http.post(base, "x", { http2 = true })).body end
      return table.concat(bodies, " ")
    ]])
    assert.equal("fine fine fine", ask())
    assert.equal(3, #origin.requests)
  end)

  it("ends when a server sends frames without answering", function()
    local ask = run(h2_origin(function() end, { raw = true, on_connection = function(connection)
      connection:send_settings {}
      while connection:send_frame("PING", 0, 0, ("x"):rep(8)) do scheduler.sleep(0.05) end
    end }), [[
      local began = perilune.now()
      local _, why = http.get(base, { http2 = true, timeout = 0.5 })
      return why, perilune.now() - began < 20
    ]])
    assert.matches("timeout|true$", ask())
  end)

  it("says what is wrong with the options", function()
    local ask = run({ address = "x" }, [[
      return select(2, pcall(http.get, "http://a", { alpn = "spdy" })), "and",
        select(2, pcall(http.get, "https://a", { http2 = true }))
    ]])
    local said = ask()
    assert.matches('http.get: option \'alpn\' must be "http/1.1", "h2" or "h2,http/1.1"', said, 1, true)
    assert.matches('http.get: http2 is for http://; for https:// set alpn = "h2"', said, 1, true)
  end)
end)
