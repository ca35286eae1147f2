-- SPDX-License-Identifier: Apache-2.0
-- Which authority a request is for: Host, and the four forms of a target (RFC 9112 section 3.2).
local wire = require "wire"

local function get(host) return "GET / HTTP/1.1\r\n" .. host .. "\r\n" end
local function host(value) return get("Host: " .. value .. "\r\n") end
local function to(target, fields, method, version)
  return ("%s %s HTTP/%s\r\n%s\r\n"):format(method or "GET", target, version or "1.1", fields or "Host: a\r\n")
end

local refused = {
  { "no Host (RFC 9112 3.2)", get "" },
  { "no Host, but other fields (RFC 9112 3.2)", get "X-Host: a\r\nHosts: a\r\n" },
  { "two Hosts (RFC 9112 3.2)", get "Host: a\r\nHost: b\r\n" },
  { "two Hosts that are equal (RFC 9112 3.2)", get "Host: a\r\nHost: a\r\n" },
  { "two Hosts, other fields between (RFC 9112 3.2)", get "Host: a\r\nX: 1\r\nY: 2\r\nHost: b\r\n" },
  { "two Hosts in different case (RFC 9112 3.2)", get "host: a\r\nHOST: b\r\n" },
  { "three Hosts (RFC 9112 3.2)", get "Host: a\r\nHost: a\r\nHost: a\r\n" },
  { "a second Host that is empty (RFC 9112 3.2)", get "Host: a\r\nHost:\r\n" },
  { "a first Host that is empty (RFC 9112 3.2)", get "Host:\r\nHost: a\r\n" },
  { "two Hosts on HTTP/1.0 (RFC 9112 3.2)", to("/", "Host: a\r\nHost: b\r\n", "GET", "1.0") },
  { "two Hosts with an absolute-form target (RFC 9112 3.2)", to("http://a/", "Host: a\r\nHost: a\r\n") },
  { "no Host with an absolute-form target (RFC 9112 3.2)", to("http://a/", "") },
  { "an invalid Host with an absolute-form target (RFC 9112 3.2)", to("http://a/", "Host: a b\r\n") },
  { "an invalid Host on HTTP/1.0 (RFC 9112 3.2)", to("/", "Host: a b\r\n", "GET", "1.0") },
  { "a second Host on a continued line (RFC 9112 5.2)", get "Host: a\r\n Host: b\r\n" },
  { "Host with a space before the colon (RFC 9112 5.1)", get "Host : a\r\n" },
  { "Host with a tab before the colon (RFC 9112 5.1)", get "Host\t: a\r\n" },
  { "Host that begins with a space (RFC 9112 2.2)", get " Host: a\r\n" },
  { "two hosts in one Host (RFC 9110 7.2)", host "a, b" },
  { "two hosts with a space (RFC 9110 7.2)", host "a b" },
  { "a tab in Host (RFC 9110 7.2)", host "a\tb" },
  { "a path in Host (RFC 9110 7.2)", host "a/b" },
  { "a query in Host (RFC 9110 7.2)", host "a?b" },
  { "a fragment in Host (RFC 9110 7.2)", host "a#b" },
  { "user information in Host (RFC 9110 7.2)", host "user@a" },
  { "user and password in Host (RFC 9110 7.2)", host "user:secret@a" },
  { "a URI in Host (RFC 9110 7.2)", host "http://a" },
  { "a backslash in Host (RFC 9110 7.2)", host "a\\b" },
  { "quotes in Host (RFC 9110 7.2)", host '"a"' },
  { "angle brackets in Host (RFC 9110 7.2)", host "<a>" },
  { "braces in Host (RFC 9110 7.2)", host "{a}" },
  { "a bar in Host (RFC 9110 7.2)", host "a|b" },
  { "a caret in Host (RFC 9110 7.2)", host "a^b" },
  { "obs-text in Host (RFC 9110 7.2)", host "\195\164" },
  { "NUL in Host (RFC 9110 5.5)", host "a\0b" },
  { "a control character in Host (RFC 9110 5.5)", host "a\1" },
  { "a bad percent-encoding in Host (RFC 3986 3.2.2)", host "a%zz" },
  { "a cut percent-encoding in Host (RFC 3986 3.2.2)", host "a%4" },
  { "a port that is no number (RFC 3986 3.2.3)", host "a:b" },
  { "a port with a sign (RFC 3986 3.2.3)", host "a:+80" },
  { "a negative port (RFC 3986 3.2.3)", host "a:-1" },
  { "a hexadecimal port (RFC 3986 3.2.3)", host "a:0x50" },
  { "a port above 65535 (RFC 3986 3.2.3)", host "a:65536" },
  { "a port that overflows (RFC 3986 3.2.3)", host "a:18446744073709551696" },
  { "two ports (RFC 3986 3.2.3)", host "a:80:80" },
  { "a space before the port (RFC 3986 3.2.3)", host "a: 80" },
  { "a port alone (RFC 9110 4.2.1)", host ":80" },
  { "a colon alone (RFC 9110 4.2.1)", host ":" },
  { "an empty Host (RFC 9110 4.2.1)", get "Host:\r\n" },
  { "a blank Host (RFC 9110 4.2.1)", get "Host:  \t \r\n" },
  { "an IPv6 address without brackets (RFC 3986 3.2.2)", host "::1" },
  { "an open bracket (RFC 3986 3.2.2)", host "[::1" },
  { "a closing bracket alone (RFC 3986 3.2.2)", host "::1]" },
  { "empty brackets (RFC 3986 3.2.2)", host "[]" },
  { "an invalid IPv6 address (RFC 3986 3.2.2)", host "[::g]" },
  { "a name in brackets (RFC 3986 3.2.2)", host "[a]" },
  { "text behind the brackets (RFC 3986 3.2.2)", host "[::1]a" },
  { "a zone identifier (RFC 9110 4.2)", host "[fe80::1%25eth0]" },
  { "an IPv4 address in brackets (RFC 3986 3.2.2)", host "[127.0.0.1]" },
  { "user information in the target (RFC 9110 4.2.4)", to "http://user@a/" },
  { "user and password in the target (RFC 9110 4.2.4)", to "http://user:secret@a/" },
  { "an at sign that hides the host (RFC 9110 4.2.4)", to "http://a@b/" },
  { "an empty host in the target (RFC 9110 4.2.1)", to "http:///a" },
  { "a port alone in the target (RFC 9110 4.2.1)", to "http://:80/" },
  { "no authority in the target (RFC 9112 3.2.2)", to "http://" },
  { "one slash in the target (RFC 9112 3.2.2)", to "http:/a" },
  { "a scheme alone (RFC 9112 3.2.2)", to "http:" },
  { "an invalid port in the target (RFC 9112 3.2.2)", to "http://a:b/" },
  { "an invalid host in the target (RFC 9112 3.2.2)", to "http://a|b/" },
  { "a backslash behind the host in the target (RFC 9112 3.2.2)", to "http://a\\b/" },
  { "a fragment in an absolute-form target (RFC 9112 3.2.2)", to "http://a/#b" },
  { "another scheme (RFC 9112 3.2.2)", to "ftp://a/" },
  { "a file URI (RFC 9112 3.2.2)", to "file:///etc/passwd" },
  { "a scheme without slashes (RFC 9112 3.2.2)", to "mailto:a@b" },
  { "a scheme like http (RFC 9112 3.2.2)", to "httpx://a/" },
  { "authority-form for GET (RFC 9112 3.2.3)", to "a:80" },
  { "authority-form for OPTIONS (RFC 9112 3.2.3)", to("a:80", nil, "OPTIONS") },
  { "asterisk-form for GET (RFC 9112 3.2.4)", to "*" },
  { "asterisk-form for POST (RFC 9112 3.2.4)", to("*", nil, "POST") },
  { "asterisk-form for HEAD (RFC 9112 3.2.4)", to("*", nil, "HEAD") },
  { "asterisk-form with a path (RFC 9112 3.2.4)", to("*/a", nil, "OPTIONS") },
  { "two asterisks (RFC 9112 3.2.4)", to("**", nil, "OPTIONS") },
  { "asterisk-form with a query (RFC 9112 3.2.4)", to("*?a", nil, "OPTIONS") },
}

local not_allowed = {
  { "CONNECT (RFC 9110 9.3.6)", to("a:443", "Host: a:443\r\n", "CONNECT"), "405" },
  { "CONNECT without a port (RFC 9112 3.2.3)", to("a", nil, "CONNECT"), "400 405" },
  { "CONNECT with an empty port (RFC 9110 9.3.6)", to("a:", nil, "CONNECT"), "400 405" },
  { "CONNECT with a path (RFC 9112 3.2.3)", to("/", nil, "CONNECT"), "400 405" },
  { "CONNECT with a URI (RFC 9112 3.2.3)", to("http://a:80/", nil, "CONNECT"), "400 405" },
  { "CONNECT with user information (RFC 9112 3.2.3)", to("u@a:443", nil, "CONNECT"), "400 405" },
  { "CONNECT with bytes of the tunnel behind it (RFC 9110 9.3.6)",
    to("a:443", nil, "CONNECT") .. "\22\3\1", "405" },
}

-- sentence, bytes, head as forwarded
local function same(bytes) return { bytes, bytes } end
local passed = {
  { "passes Host (RFC 9110 7.2)", same(host "a.example") },
  { "passes Host with a port (RFC 9110 7.2)", same(host "a.example:8080") },
  { "passes Host with the default port (RFC 9110 7.2)", same(host "a.example:80") },
  { "passes an empty port (RFC 3986 3.2.3)", same(host "a.example:") },
  { "passes an IPv4 address (RFC 9110 7.2)", same(host "127.0.0.1:80") },
  { "passes an IPv6 address (RFC 9110 7.2)", same(host "[::1]:80") },
  { "passes an IPv6 address without a port (RFC 9110 7.2)", same(host "[2001:db8::1]") },
  { "passes a name with a dot at its end (RFC 3986 3.2.2)", same(host "a.example.") },
  { "passes a name with underscores (RFC 3986 3.2.2)", same(host "a_b.example") },
  { "passes a percent-encoded name (RFC 3986 3.2.2)", same(host "a%20b") },
  { "passes the case of a name (RFC 9110 7.2)", same(host "A.Example") },
  { "drops white space around Host (RFC 9112 5.1)", { get "Host: \t a \t\r\n", host "a" } },
  { "passes Host without white space (RFC 9112 5.1)", { get "Host:a\r\n", host "a" } },
  { "passes the case of the field name (RFC 9110 5.1)", same(get "hOST: a\r\n") },
  { "keeps Host in its place (RFC 9110 5.3)", same(get "X: 1\r\nHost: a\r\nY: 2\r\n") },
  { "makes absolute-form origin-form (RFC 9112 3.2.2)", { to "http://a/b?c", to "/b?c" } },
  { "takes the host from an absolute-form target (RFC 9112 3.2.2)",
    { to("http://b/c", "Host: a\r\n"), to("/c", "Host: b\r\n") } },
  { "takes the port from an absolute-form target (RFC 9112 3.2.2)",
    { to("http://b:81/c", "Host: a:82\r\n"), to("/c", "Host: b:81\r\n") } },
  { "takes an IPv6 host from an absolute-form target (RFC 9112 3.2.2)",
    { to("http://[::1]:81/c", "Host: a\r\n"), to("/c", "Host: [::1]:81\r\n") } },
  { "puts the new Host in the place of the old (RFC 9112 3.2.2)",
    { to("http://b/", "X: 1\r\nHost: a\r\nY: 2\r\n"), to("/", "X: 1\r\nHost: b\r\nY: 2\r\n") } },
  { "makes an empty path a slash (RFC 9110 4.2.3)", { to "http://a", to "/" } },
  { "makes an empty path before a query a slash (RFC 9112 3.2.1)", { to "http://a?b", to "/?b" } },
  { "takes a scheme in any case (RFC 9110 4.2.3)", { to "HtTp://a/b", to "/b" } },
  { "takes https in an absolute-form target (RFC 9112 3.2.2)", { to "https://a/b", to "/b" } },
  { "keeps a URI in the path of a URI (RFC 9112 3.2.2)", { to "http://a/http://b/", to "/http://b/" } },
  { "keeps an at sign in the path of a URI (RFC 9112 3.2.2)", { to "http://a/@b", to "/@b" } },
  { "keeps an at sign in the query of a URI (RFC 9112 3.2.2)", { to "http://a?x@b", to "/?x@b" } },
  { "passes asterisk-form for OPTIONS (RFC 9112 3.2.4)", same(to("*", nil, "OPTIONS")) },
  { "makes an absolute-form without path asterisk-form for OPTIONS (RFC 9112 3.2.4)",
    { to("http://b", nil, "OPTIONS"), to("*", "Host: b\r\n", "OPTIONS") } },
  { "keeps the port there (RFC 9112 3.2.4)",
    { to("http://b:8001", nil, "OPTIONS"), to("*", "Host: b:8001\r\n", "OPTIONS") } },
  { "passes a slash as a slash for OPTIONS (RFC 9112 3.2.4)",
    { to("http://a/", nil, "OPTIONS"), to("/", nil, "OPTIONS") } },
}

describe("The authority of a request", function()
  lazy_setup(wire.start)
  lazy_teardown(wire.stop)

  describe("is refused with 400:", function()
    for _, case in ipairs(refused) do
      it(case[1], function() wire.refuses(case[2], "400") end)
    end
  end)

  describe("is not for us in", function()
    for _, case in ipairs(not_allowed) do
      it(case[1], function() wire.refuses(case[2], case[3]) end)
    end
  end)

  it("is not for us in CONNECT, and the 405 says what is allowed (RFC 9110 15.5.6)", function()
    local response = wire.refuses(to("a:443", nil, "CONNECT"), "405").responses[1]
    assert.matches("GET", response.headers.allow)
    assert.not_matches("CONNECT", response.headers.allow)
  end)

  for _, case in ipairs(passed) do
    it(case[1], function() wire.passes(case[2][1], case[2][2]) end)
  end

  it("of HTTP/1.0 may be missing; the origin gets a Host all the same (RFC 9112 3.2)", function()
    local result = wire.exchange(to("/a", "", "GET", "1.0"))
    wire.check(result, #result.requests == 1 and result.responses[1].status == 200, "it must be served")
    assert.same({ wire.origin.address }, result.requests[1].headers:all "host")
  end)

  it("of HTTP/1.0 may stand in an absolute-form target alone (RFC 9112 3.2.2)", function()
    local result = wire.exchange(to("http://b/a", "", "GET", "1.0"))
    wire.check(result, #result.requests == 1 and result.responses[1].status == 200, "it must be served")
    assert.same({ "b" }, result.requests[1].headers:all "host")
    assert.equal("/a", result.requests[1].target)
  end)
end)
