-- SPDX-License-Identifier: Apache-2.0
-- The chunked transfer coding, the same cases in a request and in a response (RFC 9112 section 7.1). A body that breaks
-- it never looks whole to the other side.
local http1 = require "http1"
local wire = require "wire"

local TE = "Transfer-Encoding: chunked\r\n"
local HEAD = "HTTP/1.1 200 OK\r\n" .. TE .. "\r\n"
local LAST = "0\r\n\r\n"

-- sentence, the coded body, its content
local valid = {
  { "one chunk", "5\r\nhello\r\n" .. LAST, "hello" },
  { "two chunks", "3\r\nhel\r\n2\r\nlo\r\n" .. LAST, "hello" },
  { "chunks of one byte", ("1\r\na\r\n"):rep(100) .. LAST, ("a"):rep(100) },
  { "a size in lower-case hexadecimal", "a\r\n0123456789\r\n" .. LAST, "0123456789" },
  { "a size in upper-case hexadecimal", "A\r\n0123456789\r\n" .. LAST, "0123456789" },
  { "a size of two digits", "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n" .. LAST, "abcdefghijklmnopqrstuvwxyz" },
  { "leading zeros in a size", "0005\r\nhello\r\n" .. LAST, "hello" },
  { "sixteen digits", "0000000000000005\r\nhello\r\n" .. LAST, "hello" },
  { "more than sixteen digits, zeros before", ("0"):rep(20) .. "5\r\nhello\r\n" .. LAST, "hello" },
  { "many zeros as the last chunk", "5\r\nhello\r\n0000\r\n\r\n", "hello" },
  { "an extension", "5;a\r\nhello\r\n" .. LAST, "hello" },
  { "an extension with a value", "5;a=b\r\nhello\r\n" .. LAST, "hello" },
  { "an extension with a quoted value", '5;a="b c"\r\nhello\r\n' .. LAST, "hello" },
  { "a quoted semicolon in an extension", '5;a=";";b\r\nhello\r\n' .. LAST, "hello" },
  { "a quoted pair in an extension", '5;a="\\"\\\\"\r\nhello\r\n' .. LAST, "hello" },
  { "an empty quoted string in an extension", '5;a=""\r\nhello\r\n' .. LAST, "hello" },
  { "a tab and obs-text in a quoted string", '5;a="\t\228"\r\nhello\r\n' .. LAST, "hello" },
  { "several extensions", '5;a;b=c;d="e"\r\nhello\r\n' .. LAST, "hello" },
  { "an extension at the last chunk", "5\r\nhello\r\n0;a=b\r\n\r\n", "hello" },
  { "white space before an extension", "5 ;a\r\nhello\r\n" .. LAST, "hello" },
  { "tabs around the parts of an extension", "5\t;\ta\t=\tb\r\nhello\r\n" .. LAST, "hello" },
  { "a long extension", "5;" .. ("a"):rep(1000) .. "\r\nhello\r\n" .. LAST, "hello" },
  { "data that looks like chunks", "5\r\n0\r\n\r\n\r\n" .. LAST, "0\r\n\r\n" },
  { "data of CRLF", "2\r\n\r\n\r\n" .. LAST, "\r\n" },
  { "data of NUL", "3\r\n\0\0\0\r\n" .. LAST, "\0\0\0" },
  { "no data", LAST, "" },
  { "a trailer field", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "hello" },
  { "a trailer field without value", "5\r\nhello\r\n0\r\nX-Sum:\r\n\r\n", "hello" },
  { "a trailer field with obs-text", "5\r\nhello\r\n0\r\nX-Sum: \228\r\n\r\n", "hello" },
}

local broken = {
  ["a size with 0x"] = "0x5\r\nhello\r\n", ["a size with 0X"] = "0X5\r\nhello\r\n",
  ["a size with a plus sign"] = "+5\r\nhello\r\n", ["a size with a minus sign"] = "-5\r\nhello\r\n",
  ["minus zero"] = "-0\r\n\r\n", ["a space before the size"] = " 5\r\nhello\r\n",
  ["a tab before the size"] = "\t5\r\nhello\r\n", ["a space behind the size"] = "5 \r\nhello\r\n",
  ["a tab behind the size"] = "5\t\r\nhello\r\n", ["a space in the size"] = "1 0\r\n" .. ("a"):rep(16) .. "\r\n",
  ["no size"] = "\r\nhello\r\n", ["no size but an extension"] = ";a\r\nhello\r\n",
  ["a letter that is no digit"] = "g\r\nhello\r\n",
  ["a digit and no digit"] = "5g\r\nhello\r\n", ["a size with h"] = "5h\r\nhello\r\n",
  ["a size with 0n"] = "0n5\r\nhello\r\n",
  ["a quoted size"] = '"5"\r\nhello\r\n', ["a size with a comma"] = "5,\r\nhello\r\n",
  ["a size with a dot"] = "5.0\r\nhello\r\n", ["a size with an underscore"] = "1_0\r\n" .. ("a"):rep(16) .. "\r\n",
  ["a size with a colon"] = "5:\r\nhello\r\n", ["NUL before the size"] = "\0005\r\nhello\r\n",
  ["NUL behind the size"] = "5\0\r\nhello\r\n", ["a vertical tab before the size"] = "\v5\r\nhello\r\n",
  ["a vertical tab behind the size"] = "5\v\r\nhello\r\n", ["a form feed behind the size"] = "5\f\r\nhello\r\n",
  ["obs-text behind the size"] = "5\160\r\nhello\r\n", ["a full-width digit"] = "\239\188\149\r\nhello\r\n",
  ["a size of 2^63"] = "8000000000000000\r\nhello\r\n", ["a size of 2^64 - 1"] = "ffffffffffffffff\r\nhello\r\n",
  ["a size of 2^64 + 5"] = "10000000000000005\r\nhello\r\n",
  ["a size of 2^32 with a sign"] = "-100000000\r\nhello\r\n",
  ["a size of 17 digits"] = "fffffffffffffffff\r\nhello\r\n",
  ["a size of 40 digits"] = ("f"):rep(40) .. "\r\nhello\r\n",
  ["2^128 + 5"] = "1" .. ("0"):rep(31) .. "5\r\nhello\r\n",
  ["a bare LF behind the size"] = "5\nhello\r\n", ["a bare CR behind the size"] = "5\rhello\r\n",
  ["CR CR LF behind the size"] = "5\r\r\nhello\r\n", ["LF CR behind the size"] = "5\n\rhello\r\n",
  ["CR and a letter behind the size"] = "5\rXhello\r\n", ["a bare LF behind the data"] = "5\r\nhello\n",
  ["a bare CR behind the data"] = "5\r\nhello\r", ["two CR behind the data"] = "5\r\nhello\r\r\n",
  ["nothing behind the data"] = "5\r\nhello", ["other bytes behind the data"] = "5\r\nhelloXX",
  ["data longer than its size"] = "5\r\nhello!\r\n", ["data shorter than its size"] = "6\r\nhello\r\n",
  ["a space behind the data"] = "5\r\nhello \r\n", ["two CRLF behind the data"] = "5\r\nhello\r\n\r\n",
  ["LF everywhere"] = "5\nhello\n", ["a bare LF behind the last chunk"] = "5\r\nhello\r\n0\n\r\n",
  ["a bare LF as the end"] = "5\r\nhello\r\n0\r\n\n", ["a bare CR behind the last chunk"] = "5\r\nhello\r\n0\r\r\n",
  ["a bare CR as the end"] = "5\r\nhello\r\n0\r\n\rX", ["a space behind the last chunk"] = "5\r\nhello\r\n0 \r\n\r\n",
  ["a bare LF in an extension"] = "5;a\nhello\r\n", ["a bare CR in an extension"] = "5;a\rb\r\nhello\r\n",
  ["a bare LF in a quoted extension"] = '5;a="\n"\r\nhello\r\n',
  ["a CRLF in a quoted extension"] = '5;a="\r\n"\r\nhello\r\n',
  ["a bare CR in a quoted extension"] = '5;a="\r"\r\nhello\r\n',
  ["a quoted string that does not end"] = '5;a="b\r\nhello\r\n',
  ["NUL in an extension"] = "5;a\0\r\nhello\r\n", ["NUL in a quoted extension"] = '5;a="\0"\r\nhello\r\n',
  ["an extension without a name"] = "5;\r\nhello\r\n",
  ["an extension without a name but a value"] = "5;=b\r\nhello\r\n",
  ["an extension without its value"] = "5;a=\r\nhello\r\n", ["two values in an extension"] = "5;a=b=c\r\nhello\r\n",
  ["a comma in an extension"] = "5;a,b\r\nhello\r\n", ["text behind a quoted string"] = '5;a="b"c\r\nhello\r\n',
  ["two semicolons"] = "5;;a\r\nhello\r\n", ["obs-text in the name of an extension"] = "5;\228\r\nhello\r\n",
  ["two words without a semicolon"] = "5 a\r\nhello\r\n",
  ["an extension that does not end"] = "5;" .. ("a"):rep(8000) .. "\r\nhello\r\n",
  ["extensions far larger than the data"] = ("1;" .. ("a"):rep(1000) .. "\r\na\r\n"):rep(64),
  ["a trailer without a colon"] = "5\r\nhello\r\n0\r\nX\r\n\r\n", ["a trailer with a space before its colon"] =
    "5\r\nhello\r\n0\r\nX : 1\r\n\r\n", ["a trailer with an empty name"] = "5\r\nhello\r\n0\r\n: 1\r\n\r\n",
  ["a folded trailer"] = "5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n", ["a trailer that begins with a space"] =
    "5\r\nhello\r\n0\r\n X: 1\r\n\r\n", ["a trailer with a bare LF"] = "5\r\nhello\r\n0\r\nX: 1\n\r\n",
  ["a trailer with a bare CR"] = "5\r\nhello\r\n0\r\nX: 1\r2\r\n\r\n", ["a trailer with NUL"] =
    "5\r\nhello\r\n0\r\nX: \0\r\n\r\n", ["a trailer with a space in its name"] = "5\r\nhello\r\n0\r\nX Y: 1\r\n\r\n",
  ["a request as trailers"] = "5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  ["trailers without end"] = "5\r\nhello\r\n0\r\n" .. ("X: 1\r\n"):rep(5000) .. "\r\n",
}

local names = {}
for name in pairs(broken) do names[#names + 1] = name end
table.sort(names)

describe("In a chunked request,", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(valid) do
    it(case[1] .. " is read (RFC 9112 7.1)", function()
      wire.passes(wire.post(TE, case[2]), { body = case[3], framing = "chunked" })
    end)
  end

  for _, name in ipairs(names) do
    it(name .. " gives 400 and the end (RFC 9112 7.1)", function()
      local result = wire.exchange(wire.post(TE, broken[name] .. LAST) .. wire.NEXT, { half_close = true })
      local seen, answer = result.requests[1], result.responses[1]
      wire.check(result, not seen or seen.failure, "the origin must not see it whole")
      wire.check(result, #result.requests <= 1, "nor what is behind it")
      wire.check(result, answer and answer.status == 400 and answer.headers.connection == "close", "400")
      wire.check(result, #result.responses == 1 and result.ending == "closed" and result.rest == "", "and the end")
    end)
  end

  for _, name in ipairs(names) do
    it(name .. " in a later piece ends both connections (RFC 9112 7.1)", function()
      local pieces = { wire.post(TE, "3\r\nabc\r\n"), broken[name] .. LAST .. wire.NEXT }
      local result = wire.exchange(pieces, { half_close = true, await = true })
      local answer = result.responses[1]
      wire.check(result, #result.requests == 1 and result.requests[1].failure, "the origin must not see it whole")
      wire.check(result, answer and answer.status == 400 and #result.responses == 1, "400")
      wire.check(result, result.ending == "closed" and result.rest == "", "and the end")
    end)
  end

  for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW" } do
    it("a body in " .. method .. " is forwarded in chunks (RFC 9112 6.3)", function()
      local bytes = wire.post(TE, "5\r\nhello\r\n" .. LAST):gsub("^POST", method)
      local result = wire.exchange(bytes .. wire.NEXT, { methods = { method }, answer = "HTTP/1.1 204 X\r\n\r\n" })
      local request = result.requests[1]
      wire.check(result, request and request.body == "hello" and request.framing == "chunked", "the body")
      wire.check(result, #result.requests == 2 and #result.responses == 2, "and the next request")
    end)
  end

  it("each cut of a body is read the same (RFC 9112 7.1)", function()
    local body = '3;a="b"\r\nhel\r\n2\r\nlo\r\n0\r\nX: 1\r\n\r\n'
    for at = 1, #body - 1 do
      local result = wire.exchange { wire.post(TE, body:sub(1, at)), body:sub(at + 1) .. wire.NEXT }
      wire.check(result, result.requests[1] and result.requests[1].body == "hello", "cut at " .. at)
      wire.check(result, #result.requests == 2, "the next request")
    end
  end)
end)

-- What pads a size is taken of a peer, which is on from the start (lenient.chunk_padding), and of a client never.
local padded = { ["a space behind the size"] = true, ["a tab behind the size"] = true,
  ["a space behind the last chunk"] = true }
local names_of_responses = {}
for _, name in ipairs(names) do
  if not padded[name] then names_of_responses[#names_of_responses + 1] = name end
end

describe("In a chunked response,", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(valid) do
    it(case[1] .. " is read (RFC 9112 7.1)", function()
      local result = wire.passes(wire.get(), {}, { answer = HEAD .. case[2] })
      local response = result.responses[1]
      wire.check(result, response.body == case[3] and response.framing == "chunked", "the content")
      wire.check(result, result.requests[2].connection == result.requests[1].connection, "and the connection lives on")
    end)
  end

  for _, name in ipairs(names_of_responses) do
    it(name .. " gives 502 or a body that is cut short (RFC 9112 7.1)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = HEAD .. broken[name] .. LAST, closes = true })
      local first = result.responses[1]
      wire.check(result, first and (first.status == 502 or first.failure), "it must not look whole")
      local next_request = result.requests[2]
      wire.check(result, not next_request or next_request.connection ~= result.requests[1].connection,
        "the origin's connection must not be used again")
      wire.check(result, first.status == 502 or #result.requests == 1, "the client's connection must end")
    end)
  end

  local start = "5\r\nhello\r\n"
  for _, cut in ipairs { "", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", start, start .. "0", start .. "0\r\n",
    start .. "0\r\n\r", start .. "0\r\nX: 1\r\n" } do
    it(("an end behind %q never looks like the end of the body (RFC 9112 8)"):format(cut), function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = HEAD .. cut, closes = true })
      local first = result.responses[1]
      wire.check(result, first and (first.status == 502 or first.failure), "it must not look whole")
      wire.check(result, first.status == 502 or ("hello"):sub(1, #first.body) == first.body, "only content")
      wire.check(result, first.status == 502 or #result.requests == 1, "the client's connection must end")
    end)
  end

  for _, name in ipairs(names_of_responses) do
    it(name .. " in a later piece cuts the body short (RFC 9112 7.1)", function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = function(connection)
        connection:send(HEAD .. "3\r\nabc\r\n")
        connection:sleep(0.002)
        connection:send(broken[name] .. LAST)
      end, closes = true })
      local first = result.responses[1]
      wire.check(result, first and (first.failure or first.status == 502), "it must not look whole")
      wire.check(result, first.status == 502 or #result.requests == 1, "the client's connection must end")
    end)
  end

  it("a large body arrives unchanged (RFC 9112 7.1)", function()
    local body = ("0123456789abcdef"):rep(65536)
    local answer = HEAD .. http1.chunk(body) .. http1.chunk ""
    local result = wire.passes(wire.get(), {}, { answer = answer })
    assert.is_true(result.responses[1].body == body)
  end)
end)
