-- SPDX-License-Identifier: Apache-2.0
-- Fields of one hop, in both directions: what Connection names goes no further, and what it must not name stays
-- (RFC 9110 section 7.6.1).
local wire = require "wire"

local CHUNKS = "5\r\nhello\r\n0\r\n\r\n"

-- sentence, field lines, what is forwarded of them
local stripped = {
  { "Connection itself", "Connection: keep-alive\r\n", "" },
  { "an empty Connection", "Connection:\r\nX: 1\r\n", "X: 1\r\n" },
  { "a Connection of commas", "Connection: , ,\r\nX: 1\r\n", "X: 1\r\n" },
  { "Keep-Alive", "Keep-Alive: timeout=5\r\nX: 1\r\n", "X: 1\r\n" },
  { "Proxy-Connection", "Proxy-Connection: keep-alive\r\nX: 1\r\n", "X: 1\r\n" },
  { "TE", "TE: gzip;q=0.5\r\nX: 1\r\n", "X: 1\r\n" },
  { "Upgrade that Connection does not name", "Upgrade: websocket\r\nX: 1\r\n", "X: 1\r\n" },
  { "HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__\r\nX: 1\r\n", "X: 1\r\n" },
  { "a field that Connection names", "Connection: X-A\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n" },
  { "a field that stands before its Connection", "X-A: 1\r\nConnection: X-A\r\nX-B: 2\r\n", "X-B: 2\r\n" },
  { "a field in another case", "Connection: x-a\r\nX-A: 1\r\nx-A: 2\r\nX-B: 3\r\n", "X-B: 3\r\n" },
  { "each line of a field", "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nConnection: X-A\r\n", "X-B: 2\r\n" },
  { "two fields of one list", "Connection: X-A, X-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "a list without spaces", "Connection: X-A,X-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "a list with tabs", "Connection: \tX-A\t,\tX-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "a list with empty members", "Connection: , X-A,,\r\nX-A: 1\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "fields of two Connections", "Connection: X-A\r\nConnection: X-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "a field behind keep-alive", "Connection: keep-alive, X-A\r\nX-A: 1\r\nX-C: 3\r\n", "X-C: 3\r\n" },
  { "a field that is not there", "Connection: X-A\r\nX-B: 2\r\n", "X-B: 2\r\n" },
  { "no field whose name only begins so", "Connection: X-A\r\nX-AB: 2\r\nX: 3\r\n", "X-AB: 2\r\nX: 3\r\n" },
  { "Keep-Alive and what it is named with", "Connection: keep-alive, Keep-Alive\r\nKeep-Alive: max=1\r\n", "" },
  { "Proxy-Authorization that is named", "Connection: Proxy-Authorization\r\nProxy-Authorization: x\r\n", "" },
}

local kept = {
  { "Host", "Connection: Host\r\n", "" },
  { "X-Forwarded-For and -Host, which are believed", "Connection: X-Forwarded-For, X-Forwarded-Host\r\n", "" },
  { "Via", "Connection: Via\r\n", "" },
  { "Authorization", "Connection: Authorization\r\nAuthorization: x\r\n", "Authorization: x\r\n" },
  { "Cookie", "Connection: Cookie\r\nCookie: x\r\n", "Cookie: x\r\n" },
  { "Cache-Control", "Connection: Cache-Control\r\nCache-Control: x\r\n", "Cache-Control: x\r\n" },
  { "Content-Type", "Connection: Content-Type\r\nContent-Type: x\r\n", "Content-Type: x\r\n" },
  { "Content-Encoding", "Connection: Content-Encoding\r\nContent-Encoding: x\r\n", "Content-Encoding: x\r\n" },
  { "Range", "Connection: Range\r\nRange: bytes=0-\r\n", "Range: bytes=0-\r\n" },
  { "Max-Forwards", "Connection: Max-Forwards\r\nMax-Forwards: 5\r\n", "Max-Forwards: 5\r\n" },
}

describe("A request is forwarded without", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  for _, case in ipairs(stripped) do
    it(case[1] .. " (RFC 9110 7.6.1)", function() wire.passes(wire.get(case[2]), wire.get(case[3])) end)
  end
end)

describe("A request keeps, although Connection names it,", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  for _, case in ipairs(kept) do
    it(case[1] .. " (RFC 9110 7.6.1)", function()
      local request = wire.passes(wire.get(case[2]), wire.get(case[3])).requests[1]
      assert.same({ "a" }, request.headers:all "host")
      assert.same({ "127.0.0.1" }, request.headers:all "x-forwarded-for")
      assert.same({ "1.1 perilune" }, request.headers:all "via")
    end)
  end

  it("its framing (RFC 9112 6.3)", function()
    wire.passes(wire.post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"), { body = "hello" })
    local chunked = "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"
    wire.passes(wire.post(chunked, CHUNKS), { body = "hello" })
    local both = "Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    wire.refuses(wire.post(both, CHUNKS), "400")
  end)
end)

describe("TE", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs { { "trailers", true }, { "gzip, trailers", true }, { "Trailers", true }, { "gzip", false },
    { "deflate;q=0.5, gzip", false }, { "", false }, { "trailers;q=x", false } } do
    it(("%q is trailers for the origin too, or nothing (RFC 9110 10.1.4)"):format(case[1]), function()
      local headers = wire.passes(wire.get("Connection: TE\r\nTE: " .. case[1] .. "\r\n")).requests[1].headers
      assert.equal(case[2] and "trailers" or nil, headers.te)
      assert.equal(case[2] and "TE" or nil, headers.connection)
    end)
  end

  it("that Connection does not name means nothing (RFC 9110 10.1.4)", function()
    wire.passes(wire.get "TE: trailers\r\nX: 1\r\n", wire.get "X: 1\r\n")
  end)

  it("of an HTTP/1.0 client means nothing (RFC 9110 10.1.4)", function()
    local result = wire.exchange "GET / HTTP/1.0\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
    wire.check(result, #result.requests == 1 and not result.requests[1].headers.te, "no TE")
  end)
end)

describe("A response is forwarded without", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(stripped) do
    it(case[1] .. " (RFC 9110 7.6.1)", function()
      local answer = "HTTP/1.1 200 OK\r\n" .. case[2] .. "Content-Length: 2\r\n\r\nok"
      local response = wire.passes(wire.get(), {}, { answer = answer }).responses[1]
      local left = response.head:match "^[^\r]*\r\n(.*)\r\n$"
      for _, name in ipairs { "Date", "Via", "Content%-Length" } do left = left:gsub(name .. ": [^\r]*\r\n", "") end
      assert.equal(case[3], left)
    end)
  end

  for _, name in ipairs { "Content-Type", "Set-Cookie", "Cache-Control", "WWW-Authenticate", "Location", "Vary" } do
    it("but with " .. name .. ", although Connection names it (RFC 9110 7.6.1)", function()
      local answer = ("HTTP/1.1 200 OK\r\nConnection: %s\r\n%s: x\r\nContent-Length: 2\r\n\r\nok"):format(name, name)
      local response = wire.passes(wire.get(), {}, { answer = answer }).responses[1]
      assert.equal("x", response.headers[name])
    end)
  end

  it("but with its framing, although Connection names it (RFC 9112 6.3)", function()
    local answer = "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok"
    assert.equal("ok", wire.passes(wire.get(), {}, { answer = answer }).responses[1].body)
    answer = "HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" .. CHUNKS
    assert.equal("hello", wire.passes(wire.get(), {}, { answer = answer }).responses[1].body)
  end)
end)

local trailers = { -- sentence, head fields, trailer fields, as forwarded
  { "goes on (RFC 9110 6.5)", "", "X-Sum: 1\r\n" },
  { "goes on, each line of it (RFC 9110 5.3)", "", "X: 1\r\nY: 2\r\nX: 3\r\n" },
  { "goes on in its case, with obs-text (RFC 9110 5.5)", "", "x-SUM: \228\r\n" },
  { "goes on with Trailer (RFC 9110 6.6.2)", "Trailer: X-Sum\r\n", "X-Sum: 1\r\n" },
  { "goes no further if it is framing (RFC 9110 6.5.1)", "", "Content-Length: 5\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is a coding (RFC 9110 6.5.1)", "", "Transfer-Encoding: chunked\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is routing (RFC 9110 6.5.1)", "", "Host: evil\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is for one hop (RFC 9110 7.6.1)", "", "Connection: close\r\nKeep-Alive: x\r\nX: 1\r\n",
    "X: 1\r\n" },
  { "goes no further if it is TE or Trailer (RFC 9110 6.5.1)", "", "TE: x\r\nTrailer: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is Upgrade (RFC 9110 7.8)", "", "Upgrade: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is authentication (RFC 9110 6.5.1)", "", "Authorization: x\r\nCookie: y\r\nX: 1\r\n",
    "X: 1\r\n" },
  { "goes no further if it sets a cookie (RFC 9110 6.5.1)", "", "Set-Cookie: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is a request modifier (RFC 9110 6.5.1)", "",
    "Cache-Control: x\r\nMax-Forwards: 1\r\nExpect: 100-continue\r\nRange: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it says what the content is (RFC 9110 6.5.1)", "",
    "Content-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if it is about the client (RFC 9110 6.5.1)", "",
    "X-Forwarded-For: 1\r\nX-Real-IP: 1\r\nForwarded: x\r\nVia: x\r\nX: 1\r\n", "X: 1\r\n" },
  { "goes no further if Connection names it (RFC 9110 7.6.1)", "Connection: X-A\r\n", "X-A: 1\r\nX: 1\r\n",
    "X: 1\r\n" },
}

local function text_of(fields)
  local parts = {}
  for _, field in ipairs(fields) do parts[#parts + 1] = ("%s: %s\r\n"):format(field.name, field.value) end
  return table.concat(parts)
end

describe("A trailer field", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  local TE = "Transfer-Encoding: chunked\r\n"

  for _, case in ipairs(trailers) do
    local body = "5\r\nhello\r\n0\r\n" .. case[3] .. "\r\n"
    it("of a request " .. case[1], function()
      local request = wire.passes(wire.post(case[2] .. TE, body), { body = "hello" }).requests[1]
      assert.equal(case[4] or case[3], text_of(request.trailers))
      assert.equal(case[2]:match "Trailer: ([^\r]*)", request.headers.trailer)
    end)
    it("of a response " .. case[1], function()
      local answer = "HTTP/1.1 200 OK\r\n" .. case[2] .. TE .. "\r\n" .. body
      local response = wire.passes(wire.get "Connection: TE\r\nTE: trailers\r\n", {}, { answer = answer }).responses[1]
      assert.equal("hello", response.body)
      assert.equal(case[4] or case[3], text_of(response.trailers))
      assert.equal(case[2]:match "Trailer: ([^\r]*)", response.headers.trailer)
    end)
  end
end)
