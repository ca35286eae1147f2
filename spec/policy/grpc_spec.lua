-- SPDX-License-Identifier: Apache-2.0
-- gRPC as policies see it: the example examples/grpc.lua, between the harness's clients and servers.
local base64 = require "perilune.base64"
local grpc = require "perilune.test.grpc"
local process = require "perilune.test.process"
local test = require "perilune.test"

local CHECK, SERVING = "/grpc.health.v1.Health/Check", "\8\1"

-- The example with servers that have these methods; all are asked before the first call.
local function start(...)
  local origins = {}
  for i, methods in ipairs { ... } do
    methods[CHECK] = SERVING
    origins["server" .. i] = { grpc = methods }
  end
  local policy = process.read_file "examples/grpc.lua"
  policy = policy:gsub('os%.getenv "PEERS" or "127.0.0.1:50051"',
    '(os.getenv "ORIGIN_SERVER1" or "") .. "," .. (os.getenv "ORIGIN_SERVER2" or "")')
  return test.harness { policy = policy, origins = origins }
end

local function calls_of(origin)
  local count = 0
  for _, request in ipairs(origin.requests) do count = count + (request.target ~= CHECK and 1 or 0) end
  return count
end

describe("the example grpc", function()
  it("passes calls on as they come, both ways", function()
    local h = start { ["/s.S/Chat"] = function(call)
      for message in call:messages() do call:send(message:upper()) end
      return { status = 0, trailers = { ["X-Sum"] = 2 } }
    end }
    local call = h:connect({ version = "2" }):call "/s.S/Chat"
    for _, word in ipairs { "one", "two" } do
      call:send(word)
      assert.equal(word:upper(), call:receive())
    end
    call:finish()
    local result = call:result()
    assert.same({ 0, "2" }, { result.status, result.trailers.x_sum })
  end)

  it("asks another server where one is UNAVAILABLE, and tells the client where none is left", function()
    local away = { ["/s.S/Add"] = { status = 14, reason = "going away" }, ["/s.S/Bad"] = { status = 3 } }
    local h = start(away, { ["/s.S/Add"] = function(call) return "added " .. call:receive() end,
      ["/s.S/Bad"] = { status = 3 } })
    local calls = 0
    repeat -- of two with equally many connections, one is chosen by chance
      local result = h:grpc("/s.S/Add", { message = "a book" })
      assert.same({ 0, "added a book" }, { result.status, result.message })
      calls = calls + 1
    until calls_of(h.origins.server1) > 0 or calls == 100
    assert.is_true(calls_of(h.origins.server1) > 0)
    local before = calls_of(h.origins.server1) + calls_of(h.origins.server2)
    assert.equal(3, h:grpc("/s.S/Bad").status)
    assert.equal(before + 1, calls_of(h.origins.server1) + calls_of(h.origins.server2))
    local lone = start { ["/s.S/Add"] = { status = 14, reason = "going away" } }
    assert.equal(14, lone:grpc("/s.S/Add").status)
  end)

  it("passes on by which code a server resets a call", function()
    local function begins_and_resets(code)
      return function(call)
        call:send "one"
        call:reset(code)
      end
    end
    local h = start { ["/s.S/A"] = begins_and_resets "cancel", ["/s.S/B"] = begins_and_resets "enhance_your_calm",
      ["/s.S/C"] = begins_and_resets "protocol_error", ["/s.S/D"] = { reset = "cancel" } }
    assert.equal("reset: CANCEL", h:grpc("/s.S/A").failure)
    assert.equal("reset: ENHANCE_YOUR_CALM", h:grpc("/s.S/B").failure)
    assert.equal("reset: INTERNAL_ERROR", h:grpc("/s.S/C").failure)
    assert.equal(14, h:grpc("/s.S/D").status) -- nothing had come: it may be asked again
  end)

  it("lets pages ask by gRPC-Web, over HTTP/1.1 as well", function()
    local h = start { ["/s.S/Add"] = function(call) return "added " .. call:receive() end }
    local kinds = { ["application/grpc-web+proto"] = tostring, ["application/grpc-web-text"] = base64.encode }
    for kind, encode in pairs(kinds) do
      local response = h:request { method = "POST", path = "/s.S/Add", body = encode(grpc.frame "a book"),
        headers = { ["Content-Type"] = kind, Origin = "https://app.example" } }
      assert.status(200, response)
      assert.field("Content-Type", kind, response)
      assert.field("Access-Control-Expose-Headers", "grpc-status, grpc-message", response)
      local body = kind:find "text" and response.body:gsub("[^=]+=*", base64.decode) or response.body
      assert.is_true(body:sub(1, 17) == grpc.frame "added a book")
      assert.matches("^\128....grpc%-status: 0\r\n", body:sub(18))
    end
    local request = h.origins.server1.requests[#h.origins.server1.requests]
    assert.equal("trailers", request.headers.te)
    assert.matches("^application/grpc", request.headers.content_type)
  end)
end)
