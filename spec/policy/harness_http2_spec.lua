-- SPDX-License-Identifier: Apache-2.0
-- HTTP/2 and gRPC in the harness that users test policies with.
local client = require "perilune.test.client"
local test = require "perilune.test"

local POLICY = [[
local perilune = require "perilune"
local hooks = {}
function hooks.request_filter(session)
  if session:path() == "/version" then return session:respond { status = 200, body = tostring(session:version()) } end
end
function hooks.upstream_peer() return os.getenv "ORIGIN" end
perilune.listen("127.0.0.1:6188", hooks, { h2c = true })
perilune.listen("127.0.0.1:6189", hooks, { certificate = os.getenv "CERTIFICATE", key = os.getenv "KEY" })
]]

local function start(origin)
  local files = test.certificate "app.test"
  local env = { CERTIFICATE = files.certificate, KEY = files.key }
  return test.harness { policy = POLICY, origins = { api = origin or "hello" }, env = env }, files
end

-- A connection to the origin itself.
local function to_origin(h, options)
  local all = { port = tonumber(h.origins.api.address:match ":(%d+)$"), version = "2" }
  for name, value in pairs(options or {}) do all[name] = value end
  return client.connect(all)
end

describe("a client of the harness", function()
  it("speaks HTTP/2 where it is asked to, plain and with TLS", function()
    local h, files = start()
    local response = h:request { version = "2", path = "/a?b", headers = { ["X-A"] = "1" } }
    assert.status(200, response)
    assert.body("hello", response)
    assert.received({ target = "/a?b", headers = { ["X-A"] = "1" } }, h.origins.api)
    local tls = { name = "app.test", ca = files.ca }
    assert.body("2", h:request { version = "2", path = "/version", listener = 2, tls = tls })
    assert.body("1.1", h:request { path = "/version", listener = 2, tls = tls })
  end)

  it("sends trailers, and shows those that come, over both versions", function()
    local h = start { body = "hello", trailers = { ["X-Sum"] = 5 } }
    for _, version in ipairs { "1.1", "2" } do
      local response = h:request { version = version, method = "POST", body = "hi", trailers = { ["X-Own"] = "2" },
        headers = { TE = "trailers" } }
      assert.body("hello", response)
      assert.equal("5", response.trailers.x_sum)
      assert.equal("2", h.origins.api.requests[1].trailers.x_own)
      h:clear()
    end
  end)

  it("has streams side by side on one connection", function()
    local h = start(function(request)
      return { body = request.target, delay = request.target == "/slow" and 0.05 or 0 }
    end)
    local connection = h:connect { version = "2" }
    local slow, fast = connection:open { path = "/slow" }, connection:open { path = "/fast" }
    assert.body("/fast", fast:read_response())
    assert.body("/slow", slow:read_response())
    assert.is_true(connection:ping() >= 0)
  end)

  it("is told what is for HTTP/2 only", function()
    local h = start()
    local _, message = pcall(function() h:request { fields = {} } end)
    assert.matches('harness_http2_spec.lua:%d+: h:request: fields is for version = "2"', message)
  end)
end)

describe("an origin of the harness", function()
  it("answers over HTTP/2 as over HTTP/1.1", function()
    local h = start { http2 = true, answer = function(request)
      return { status = 201, body = request.body:upper(), trailers = { ["X-Method"] = request.method } }
    end }
    local response = to_origin(h):request { method = "POST", body = "sent" }
    assert.status(201, response)
    assert.body("SENT", response)
    assert.equal("POST", response.trailers.x_method)
    assert.received({ method = "POST", body = "sent", authority = "spec.example" }, h.origins.api)
    assert.is_not.received({ method = "GET" }, h.origins.api)
  end)

  it("resets a stream by a code, and answers none where nothing is given", function()
    local h = start { http2 = true, answer = function(request)
      return request.target == "/a" and { reset = "refused_stream" } or nil
    end }
    local connection = to_origin(h)
    assert.same({ nil, "reset: REFUSED_STREAM" }, { connection:request { path = "/a" } })
    assert.same({ nil, "reset: INTERNAL_ERROR" }, { connection:request { path = "/b" } })
  end)

  it("chooses between the versions by ALPN", function()
    local h = start { tls = { "api.test" }, http2 = { or_http1 = true }, answer = "hello" }
    local tls = { name = "api.test" }
    assert.body("hello", to_origin(h, { tls = tls }):request())
    assert.body("hello", to_origin(h, { tls = tls, version = "1.1" }):request())
    assert.requests(2, h.origins.api)
  end)

  it("serves gRPC by methods", function()
    local h = start { grpc = {
      ["/s.S/Say"] = "hello",
      ["/s.S/Chat"] = function(call)
        for message in call:messages() do call:send(message:upper()) end
        return { status = 3, reason = "enough" }
      end,
    } }
    local connection = to_origin(h)
    local call = connection:call "/s.S/Chat"
    call:send "one"
    assert.equal("ONE", call:receive())
    call:finish()
    assert.same({ 3, "enough" }, { call:result().status, call:result().reason })
    call = connection:call "/s.S/Say"
    call:finish()
    assert.equal("hello", call:result().message)
  end)

  it("is told what is wrong with it", function()
    local function fault(origin)
      local ok, message = pcall(start, origin)
      return not ok and message
    end
    assert.matches("there is one of answer, serve and grpc", fault { answer = "a", grpc = {} })
    assert.matches("origin 'api': http2: unknown field 'row': did you mean 'raw'%?", fault { http2 = { row = true } })
    assert.matches("reset must be a boolean or string, got a number value", fault { reset = 5 })
    assert.matches("there is no error code 'refuse'", fault { reset = "refuse" })
  end)
end)
