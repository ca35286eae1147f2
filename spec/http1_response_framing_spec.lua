-- SPDX-License-Identifier: Apache-2.0
-- Where a response ends, and what becomes of both connections behind it (RFC 9112 sections 6.3, 8 and 9).
local wire = require "wire"

local TE = "Transfer-Encoding: chunked\r\n"
local CHUNKED = "5\r\nhello\r\n0\r\n\r\n"
local EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
local function ok(fields, body) return "HTTP/1.1 200 OK\r\n" .. fields .. "\r\n" .. (body or "hello") end
local function status(line, fields, body)
  return "HTTP/1.1 " .. line .. "\r\n" .. (fields or "") .. "\r\n" .. (body or "")
end
local function length(value) return ok("Content-Length: " .. value .. "\r\n") end
local function coding(value) return ok("Transfer-Encoding: " .. value .. "\r\n", CHUNKED) end
local function ask(method) return (wire.get():gsub("^GET", method)) end

local refused = {
  { "a plus sign in Content-Length", length "+5" }, { "a minus sign in Content-Length", length "-5" },
  { "a hexadecimal Content-Length", length "0x5" }, { "a fraction as Content-Length", length "5.0" },
  { "an empty Content-Length", length "" }, { "a blank Content-Length", length " \t" },
  { "a text as Content-Length", length "five" }, { "a unit in Content-Length", length "5b" },
  { "different values in Content-Length", length "5, 6" }, { "different values without space", length "5,6" },
  { "a comma behind Content-Length", length "5," }, { "a comma before Content-Length", length ",5" },
  { "a space in Content-Length", length "5 5" }, { "a semicolon in Content-Length", length "5;" },
  { "quotes in Content-Length", length '"5"' }, { "a Content-Length of 2^63", length "9223372036854775808" },
  { "a Content-Length of 2^64 + 5", length "18446744073709551621" },
  { "an endless Content-Length", length(("9"):rep(99)) },
  { "NUL in Content-Length", length "5\0" }, { "a vertical tab in Content-Length", length "\v5" },
  { "obs-text in Content-Length", length "5\160" }, { "a bare CR in Content-Length", length "5\r" },
  { "two different Content-Lengths", ok "Content-Length: 5\r\nContent-Length: 6\r\n" },
  { "two different Content-Lengths, the larger first", ok "Content-Length: 6\r\nContent-Length: 5\r\n" },
  { "two Content-Lengths, one empty", ok "Content-Length: 5\r\nContent-Length:\r\n" },
  { "Content-Length and chunked", ok("Content-Length: 5\r\n" .. TE, CHUNKED) },
  { "chunked and Content-Length", ok(TE .. "Content-Length: 5\r\n", CHUNKED) },
  { "Content-Length and an unknown coding", ok "Content-Length: 5\r\nTransfer-Encoding: x\r\n" },
  { "an empty Transfer-Encoding", coding "" }, { "a Transfer-Encoding of identity", coding "identity" },
  { "an unknown Transfer-Encoding", coding "x" }, { "gzip as Transfer-Encoding", coding "gzip" },
  { "gzip before chunked", coding "gzip, chunked" }, { "gzip behind chunked", coding "chunked, gzip" },
  { "chunked twice", coding "chunked, chunked" }, { "identity behind chunked", coding "chunked, identity" },
  { "chunked with a parameter", coding "chunked;q=1" }, { "quoted chunked", coding '"chunked"' },
  { "a letter before chunked", coding "xchunked" }, { "a vertical tab before chunked", coding "\vchunked" },
  { "a vertical tab behind chunked", coding "chunked\v" }, { "NUL behind chunked", coding "chunked\0" },
  { "obs-text behind chunked", coding "chunked\160" }, { "a comma before chunked", coding ", chunked" },
  { "a bare CR behind chunked", coding "chunked\r" }, { "a folded Transfer-Encoding", coding "\r\n chunked" },
  { "two Transfer-Encodings", ok(TE .. TE, CHUNKED) },
  { "two Transfer-Encodings, one unknown", ok("Transfer-Encoding: x\r\n" .. TE, CHUNKED) },
  { "Transfer-Encoding behind a bare CR", ok("X: 1\rTransfer-Encoding: chunked\r\n", CHUNKED) },
  { "Transfer-Encoding behind a bare LF", ok("X: 1\nTransfer-Encoding: chunked\r\n", CHUNKED) },
  { "Transfer-Encoding from HTTP/1.0", (ok(TE, CHUNKED):gsub("1%.1", "1.0")) },
  { "Transfer-Encoding and Content-Length from HTTP/1.0", (ok(TE .. "Content-Length: 5\r\n"):gsub("1%.1", "1.0")) },
}

-- sentence, answer, the client's content, does the origin's connection live on?
local whole = {
  { "by length", length "5", "hello", true },
  { "by a length of zero", ok("Content-Length: 0\r\n", ""), "", true },
  { "by a length with leading zeros", length "0005", "hello", true },
  { "by a length with white space around it", length "\t 5 \t", "hello", true },
  { "by two equal lengths", ok "Content-Length: 5\r\nContent-Length: 5\r\n", "hello", true },
  { "by a list of equal lengths", length "5, 5", "hello", true },
  { "by chunks", ok(TE, CHUNKED), "hello", true },
  { "by chunks, in any case", ok("transfer-encoding: CHUNKED\r\n", CHUNKED), "hello", true },
  { "by length, from HTTP/1.0", (length "5":gsub("1%.1", "1.0")), "hello", false },
  { "by length, from HTTP/1.0 with keep-alive",
    (ok("Connection: keep-alive\r\nContent-Length: 5\r\n"):gsub("1%.1", "1.0")), "hello", true },
  { "by length, with Connection: close", ok "Connection: close\r\nContent-Length: 5\r\n", "hello", false },
  { "by length, with close among other options", ok "Connection: x, Close\r\nContent-Length: 5\r\n", "hello", false },
  { "by length, with close in a second field", ok "Connection: x\r\nConnection: close\r\nContent-Length: 5\r\n",
    "hello", false },
  { "by chunks, with Connection: close", ok("Connection: close\r\n" .. TE, CHUNKED), "hello", false },
  { "by length, with bytes behind it", length "5" .. "more", "hello", false },
  { "by length, with a response behind it", length "5" .. EVIL, "hello", false },
  { "by a length of zero, with a response behind it", ok("Content-Length: 0\r\n", EVIL), "", false },
  { "by chunks, with bytes behind it", ok(TE, CHUNKED) .. "more", "hello", false },
  { "by chunks, with a response behind it", ok(TE, CHUNKED) .. EVIL, "hello", false },
  { "by length, with CRLF behind it", length "5" .. "\r\n", "hello", false },
  { "with a length that is another field", ok "Content_Length: 5\r\nContent-Length: 3\r\n", "hel", false },
}

local closing = {
  { "without framing", ok "" }, { "without framing, from HTTP/1.0", (ok(""):gsub("1%.1", "1.0")) },
  { "with Connection: close alone", ok "Connection: close\r\n" },
  { "with keep-alive, but no framing", ok "Connection: keep-alive\r\n" },
  { "with 404", status("404 Not Found", "", "hello") }, { "with 500", status("500 No", "", "hello") },
  { "with 205", status("205 Reset Content", "", "hello") },
}

describe("A response", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(refused) do
    it("with " .. case[1] .. " becomes 502 (RFC 9112 6.3)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = case[2] .. EVIL })
      wire.check(result, result.responses[1] and result.responses[1].status == 502, "502")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request is served")
      wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "on another connection")
    end)
  end

  for _, case in ipairs(whole) do
    it("ends " .. case[1] .. " (RFC 9112 6.3)", function()
      local result = wire.passes(wire.get(), {}, { answer = case[2] })
      local response = result.responses[1]
      wire.check(result, response.body == case[3], "the content")
      wire.check(result, #response.headers:all "content-length" + #response.headers:all "transfer-encoding" == 1,
        "one framing field")
      local reused = result.requests[2].connection == result.requests[1].connection
      wire.check(result, reused == case[4], "the origin's connection")
    end)
  end

  for _, case in ipairs(closing) do
    it(case[1] .. " ends with the connection, and becomes chunked (RFC 9112 6.3)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = case[2], closes = true })
      local response = result.responses[1]
      wire.check(result, response and response.body == "hello" and response.framing == "chunked", "chunked")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request is served")
    end)
  end

  for _, case in ipairs { { "10", "hello" }, { "6", "hello" }, { "5", "" }, { "1000000", "hello" } } do
    it(("of %s bytes that ends behind %d never looks whole (RFC 9112 8)"):format(case[1], #case[2]), function()
      local answer = ok("Content-Length: " .. case[1] .. "\r\n", case[2])
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = answer, closes = true })
      local first = result.responses[1]
      wire.check(result, first and (first.failure or first.status == 502), "cut short")
      wire.check(result, first.status == 502 or #result.requests == 1, "and the client's connection ends")
    end)
  end

  it("of unknown length that ends with a reset never looks whole (RFC 9112 8)", function()
    local result = wire.exchange(wire.get() .. wire.NEXT, { answer = function(connection)
      connection:send(ok "")
      connection:sleep(0.05)
      connection:reset()
    end })
    local first = result.responses[1]
    wire.check(result, first and first.failure, "cut short")
    wire.check(result, #result.requests == 1, "and the client's connection ends")
  end)
end)

local without = { -- status line, may it have a Content-Length for the client?
  { "204 No Content" }, { "304 Not Modified", true },
}

describe("A response without a body", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(without) do
    it("is " .. case[1] .. " (RFC 9112 6.3)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = status(case[1]) })
      local headers = result.responses[1].headers
      wire.check(result, #headers:all "content-length" + #headers:all "transfer-encoding" == 0, "no framing field")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
      wire.check(result, result.requests[2].connection == result.requests[1].connection, "on the same connection")
    end)

    for name, fields in pairs { ["a Content-Length"] = "Content-Length: 5\r\n", ["chunks"] = TE } do
      it(("is %s with %s (RFC 9112 6.3)"):format(case[1], name), function()
        local result = wire.exchange(wire.get() .. wire.NEXT, { answer = status(case[1], fields) })
        local headers = result.responses[1].headers
        wire.check(result, #headers:all "transfer-encoding" == 0, "no Transfer-Encoding")
        local kept = case[2] and name == "a Content-Length" and "5" or nil
        wire.check(result, headers.content_length == kept, "Content-Length for 304 only")
        wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
      end)

      it(("is %s with %s and a body, which nobody gets (RFC 9112 6.3)"):format(case[1], name), function()
        local body = name == "chunks" and CHUNKED or "hello"
        local result = wire.exchange(wire.get() .. wire.NEXT, { answer = status(case[1], fields, body) })
        wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
        wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "on another connection")
      end)
    end

    it("is " .. case[1] .. ", whatever follows (RFC 9112 6.3)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = status(case[1]) .. EVIL })
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
      wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "on another connection")
    end)
  end

  local heads = {
    { "a Content-Length", ok("Content-Length: 5\r\n", ""), "5", true },
    { "a Content-Length of zero", ok("Content-Length: 0\r\n", ""), "0", true },
    { "chunks", ok(TE, ""), nil, true }, { "no framing", ok("", ""), nil, true },
    { "a body all the same", ok "Content-Length: 5\r\n", "5", false },
    { "chunks all the same", ok(TE, CHUNKED), nil, false }, { "a body without framing", ok "", nil, false },
    { "404 and a length", status("404 Not Found", "Content-Length: 9\r\n"), "9", true },
    { "another response behind it", ok("Content-Length: 5\r\n", EVIL), "5", false },
  }
  for _, case in ipairs(heads) do
    it("answers HEAD, with " .. case[1] .. " (RFC 9110 9.3.2)", function()
      local result = wire.exchange(ask "HEAD" .. wire.NEXT, { answer = case[2], methods = { "HEAD" } })
      wire.check(result, result.requests[1] and result.requests[1].method == "HEAD", "HEAD goes to the origin")
      local headers = result.responses[1].headers
      wire.check(result, headers.content_length == case[3], "the length that a GET would have got")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
      wire.check(result, (result.requests[2].connection == result.requests[1].connection) == case[4], "its connection")
    end)
  end

  for name, answer in pairs { ["two lengths"] = ok "Content-Length: 5, 6\r\n", ["a bad length"] = length "+5" } do
    it("answers HEAD, and its framing is refused if it is in doubt: " .. name .. " (RFC 9112 6.3)", function()
      local result = wire.exchange(ask "HEAD" .. wire.NEXT, { answer = answer, methods = { "HEAD" } })
      wire.check(result, result.responses[1].status == 502, "502")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request")
    end)
  end
end)

describe("To a client of HTTP/1.0 a response", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)
  local old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n"

  for name, case in pairs {
    ["by length"] = { length "5", "length" }, ["by chunks"] = { ok(TE, CHUNKED), "close" },
    ["without framing"] = { ok "", "close", true },
    ["with trailers"] = { ok(TE, "5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), "close" },
  } do
    it(name .. " has no Transfer-Encoding, and the connection ends (RFC 9112 6.1)", function()
      local result = wire.exchange(old .. wire.NEXT, { answer = case[1], closes = case[3] })
      local response = result.responses[1]
      wire.check(result, response and response.body == "hello" and response.framing == case[2], "its framing")
      wire.check(result, response.version == "1.1" and response.headers.connection == "close", "its head")
      wire.check(result, #result.requests == 1 and #result.responses == 1, "and no other request is served")
    end)
  end

  it("by chunks that end early ends with a reset (RFC 9112 8)", function()
    local result = wire.exchange(old, { answer = ok(TE, "5\r\nhello\r\n"), closes = true })
    wire.check(result, result.responses[1].failure == "reset" or result.responses[1].status == 502, "cut short")
  end)
end)
