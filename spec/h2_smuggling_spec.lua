-- SPDX-License-Identifier: Apache-2.0
-- Smuggling from HTTP/2 to HTTP/1.1: what cannot be written as valid HTTP/1.1 is refused, and no byte of it reaches the
-- origin; what can is written so that there is one way to read it (RFC 9113 sections 8 and 10.3).
local client = require "client"
local downgrade = require "downgrade"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local request, start, connect, outcome_of = downgrade.request, downgrade.start, downgrade.connect, downgrade.outcome_of
local refuses, never_whole, shown = downgrade.refuses, downgrade.never_whole, downgrade.shown
local GOOD, ORDER = downgrade.GOOD, downgrade.ORDER

-- One case for each byte, whose head `make` gives.
local function each_byte(bytes, make)
  local cases = {}
  for _, byte in ipairs(bytes) do cases[#cases + 1] = { ("0x%02x"):format(byte), make(string.char(byte)) } end
  return cases
end

local function range(...)
  local bytes = {}
  for _, pair in ipairs { ... } do
    for byte = pair[1], pair[2] do bytes[#bytes + 1] = byte end
  end
  return bytes
end

describe("the name of a field over HTTP/2", function()
  it("has no byte but those of a token in lower case (RFC 9113 8.2.1, RFC 9110 5.1)", function()
    local bytes = range({ 0, 0x20 }, { 0x41, 0x5a }, { 0x7f, 0x80 }, { 0xff, 0xff })
    for mark in ('"(),/:;<=>?@[\\]{}'):gmatch "." do bytes[#bytes + 1] = mark:byte() end
    refuses(each_byte(bytes, function(byte) return request({}, { { "x" .. byte .. "y", "1" } }) end))
  end)

  it("is not empty, and is no two lines (RFC 9113 8.2.1)", function()
    local cases = {}
    for _, name in ipairs { "", " ", "x ", " x", "x:", "x: y\r\nz", "x\r\nhost", "transfer-encoding: chunked\r\nx",
      "\r\n\r\nGET /evil HTTP/1.1\r\nhost", "x\n", "\nx", "content-length:" } do
      cases[#cases + 1] = { name, request({}, { { name, "1" } }) }
    end
    refuses(cases)
  end)
end)

describe("the value of a field over HTTP/2", function()
  it("has no control character but tab (RFC 9113 8.2.1, RFC 9110 5.5)", function()
    local bytes = range({ 0, 8 }, { 0x0a, 0x1f }, { 0x7f, 0x7f })
    refuses(each_byte(bytes, function(byte) return request({}, { { "x", "a" .. byte .. "b" } }) end))
    refuses(each_byte({ 0, 0x0a, 0x0d }, function(byte) return request({}, { { "x", byte } }) end))
  end)

  it("has no white space around it, nor a line of its own (RFC 9113 8.2.1)", function()
    local cases = {}
    for _, value in ipairs { " a", "a ", "\ta", "a\t", " ", "\t", "a\r\nx: y", "a\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
      "a\r\n b", "a\n\tb" } do
      for _, name in ipairs { "x", "cookie", "user-agent", "expect", "te" } do
        cases[#cases + 1] = { name .. ": " .. value, request({}, { { name, value } }) }
      end
    end
    refuses(cases)
  end)
end)

-- For each of the texts the case of a pseudo-field that has it.
local function pseudo_cases(name, values, changes)
  local cases = {}
  for _, value in ipairs(values) do
    local all = { [name] = value }
    for key, other in pairs(changes or {}) do all[key] = other end
    cases[#cases + 1] = { name .. ": " .. value, request(all) }
  end
  return cases
end

describe("a pseudo-field of HTTP/2", function()
  it("names a method by a token (RFC 9113 8.3.1, RFC 9110 9.1)", function()
    refuses(pseudo_cases(":method", { "", "GET ", " GET", "G ET", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET", "GET\r\n",
      "GET\t", "GET\0", "GET:", "G(T", "\195\164", "GET\127" }))
  end)

  it("names a path, which has no space, control character or fragment (RFC 9113 8.3.1, RFC 9112 3.2.1)", function()
    refuses(pseudo_cases(":path", { "", "a", "?a", "a/b", "http://other.example/", "spec.example/", "*", "/a b",
      "/ HTTP/1.1\r\nx: y\r\n\r\nGET /evil", "/\r\n", "/\n", "/\0", "/a\tb", "/a#b", "#", "/\128", "/\195\164", "/\127",
      "/ ", " /" }))
    refuses(pseudo_cases(":path", { "*", "http://spec.example/", "/ *" }, { [":method"] = "POST" }))
    refuses(pseudo_cases(":path", { "**", "*a", "/a b" }, { [":method"] = "OPTIONS" }))
  end)

  it("names a scheme that the proxy has (RFC 9113 8.3.1)", function()
    refuses(pseudo_cases(":scheme", { "", "ftp", "http ", "http://evil.example/?", "http\r\nx: y", "file", "h:ttp" }))
  end)

  it("names a host and a port (RFC 9113 8.3.1, RFC 9112 3.2)", function()
    refuses(pseudo_cases(":authority", { "", "a b", " a", "a/x", "a@b", "user:pass@spec.example", "a:b", "a:70000",
      "a,b", "a?x", "a#x", "a\\b", "a\r\nx: y", "a\0", "a\t", "[::1", "::1", "[::1]x", "a:80:80", "<a>", "a\127",
      "%zz" }))
  end)

  it("is there once, known, and before the others (RFC 9113 8.3)", function()
    local cases = {}
    for _, name in ipairs(ORDER) do
      cases[#cases + 1] = { "twice " .. name, request({}, {}) }
      table.insert(cases[#cases][2], 2, { name, GOOD[name] })
      local behind = request({ [name] = false }, { { "x", "y" }, { name, GOOD[name] } })
      cases[#cases + 1] = { "behind others " .. name, behind }
      if name ~= ":authority" then cases[#cases + 1] = { "without " .. name, request { [name] = false } } end
    end
    for _, name in ipairs { ":status", ":protocol", ":host", ":", ":Path", ":method ", ":method\r\n" } do
      local fields = request({}, {})
      table.insert(fields, { name, "200" })
      cases[#cases + 1] = { name, fields }
    end
    refuses(cases)
  end)
end)

describe("Host over HTTP/2", function()
  it("says what :authority says, and is one (RFC 9113 8.3.1)", function()
    local none = { [":authority"] = false }
    refuses {
      { "differs", request({}, { { "host", "other.example" } }) },
      { "has another port", request({}, { { "host", "spec.example:8080" } }) },
      { "has a dot more", request({}, { { "host", "spec.example." } }) },
      { "is empty", request({}, { { "host", "" } }) },
      { "twice", request({}, { { "host", "spec.example" }, { "host", "spec.example" } }) },
      { "neither", request(none) },
      { "twice and alone", request(none, { { "host", "a.example" }, { "host", "b.example" } }) },
      { "alone and empty", request(none, { { "host", "" } }) },
      { "alone, a list", request(none, { { "host", "a.example, b.example" } }) },
      { "alone, with user", request(none, { { "host", "me@a.example" } }) },
      { "alone, with path", request(none, { { "host", "a.example/x" } }) },
    }
  end)
end)

describe("a field of HTTP/1 connections", function()
  it("makes a request of HTTP/2 malformed (RFC 9113 8.2.2)", function()
    local cases = {}
    for _, field in ipairs { { "connection", "close" }, { "connection", "keep-alive" }, { "connection", "x" },
      { "keep-alive", "timeout=5" }, { "proxy-connection", "close" }, { "transfer-encoding", "chunked" },
      { "transfer-encoding", "identity" }, { "transfer-encoding", "" }, { "upgrade", "websocket" },
      { "upgrade", "h2c" }, { "te", "gzip" }, { "te", "trailers, gzip" }, { "te", "chunked" }, { "te", "" } } do
      local name = table.concat(field, ": ")
      cases[#cases + 1] = { name, request({}, { field }) }
      cases[#cases + 1] = { "POST " .. name, request({ [":method"] = "POST" }, { field }), "5\r\nhello" }
    end
    refuses(cases)
  end)
end)

describe("Content-Length over HTTP/2", function()
  local function post(...)
    local fields = {}
    for i, value in ipairs { ... } do fields[i] = { "content-length", value } end
    return request({ [":method"] = "POST" }, fields)
  end

  it("is one number (RFC 9110 8.6)", function()
    local cases = {}
    for _, value in ipairs { "+5", "-5", "0x5", "5,6", "5.0", "5e0", "", "a", "5a", "99999999999999999999",
      "5;x", "\1965" } do
      cases[#cases + 1] = { value, post(value), "hello" }
    end
    cases[#cases + 1] = { "two that differ", post("5", "6"), "hello" }
    refuses(cases)
  end)

  it("is written once where it was said twice (RFC 9110 8.6)", function()
    for _, fields in ipairs { post("5", "5"), post "5, 5", post "005" } do
      local h = start()
      assert.equal("passed", outcome_of(h, fields, "hello"))
      assert.same({ "5" }, h.origin.requests[1].headers:all "content-length")
    end
  end)

  it("is the number of bytes that come: a body that ends with its head has none (RFC 9113 8.1.1)", function()
    refuses { { "5 and none", post "5" }, { "1 and none, GET", request({}, { { "content-length", "1" } }) } }
  end)

  it("is not what the origin takes for the end where more or fewer bytes come (RFC 9113 8.1.1)", function()
    for _, case in ipairs { { "5", "hello!" }, { "5", "helloGET /evil HTTP/1.1\r\nHost: a\r\n\r\n" }, { "5", "hell" },
      { "5", "" } } do
      local h = start()
      assert.matches("^refused by", outcome_of(h, post(case[1]), case[2]), case[2])
      never_whole(h, case[2])
      assert.is_nil(table.concat(h.raw):find("evil", 1, true))
    end
  end)

  it("of 0 ends the request for the origin; what comes is not sent, and resets the stream (RFC 9113 8.1.1)", function()
    local gate = false
    local proxy, origin = scene.proxied(function(at)
      while at:read_request() do
        scheduler.eventually(function() return gate end)
        at:respond "hello"
      end
    end, { listen = "h2c = true" })
    local stream = client.connect({ port = proxy.port, version = "2" }):new_stream()
    stream:send_fields(post "0")
    stream:send("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n", true)
    assert.equal("PROTOCOL_ERROR", (stream:await_reset()))
    gate = true
    assert.equal("hello", client.request(proxy.port).body)
    for _, one in ipairs(origin.requests) do assert.equal("/", one.target) end
  end)
end)

describe("the body of a request over HTTP/2", function()
  it("is none in TRACE (RFC 9110 9.3.8)", function()
    refuses { { "TRACE", request { [":method"] = "TRACE" }, "hello" } }
  end)

  it("keeps bytes that look like chunks and requests inside of itself (RFC 9112 7.1)", function()
    local h = start()
    local body = "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal("passed", outcome_of(h, request { [":method"] = "POST" }, body))
    assert.equal("passed", outcome_of(h, request({ [":method"] = "POST" }, { { "content-length", #body } }), body))
    assert.equal("passed", outcome_of(h, request(), body))
    assert.equal(3, #h.origin.requests)
    for i, framing in ipairs { "chunked", "length", "chunked" } do
      assert.equal(body, h.origin.requests[i].body)
      assert.equal(framing, h.origin.requests[i].framing)
    end
  end)
end)

describe("the trailers of a request over HTTP/2", function()
  it("are held to the rules of fields, and have no pseudo-field (RFC 9113 8.1, 8.3)", function()
    local h = start()
    for _, field in ipairs { { ":path", "/evil" }, { ":status", "200" }, { "connection", "close" }, { "X", "y" },
      { "transfer-encoding", "chunked" }, { "x\r\ny", "z" }, { "x", "y\r\nz: a" }, { "x", "y\0" }, { "x y", "z" },
      { "x:", "z" }, { "", "z" }, { "x", " y" }, { "te", "gzip" } } do
      local outcome = outcome_of(h, request { [":method"] = "POST" }, "hello", { field })
      assert.matches("^refused by", outcome, shown(field[1] .. ": " .. field[2]))
    end
    never_whole(h, "bad trailers")
  end)

  it("do not change how the message is framed or routed: such fields go no further (RFC 9110 6.5.1)", function()
    local h = start()
    for _, field in ipairs { { "content-length", "7" }, { "host", "other.example" }, { "authorization", "x" },
      { "cookie", "a=b" }, { "trailer", "x" }, { "content-type", "x" } } do
      local outcome = outcome_of(h, request { [":method"] = "POST" }, "hello", { field, { "x-sum", "9" } })
      assert.is_true(outcome == "passed" or outcome:find "^refused by" ~= nil, outcome)
      local last = h.origin.requests[#h.origin.requests]
      if outcome == "passed" then assert.same({ "hello", "9" }, { last.body, last.trailers.x_sum }) end
      assert.is_nil((last.trailers or {})[field[1]], field[1])
    end
  end)

  it("end the stream (RFC 9113 8.1)", function()
    local h = start()
    local stream = connect(h):new_stream()
    stream:send_fields(request { [":method"] = "POST" })
    stream:send "hello"
    stream:send_fields({ { "x-sum", "9" } })
    assert.equal("PROTOCOL_ERROR", (stream:await_reset()))
    h.proxy:wait_log "HTTP/2 stream 1 reset with PROTOCOL_ERROR: a second head that does not end the stream"
    never_whole(h, "an open stream")
  end)
end)

describe("CONNECT over HTTP/2", function()
  local tunnel = { [":method"] = "CONNECT", [":scheme"] = false, [":path"] = false }
  local function connect_with(changes, others)
    local all = {}
    for name, value in pairs(tunnel) do all[name] = value end
    for name, value in pairs(changes) do all[name] = value end
    return request(all, others)
  end

  it("has :authority, with a port, and neither :scheme nor :path (RFC 9113 8.5)", function()
    refuses {
      { "scheme", connect_with { [":scheme"] = "http", [":authority"] = "a.example:80" } },
      { "path", connect_with { [":path"] = "/", [":authority"] = "a.example:80" } },
      { "both", connect_with { [":path"] = "/", [":scheme"] = "http", [":authority"] = "a.example:80" } },
      { "none", connect_with { [":authority"] = false } },
      { "only Host", connect_with({ [":authority"] = false }, { { "host", "a.example:80" } }) },
      { "no port", connect_with { [":authority"] = "a.example" } },
      { "a path", connect_with { [":authority"] = "a.example:80/x" } },
      { "a user", connect_with { [":authority"] = "me@a.example:80" } },
      { "CRLF", connect_with { [":authority"] = "a.example:80\r\nx: y" } },
      { "space", connect_with { [":authority"] = "a.example:80 HTTP/1.1" } },
    }
  end)

  it("has a :protocol only where that was announced (RFC 8441 3)", function()
    refuses { { "websocket", request({ [":method"] = "CONNECT" }, {}), } }
    local fields = request { [":method"] = "CONNECT" }
    table.insert(fields, 2, { ":protocol", "websocket" })
    local other = request()
    table.insert(other, 2, { ":protocol", "websocket" })
    refuses { { "extended", fields }, { "in a GET", other } }
  end)
end)

describe("a request of HTTP/2 for an origin of HTTP/1.1", function()
  local function head_of(fields, body)
    local h = start()
    assert.equal("passed", outcome_of(h, fields, body))
    return h.origin.requests[1], table.concat(h.raw)
  end

  it("is in origin-form, and has one Host, first, of :authority (RFC 9113 8.3.1, RFC 9112 3.2)", function()
    local fields = request({ [":path"] = "//a/../b?c=d&http://e/" }, { { "host", "SPEC.example" }, { "x", "y" } })
    local one, raw = head_of(fields)
    assert.matches("^GET //a/%.%./b%?c=d&http://e/ HTTP/1%.1\r\nHost: spec%.example\r\n", raw)
    assert.same({ "spec.example" }, one.headers:all "host")
    one = head_of(request({ [":authority"] = false }, { { "x", "y" }, { "host", "a.example:81" } }))
    assert.matches("^GET / HTTP/1%.1\r\nHost: a%.example:81\r\n", one.head)
    one = head_of(request { [":method"] = "OPTIONS", [":path"] = "*" })
    assert.matches("^OPTIONS %* HTTP/1%.1\r\n", one.head)
  end)

  it("has one Cookie of all crumbs, joined by '; ' (RFC 9113 8.2.3)", function()
    local crumbs = { { "cookie", "a=1" }, { "x", "y" }, { "cookie", "b=2; c=3" }, { "cookie", "d=4" } }
    local one = head_of(request({}, crumbs))
    assert.same({ "a=1; b=2; c=3; d=4" }, one.headers:all "cookie")
  end)

  it("keeps fields of one name apart and in order, values byte for byte (RFC 9110 5.3)", function()
    local one = head_of(request({}, { { "x-a", "1, 2" }, { "x-b", "\195\164\tb\"\\" }, { "x-a", "" }, { "x-a", "3" } }))
    assert.same({ "1, 2", "", "3" }, one.headers:all "x-a")
    assert.equal("\195\164\tb\"\\", one.headers.x_b)
  end)

  it("says TE only of its own hop (RFC 9110 10.1.4)", function()
    local one = head_of(request({}, { { "te", "trailers" } }))
    assert.equal("trailers", one.headers.te)
    assert.equal("TE", one.headers.connection)
  end)

  it("has Content-Length where it is known, chunks where it is not, and neither without a body (RFC 9112 6)", function()
    local post = { [":method"] = "POST" }
    assert.equal("length", head_of(request(post, { { "content-length", "5" } }), "hello").framing)
    assert.equal("chunked", head_of(request(post), "hello").framing)
    assert.equal("none", head_of(request()).framing)
    local one = head_of(request(post))
    assert.equal("", one.body)
    assert.is_nil(one.headers.transfer_encoding)
  end)
end)
