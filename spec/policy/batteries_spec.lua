-- SPDX-License-Identifier: Apache-2.0
-- What a policy finds ready made: encodings, digests, queries, cookies, dates, networks, patterns, JSON, log lines.
local perilune = require "perilune"
local test = require "perilune.test"

describe("perilune.base64", function()
  local base64 = require "perilune.base64"

  it("encodes as RFC 4648 has it", function()
    local vectors = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
      foobar = "Zm9vYmFy" }
    for text, code in pairs(vectors) do
      assert.equal(code, base64.encode(text))
      assert.equal(text, base64.decode(code))
      assert.equal((code:gsub("=", "")), base64.encode_url(text))
      assert.equal(text, base64.decode_url((code:gsub("=", ""))))
    end
    assert.equal("-_8", base64.encode_url "\251\255")
    assert.equal("+/8=", base64.encode "\251\255")
  end)

  it("gets any bytes back", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes):rep(500)
    assert.is_true(base64.decode(base64.encode(all)) == all)
    assert.is_true(base64.decode_url(base64.encode_url(all)) == all)
  end)

  it("refuses what encoding would never give", function()
    for _, bad in ipairs { "Zg", "Zg=", "Zg===", "Z", "Zm9v=", "Zh==", "Zm 9", "Zm9v\n", "=", "====", "Zm-v",
      "Zm9\0" } do
      assert.same({ nil, "this is no base64" }, { base64.decode(bad) })
    end
    for _, bad in ipairs { "Zg==", "Zh", "Z", "Zm+v" } do assert.is_nil(base64.decode_url(bad)) end
  end)
end)

describe("perilune.crypto", function()
  local crypto = require "perilune.crypto"

  it("gives the known digests", function()
    assert.equal("900150983cd24fb0d6963f7d28e17f72", crypto.hex(crypto.md5 "abc"))
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", crypto.hex(crypto.sha1 "abc"))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", crypto.hex(crypto.sha256 "abc"))
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", crypto.hex(crypto.sha256 ""))
    assert.equal(48, #crypto.sha384 "abc")
    assert.same({ 0xcbf43926, 0, 0xe8b7be43 },
      { crypto.crc32 "123456789", crypto.crc32 "", crypto.crc32 "a" })
    assert.equal("ddaf35a193617aba", crypto.hex(crypto.sha512 "abc"):sub(1, 16))
  end)

  it("gives the HMACs of RFC 4231 and RFC 2202", function()
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      crypto.hex(crypto.hmac_sha256(("\11"):rep(20), "Hi There")))
    assert.equal("b617318655057264e28bc0b6fb378c8ef146be00", crypto.hex(crypto.hmac_sha1(("\11"):rep(20), "Hi There")))
    assert.equal("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad",
      crypto.hex(crypto.hmac_sha256("", "")))
    assert.equal(48, #crypto.hmac_sha384("k", "v"))
    assert.equal(64, #crypto.hmac_sha512("k", "v"))
  end)

  it("gives random bytes", function()
    assert.equal(16, #crypto.random(16))
    assert.equal("", crypto.random(0))
    assert.are_not.equal(crypto.random(16), crypto.random(16))
    assert.has_error(function() crypto.random(2e6) end)
  end)

  it("compares", function()
    assert.is_true(crypto.equal("secret", "secret"))
    assert.is_true(crypto.equal("", ""))
    assert.is_false(crypto.equal("secret", "secres"))
    assert.is_false(crypto.equal("secret", "secre"))
  end)

  it("shows bytes as hexadecimal and reads them", function()
    assert.equal("00ff10", crypto.hex "\0\255\16")
    assert.equal("\0\255\16", crypto.from_hex "00fF10")
    assert.is_nil(crypto.from_hex "0")
    assert.is_nil(crypto.from_hex "0g")
  end)
end)

describe("perilune.url", function()
  local url = require "perilune.url"

  it("encodes and decodes", function()
    assert.equal("a%20b%2Fc%C3%A9-._~%00", url.encode "a b/cé-._~\0")
    assert.equal("a b/cé+", url.decode "a%20b%2fc%C3%A9+")
    assert.is_nil(url.decode "100%")
    assert.is_nil(url.decode "%2")
    assert.is_nil(url.decode "%zz")
  end)

  it("reads queries: first values by name, and all in order", function()
    local first, all = url.parse_query "a=1&b=x+y%21&a=2&c&=v&&d=%zz&e=f=g"
    assert.same({ a = "1", b = "x y!", c = "", [""] = "v", d = "%zz", e = "f=g" }, first)
    assert.equal(7, #all)
    assert.same({ "a", "2" }, all[3])
    assert.same({}, (url.parse_query(nil)))
  end)

  it("builds queries", function()
    assert.equal("a=1&a=2&b=x%20y&c=", url.build_query { b = "x y", a = { 1, 2 }, c = true })
    assert.has_error(function() url.build_query { a = print } end,
      "url.build_query: field 'a' is a function value, not a string or number")
  end)

  it("takes a URL apart", function()
    assert.same({ scheme = "https", host = "example.org", port = 8443, path = "/a", query = "b=c", target = "/a?b=c" },
      url.parse "HTTPS://user@Example.org:8443/a?b=c#d")
    assert.same({ scheme = "http", host = "::1", port = 80, path = "/", target = "/" }, url.parse "http://[::1]")
    assert.is_nil(url.parse "/path")
    assert.is_nil(url.parse "http:///path")
    assert.is_nil(url.parse "gopher://host/")
    assert.is_nil(url.parse "http://host:99999/")
  end)
end)

describe("perilune.cookie", function()
  local cookie = require "perilune.cookie"

  it("takes time in proportion to a field's length, whatever is in it", function()
    for _, text in ipairs { "a", " ", "=", "a =", '"', ";", "\t;" } do
      local started = os.clock()
      cookie.parse("name=" .. text:rep(60000 / #text))
      cookie.parse(text:rep(60000 / #text) .. "x")
      assert.is_true(os.clock() - started < 0.5, text)
    end
  end)

  it("reads the Cookie field", function()
    assert.same({ a = "1", b = "x=y", c = "quoted", d = "" }, cookie.parse 'a=1; b=x=y;c="quoted"; d=; a=2; junk')
    assert.same({}, cookie.parse(nil))
    assert.same({ a = "1 2" }, cookie.parse " ; =x;  a \t= 1 2  ;b")
  end)

  it("builds a Set-Cookie field", function()
    assert.equal("id=7", cookie.build("id", "7"))
    assert.equal("id=7; Path=/; Domain=example.org; Max-Age=0; Expires=Sun, 06 Nov 1994 08:49:37 GMT; SameSite=Lax; " ..
      "Secure; HttpOnly", cookie.build("id", "7", { path = "/", domain = "example.org", max_age = 0,
        expires = 784111777, same_site = "lax", secure = true, http_only = true }))
  end)

  it("refuses what would break out of it", function()
    for _, bad in ipairs { "a b", "a;b", "a\r\nb", 'a"', "a,b", "é" } do
      assert.has_error(function() cookie.build("id", bad) end)
    end
    assert.has_error(function() cookie.build("i d", "7") end, "cookie.build: 'i d' is no name of a cookie")
    assert.has_error(function() cookie.build("id", "7", { path = "/; Domain=evil" }) end)
    assert.has_error(function() cookie.build("id", "7", { same_site = "maybe" }) end)
  end)
end)

describe("perilune.date", function()
  local date = require "perilune.date"

  it("writes and reads HTTP dates, also in the old forms", function()
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", date.http(784111777.9))
    for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994" } do
      assert.equal(784111777, date.parse_http(text))
    end
    for _, bad in ipairs { "", "yesterday", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
      "Sun, 06 Nov 1994 08:49:37 CET" } do
      assert.is_nil(date.parse_http(bad))
    end
  end)

  it("writes and reads ISO 8601", function()
    assert.equal("1994-11-06T08:49:37Z", date.iso8601(784111777))
    assert.equal("1994-11-06T08:49:37.250Z", date.iso8601(784111777.25, 3))
    assert.equal(784111777, date.parse_iso8601 "1994-11-06T08:49:37Z")
    assert.equal(784111777.5, date.parse_iso8601 "1994-11-06T09:49:37.5+01:00")
    assert.equal(784111777, date.parse_iso8601 "1994-11-06 03:19:37-0530")
    for _, bad in ipairs { "1994-11-06", "1994-11-06T08:49:37", "1994-13-06T08:49:37Z", "1994-11-06T08:49:37+25:00" } do
      assert.is_nil(date.parse_iso8601(bad))
    end
  end)

  it("agrees with the calendar over four centuries", function()
    for time = -2e9, 1e10, 86400 * 97 + 12345 do
      assert.equal(time, date.parse_iso8601(date.iso8601(time)))
    end
    assert.equal(951782400, date.parse_iso8601 "2000-02-29T00:00:00Z")
    assert.is_nil(date.parse_iso8601 "2100-02-29T00:00:00Z")
  end)

  it("takes the present where no time is given", function()
    test.clock:set_time(784111777)
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", date.http())
  end)
end)

describe("perilune.cidr", function()
  local cidr = require "perilune.cidr"

  it("finds addresses in networks", function()
    local set = cidr.new { "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "10.1.0.0/16", "::1", "172.16.0.0/12" }
    for _, inside in ipairs { "10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::", "2001:db8:ffff::1", "::1",
      "172.31.255.255", "10.1.2.3:80", "[2001:db8::1]:443", "::ffff:10.1.2.3" } do
      assert.is_true(set:contains(inside), inside)
    end
    for _, outside in ipairs { "9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db9::", "::2",
      "172.32.0.0", "0.0.0.0", "255.255.255.255", "unix:/tmp/x", "::10.1.2.3" } do
      assert.is_false(set:contains(outside), outside)
    end
    for _, none in ipairs { "", "host", "1.2.3", "1.2.3.4.5", "10.0.0.1\0", "fe80::1%eth0" } do
      assert.same({ nil, "not an IP address" }, { set:contains(none) })
    end
  end)

  it("knows all and nothing", function()
    assert.is_true(cidr.new("0.0.0.0/0"):contains "1.2.3.4")
    assert.is_false(cidr.new("0.0.0.0/0"):contains "::1")
    assert.is_true(cidr.new("::/0"):contains "::1")
    assert.is_false(cidr.new({}):contains "1.2.3.4")
  end)

  it("agrees with arithmetic in a long list", function()
    local list, wanted = {}, {}
    for i = 0, 4999 do
      local a, b = math.floor(i / 256), i % 256
      if i % 3 == 0 then list[#list + 1] = ("7.%d.%d.0/24"):format(a, b) end
      wanted[i] = i % 3 == 0
    end
    local set = cidr.new(list)
    for i = 0, 4999 do
      assert.equal(wanted[i], set:contains(("7.%d.%d.%d"):format(math.floor(i / 256), i % 256, i % 250)))
    end
  end)

  it("refuses what is no network, and says why", function()
    local function why(text) return select(2, pcall(cidr.new, { "10.0.0.0/8", text })) end
    assert.truthy(why("10.0.0.1/8"):find("'10.0.0.1/8': bits are set behind the prefix", 1, true))
    assert.truthy(why("10.0.0.0/33"):find("a prefix of IPv4 is a number from 0 to 32", 1, true))
    assert.truthy(why("::/129"):find("0 to 128", 1, true))
    for _, bad in ipairs { "10.0.0.0/", "10.0.0.0/8x", "host", "" } do
      assert.has_error(function() cidr.new { bad } end)
    end
  end)
end)

describe("perilune.regex", function()
  local regex = require "perilune.regex"

  it("matches, with groups by number and name", function()
    assert.same({ [0] = "/user/7/x", "7", "x", id = "7" }, regex.match("/user/7/x", [[^/user/(?<id>\d+)/(\w)$]]))
    assert.is_nil(regex.match("/user/x", [[^/user/(\d+)$]]))
    assert.same({ [0] = "b", [2] = "b" }, regex.match("b", "(a)|(b)"))
    assert.is_true(regex.test("HELLO", "^hello$", "i"))
    assert.same({ 3, 4 }, { regex.find("xxab", "ab") })
    assert.same({ 4, 4 }, { regex.new("x"):find("xaax", 2) })
  end)

  it("knows flags", function()
    assert.is_false(regex.test("a\nb", "a.b"))
    assert.is_true(regex.test("a\nb", "a.b", "s"))
    assert.is_true(regex.test("a\nb", "^b$", "m"))
    assert.is_true(regex.test("ab", "a b # two", "x"))
    assert.is_true(regex.test("é", "^.$", "u"))
    assert.is_false(regex.test("é", "^.$"))
    assert.is_false(regex.test("xa", "a", "a"))
    assert.has_error(function() regex.test("", "", "q") end)
  end)

  it("replaces", function()
    assert.same({ "<a1>-<b2>", 2 }, { regex.gsub("a1-b2", [[([a-z])(\d)]], "<$1$2>") })
    assert.same({ "1a 2b", 2 }, { regex.gsub("a1 b2", [[(?<l>[a-z])(?<d>\d)]], "${d}${l}") })
    assert.same({ "$0 a", 1 }, { regex.gsub("x a", "x", "$$0") })
    assert.same({ "[x][x]y", 2 }, { regex.gsub("xxy", "x", "[$0]") })
    assert.same({ "Xxy", 1 }, { regex.gsub("xxy", "x", "X", nil, 1) })
    assert.same({ "1 b", 2 }, { regex.gsub("a b", "[ab]", function(c) if c[0] == "a" then return 1 end end) })
    assert.same({ "-a-b-", 3 }, { regex.gsub("ab", "", "-") })
    assert.same({ "a", 0 }, { regex.gsub("a", "x", "y") })
  end)

  it("goes through all matches", function()
    local found = {}
    for captures in regex.gmatch("k=v, a=b", [[(\w)=(\w)]]) do found[#found + 1] = captures[1] .. captures[2] end
    assert.same({ "kv", "ab" }, found)
    local count = 0
    for _ in regex.gmatch("abc", "") do count = count + 1 end
    assert.equal(4, count)
  end)

  it("gives up a search that would take for ever", function()
    local started = os.clock()
    assert.same({ nil, "match limit exceeded" }, { regex.match(("a"):rep(40) .. "!", "^(a+)+$") })
    assert.same({ nil, "match limit exceeded" }, { regex.gsub(("a"):rep(40) .. "!", "^(a+)+$", "") })
    assert.has_error(function() for _ in regex.gmatch(("a"):rep(40) .. "!", "^(a+)+$") do end end)
    assert.is_true(os.clock() - started < 1)
  end)

  it("refuses a wrong pattern at the caller's line, with the place in it", function()
    local _, why = pcall(function() regex.match("", "(a") end)
    assert.truthy(why:find "batteries_spec.lua:%d+: regex.match: missing closing parenthesis at character 3 in '%(a'")
  end)

  it("keeps what it has compiled, within bounds", function()
    assert.equal(regex.new "a+b", regex.new "a+b")
    assert.are_not.equal(regex.new "a+b", regex.new("a+b", "i"))
    for i = 1, 2000 do assert.is_true(regex.test(tostring(i), "^" .. i .. "$")) end
  end)
end)

describe("perilune.json", function()
  local json = require "perilune.json"

  it("encodes and decodes", function()
    assert.equal("[1,2,\"three\"]", json.encode { 1, 2, "three" })
    assert.equal('{"a":{"b":true}}', json.encode { a = { b = true } })
    assert.same({ a = { 1, 2 }, b = json.null }, json.decode '{"a":[1,2],"b":null}')
    assert.equal("null", json.encode(json.null))
  end)

  it("returns nil and a message for what it cannot do", function()
    for _, bad in ipairs { "", "{", "[1,]", "{'a':1}", "nul", ("["):rep(200) .. ("]"):rep(200), "NaN" } do
      local value, why = json.decode(bad)
      assert.is_nil(value)
      assert.equal("string", type(why))
    end
    assert.is_nil(json.encode(print))
    assert.is_nil(json.encode(0 / 0))
    local loop = {}
    loop[1] = loop
    assert.is_nil(json.encode(loop))
  end)
end)

describe("perilune.log", function()
  it("writes fields behind the text, in order", function()
    perilune.log.info("refused", { why = "no token", client = "1.2.3.4", n = 7, ok = false, q = 'a"b', empty = "" })
    assert.equal([[refused client=1.2.3.4 empty="" n=7 ok=false q="a\"b" why="no token"]], test.log.last("info").text)
    perilune.log.warn { alone = 1 }
    assert.equal("alone=1", test.log.last("warn").text)
    perilune.log.error("plain", 1, nil, true)
    assert.equal("plain 1 nil true", test.log.last("error").text)
    assert.is_true(perilune.log.is_on "debug")
  end)

  it("forges no lines", function()
    perilune.log.info("a", { b = "x\nerror y" })
    assert.equal([[a b="x\x0aerror y"]], test.log.last("info").text)
  end)
end)

describe("the module perilune", function()
  it("loads its parts when they are first used, and names what it does not have", function()
    assert.equal(require "perilune.json", perilune.json)
    local fine, why = pcall(function() return perilune.lisen end)
    assert.is_false(fine)
    assert.matches("perilune has no 'lisen'", why, 1, true)
  end)
end)
