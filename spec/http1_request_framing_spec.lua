-- SPDX-License-Identifier: Apache-2.0
-- Where a request ends: Content-Length, Transfer-Encoding, and what smugglers make of them (RFC 9112 section 6). What
-- is refused stands before a body that one reading would take for a request of its own.
local http1 = require "http1"
local wire = require "wire"

local SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
local CHUNKED = "5\r\nhello\r\n0\r\n\r\n"
local function length(value) return wire.post("Content-Length: " .. value .. "\r\n", "hello" .. SMUGGLED) end
local function coding(value) return wire.post("Transfer-Encoding: " .. value .. "\r\n", CHUNKED .. SMUGGLED) end
local function field(lines, body) return wire.post(lines, (body or CHUNKED) .. SMUGGLED) end
local function old(lines, body) return "POST / HTTP/1.0\r\nHost: a\r\n" .. lines .. "\r\n" .. (body or CHUNKED) end
local CL, TE = "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"

local lengths = {
  ["a plus sign"] = "+5", ["a minus sign"] = "-5", ["minus zero"] = "-0", ["a hexadecimal number"] = "0x5",
  ["hexadecimal digits"] = "a", ["a fraction"] = "5.0", ["an exponent"] = "5e0", ["a comma at its end"] = "5,",
  ["a comma at its start"] = ",5", ["two different values"] = "5, 6", ["two different values without space"] = "5,6",
  ["equal numbers written differently"] = "5, 05", ["a list with an empty member"] = "5,,5",
  ["three values, the last different"] = "5, 5, 6", ["a space between digits"] = "1 5", ["a tab inside"] = "1\t5",
  ["two numbers"] = "5 5", ["a text"] = "five", ["a unit"] = "5b", ["a parameter"] = "5;a=b",
  ["quotes"] = '"5"', ["single quotes"] = "'5'", ["parentheses"] = "(5)", ["nothing"] = "", ["blanks"] = " \t ",
  ["an underscore"] = "1_0", ["a thousands separator"] = "1'000", ["a percent-encoded digit"] = "%35",
  ["a full-width digit"] = "\239\188\149", ["an Arabic digit"] = "\217\165", ["obs-text behind it"] = "5\160",
  ["obs-text before it"] = "\1605", ["NUL behind it"] = "5\0", ["NUL before it"] = "\0005",
  ["a vertical tab before it"] = "\v5", ["a form feed behind it"] = "5\f", ["2^63"] = "9223372036854775808",
  ["2^64"] = "18446744073709551616", ["2^64 + 5"] = "18446744073709551621", ["thirty digits"] = ("9"):rep(30),
  ["2^32 + 5 below a plus"] = "+4294967301", ["an octal prefix"] = "0o5", ["a binary prefix"] = "0b101",
  ["a bare CR behind it"] = "5\r", ["a bare LF before it"] = "\n5", ["a semicolon"] = "5;", ["a dollar sign"] = "$5",
  ["chunked"] = "chunked", ["infinity"] = "inf", ["not a number"] = "NaN", ["a range"] = "0-5",
  ["a folded line"] = "\r\n 5",
  ["a thousand digits"] = ("1"):rep(1000),
}

local codings = {
  ["identity"] = "identity", ["another coding alone"] = "gzip", ["an unknown coding"] = "x", ["nothing"] = "",
  ["blanks"] = " \t ", ["chunked and identity"] = "chunked, identity", ["identity and chunked"] = "identity, chunked",
  ["chunked twice"] = "chunked, chunked", ["chunked twice without space"] = "chunked,chunked",
  ["a coding behind chunked"] = "chunked, gzip", ["a coding before chunked"] = "gzip, chunked",
  ["chunked between others"] = "gzip, chunked, gzip", ["chunked with a parameter"] = "chunked;q=1",
  ["chunked with an empty parameter"] = "chunked;", ["chunked with a quality of zero"] = "chunked; q=0.0",
  ["quoted chunked"] = '"chunked"', ["single-quoted chunked"] = "'chunked'", ["a comma at its start"] = ", chunked",
  ["a comma at its end"] = "chunked,", ["a letter before it"] = "xchunked", ["a letter behind it"] = "chunkedx",
  ["a dash behind it"] = "chunked-", ["a space inside"] = "chu nked", ["two words"] = "chunked foo",
  ["a word before it"] = "foo chunked", ["a vertical tab before it"] = "\vchunked",
  ["a vertical tab behind it"] = "chunked\v", ["a form feed before it"] = "\fchunked", ["NUL before it"] = "\0chunked",
  ["NUL behind it"] = "chunked\0", ["a bare CR behind it"] = "chunked\r", ["a bare LF behind it"] = "chunked\n",
  ["a bare CR before it"] = "\rchunked", ["a control character"] = "chunked\1", ["a backspace"] = "\bchunked",
  ["obs-text behind it"] = "chunked\160", ["obs-text before it"] = "\160chunked", ["a soft hyphen"] = "chun\173ked",
  ["a colon before it"] = ": chunked", ["an equals sign"] = "=chunked", ["brackets"] = "[chunked]",
  ["a comment"] = "chunked (a)", ["a folded line"] = "\r\n chunked", ["a folded second line"] = "chunked\r\n , gzip",
  ["half of the word"] = "chunk", ["another spelling"] = "chunkéd", ["a Kelvin sign for k"] = "chun\226\132\170ed",
  ["a semicolon as separator"] = "gzip; chunked", ["a tab as separator"] = "gzip\tchunked",
  ["compress and deflate"] = "compress, deflate", ["chunked and an unknown one"] = "chunked, x",
  ["a percent-encoded letter"] = "chunke%64", ["cow"] = "cow", ["trailers"] = "trailers",
}

local combined = {
  { "Content-Length before chunked (CL.TE)", CL .. TE },
  { "chunked before Content-Length (TE.CL)", TE .. CL },
  { "a Content-Length of zero and chunked", "Content-Length: 0\r\n" .. TE },
  { "Content-Length and an unknown coding", CL .. "Transfer-Encoding: x\r\n" },
  { "Content-Length and identity", CL .. "Transfer-Encoding: identity\r\n" },
  { "Content-Length and an empty coding", CL .. "Transfer-Encoding:\r\n" },
  { "an invalid Content-Length and chunked", "Content-Length: x\r\n" .. TE },
  { "two equal Content-Lengths and chunked", CL .. CL .. TE },
  { "chunked between two Content-Lengths", CL .. TE .. CL },
  { "Content-Length and chunked, other fields between", CL .. "X: 1\r\nY: 2\r\n" .. TE },
  { "two Transfer-Encodings (TE.TE)", TE .. TE },
  { "chunked and another coding in two fields", TE .. "Transfer-Encoding: x\r\n" },
  { "another coding and chunked in two fields", "Transfer-Encoding: x\r\n" .. TE },
  { "identity and chunked in two fields", "Transfer-Encoding: identity\r\n" .. TE },
  { "chunked and identity in two fields", TE .. "Transfer-Encoding: identity\r\n" },
  { "an empty coding and chunked in two fields", "Transfer-Encoding:\r\n" .. TE },
  { "two Transfer-Encodings in different case", "TRANSFER-ENCODING: x\r\ntransfer-encoding: chunked\r\n" },
  { "two Content-Lengths", "Content-Length: 5\r\nContent-Length: 6\r\n" },
  { "two Content-Lengths in the other order", "Content-Length: 6\r\nContent-Length: 5\r\n" },
  { "two Content-Lengths, one zero", "Content-Length: 0\r\nContent-Length: 5\r\n" },
  { "two Content-Lengths, one empty", "Content-Length: 5\r\nContent-Length:\r\n" },
  { "two Content-Lengths, one with a sign", "Content-Length: 5\r\nContent-Length: +5\r\n" },
  { "three Content-Lengths, the last different", CL .. CL .. "Content-Length: 6\r\n" },
  { "two Content-Lengths in different case", "content-length: 5\r\nCONTENT-LENGTH: 6\r\n" },
  { "a list of lengths and another field", "Content-Length: 5, 5\r\nContent-Length: 6\r\n" },
  { "Transfer-Encoding with a space before the colon", "Transfer-Encoding : chunked\r\n" },
  { "Transfer-Encoding with a tab before the colon", "Transfer-Encoding\t: chunked\r\n" },
  { "Transfer-Encoding with a space in its name", "Transfer Encoding: chunked\r\n" },
  { "Transfer-Encoding behind a bare CR", "X: 1\rTransfer-Encoding: chunked\r\n" },
  { "Transfer-Encoding behind a bare LF", "X: 1\nTransfer-Encoding: chunked\r\n" },
  { "Transfer-Encoding on a continued line", "X: 1\r\n Transfer-Encoding: chunked\r\n" },
  { "Transfer-Encoding with NUL in its name", "Transfer-Encoding\0: chunked\r\n" },
  { "Transfer-Encoding with a vertical tab before it", "\vTransfer-Encoding: chunked\r\n" },
  { "Transfer-Encoding with obs-text in its name", "Transfer-Encoding\160: chunked\r\n" },
  { "Transfer-Encoding without a colon", "Transfer-Encoding chunked\r\n" },
  { "Transfer-Encoding with two colons and a space", "Transfer-Encoding: : chunked\r\n" },
  { "Content-Length with a space before the colon", "Content-Length : 5\r\n" },
  { "Content-Length with a space before it", " Content-Length: 5\r\n" },
  { "Content-Length on a continued line", "X: 1\r\n\tContent-Length: 5\r\n" },
  { "Content-Length with NUL in its name", "Content\0-Length: 5\r\n" },
}

local foreign = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW" }

local function sorted(cases)
  local names = {}
  for name in pairs(cases) do names[#names + 1] = name end
  table.sort(names)
  return ipairs(names)
end

describe("The end of a request is in doubt, and it is refused, with", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, name in sorted(lengths) do
    it("a Content-Length of " .. name .. " (RFC 9112 6.3)", function()
      wire.refuses(length(lengths[name]), "400 413")
    end)
  end
  for _, name in sorted(codings) do
    it("a Transfer-Encoding of " .. name .. " (RFC 9112 6.1)", function()
      wire.refuses(coding(codings[name]), "400 501")
    end)
    it("it and a Content-Length: " .. name .. " (RFC 9112 6.1)", function()
      wire.refuses(field(CL .. "Transfer-Encoding: " .. codings[name] .. "\r\n"), "400 501")
    end)
  end
  for _, case in ipairs(combined) do
    it(case[1] .. " (RFC 9112 6.3)", function() wire.refuses(field(case[2]), "400 501") end)
  end
  for _, method in ipairs(foreign) do
    it("both fields in " .. method .. " (RFC 9112 6.3)", function()
      wire.refuses((field(CL .. TE):gsub("^POST", method)), "400", { methods = { method } })
    end)
    it("a Transfer-Encoding on HTTP/1.0 in " .. method .. " (RFC 9112 6.1)", function()
      wire.refuses((old(TE):gsub("^POST", method)), "400", { methods = { method } })
    end)
  end

  it("Transfer-Encoding and Content-Length on HTTP/1.0 (RFC 9112 6.1)", function()
    wire.refuses(old(CL .. TE), "400")
  end)
  it("an unknown Transfer-Encoding on HTTP/1.0 (RFC 9112 6.1)", function()
    wire.refuses(old("Transfer-Encoding: gzip\r\n"), "400 501")
  end)
  it("an invalid Content-Length on HTTP/1.0 (RFC 9112 6.3)", function()
    wire.refuses(old("Content-Length: +5\r\n", "hello"), "400")
  end)
  it("a body in TRACE (RFC 9110 9.3.8)", function()
    wire.refuses("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "400")
    wire.refuses("TRACE / HTTP/1.1\r\nHost: a\r\n" .. TE .. "\r\n" .. CHUNKED, "400")
  end)
  it("a coding that is not known before chunked: that is 501 (RFC 9112 6.1)", function()
    wire.refuses(coding "gzip, chunked", "501")
  end)
end)

local whole = {
  { "no framing field has no body (RFC 9112 6.3)", wire.post "", "none", "" },
  { "Content-Length has as many bytes (RFC 9112 6.2)", wire.post(CL, "hello"), "length", "hello" },
  { "a Content-Length of zero has no body (RFC 9112 6.2)", wire.post "Content-Length: 0\r\n", "length", "" },
  { "many zeros has no body (RFC 9112 6.2)", wire.post "Content-Length: 0000\r\n", "length", "" },
  { "leading zeros counts decimal (RFC 9112 6.2)", wire.post("Content-Length: 0011\r\n", "hello world"), "length",
    "hello world" },
  { "white space around the length (RFC 9112 5.1)", wire.post("Content-Length: \t 5 \t\r\n", "hello"), "length",
    "hello" },
  { "Content-Length in lower case (RFC 9110 5.1)", wire.post("content-length: 5\r\n", "hello"), "length", "hello" },
  { "Content-Length twice, equal (RFC 9112 6.3)", wire.post(CL .. CL, "hello"), "length", "hello" },
  { "a list of equal lengths (RFC 9112 6.3)", wire.post("Content-Length: 5, 5\r\n", "hello"), "length", "hello" },
  { "a list without space (RFC 9112 6.3)", wire.post("Content-Length: 5,5,5\r\n", "hello"), "length", "hello" },
  { "a body that looks like a request (RFC 9112 6.3)",
    wire.post("Content-Length: " .. #SMUGGLED .. "\r\n", SMUGGLED), "length", SMUGGLED },
  { "a body of CRLF (RFC 9112 6.3)", wire.post("Content-Length: 4\r\n", "\r\n\r\n"), "length", "\r\n\r\n" },
  { "a body of NUL (RFC 9112 6.3)", wire.post(CL, "\0\0\0\0\0"), "length", "\0\0\0\0\0" },
  { "chunked ends with the last chunk (RFC 9112 7.1)", wire.post(TE, CHUNKED), "chunked", "hello" },
  { "chunked in any case (RFC 9112 7)", wire.post("transfer-ENCODING: ChunkeD\r\n", CHUNKED), "chunked", "hello" },
  { "white space around chunked (RFC 9112 5.1)", wire.post("Transfer-Encoding: \tchunked \t\r\n", CHUNKED), "chunked",
    "hello" },
  { "chunked without white space (RFC 9112 5.1)", wire.post("Transfer-Encoding:chunked\r\n", CHUNKED), "chunked",
    "hello" },
  { "nothing in chunks (RFC 9112 7.1)", wire.post(TE, "0\r\n\r\n"), "chunked", "" },
  { "a chunked body that looks like a request (RFC 9112 7.1)",
    wire.post(TE, http1.chunk(SMUGGLED) .. "0\r\n\r\n"), "chunked", SMUGGLED },
  { "Transfer_Encoding, which is another field (RFC 9110 5.1)", wire.post(CL .. "Transfer_Encoding: chunked\r\n",
    "hello"), "length", "hello" },
  { "X-Transfer-Encoding, which is another field (RFC 9110 5.1)", wire.post(CL .. "X-Transfer-Encoding: chunked\r\n",
    "hello"), "length", "hello" },
  { "Content_Length, which is another field (RFC 9110 5.1)", wire.post("Content_Length: 5\r\n"), "none", "" },
}

describe("A request with", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(whole) do
    it(case[1], function()
      local result = wire.passes(case[2], { body = case[4], framing = case[3] })
      local headers = result.requests[1].headers
      assert.equal(case[3] == "length" and 1 or 0, #headers:all "content-length")
      assert.equal(case[3] == "chunked" and 1 or 0, #headers:all "transfer-encoding")
    end)
  end

  for _, method in ipairs { "GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "BREW" } do
    it("a body is framed the same in " .. method .. " (RFC 9112 6.3)", function()
      local result = wire.exchange(wire.post(CL, "hello"):gsub("^POST", method) .. wire.NEXT, { methods = { method },
        answer = "HTTP/1.1 204 No Content\r\n\r\n" })
      wire.check(result, #result.requests == 2 and result.requests[1].body == "hello", "the body must come whole")
      wire.check(result, #result.responses == 2, "and both be answered")
    end)
  end

  it("a body on HTTP/1.0 is forwarded, and the connection ends (RFC 9112 9.3)", function()
    local result = wire.exchange(old(CL, "hello") .. SMUGGLED)
    wire.check(result, #result.requests == 1 and result.requests[1].body == "hello", "one request with its body")
    wire.check(result, #result.responses == 1 and result.ending == "closed", "one answer")
  end)

  it("a body of 1 MiB in each framing arrives unchanged (RFC 9112 6)", function()
    local body = ("0123456789abcdef"):rep(65536)
    wire.passes(wire.post("Content-Length: " .. #body .. "\r\n", body), { body = body })
    wire.passes(wire.post(TE, http1.chunk(body) .. http1.chunk ""), { body = body })
  end)

  it("ten others behind it, each framed in another way, keeps them apart (RFC 9112 9.3.2)", function()
    local bytes, expected = {}, {}
    for i = 1, 10 do
      local text = "body " .. i
      local head = ("POST /%d HTTP/1.1\r\nHost: a\r\n"):format(i)
      bytes[i] = head .. (i % 2 == 0 and TE .. "\r\n" .. http1.chunk(text) .. http1.chunk ""
        or "Content-Length: " .. #text .. "\r\n\r\n" .. text)
      expected[i] = "/" .. i .. text
    end
    local result, seen = wire.exchange(table.concat(bytes) .. wire.NEXT), {}
    for i = 1, 10 do seen[i] = result.requests[i].target .. result.requests[i].body end
    assert.same(expected, seen)
    assert.equal(11, #result.responses)
  end)
end)

describe("A request body that does not come whole", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for name, bytes in pairs {
    ["by length"] = wire.post("Content-Length: 10\r\n", "hello"), ["in mid-chunk"] = wire.post(TE, "a\r\nhello"),
    ["before the last chunk"] = wire.post(TE, "5\r\nhello\r\n"), ["in a chunk size"] = wire.post(TE, "5"),
    ["in the last chunk"] = wire.post(TE, "5\r\nhello\r\n0\r\n"), ["at its start"] = wire.post(TE, ""),
    ["in the trailers"] = wire.post(TE, "0\r\nX: 1\r\n"), ["behind the data's CR"] = wire.post(TE, "5\r\nhello\r"),
  } do
    it("is never whole for the origin, and answered with 400: " .. name .. " (RFC 9112 8)", function()
      local result = wire.exchange(bytes, { half_close = true })
      local seen = result.requests[1]
      wire.check(result, not seen or seen.failure, "the origin must not see it whole")
      wire.check(result, #result.responses == 1 and result.responses[1].status == 400, "400")
      wire.check(result, result.ending == "closed", "and the end")
    end)
  end
end)
