-- SPDX-License-Identifier: Apache-2.0
-- perilune.grpc_web: gRPC-Web to gRPC and back (grpc/doc/PROTOCOL-WEB.md). What stands between is a chunked body with
-- trailers, so an origin of HTTP/1.1 can tell what the bridge makes of both.
local base64 = require "perilune.base64"
local grpc = require "perilune.test.grpc"
local test = require "perilune.test"

local POLICY = [[
local perilune = require "perilune"
local policy = { upstream_peer = function() return os.getenv "ORIGIN" end }
require("perilune.grpc_web").new().install(policy)
perilune.listen("127.0.0.1:6188", policy, { h2c = true })
]]

local MESSAGE, STATUS = grpc.frame "hello", { ["grpc-status"] = "0", ["Grpc-Message"] = "fine" }
local TRAILERS = "\128\0\0\0\36grpc-message: fine\r\ngrpc-status: 0\r\n"

local function start(answer)
  return test.harness { policy = POLICY, origins = { api = answer or function(request)
    return { headers = { ["Content-Type"] = "application/grpc+proto" }, pieces = { request.body }, trailers = STATUS }
  end } }
end

local function ask(h, kind, body, more)
  local request = { method = "POST", path = "/s.S/M", body = body, headers = { ["Content-Type"] = kind } }
  for name, value in pairs(more or {}) do request[name] = value end
  return h:request(request)
end

-- Of a text whose pieces have padding each.
local function decode(text)
  return (text:gsub("[^=]+=*", function(run) return assert(base64.decode(run)) end))
end

describe("a request of gRPC-Web", function()
  it("becomes one of gRPC, and its trailers the last frame of the body", function()
    local h = start()
    for _, version in ipairs { "1.1", "2" } do
      local response = ask(h, "application/grpc-web+proto", MESSAGE, { version = version })
      assert.status(200, response)
      assert.field("Content-Type", "application/grpc-web+proto", response)
      assert.is_true(response.body == MESSAGE .. TRAILERS)
      assert.is_nil((response.trailers or {}).grpc_status)
    end
    assert.received({ method = "POST", target = "/s.S/M", body = MESSAGE,
      headers = { ["Content-Type"] = "application/grpc+proto" } }, h.origins.api)
  end)

  it("keeps what stands behind its type, and is one without", function()
    local h = start { headers = { ["Content-Type"] = "application/grpc" }, pieces = { "" }, trailers = STATUS }
    assert.field("Content-Type", "application/grpc-web", ask(h, "application/grpc-web", MESSAGE))
    assert.field("Content-Type", "application/grpc-web+json", ask(h, "application/grpc-web+json;a=b", MESSAGE))
    assert.received({ headers = { ["Content-Type"] = "application/grpc+json" } }, h.origins.api)
  end)

  it("may be text: base64 with padding anywhere, cut anywhere", function()
    local h = start()
    local long = grpc.frame(("0123456789"):rep(3000))
    for _, body in ipairs {
      base64.encode(MESSAGE), base64.encode(MESSAGE:sub(1, 4)) .. base64.encode(MESSAGE:sub(5)), base64.encode(long),
    } do
      local response = ask(h, "application/grpc-web-text+proto", body)
      assert.field("Content-Type", "application/grpc-web-text+proto", response)
      assert.is_true(decode(response.body) == decode(body) .. TRAILERS)
    end
    local connection = h:connect { version = "2" }
    local stream = connection:open { method = "POST", path = "/s.S/M", ends = false,
      headers = { ["Content-Type"] = "application/grpc-web-text" } }
    for character in base64.encode(MESSAGE):gmatch "." do stream:send(character) end
    stream:finish()
    assert.is_true(decode(stream:read_response().body) == MESSAGE .. TRAILERS)
  end)

  it("is refused where its text is none, in terms of gRPC-Web", function()
    local h = start()
    for _, body in ipairs { "%%%%", "AAA", "AAAAA", "=AAA", "AA=A" } do
      local response = ask(h, "application/grpc-web-text", body)
      assert.equal("application/grpc-web-text", response.headers.content_type)
      assert.matches("^\128.*grpc%-status: 13\r\ngrpc%-message: 400 Bad Request\r\n$", base64.decode(response.body))
    end
  end)

  it("passes messages on as they come", function()
    local h = start { serve = function(at)
      at:read_request_head()
      at:send "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
      at:send "7\r\n\0\0\0\0\2ok\r\n"
      at:sleep(60)
    end }
    local firsts = { ["application/grpc-web"] = "\0\0\0\0\2ok", ["application/grpc-web-text"] = "AAAAAAJvaw==" }
    for kind, first in pairs(firsts) do
      local stream = h:connect({ version = "2" }):open { method = "POST", headers = { ["Content-Type"] = kind } }
      assert.equal(200, stream:read_head().status)
      assert.equal(first, stream:read())
      stream:reset()
    end
  end)
end)

describe("what is not gRPC-Web", function()
  it("passes as it is: requests of other types, and answers that are not gRPC", function()
    local h = start(function(request)
      local kind = request.target == "/page" and "text/html" or request.headers.content_type
      return { headers = { ["Content-Type"] = kind }, pieces = { request.body }, trailers = { ["X-Sum"] = "1" } }
    end)
    for _, kind in ipairs { "application/grpc", "text/plain", "application/grpc-webx", "application/grpc-web-texts" } do
      local response = ask(h, kind, "AAAA")
      assert.body("AAAA", response)
      assert.field("Content-Type", kind, response)
      assert.equal("1", response.trailers.x_sum)
    end
    local response = ask(h, "application/grpc-web-text", "AAAA", { path = "/page" })
    assert.field("Content-Type", "text/html", response)
    assert.body("\0\0\0", response)
    assert.equal("1", response.trailers.x_sum)
  end)

  it("has no body filter to wait for where it has no body", function()
    local h = start { status = 204 }
    assert.status(204, h:request())
  end)
end)
