-- SPDX-License-Identifier: Apache-2.0
-- The request line: method, target, version, and what may come before it.
local wire = require "wire"

local REST = "Host: a\r\n\r\n"
local function line(text) return text .. "\r\n" .. REST end
-- What is forwarded of a line that needs no change.
local function same(text) return { line(text), line(text) } end
local function becomes(text, forwarded) return { line(text), line(forwarded) } end

local refused = {
  { "HTTP/0.9 requests get 400 (RFC 9112 2.3)", "GET /\r\n", "400" },
  { "HTTP/0.9 in the version gets 505 (RFC 9110 15.6.6)", line "GET / HTTP/0.9", "505 400" },
  { "HTTP/2.0 gets 505 (RFC 9110 15.6.6)", line "GET / HTTP/2.0", "505" },
  { "HTTP/3.0 gets 505 (RFC 9110 15.6.6)", line "GET / HTTP/3.0", "505" },
  { "HTTP/9.9 gets 505 (RFC 9110 15.6.6)", line "GET / HTTP/9.9", "505" },
  { "the HTTP/2 preface gets a clean refusal (RFC 9113 3.4)", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 400" },
  { "a minor version of two digits (RFC 9112 2.3)", line "GET / HTTP/1.10", "400 505" },
  { "a minor version with a leading zero (RFC 9112 2.3)", line "GET / HTTP/1.01", "400 505" },
  { "a major version of two digits (RFC 9112 2.3)", line "GET / HTTP/11.1", "400 505" },
  { "a version without a minor (RFC 9112 2.3)", line "GET / HTTP/1", "400 505" },
  { "a version without a minor digit (RFC 9112 2.3)", line "GET / HTTP/1.", "400" },
  { "a version without a major (RFC 9112 2.3)", line "GET / HTTP/.1", "400" },
  { "a version with a comma (RFC 9112 2.3)", line "GET / HTTP/1,1", "400" },
  { "a version with three parts (RFC 9112 2.3)", line "GET / HTTP/1.1.1", "400" },
  { "a version with a sign (RFC 9112 2.3)", line "GET / HTTP/+1.1", "400" },
  { "a version with a letter (RFC 9112 2.3)", line "GET / HTTP/1.x", "400" },
  { "a version with a hexadecimal digit (RFC 9112 2.3)", line "GET / HTTP/A.1", "400" },
  { "a lower-case http version (RFC 9112 2.3)", line "GET / http/1.1", "400" },
  { "a mixed-case version (RFC 9112 2.3)", line "GET / Http/1.1", "400" },
  { "another protocol's name (RFC 9112 2.3)", line "GET / HTTPS/1.1", "400" },
  { "no name of the protocol (RFC 9112 2.3)", line "GET / 1.1", "400" },
  { "a space in the version (RFC 9112 2.3)", line "GET / HTTP /1.1", "400" },
  { "a space behind the slash of the version (RFC 9112 2.3)", line "GET / HTTP/ 1.1", "400" },
  { "a line without a version but a space (RFC 9112 3)", line "GET / ", "400" },
  { "a line without target (RFC 9112 3)", line "GET HTTP/1.1", "400" },
  { "a line without target but with both spaces (RFC 9112 3)", line "GET  HTTP/1.1", "400" },
  { "a method alone (RFC 9112 3)", line "GET", "400" },
  { "a line that begins with a space (RFC 9112 3)", line " GET / HTTP/1.1", "400" },
  { "a line that begins with a tab (RFC 9112 3)", line "\tGET / HTTP/1.1", "400" },
  { "two spaces behind the method (RFC 9112 3)", line "GET  / HTTP/1.1", "400" },
  { "two spaces behind the target (RFC 9112 3)", line "GET /  HTTP/1.1", "400" },
  { "a tab behind the method (RFC 9112 3)", line "GET\t/ HTTP/1.1", "400" },
  { "a tab behind the target (RFC 9112 3)", line "GET /\tHTTP/1.1", "400" },
  { "a vertical tab as a separator (RFC 9112 3)", line "GET\v/ HTTP/1.1", "400" },
  { "a form feed as a separator (RFC 9112 3)", line "GET /\fHTTP/1.1", "400" },
  { "a space at the end of the line (RFC 9112 3)", line "GET / HTTP/1.1 ", "400" },
  { "a tab at the end of the line (RFC 9112 3)", line "GET / HTTP/1.1\t", "400" },
  { "a fourth word (RFC 9112 3)", line "GET / HTTP/1.1 x", "400" },
  { "a space in the target (RFC 9112 3.2)", line "GET /a b HTTP/1.1", "400" },
  { "a version in the target (RFC 9112 3.2)", line "GET / HTTP/1.1 HTTP/1.1", "400" },
  { "a method with a delimiter (RFC 9110 9.1)", line "GE(T / HTTP/1.1", "400" },
  { "a method with a colon (RFC 9110 9.1)", line "GET: / HTTP/1.1", "400" },
  { "a method with a slash (RFC 9110 9.1)", line "G/T / HTTP/1.1", "400" },
  { "a method in quotes (RFC 9110 9.1)", line '"GET" / HTTP/1.1', "400" },
  { "a method with an at sign (RFC 9110 9.1)", line "G@T / HTTP/1.1", "400" },
  { "a method with NUL (RFC 9110 9.1)", line "GET\0 / HTTP/1.1", "400" },
  { "a method with obs-text (RFC 9110 9.1)", line "G\233T / HTTP/1.1", "400" },
  { "a byte order mark before the method (RFC 9110 9.1)", line "\239\187\191GET / HTTP/1.1", "400" },
  { "a method that is far too long (RFC 9112 3)", line(("M"):rep(9000) .. " / HTTP/1.1"), "400 414 501" },
  { "NUL in the target (RFC 9112 3.2)", line "GET /\0 HTTP/1.1", "400" },
  { "a control character in the target (RFC 9112 3.2)", line "GET /\1 HTTP/1.1", "400" },
  { "DEL in the target (RFC 9112 3.2)", line "GET /\127 HTTP/1.1", "400" },
  { "obs-text in the target (RFC 9112 3.2)", line "GET /\195\164 HTTP/1.1", "400" },
  { "a fragment in the target (RFC 9112 3.2)", line "GET /a#b HTTP/1.1", "400" },
  { "a target without a slash (RFC 9112 3.2.1)", line "GET a HTTP/1.1", "400" },
  { "a target that is a query (RFC 9112 3.2.1)", line "GET ?a HTTP/1.1", "400" },
  { "a relative target (RFC 9112 3.2.1)", line "GET ../a HTTP/1.1", "400" },
  { "a target that begins with a backslash (RFC 9112 3.2.1)", line "GET \\a HTTP/1.1", "400" },
  { "a bare LF behind the line (RFC 9112 2.2)", "GET / HTTP/1.1\n" .. REST, "400" },
  { "a bare CR behind the line (RFC 9112 2.2)", "GET / HTTP/1.1\r" .. REST, "400" },
  { "CR CR LF behind the line (RFC 9112 2.2)", "GET / HTTP/1.1\r\r\n" .. REST, "400" },
  { "LF CR behind the line (RFC 9112 2.2)", "GET / HTTP/1.1\n\r" .. REST, "400" },
  { "a bare CR in the method (RFC 9112 2.2)", line "G\rET / HTTP/1.1", "400" },
  { "a bare CR in the target (RFC 9112 2.2)", line "GET /\r HTTP/1.1", "400" },
  { "a bare LF in the target (RFC 9112 2.2)", line "GET /\n HTTP/1.1", "400" },
  { "a bare CR behind the method (RFC 9112 2.2)", line "GET\r / HTTP/1.1", "400" },
  { "a bare LF before the line (RFC 9112 2.2)", "\n" .. line "GET / HTTP/1.1", "400" },
  { "a bare CR before the line (RFC 9112 2.2)", "\r" .. line "GET / HTTP/1.1", "400" },
  { "NUL before the line (RFC 9112 2.2)", "\0" .. line "GET / HTTP/1.1", "400" },
  { "a line of spaces before the line (RFC 9112 2.2)", "  \r\n" .. line "GET / HTTP/1.1", "400" },
  { "bytes that are no HTTP (RFC 9112 2.2)", "\22\3\1\2\0\1\0\1\252\3\3", "400" },
  { "text that is no HTTP (RFC 9112 2.2)", "EHLO example.org\r\n", "400" },
  { "a response instead of a request (RFC 9112 2.2)", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400" },
  { "a status line with three words (RFC 9112 2.2)", "HTTP/1.1 200 OK HTTP/1.1\r\n" .. REST, "400" },
  { "a target longer than the limit (RFC 9110 15.5.15)", line("GET /" .. ("a"):rep(9000) .. " HTTP/1.1"), "414" },
  { "a target much longer than the limit (RFC 9112 3)", line("GET /" .. ("a"):rep(70000) .. " HTTP/1.1"), "414" },
  { "a long query (RFC 9112 3)", line("GET /?" .. ("a"):rep(9000) .. " HTTP/1.1"), "414" },
}

local passed = {
  { "passes GET, and its target as it is (RFC 9112 3)", same "GET /a/b?c=d&e HTTP/1.1" },
  { "passes a method it does not know (RFC 9110 9.1)", same "BREW / HTTP/1.1" },
  { "takes methods as case-sensitive (RFC 9110 9.1)", same "get / HTTP/1.1" },
  { "does not take a method for its beginning (RFC 9110 9.1)", same "GETS / HTTP/1.1" },
  { "passes a method of all token characters (RFC 9110 5.6.2)", same "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1" },
  { "passes a method of one letter (RFC 9110 9.1)", same "M / HTTP/1.1" },
  { "passes PATCH (RFC 5789)", same "PATCH / HTTP/1.1" },
  { "passes DELETE without a body (RFC 9110 9.3.5)", same "DELETE / HTTP/1.1" },
  { "passes TRACE (RFC 9110 9.3.8)", same "TRACE / HTTP/1.1" },
  { "passes OPTIONS (RFC 9110 9.3.7)", same "OPTIONS /a HTTP/1.1" },
  { "passes PRI as a method of HTTP/1.1 with a path (RFC 9113 3.4)", same "PRI / HTTP/1.1" },
  { "does not normalize dots in a path (RFC 9110 7.7)", same "GET /a/./b/../c HTTP/1.1" },
  { "does not join slashes (RFC 9110 7.7)", same "GET //a///b HTTP/1.1" },
  { "does not decode percent-encoding (RFC 9110 7.7)", same "GET /%41%2f%2F%20%00?%26 HTTP/1.1" },
  { "leaves strange percent signs alone (RFC 9110 7.7)", same "GET /%zz%4 HTTP/1.1" },
  { "keeps an empty query (RFC 9110 7.7)", same "GET /? HTTP/1.1" },
  { "keeps question marks and slashes in a query (RFC 9110 7.7)", same "GET /?a?b//c:@ HTTP/1.1" },
  { "keeps a path that looks like a URI (RFC 9112 3.2.1)", same "GET /http://b/ HTTP/1.1" },
  { "keeps all sub-delimiters (RFC 9110 7.7)", same "GET /!$&'()*+,;=:@-._~ HTTP/1.1" },
  { "takes HTTP/1.2 for HTTP/1.1 (RFC 9110 2.5)", becomes("GET / HTTP/1.2", "GET / HTTP/1.1") },
  { "takes HTTP/1.9 for HTTP/1.1 (RFC 9110 2.5)", becomes("GET / HTTP/1.9", "GET / HTTP/1.1") },
  { "passes a request line of 8000 bytes (RFC 9112 3)", same("GET /" .. ("a"):rep(7986) .. " HTTP/1.1") },
  { "ignores an empty line before the request (RFC 9112 2.2)",
    { "\r\n" .. line "GET / HTTP/1.1", line "GET / HTTP/1.1" } },
  { "ignores a second empty line before the request (RFC 9112 2.2)",
    { "\r\n\r\n" .. line "GET / HTTP/1.1", line "GET / HTTP/1.1" } },
  { "ignores an empty line behind a body (RFC 9112 2.2)",
    { wire.post("Content-Length: 2\r\n", "hi\r\n"), wire.post "Content-Length: 2\r\n" } },
}

describe("A request line", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  describe("is refused:", function()
    for _, case in ipairs(refused) do
      it(case[1], function() wire.refuses(case[2], case[3]) end)
    end
  end)

  for _, case in ipairs(passed) do
    it(case[1], function() wire.passes(case[2][1], case[2][2]) end)
  end

  it("that comes byte by byte is the same (RFC 9112 2.2)", function()
    local pieces = {}
    for byte in (line "GET /a HTTP/1.1" .. wire.NEXT):gmatch "." do pieces[#pieces + 1] = byte end
    local result = wire.exchange(pieces)
    wire.check(result, #result.requests == 2 and #result.responses == 2, "both must be served")
    wire.check(result, result.requests[1].target == "/a", "with their targets")
  end)

  it("is not awaited behind an empty line: the connection just ends (RFC 9112 2.2)", function()
    local result = wire.exchange(line "GET /a HTTP/1.1" .. "\r\n", { half_close = true })
    wire.check(result, #result.responses == 1 and result.responses[1].status == 200, "one answer")
    wire.check(result, result.ending == "closed" and result.rest == "", "and no other")
  end)

  it("answers HTTP/1.2 as HTTP/1.1 (RFC 9110 2.5)", function()
    local result = wire.exchange(line "GET / HTTP/1.2" .. wire.NEXT)
    wire.check(result, #result.responses == 2 and result.responses[1].version == "1.1", "our version")
  end)
end)
