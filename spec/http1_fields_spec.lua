-- SPDX-License-Identifier: Apache-2.0
-- Field lines of requests: their syntax, and that what is valid goes on unchanged (RFC 9112 section 5).
local wire = require "wire"

local get = wire.get
local function raw(text) return "GET / HTTP/1.1\r\nHost: a\r\n" .. text end

local refused = {
  { "a space before the colon (RFC 9112 5.1)", get "X : 1\r\n" },
  { "a tab before the colon (RFC 9112 5.1)", get "X\t: 1\r\n" },
  { "spaces before the colon (RFC 9112 5.1)", get "X   : 1\r\n" },
  { "a vertical tab before the colon (RFC 9112 5.1)", get "X\v: 1\r\n" },
  { "a space before the colon of Content-Length (RFC 9112 5.1)", get "Content-Length : 0\r\n" },
  { "a space before the colon of Transfer-Encoding (RFC 9112 5.1)", get "Transfer-Encoding : chunked\r\n" },
  { "an empty name (RFC 9112 5)", get ": 1\r\n" },
  { "a name of one space (RFC 9112 5)", get " : 1\r\n" },
  { "a line without a colon (RFC 9112 5)", get "X\r\n" },
  { "a line without a colon, but with a value (RFC 9112 5)", get "X 1\r\n" },
  { "a line without a colon as the first (RFC 9112 5)", "GET / HTTP/1.1\r\nX\r\nHost: a\r\n\r\n" },
  { "a line with an equals sign (RFC 9112 5)", get "X=1\r\n" },
  { "a request line as a field (RFC 9112 5)", get "GET /b HTTP/1.1\r\n" },
  { "a space in a name (RFC 9110 5.1)", get "X Y: 1\r\n" },
  { "a slash in a name (RFC 9110 5.1)", get "X/Y: 1\r\n" },
  { "a parenthesis in a name (RFC 9110 5.1)", get "X(Y: 1\r\n" },
  { "a comma in a name (RFC 9110 5.1)", get "X,Y: 1\r\n" },
  { "a semicolon in a name (RFC 9110 5.1)", get "X;Y: 1\r\n" },
  { "a quoted name (RFC 9110 5.1)", get '"X": 1\r\n' },
  { "brackets in a name (RFC 9110 5.1)", get "X[0]: 1\r\n" },
  { "braces in a name (RFC 9110 5.1)", get "X{Y}: 1\r\n" },
  { "a question mark in a name (RFC 9110 5.1)", get "X?: 1\r\n" },
  { "an at sign in a name (RFC 9110 5.1)", get "X@Y: 1\r\n" },
  { "a backslash in a name (RFC 9110 5.1)", get "X\\Y: 1\r\n" },
  { "an equals sign in a name (RFC 9110 5.1)", get "X=Y: 1\r\n" },
  { "angle brackets in a name (RFC 9110 5.1)", get "<X>: 1\r\n" },
  { "obs-text in a name (RFC 9110 5.1)", get "X\228: 1\r\n" },
  { "a control character in a name (RFC 9110 5.1)", get "X\1: 1\r\n" },
  { "NUL in a name (RFC 9110 5.1)", get "X\0: 1\r\n" },
  { "NUL in the name of Host (RFC 9110 5.1)", get "Ho\0st: b\r\n" },
  { "DEL in a name (RFC 9110 5.1)", get "X\127: 1\r\n" },
  { "NUL in a value (RFC 9110 5.5)", get "X: a\0b\r\n" },
  { "NUL at the end of a value (RFC 9110 5.5)", get "X: a\0\r\n" },
  { "NUL as a value (RFC 9110 5.5)", get "X: \0\r\n" },
  { "a bare CR in a value (RFC 9110 5.5)", get "X: a\rb\r\n" },
  { "a bare CR that hides a field (RFC 9112 2.2)", get "X: a\rTransfer-Encoding: chunked\r\n" },
  { "a bare CR at the start of a value (RFC 9112 2.2)", get "X:\ra\r\n" },
  { "CR CR LF behind a value (RFC 9112 2.2)", get "X: a\r\r\n" },
  { "a bare LF behind a value (RFC 9112 2.2)", get "X: a\n" },
  { "a bare LF that hides a field (RFC 9112 2.2)", get "X: a\nTransfer-Encoding: chunked\r\n" },
  { "a bare LF behind the first field (RFC 9112 2.2)", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n" },
  { "a bare LF as the empty line (RFC 9112 2.2)", raw "X: 1\r\n\n" },
  { "a bare LF and CRLF as the empty line (RFC 9112 2.2)", raw "X: 1\n\r\n" },
  { "LF everywhere (RFC 9112 2.2)", "GET / HTTP/1.1\nHost: a\n\n" },
  { "CR everywhere (RFC 9112 2.2)", "GET / HTTP/1.1\rHost: a\r\r" },
  { "a bare CR before the empty line (RFC 9112 2.2)", raw "X: 1\r\n\r\r\n" },
  { "a space on the empty line (RFC 9112 2.2)", raw "X: 1\r\n \r\n\r\n" },
  { "a control character in a value (RFC 9110 5.5)", get "X: a\1b\r\n" },
  { "a vertical tab in a value (RFC 9110 5.5)", get "X: a\vb\r\n" },
  { "a form feed in a value (RFC 9110 5.5)", get "X: a\fb\r\n" },
  { "a backspace in a value (RFC 9110 5.5)", get "X: a\bb\r\n" },
  { "an escape in a value (RFC 9110 5.5)", get "X: \27[0m\r\n" },
  { "DEL in a value (RFC 9110 5.5)", get "X: a\127b\r\n" },
  { "obs-fold with a space (RFC 9112 5.2)", get "X: a\r\n b\r\n" },
  { "obs-fold with a tab (RFC 9112 5.2)", get "X: a\r\n\tb\r\n" },
  { "obs-fold of the last field (RFC 9112 5.2)", raw "X: a\r\n b\r\n\r\n" },
  { "obs-fold of a middle field (RFC 9112 5.2)", get "X: a\r\n b\r\nY: c\r\n" },
  { "obs-fold of Host (RFC 9112 5.2)", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" },
  { "obs-fold with nothing but white space (RFC 9112 5.2)", get "X: a\r\n  \r\n" },
  { "obs-fold behind an empty value (RFC 9112 5.2)", get "X:\r\n a\r\n" },
  { "obs-fold that hides a field (RFC 9112 5.2)", get "X: a\r\n Content-Length: 5\r\n" },
  { "a space before the first field (RFC 9112 2.2)", "GET / HTTP/1.1\r\n Host: a\r\n\r\n" },
  { "a tab before the first field (RFC 9112 2.2)", "GET / HTTP/1.1\r\n\tX: 1\r\nHost: a\r\n\r\n" },
  { "a line of white space behind the request line (RFC 9112 2.2)", "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n" },
  { "more fields than the limit (RFC 6585 5)", get(("X: 1\r\n"):rep(150)), "431" },
  { "a field larger than the limit (RFC 9110 5.4)", get("X: " .. ("a"):rep(70000) .. "\r\n"), "431" },
  { "fields too large together (RFC 9110 5.4)", get(("X: " .. ("a"):rep(8000) .. "\r\n"):rep(9)), "431" },
  { "a name larger than the limit (RFC 9110 5.4)", get(("X"):rep(70000) .. ": 1\r\n"), "431" },
}

local passed = {
  { "an empty value (RFC 9112 5)", "X:\r\n", "X: \r\n" },
  { "a blank value (RFC 9112 5.1)", "X: \t \r\n", "X: \r\n" },
  { "no white space behind the colon (RFC 9112 5.1)", "X:1\r\n", "X: 1\r\n" },
  { "white space around a value (RFC 9112 5.1)", "X: \t 1 \t \r\n", "X: 1\r\n" },
  { "white space inside a value (RFC 9110 5.5)", "X: a \t  b\r\n" },
  { "a value of colons (RFC 9110 5.5)", "X: :::\r\n" },
  { "quotes that do not end (RFC 9110 5.6.4)", 'X: "a, b\r\n' },
  { "quoted commas (RFC 9110 5.6.4)", 'X: "a,b", "c\\"d"\r\n' },
  { "comments (RFC 9110 5.6.5)", "X: a (b (c))\r\n" },
  { "all visible characters (RFC 9110 5.5)", "X: !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\r\n" },
  { "obs-text (RFC 9110 5.5)", "X: a\128\160\255b\r\n" },
  { "UTF-8 (RFC 9110 5.5)", "X: \195\164\226\130\172\r\n" },
  { "a name of all token characters (RFC 9110 5.6.2)", "!#$%&'*+-.^_`|~09azAZ: 1\r\n" },
  { "a name of one character (RFC 9110 5.1)", "X: 1\r\n" },
  { "a name of digits (RFC 9110 5.1)", "123: 1\r\n" },
  { "a name with an underscore (RFC 9110 5.1)", "X_Y: 1\r\n" },
  { "names in any case (RFC 9110 5.1)", "x-ABC-def: 1\r\nUSER-agent: me\r\n" },
  { "repeated fields in their order (RFC 9110 5.3)", "X: 1\r\nY: 2\r\nX: 3\r\nx: 4\r\nX: 1\r\n" },
  { "repeated Cookie fields (RFC 9110 5.3)", "Cookie: a=1\r\nCookie: b=2\r\n" },
  { "lists with empty members (RFC 9110 5.6.1)", "Accept: , a,, b,\r\n" },
  { "fields that it does not know (RFC 9110 5.1)", "Unheard-Of: 1\r\n" },
  { "Authorization (RFC 9110 11.6.2)", "Authorization: Basic eDp5\r\n" },
  { "Proxy-Authorization that it does not ask for (RFC 9110 11.7.2)", "Proxy-Authorization: Basic eDp5\r\n" },
  { "conditions (RFC 9110 13.1)", 'If-None-Match: "a", W/"b"\r\nIf-Modified-Since: x\r\n' },
  { "Range (RFC 9110 14.2)", "Range: bytes=0-4\r\nIf-Range: \"a\"\r\n" },
  { "Cache-Control and Pragma (RFC 9111 5.2)", "Cache-Control: no-cache, no-transform\r\nPragma: no-cache\r\n" },
  { "Accept-Encoding (RFC 9110 12.5.3)", "Accept-Encoding: gzip;q=0, identity\r\n" },
  { "Content fields without content (RFC 9110 8)", "Content-Type: a/b\r\nContent-Encoding: gzip\r\n" },
  { "Max-Forwards of a GET (RFC 9110 7.6.2)", "Max-Forwards: 0\r\n" },
  { "From, Referer, Origin (RFC 9110 10.1)", "From: a@b\r\nReferer: http://c/\r\nOrigin: null\r\n" },
  { "Expect without a body is dropped (RFC 9110 10.1.1)", "Expect: 100-continue\r\nX: 1\r\n", "X: 1\r\n" },
  { "99 fields and Host (RFC 9110 5.4)", ("X: 1\r\n"):rep(99) },
  { "a value of 60000 bytes (RFC 9110 5.4)", "X: " .. ("a"):rep(60000) .. "\r\n" },
  { "a Date (RFC 9110 6.6.1)", "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" },
}

describe("A field of a request", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  describe("is refused:", function()
    for _, case in ipairs(refused) do
      it(case[1], function() wire.refuses(case[2], case[3] or "400") end)
    end
  end)

  describe("is passed on:", function()
    for _, case in ipairs(passed) do
      it(case[1], function()
        local result = wire.exchange(get(case[2]) .. wire.NEXT)
        local seen = result.requests[1] and wire.plain(result.requests[1])
        wire.check(result, seen == get(case[3] or case[2]), "the head must be the same")
        wire.check(result, #result.requests == 2 and #result.responses == 2, "and the next request be served")
      end)
    end
  end)

  it("is refused early, where the bytes tell before the head is whole (RFC 9112 2.2)", function()
    for _, bytes in ipairs { "GET / HTTP/1.1\r\nX: \0", "GET /\n", "\22\3" } do
      local result = wire.exchange { bytes }
      wire.check(result, #result.responses == 1 and result.responses[1].status == 400, "400 at once")
      wire.check(result, result.ending == "closed", "and the end")
    end
  end)

  it("is refused without a body in the answer where the method is HEAD (RFC 9110 9.3.2)", function()
    for _, fields in ipairs { "X: \0\r\n", "X : 1\r\n", "X: a\n", "X: a\r\n b\r\n", "Host: b\r\n", "" } do
      local host = fields == "" and "" or "Host: a\r\n"
      local bytes = "HEAD / HTTP/1.1\r\n" .. host .. fields .. "\r\n"
      local result = wire.exchange(bytes .. wire.NEXT, { methods = { "HEAD" } })
      wire.check(result, #result.responses == 1 and result.responses[1].status == 400, "400")
      wire.check(result, result.ending == "closed" and result.rest == "", "and nothing behind it")
    end
  end)

  it("cut anywhere is the same (RFC 9112 2.2)", function()
    local bytes = get "X: a b\r\nContent-Length: 0\r\n"
    for at = 1, #bytes - 1, 3 do
      local result = wire.exchange { bytes:sub(1, at), bytes:sub(at + 1) .. wire.NEXT }
      wire.check(result, #result.requests == 2 and #result.responses == 2, "cut at " .. at)
    end
  end)

  it("of a head that ends early is answered with 400 and never forwarded (RFC 9112 8)", function()
    local line = "GET / HTTP/1.1\r\n"
    for _, bytes in ipairs { "G", line, line .. "Host: a\r\n", line .. "Host: a\r\n\r" } do
      local result = wire.exchange(bytes, { half_close = true })
      wire.check(result, #result.requests == 0 and #result.responses <= 1, "nothing is forwarded")
      wire.check(result, not result.responses[1] or result.responses[1].status == 400, "400 or the end")
    end
  end)
end)
