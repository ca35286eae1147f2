-- SPDX-License-Identifier: Apache-2.0
-- health_check.grpc: backends that speak gRPC say themselves how they are (grpc/doc/health-checking.md).
local grpc = require "perilune.test.grpc"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local CHECK = "/grpc.health.v1.Health/Check"
local SERVING, NOT_SERVING = "\8\1", "\8\2"

local function pattern(text) return (text:gsub("%p", "%%%0")) end

local function start(addresses, options)
  local list = {}
  for i, address in ipairs(addresses) do list[i] = ("%q"):format(address) end
  return perilune.start { workers = 1, policy = ([[
    local perilune = require "perilune"
    local upstreams = require("perilune.round_robin").new { %s }
    require("perilune.health_check").grpc(upstreams, { interval = 0.1, timeout = 5, start = "unhealthy", %s })
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = upstreams:select() } end })
  ]]):format(table.concat(list, ", "), options or "") }
end

-- A server whose health is what `answer` gives.
local function server(answer, options)
  return origins.start(grpc.server { [CHECK] = answer }, options or { http2 = true })
end

local function expect(proxy, origin, what) proxy:wait_log("backend " .. pattern(origin.address) .. " is " .. what) end

describe("a health check of gRPC", function()
  it("asks for the server as a whole, or for a service, and follows what it is told", function()
    local health = SERVING
    local origin = server(function(call)
      call:receive()
      return health
    end)
    local proxy = start { origin.address }
    expect(proxy, origin, "healthy")
    health = NOT_SERVING
    expect(proxy, origin, "unhealthy: its health is NOT_SERVING")
    local asked
    local named = server(function(call)
      asked = call:receive()
      return SERVING
    end)
    expect(start({ named.address }, 'service = "shop.Cart"'), named, "healthy")
    assert.equal("\10\9shop.Cart", asked)
    local request = named.requests[1]
    assert.same({ "POST", CHECK, "application/grpc", "trailers", named.address },
      { request.method, request.target, request.headers.content_type, request.headers.te, request.authority })
    assert.same({}, named.faults)
  end)

  it("says why a backend is unhealthy: a status, a reset, no answer, another protocol", function()
    local cases = {
      ["it answered NOT_FOUND: no shop%.Cart"] = server { status = 5, reason = "no shop.Cart" },
      ["it answered UNIMPLEMENTED"] = origins.start(grpc.server {}, { http2 = true }),
      ["it has reset the stream: REFUSED_STREAM"] = server { reset = "refused_stream" },
      ["its health is SERVICE_UNKNOWN"] = server { message = "\8\3" },
      ["its health is UNKNOWN"] = server { message = "" },
      ["its health is no answer"] = server { message = "hello" },
      ["it answered 404"] = origins.start(function(stream) stream:respond { status = 404 } end, { http2 = true }),
      ["its answer has no grpc%-status"] = origins.start("hello", { http2 = true }),
      ["no answer within 1 s"] = server(function(call) call:sleep(60) end),
    }
    local addresses = {}
    for _, origin in pairs(cases) do addresses[#addresses + 1] = origin.address end
    local http1 = origins.start "hello"
    addresses[#addresses + 1] = http1.address
    -- They begin as healthy, so that the first answer that is not says why.
    local proxy = start(addresses, 'start = "healthy", timeout = 1')
    for why, origin in pairs(cases) do expect(proxy, origin, "unhealthy: [^\n]*" .. why) end
    expect(proxy, http1, "unhealthy: ")
  end)

  it("takes a backend in again, and leaves no connection behind", function()
    local origin = server { message = SERVING }
    local proxy = start { origin.address }
    expect(proxy, origin, "healthy")
    origin:stop()
    expect(proxy, origin, "unhealthy: [^\n]*refused")
    local mark = #proxy:log() + 1
    origin:listen()
    proxy:wait_log("backend " .. pattern(origin.address) .. " is healthy", nil, mark)
    scheduler.eventually(function() return origin.accepted > 3 and origin:open_count() <= 1 end)
  end)

  it("may do so over TLS, by ALPN", function()
    local files = tls.certificate "app.test"
    local origin = server({ message = SERVING }, { http2 = true, names = { "app.test" } })
    local proxy = start({ origin.address }, ('tls = true, sni = "app.test", ca = %q'):format(files.ca))
    expect(proxy, origin, "healthy")
    assert.same({}, origin.faults)
  end)

  it("refuses a name that is too long, at the policy's line", function()
    local result = perilune.run { policy = [[
      local set = require("perilune.round_robin").new { "127.0.0.1:9" }
      require("perilune.health_check").grpc(set, { service = ("x"):rep(128) })
    ]], timeout = 30 }
    assert.matches("policy.lua:2: health_check.grpc: the name of the service has more than 127 bytes", result.stderr)
  end)
end)
