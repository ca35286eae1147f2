-- SPDX-License-Identifier: Apache-2.0
-- Whole messages as both sides see them, byte for byte, and what an intermediary adds: Via, X-Forwarded-*, Forwarded,
-- Max-Forwards (RFC 9110 section 7.6).
local client = require "client"
local wire = require "wire"

local FULL = [[
local perilune = require "perilune"
local policy = {}
function policy.upstream_peer() return { address = "$ADDRESS" } end
perilune.listen("127.0.0.1:0", policy, { forwarded = "$MODE" })
]]

local function in_mode(mode)
  return function(origin)
    return { policy = (FULL:gsub("%$(%u+)", { ADDRESS = origin.address, MODE = mode })) }
  end
end

-- The values that the origin got of each field, in the order of `names`.
local NAMES = { "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded" }
local function forwarded(fields)
  local headers, seen = wire.passes(wire.get(fields)).requests[1].headers, {}
  for i, name in ipairs(NAMES) do seen[i] = table.concat(headers:all(name), " | ") end
  return seen
end

local CLAIMS = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n"
  .. "Forwarded: for=1.1.1.1\r\n"

local modes = { -- mode, field lines of the client, what the origin gets
  { "replace", "", { "127.0.0.1", "http", "a", "" } },
  { "replace", CLAIMS, { "127.0.0.1", "http", "a", "for=127.0.0.1;proto=http" } },
  { "replace", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", { "127.0.0.1", "http", "a", "" } },
  { "replace", "x-forwarded-for: 1.1.1.1, 2.2.2.2\r\n", { "127.0.0.1", "http", "a", "" } },
  { "replace", "Forwarded: for=1.1.1.1\r\nForwarded: for=2.2.2.2\r\n",
    { "127.0.0.1", "http", "a", "for=127.0.0.1;proto=http" } },
  { "append", "", { "127.0.0.1", "http", "a", "" } },
  { "append", CLAIMS, { "1.1.1.1, 127.0.0.1", "https", "b", "for=1.1.1.1, for=127.0.0.1;proto=http" } },
  { "append", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
    { "1.1.1.1, 2.2.2.2, 127.0.0.1", "http", "a", "" } },
  { "append", "X-Forwarded-For:\r\nX-Forwarded-For: 2.2.2.2\r\n", { "2.2.2.2, 127.0.0.1", "http", "a", "" } },
  { "append", "Forwarded: for=1.1.1.1\r\nForwarded: for=2.2.2.2\r\n",
    { "127.0.0.1", "http", "a", "for=1.1.1.1, for=2.2.2.2, for=127.0.0.1;proto=http" } },
  { "keep", "", { "", "", "", "" } },
  { "keep", CLAIMS, { "1.1.1.1", "https", "b", "for=1.1.1.1" } },
  { "keep", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", { "1.1.1.1 | 2.2.2.2", "", "", "" } },
}

for _, mode in ipairs { "replace", "append", "keep" } do
  describe("What says who the client is, in the mode " .. mode .. ",", function()
    lazy_setup(function() wire.start(in_mode(mode)) end)
    lazy_teardown(wire.stop)
    for _, case in ipairs(modes) do
      if case[1] == mode then
        it(("is made of %q (RFC 7239 4)"):format(case[2]), function() assert.same(case[3], forwarded(case[2])) end)
      end
    end
  end)
end

-- All that says who the client is, as the origin got it.
local function all_claims(request)
  local seen = {}
  for _, field in ipairs(request.headers) do
    local name = field.name:lower():gsub("_", "-")
    if name:find "^x%-forwarded" or name == "x-real-ip" or name == "forwarded" then
      seen[#seen + 1] = name .. ": " .. field.value
    end
  end
  table.sort(seen)
  return seen
end

local SUFFIXES = {
  "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarded-Server", "X-Forwarded-By",
  "X-Forwarded-Scheme", "X-Forwarded-Uri", "X-Forwarded-User", "x-forwarded-anything", "X-FORWARDED-CLIENT-CERT",
  "X-Forwarded", "X-Real-IP", "x-real-ip", "X_Real_IP", "X_Forwarded_For", "X_Forwarded-Host", "x-forwarded_proto",
}
local FAMILY = table.concat(SUFFIXES, ": evil\r\n") .. ": evil\r\n"
local OURS = { "x-forwarded-for: 127.0.0.1", "x-forwarded-host: a", "x-forwarded-proto: http" }

describe("What a client claims of itself", function()
  lazy_setup(function() wire.start(in_mode "replace") end)
  lazy_teardown(wire.stop)

  it("goes no further where it is replaced, whatever the suffix, the case and the dashes", function()
    assert.same(OURS, all_claims(wire.passes(wire.get(FAMILY)).requests[1]))
    for _, name in ipairs(SUFFIXES) do
      local fields = ("%s: evil\r\nX: 1\r\n%s: evil\r\n"):format(name, name)
      assert.same(OURS, all_claims(wire.passes(wire.get(fields)).requests[1]), name)
    end
  end)

  it("goes no further in trailers", function()
    local body = "0\r\n" .. FAMILY .. "Forwarded: for=evil\r\nX: 1\r\n\r\n"
    local bytes = wire.post("Transfer-Encoding: chunked\r\n", body)
    local request = wire.passes(bytes).requests[1]
    assert.same({ "X" }, { request.trailers[1].name, request.trailers[2] })
  end)

  it("cannot be used to have our own taken away by Connection (RFC 9110 7.6.1)", function()
    local fields = "Connection: X-Forwarded-For, X-Forwarded-Proto, Forwarded, Via\r\nForwarded: for=a\r\n"
    local request = wire.passes(wire.get(fields)).requests[1]
    assert.same({ "forwarded: for=127.0.0.1;proto=http", OURS[1], OURS[2], OURS[3] }, all_claims(request))
    assert.equal("1.1 perilune", request.headers.via)
  end)

  it("is passed on by a trusted proxy, but for names that no proxy writes", function()
    wire.stop()
    wire.start(in_mode "append")
    local claims = all_claims(wire.passes(wire.get("X-Forwarded-For: 1.1.1.1\r\n" .. FAMILY)).requests[1])
    local text = table.concat(claims, "\n")
    assert.matches("x%-forwarded%-for: 1%.1%.1%.1, 127%.0%.0%.1", text)
    assert.matches("x%-forwarded%-port: evil", text)
    assert.matches("x%-real%-ip: evil\nx%-real%-ip: evil$", text) -- of three
    assert.is_nil(text:find("x%-forwarded%-proto: evil"))
  end)

  it("is not believed where what is appended would be swallowed by an open quote", function()
    local request = wire.passes(wire.get('Forwarded: for="\r\nX-Forwarded-For: "\r\n')).requests[1]
    assert.equal("for=127.0.0.1;proto=http", request.headers.forwarded)
    assert.equal("127.0.0.1", request.headers.x_forwarded_for)
  end)
end)

describe("What the policy itself sets", function()
  lazy_setup(function()
    wire.start(function(origin)
      return { policy = (([[
local perilune = require "perilune"
local policy = {}
function policy.request_filter(session)
  session:request():set_header("X-Forwarded-Prefix", "/app")
  session:request():set_header("X-Forwarded-Host", "public.example")
  session:request():add_header("X-Real-IP", session:client_ip())
end
function policy.upstream_peer() return { address = "$ADDRESS" } end
perilune.listen("127.0.0.1:0", policy)]]):gsub("%$ADDRESS", origin.address)) }
    end)
  end)
  lazy_teardown(wire.stop)

  it("is no claim of the client's, and stays", function()
    local fields = "X-Forwarded-Prefix: /evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\n"
    local request = wire.passes(wire.get(fields)).requests[1]
    assert.same({
      OURS[1], "x-forwarded-host: public.example", "x-forwarded-prefix: /app", OURS[3], "x-real-ip: 127.0.0.1",
    }, all_claims(request))
  end)
end)

describe("forwarded_from", function()
  local function in_networks(networks)
    return function(origin)
      return { policy = (FULL:gsub("%$(%u+)", { ADDRESS = origin.address, MODE = "append" })
        :gsub('"append"', '"append", forwarded_from = { "' .. networks .. '" }')) }
    end
  end
  after_each(wire.stop)

  it("has the claims of all others replaced", function()
    wire.start(in_networks "10.0.0.0/8")
    assert.same(OURS, all_claims(wire.passes(wire.get("X-Forwarded-For: 1.1.1.1\r\n" .. FAMILY)).requests[1]))
  end)

  it("has those of its networks passed on", function()
    wire.start(in_networks "127.0.0.0/8")
    local request = wire.passes(wire.get "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Port: 443\r\n").requests[1]
    assert.equal("1.1.1.1, 127.0.0.1", request.headers.x_forwarded_for)
    assert.equal("443", request.headers.x_forwarded_port)
  end)
end)

describe("A message", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  it("comes to the origin byte for byte, the proxy's fields behind (RFC 9110 7.6)", function()
    local seen = {}
    wire.origin.handler = function(connection)
      seen.bytes = connection:receive_some()
      connection:send(wire.OK)
    end
    local connection = client.connect(wire.proxy.port)
    connection:send("POST http://b:81/c?d HTTP/1.1\r\nX: 1\r\nHOST: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
      .. "x: \2282\r\nContent-LENGTH: 0005\r\nY:\t3 \r\n\r\nhello")
    assert.equal(200, connection:read_response().status)
    connection:close()
    assert.equal("POST /c?d HTTP/1.1\r\nX: 1\r\nHost: b:81\r\nx: \2282\r\nY: 3\r\nX-Forwarded-For: 127.0.0.1\r\n"
      .. "X-Forwarded-Proto: http\r\nX-Forwarded-Host: b:81\r\nVia: 1.1 perilune\r\nContent-Length: 5\r\n\r\n"
      .. "hello", seen.bytes)
  end)

  it("comes to the client byte for byte, the proxy's fields behind (RFC 9110 7.6)", function()
    wire.origin.handler = function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 404 Not Found Here\r\nSERVER: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\n"
        .. "set-cookie: \228\r\nDate: never\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\nY:\r\n\r\n"
        .. "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nZ: 1\r\n\r\n")
    end
    local connection = client.connect(wire.proxy.port)
    connection:send(wire.get "Connection: close\r\n")
    assert.equal("HTTP/1.1 404 Not Found Here\r\nSERVER: x\r\nSet-Cookie: a\r\nset-cookie: \228\r\nDate: never\r\n"
      .. "Y: \r\nVia: 1.1 perilune\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      .. "5\r\nabcde\r\n0\r\nZ: 1\r\n\r\n", (connection:receive_all()))
    connection:close()
  end)
end)

describe("Via", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs {
    { "", { "1.1 perilune" } }, { "Via: 1.0 b\r\n", { "1.0 b", "1.1 perilune" } },
    { "Via: 1.0 b, 1.1 c (d)\r\nVia: 2 e\r\n", { "1.0 b, 1.1 c (d)", "2 e", "1.1 perilune" } },
  } do
    it(("of a request gets our entry behind %q (RFC 9110 7.6.3)"):format(case[1]), function()
      assert.same(case[2], wire.passes(wire.get(case[1])).requests[1].headers:all "via")
    end)
  end

  it("says in which version the request came (RFC 9110 7.6.3)", function()
    local result = wire.exchange "GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    assert.same({ "1.0 perilune" }, result.requests[1].headers:all "via")
  end)

  it("is not in an answer of the proxy's own (RFC 9110 7.6.3)", function()
    assert.is_nil(wire.refuses("GET / HTTP/1.1\r\n\r\n", "400").responses[1].headers.via)
  end)
end)

describe("Max-Forwards", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  local function ask(method, fields) return ("%s / HTTP/1.1\r\nHost: a\r\n%s\r\n"):format(method, fields) end

  for _, method in ipairs { "TRACE", "OPTIONS" } do
    for _, case in ipairs { { "5", "4" }, { "1", "0" }, { "10", "9" }, { "007", "6" },
      { "4294967296", "4294967295" } } do
      it(("of %s counts from %s down to %s (RFC 9110 7.6.2)"):format(method, case[1], case[2]), function()
        local function with(count) return ask(method, "Max-Forwards: " .. count .. "\r\n") end
        wire.passes(with(case[1]), with(case[2]))
      end)
    end

    it("of zero ends a " .. method .. " here (RFC 9110 7.6.2)", function()
      local result = wire.exchange(ask(method, "Max-Forwards: 0\r\n") .. wire.NEXT)
      wire.check(result, #result.requests == 1 and result.requests[1].target == "/next", "the origin does not see it")
      wire.check(result, #result.responses == 2 and result.responses[1].status == 200, "we answer")
    end)
  end

  it("of zero makes us reflect a TRACE, without what is secret (RFC 9110 9.3.8)", function()
    local secrets = "Authorization: x\r\nCookie: y\r\nProxy-Authorization: z\r\n"
    local result = wire.exchange(ask("TRACE", secrets .. "X: 1\r\nMax-Forwards: 0\r\n") .. wire.NEXT)
    local response = result.responses[1]
    assert.equal("message/http", response.headers.content_type)
    assert.matches("^TRACE / HTTP/1%.1\r\n", response.body)
    assert.matches("\r\nX: 1\r\n", response.body)
    for _, name in ipairs { "Authorization", "Cookie" } do assert.not_matches(name .. ":", response.body) end
  end)

  it("of zero makes us say what can be asked of us in OPTIONS (RFC 9110 9.3.7)", function()
    local result = wire.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n" .. wire.NEXT)
    assert.matches("GET", result.responses[1].headers.allow)
  end)

  for _, method in ipairs { "GET", "HEAD", "POST", "DELETE" } do
    it("of " .. method .. " is not ours (RFC 9110 7.6.2)", function()
      local bytes = ask(method, "Max-Forwards: 0\r\n")
      local result = wire.exchange(bytes .. wire.NEXT, { methods = { method } })
      wire.check(result, #result.requests == 2 and wire.plain(result.requests[1]) == bytes, "it is forwarded")
    end)
  end
end)
