-- SPDX-License-Identifier: Apache-2.0
-- Status line and fields of responses: what is refused, and what goes on as it is (RFC 9112 sections 4 and 5).
local wire = require "wire"

local BODY = "Content-Length: 2\r\n\r\nok"
local function line(text) return text .. "\r\n" .. BODY end
local function fields(text) return "HTTP/1.1 200 OK\r\n" .. text .. BODY end
local OWN = { date = true, via = true, ["content-length"] = true, connection = true }

local refused = {
  { "HTTP/2.0 in a response (RFC 9112 2.3)", line "HTTP/2.0 200 OK" },
  { "HTTP/0.9 in a response (RFC 9112 2.3)", line "HTTP/0.9 200 OK" },
  { "a minor version of two digits (RFC 9112 2.3)", line "HTTP/1.10 200 OK" },
  { "a version without minor (RFC 9112 2.3)", line "HTTP/1 200 OK" },
  { "a lower-case version (RFC 9112 2.3)", line "http/1.1 200 OK" },
  { "another protocol (RFC 9112 2.3)", line "ICY 200 OK" },
  { "RTSP (RFC 9112 2.3)", line "RTSP/1.0 200 OK" },
  { "no version (RFC 9112 4)", line "200 OK" },
  { "no status (RFC 9112 4)", line "HTTP/1.1" },
  { "no status but a space (RFC 9112 4)", line "HTTP/1.1 " },
  { "a status of two digits (RFC 9112 4)", line "HTTP/1.1 20 OK" },
  { "a status of four digits (RFC 9112 4)", line "HTTP/1.1 2000 OK" },
  { "a status of one digit (RFC 9112 4)", line "HTTP/1.1 2 OK" },
  { "a status with a letter (RFC 9112 4)", line "HTTP/1.1 2x0 OK" },
  { "a status with a sign (RFC 9112 4)", line "HTTP/1.1 +20 OK" },
  { "a negative status (RFC 9112 4)", line "HTTP/1.1 -200 OK" },
  { "a status with a dot (RFC 9112 4)", line "HTTP/1.1 200.1 OK" },
  { "a hexadecimal status (RFC 9112 4)", line "HTTP/1.1 0xC8 OK" },
  { "a text for a status (RFC 9112 4)", line "HTTP/1.1 OK" },
  { "status 000 (RFC 9110 15)", line "HTTP/1.1 000 OK" },
  { "status 099 (RFC 9110 15)", line "HTTP/1.1 099 OK" },
  { "no space behind the status (RFC 9112 4)", line "HTTP/1.1 200OK" },
  { "a tab behind the status (RFC 9112 4)", line "HTTP/1.1 200\tOK" },
  { "a tab before the status (RFC 9112 4)", line "HTTP/1.1\t200 OK" },
  { "two spaces before the status (RFC 9112 4)", line "HTTP/1.1  200 OK" },
  { "a space before the version (RFC 9112 4)", line " HTTP/1.1 200 OK" },
  { "an empty line before the status line (RFC 9112 2.2)", "\r\n" .. line "HTTP/1.1 200 OK" },
  { "NUL in the reason (RFC 9112 4)", line "HTTP/1.1 200 O\0K" },
  { "a bare CR in the reason (RFC 9112 4)", line "HTTP/1.1 200 O\rK" },
  { "a control character in the reason (RFC 9112 4)", line "HTTP/1.1 200 O\1K" },
  { "DEL in the reason (RFC 9112 4)", line "HTTP/1.1 200 O\127K" },
  { "a bare LF behind the status line (RFC 9112 2.2)", "HTTP/1.1 200 OK\n" .. BODY },
  { "CR CR LF behind the status line (RFC 9112 2.2)", "HTTP/1.1 200 OK\r\r\n" .. BODY },
  { "a request (RFC 9112 4)", "GET / HTTP/1.1\r\n" .. BODY },
  { "bytes that are no HTTP (RFC 9112 4)", "\22\3\1\0\1\2" },
  { "a body without a head (RFC 9112 4)", "<html></html>\r\n\r\n" },
  { "an empty line alone (RFC 9112 4)", "\r\n\r\n" },
  { "obs-fold (RFC 9112 5.2)", fields "X: a\r\n b\r\n" },
  { "obs-fold with a tab (RFC 9112 5.2)", fields "X: a\r\n\tb\r\n" },
  { "obs-fold behind the status line (RFC 9112 2.2)", fields " X: a\r\n" },
  { "obs-fold of the last field (RFC 9112 5.2)", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 0\r\n\r\nok" },
  { "an empty name (RFC 9112 5)", fields ": a\r\n" },
  { "a name of one space (RFC 9112 5)", fields " : a\r\n" },
  { "a line without a colon (RFC 9112 5)", fields "X\r\n" },
  { "a space in a name (RFC 9110 5.1)", fields "X Y: a\r\n" },
  { "a space in a name and before the colon (RFC 9110 5.1)", fields "X Y : a\r\n" },
  { "a delimiter in a name (RFC 9110 5.1)", fields "X(Y): a\r\n" },
  { "a slash in a name (RFC 9110 5.1)", fields "X/Y: a\r\n" },
  { "NUL in a name (RFC 9110 5.1)", fields "X\0: a\r\n" },
  { "obs-text in a name (RFC 9110 5.1)", fields "X\228: a\r\n" },
  { "a vertical tab before the colon (RFC 9112 5.1)", fields "X\v: a\r\n" },
  { "NUL in a value (RFC 9110 5.5)", fields "X: a\0b\r\n" },
  { "a bare CR in a value (RFC 9110 5.5)", fields "X: a\rb\r\n" },
  { "a bare CR that splits a response (RFC 9110 5.5)", fields "X: a\r\r\n" },
  { "a bare LF in a value (RFC 9112 2.2)", fields "X: a\nY: b\r\n" },
  { "a bare LF as the empty line (RFC 9112 2.2)", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok" },
  { "LF everywhere (RFC 9112 2.2)", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok" },
  { "a control character in a value (RFC 9110 5.5)", fields "X: a\1b\r\n" },
  { "DEL in a value (RFC 9110 5.5)", fields "X: a\127b\r\n" },
  { "a head larger than the limit (RFC 9110 5.4)", fields("X: " .. ("a"):rep(70000) .. "\r\n") },
  { "more fields than the limit (RFC 9110 5.4)", fields(("X: a\r\n"):rep(1001)) },
}

-- sentence, fields, as the client gets them
local passed = {
  { "repeated fields in their order (RFC 9110 5.3)", "X: 1\r\nY: 2\r\nX: 3\r\nx: 4\r\n" },
  { "Set-Cookie in several lines (RFC 6265 3)", "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1\r\n" },
  { "names in any case (RFC 9110 5.1)", "x-ABC-def: 1\r\nSERVER: x\r\n" },
  { "obs-text (RFC 9110 5.5)", "X: a\128\160\255b\r\n" },
  { "white space inside a value (RFC 9110 5.5)", "X: a \t  b\r\n" },
  { "an empty value (RFC 9112 5)", "X:\r\n", "X: \r\n" },
  { "a value without and with white space around it (RFC 9112 5.1)", "X:1\r\nY: \t 2 \t\r\n", "X: 1\r\nY: 2\r\n" },
  { "quoted strings (RFC 9110 5.6.4)", 'ETag: W/"a,\\"b"\r\nX: "open\r\n' },
  { "a name of all token characters (RFC 9110 5.6.2)", "!#$%&'*+-.^_`|~09azAZ: 1\r\n" },
  { "fields that it does not know (RFC 9110 5.1)", "Unheard-Of: 1\r\n" },
  { "Server (RFC 9110 10.2.4)", "Server: origin/1.0 (x)\r\n" },
  { "WWW-Authenticate (RFC 9110 11.6.1)", 'WWW-Authenticate: Basic realm="a", Digest x=y\r\n' },
  { "Proxy-Authenticate that it does not ask for (RFC 9110 11.7.1)", "Proxy-Authenticate: Basic\r\n" },
  { "Content fields (RFC 9110 8)", "Content-Type: a/b\r\nContent-Encoding: gzip\r\nContent-Language: x\r\n" },
  { "Content-Range and Accept-Ranges (RFC 9110 14.4)", "Content-Range: bytes 0-1/2\r\nAccept-Ranges: bytes\r\n" },
  { "Cache-Control, Age, Vary (RFC 9111 5)", "Cache-Control: no-transform\r\nAge: 5\r\nVary: *\r\n" },
  { "Location unchanged (RFC 9110 10.2.2)", "Location: /a/../b?c#d\r\n" },
  { "Allow and Retry-After (RFC 9110 10.2)", "Allow:\r\nRetry-After: 1\r\n", "Allow: \r\nRetry-After: 1\r\n" },
  { "a space before a colon is removed (RFC 9112 5.1)", "X : 1\r\nY: 2\r\n", "X: 1\r\nY: 2\r\n" },
  { "white space before colons is removed (RFC 9112 5.1)", "X \t : 1\r\nY\t:2\r\nZ: a : b\r\n",
    "X: 1\r\nY: 2\r\nZ: a : b\r\n" },
}

local reasons = {
  { "HTTP/1.1 200 OK", "HTTP/1.1 200 OK" }, { "HTTP/1.1 200 Fine and good", "HTTP/1.1 200 Fine and good" },
  { "HTTP/1.1 404 Not\tHere \228", "HTTP/1.1 404 Not\tHere \228" }, { "HTTP/1.0 200 OK", "HTTP/1.1 200 OK" },
  { "HTTP/1.2 200 OK", "HTTP/1.1 200 OK" }, { "HTTP/1.1 299 Odd", "HTTP/1.1 299 Odd" },
  { "HTTP/1.1 599 Odd", "HTTP/1.1 599 Odd" }, { "HTTP/1.1 418 Teapot", "HTTP/1.1 418 Teapot" },
  { "HTTP/1.1 404 ", "HTTP/1.1 404 Not Found" }, { "HTTP/1.1 500", "HTTP/1.1 500 Internal Server Error" },
  { "HTTP/1.1 555 ", "HTTP/1.1 555 " },
}

-- The fields that are not the proxy's own, as bytes.
local function foreign_fields(response)
  local parts = {}
  for _, field in ipairs(response.headers) do
    if not OWN[field.name:lower()] then parts[#parts + 1] = ("%s: %s\r\n"):format(field.name, field.value) end
  end
  return table.concat(parts)
end

describe("The head of a response", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  for _, case in ipairs(refused) do
    it("becomes 502 with " .. case[1], function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = case[2] })
      wire.check(result, result.responses[1] and result.responses[1].status == 502, "502")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request is served")
      wire.check(result, result.requests[2].connection ~= result.requests[1].connection, "on another connection")
    end)
  end

  for _, case in ipairs(passed) do
    it("goes on: " .. case[1], function()
      local result = wire.passes(wire.get(), {}, { answer = fields(case[2]) })
      assert.equal(case[3] or case[2], foreign_fields(result.responses[1]))
    end)
  end

  it("is read without the white space before a colon (RFC 9112 5.1)", function()
    local answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    local result = wire.passes(wire.get(), {}, { answer = answer })
    assert.equal("hello", result.responses[1].body)
    result = wire.passes(wire.get(), {}, { answer = "HTTP/1.1 200 OK\r\nContent-Length\t: 5\r\n\r\nhello" })
    assert.equal("hello", result.responses[1].body)
  end)

  for _, case in ipairs(reasons) do
    it(("has its status line %q as %q (RFC 9112 4)"):format(case[1], case[2]), function()
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = line(case[1]) })
      local first = result.responses[1]
      wire.check(result, first and first.head:match "^(.-)\r\n" == case[2] and first.body == "ok", "the status line")
      wire.check(result, #result.responses == 2, "and the next request")
    end)
  end

  it("gets a Date where it has none (RFC 9110 6.6.1)", function()
    local response = wire.passes(wire.get()).responses[1]
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", response.headers.date)
  end)

  it("keeps its own Date (RFC 9110 6.6.1)", function()
    local date = "Thu, 01 Jan 1970 00:00:00 GMT"
    local response = wire.passes(wire.get(), {}, { answer = fields("Date: " .. date .. "\r\n") }).responses[1]
    assert.same({ date }, response.headers:all "date")
  end)

  it("gets a Via, behind those that it has (RFC 9110 7.6.3)", function()
    assert.same({ "1.1 perilune" }, wire.passes(wire.get()).responses[1].headers:all "via")
    local response = wire.passes(wire.get(), {}, { answer = fields "Via: 1.0 a\r\nVia: 1.1 b\r\n" }).responses[1]
    assert.same({ "1.0 a", "1.1 b", "1.1 perilune" }, response.headers:all "via")
    response = wire.passes(wire.get(), {}, { answer = line "HTTP/1.0 200 OK" }).responses[1]
    assert.same({ "1.0 perilune" }, response.headers:all "via")
  end)

  it("that comes byte by byte is the same (RFC 9112 2.2)", function()
    local result = wire.passes(wire.get(), {}, { answer = function(connection)
      for byte in (fields "X: 1\r\n"):gmatch "." do
        connection:send(byte)
        connection:sleep(0.001)
      end
    end })
    assert.equal("X: 1\r\n", foreign_fields(result.responses[1]))
  end)

  it("that ends early becomes 502 (RFC 9112 8)", function()
    local ok = "HTTP/1.1 200 OK\r\n"
    for _, bytes in ipairs { "H", ok, ok .. "X: 1\r\n", ok .. "X: 1\r\n\r" } do
      local result = wire.exchange(wire.get() .. wire.NEXT, { answer = bytes, closes = true })
      wire.check(result, result.responses[1].status == 502, "502")
      wire.check(result, #result.responses == 2 and result.responses[2].body == "ok", "the next request is served")
    end
  end)
end)
