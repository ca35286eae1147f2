-- SPDX-License-Identifier: Apache-2.0
-- The default policies in scripts/, each in an exchange without sockets.
local perilune = require "perilune"
local test = require "perilune.test"

-- The answer of a request_filter to a request; nil where it lets it pass. Also the exchange.
local function ask(request_filter, request)
  local x = test.policy({ request_filter = request_filter }):exchange(request)
  local result = x:request_filter()
  assert.is_nil(result.failure)
  return result.answer, x
end

describe("access_control", function()
  local access_control = require "perilune.access_control"
  local function status(guard, client)
    local answer = ask(guard, { client = client })
    return answer and answer.status
  end

  it("lets in whom it knows, and nobody whom it denies", function()
    local guard = access_control.new { allow = { "10.0.0.0/8", "2001:db8::/32" }, deny = { "10.6.0.0/16" } }
    assert.is_nil(status(guard, "10.1.2.3:4"))
    assert.is_nil(status(guard, "[2001:db8::1]:4"))
    assert.equal(403, status(guard, "10.6.0.1:4"))
    assert.equal(403, status(guard, "192.0.2.1:4"))
  end)

  it("lets everybody in but those it denies", function()
    local guard = access_control.new { deny = { "192.0.2.0/24" }, status = 404 }
    assert.equal(404, status(guard, "192.0.2.1:4"))
    assert.is_nil(status(guard, "10.1.2.3:4"))
    assert.is_nil(status(guard, "unix:/tmp/x"))
  end)

  it("takes the address that the policy finds, and lets none in that is no address", function()
    local guard = access_control.new { deny = { "192.0.2.0/24" },
      address = function(session) return session:get_header "x-client" end }
    assert.equal(403, ask(guard, { headers = { ["X-Client"] = "192.0.2.9" } }).status)
    assert.equal(403, ask(guard, { headers = { ["X-Client"] = "rubbish" } }).status)
    assert.is_nil((ask(guard, { headers = { ["X-Client"] = "192.0.3.9" } })))
  end)

  it("says what is wrong with its options", function()
    assert.has_error(function() access_control.new {} end, "access_control.new: give 'allow', 'deny' or both")
    local ok, why = pcall(access_control.new, { allow = { "10.0.0.1/8" } })
    assert.is_false(ok)
    assert.truthy(why:find("allow: '10.0.0.1/8': bits are set", 1, true))
  end)
end)

describe("basic_auth", function()
  local basic_auth = require "perilune.basic_auth"
  local login = basic_auth.new { realm = 'a "b"', users = { bob = "plain:se:cret",
    ada = "sha256:" .. perilune.crypto.hex(perilune.crypto.sha256 "lovelace") } }
  local function ask_with(credentials)
    return ask(login, { headers = credentials and { Authorization = credentials } })
  end
  local function basic(text) return "Basic " .. perilune.base64.encode(text) end

  it("lets in who knows the password, and tells who it is", function()
    for user, password in pairs { ada = "lovelace", bob = "se:cret" } do
      local answer, x = ask_with(basic(user .. ":" .. password))
      assert.is_nil(answer)
      assert.equal(user, x:ctx().user)
    end
    assert.is_nil((ask_with("bASIC " .. perilune.base64.encode "ada:lovelace")))
  end)

  it("asks everybody else", function()
    for _, bad in ipairs { basic "ada:wrong", basic "ada:", basic "ada", basic "eve:lovelace", basic ":", "Basic",
      "Basic !!!", "Bearer x", "" } do
      assert.equal(401, ask_with(bad).status, bad)
    end
    assert.equal('Basic realm="a \\"b\\"", charset="UTF-8"', ask_with(nil).headers.www_authenticate)
  end)

  it("refuses digests that are none", function()
    assert.has_error(function() basic_auth.new { users = { ada = "sha256:abc" } } end,
      "basic_auth.new: the password of 'ada': the digest must have 64 digits")
  end)
end)

describe("token_auth", function()
  local token_auth = require "perilune.token_auth"
  local options = { secret = "s", issuer = "i", audience = "a", leeway = 5 }
  local function claims(more)
    local all = { iss = "i", aud = "a", sub = "ada", exp = 2000 }
    for name, value in pairs(more or {}) do all[name] = value end
    return all
  end
  before_each(function() test.clock:set_time(1000) end)

  it("knows the token of RFC 7515, appendix A.1", function()
    test.clock:set_time(1300819370)
    local key = perilune.base64.decode_url(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    local token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" ..
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" ..
      ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert.equal("joe", token_auth.verify(token, { secret = key }).iss)
    test.clock:set_time(1300819380)
    assert.same({ nil, "the token has expired" }, { token_auth.verify(token, { secret = key }) })
  end)

  it("lets in who has one, and tells what it says", function()
    local answer, x = ask(token_auth.new(options),
      { headers = { Authorization = "Bearer " .. token_auth.sign(claims(), "s") } })
    assert.is_nil(answer)
    assert.equal("ada", x:ctx().claims.sub)
    assert.truthy(token_auth.verify(token_auth.sign(claims { aud = { "b", "a" } }, "s"), options))
    assert.truthy(token_auth.verify(token_auth.sign(claims { exp = 996, nbf = 1004 }, "s"), options))
  end)

  it("refuses all others, and says why", function()
    local function why(token) return select(2, token_auth.verify(token, options)) end
    assert.equal("the signature is wrong", why(token_auth.sign(claims(), "t")))
    assert.equal("the token has expired", why(token_auth.sign(claims { exp = 995 }, "s")))
    assert.equal("the token has expired", why(token_auth.sign(claims { exp = "later" }, "s")))
    assert.equal("the token is not valid yet", why(token_auth.sign(claims { nbf = 1006 }, "s")))
    assert.equal("the token is of another issuer", why(token_auth.sign(claims { iss = "j" }, "s")))
    assert.equal("the token is for somebody else", why(token_auth.sign(claims { aud = { "b" } }, "s")))
    for _, bad in ipairs { "", "a.b", "a.b.c", "....", token_auth.sign(claims(), "s") .. "x" } do
      assert.is_not_nil(why(bad), bad)
    end
  end)

  it("never takes the token's word for the algorithm", function()
    local base64, body = perilune.base64, perilune.base64.encode_url(perilune.json.encode(claims()))
    for _, header in ipairs { '{"alg":"none"}', '{"alg":"HS512"}', '{"alg":"hs256"}', '{}',
      '{"alg":"HS256","crit":[]}' } do
      local signed = base64.encode_url(header) .. "." .. body
      local signature = base64.encode_url(perilune.crypto.hmac_sha256("s", signed))
      assert.is_nil((token_auth.verify(signed .. "." .. signature, options)))
      assert.is_nil((token_auth.verify(signed .. ".", options)))
    end
  end)

  it("asks for a token, and says what is wrong with one", function()
    local check = token_auth.new(options)
    assert.same({ 401, "Bearer" }, (function(a) return { a.status, a.headers.www_authenticate } end)(ask(check, {})))
    local answer = ask(check, { headers = { Authorization = "Bearer x.y.z" } })
    assert.equal('Bearer error="invalid_token", error_description="not a token"', answer.headers.www_authenticate)
  end)
end)

describe("canary", function()
  local function walk(options, request)
    local canary = require("perilune.canary").new(options)
    local policy = test.policy {
      upstream_peer = function(session, ctx)
        return canary:is_chosen(session, ctx) and "127.0.0.1:2" or "127.0.0.1:1"
      end,
      response_filter = function(_, response, ctx) canary:remember(response, ctx) end,
    }
    local x = policy:exchange(request)
    local response = x:walk { status = 200 }
    return x:peer().address == "127.0.0.1:2", response.headers.set_cookie
  end

  it("chooses nobody of 0 percent, everybody of 100, and remembers it", function()
    for _ = 1, 20 do
      assert.same({ false, "c=0; Path=/; Max-Age=60" }, { walk { percent = 0, cookie = "c", max_age = 60 } })
      assert.same({ true, "c=1; Path=/; Max-Age=60" }, { walk { percent = 100, cookie = "c", max_age = 60 } })
    end
  end)

  it("goes by the cookie where there is one", function()
    assert.same({ true }, { walk({ percent = 0, cookie = "c" }, { headers = { Cookie = "c=1" } }) })
    assert.same({ false }, { walk({ percent = 100, cookie = "c" }, { headers = { Cookie = "c=0" } }) })
    assert.is_true((walk({ percent = 100, cookie = "c" }, { headers = { Cookie = "c=yes" } })))
  end)

  it("chooses by a key the same each time, and about as many as it should", function()
    local canary = require("perilune.canary").new { percent = 30, key = function(session) return session:path() end }
    local chosen = 0
    for i = 1, 2000 do
      local session = { path = function() return "/" .. i end }
      local first = canary:is_chosen(session, {})
      assert.equal(first, canary:is_chosen(session, {}))
      if first then chosen = chosen + 1 end
    end
    assert.is_true(chosen > 500 and chosen < 700)
  end)
end)

describe("router", function()
  local router = require "perilune.router"
  local routes = router.new {
    ["/health"] = "health", ["/users/:id"] = "user", ["GET /users/:id"] = "get user", ["/users/me"] = "me",
    ["/users/:id/posts/:post-x"] = "post", ["/static/*"] = "static", ["/static/img/*"] = "img",
    ["POST /static/*"] = "upload", ["/a.b"] = "dot", ["*"] = "site",
  }

  it("finds the most exact route", function()
    for path, value in pairs { ["/health"] = "health", ["/healthy"] = "site", ["/users/7"] = "get user",
      ["/users/me"] = "me", ["/users/7/posts/8-x"] = "post", ["/users/7/posts/8"] = "site", ["/static/a"] = "static",
      ["/static/img/a"] = "img", ["/static/"] = "static", ["/static"] = "site", ["/a.b"] = "dot", ["/axb"] = "site",
      ["/users/"] = "site", ["/users/7/"] = "site" } do
      assert.equal(value, (routes:match("GET", path)), path)
    end
    assert.equal("user", (routes:match("PUT", "/users/7")))
    assert.has_error(function() routes:match "/users/7" end, "routes:match(method, path): it wants two arguments: "
      .. "write routes:match(session:method(), session:path())")
    assert.equal("upload", (routes:match("POST", "/static/a")))
    assert.is_nil((router.new({ ["/x"] = 1 }):match("GET", "/y")))
  end)

  it("gives parameters, decoded", function()
    local _, parameters = routes:match("GET", "/users/a%20b/posts/8-x")
    assert.same({ id = "a b", post = "8" }, parameters)
    assert.same({ rest = "img.png" }, (select(2, routes:match("GET", "/static/img.png"))))
    assert.same({ id = "100%" }, (select(2, routes:match("GET", "/users/100%"))))
  end)

  it("refuses what is no path", function()
    assert.has_error(function() router.new { ["users"] = 1 } end)
    assert.has_error(function() router.new { ["get /users"] = 1 } end)
  end)
end)

describe("header_rules", function()
  it("removes, sets, adds and fills in", function()
    local rules = require("perilune.header_rules").new { response = {
      remove = { "Server" }, set = { A = "new", B = function(session) return session:method() end, C = function() end },
      add = { D = "2" }, default = { E = "default", F = "default" },
    } }
    assert.is_nil(rules.request)
    local policy = test.policy { upstream_peer = function() return "127.0.0.1:1" end, response_filter = rules.response }
    local headers = policy:request({}, { headers = { Server = "x", A = "old", D = "1", E = "there" } }).headers
    assert.same({ "new", "GET", "there", "default" }, { headers.a, headers.b, headers.e, headers.f })
    assert.same({ "1", "2" }, headers:all "d")
    assert.is_nil(headers.server)
    assert.is_nil(headers.c)
  end)

  it("names the option that is wrong", function()
    assert.has_error(function() require("perilune.header_rules").new { response = { sets = {} } } end,
      'header_rules.new: response: unknown option \'sets\' (did you mean set?); valid are add, default, remove, set')
  end)
end)

describe("maintenance", function()
  it("answers everybody but some while it is on, and ends by itself", function()
    local closed
    local policy = test.policy { request_filter = function(session) return closed(session) end,
      upstream_peer = function() return "127.0.0.1:1" end }
    closed = require("perilune.maintenance").new { page = "closed", retry_after = 60, allow = { "10.0.0.0/8" } }
    assert.equal(200, policy:request().status)
    closed:turn(true, 600)
    local response = policy:request()
    assert.same({ 503, "closed", "60" }, { response.status, response.body, response.headers.retry_after })
    assert.equal(200, policy:request { client = "10.1.1.1:1" }.status)
    test.clock:advance(600)
    assert.equal(200, policy:request().status)
    closed:turn(true)
    assert.is_true(closed:is_on())
    closed:turn(false)
    assert.is_false(closed:is_on())
  end)
end)

describe("access_log", function()
  it("writes one line of JSON for each request", function()
    local lines = {}
    test.clock:set_time(784111777)
    local policy = test.policy {
      request_filter = function() perilune.sleep(0.25) end,
      upstream_peer = function() return "127.0.0.1:1" end,
      logging = require("perilune.access_log").new {
        write = function(line) lines[#lines + 1] = line end,
        fields = function(session, _, failure) return { path = session:path(), failed = failure ~= nil } end,
      },
    }
    policy:request({ target = "/a?b", client = "10.0.0.1:5", headers = { ["User-Agent"] = 'x"\\' } }, { status = 404 })
    policy:request({}, "connect_timeout")
    local entry = perilune.json.decode(lines[1])
    assert.same({ time = "1994-11-06T08:49:37.000Z", client = "10.0.0.1", method = "GET", host = "test.example",
      target = "/a?b", status = 404, bytes = 0, duration = 0.25, upstream = "127.0.0.1:1", attempts = 1,
      user_agent = 'x"\\', path = "/a", failed = false }, entry)
    entry = perilune.json.decode(lines[2])
    assert.same({ 504, "connect_timeout" }, { entry.status, entry.error })
  end)
end)

describe("cors", function()
  local function preflight(cors, origin, more)
    local headers = { Origin = origin, ["Access-Control-Request-Method"] = "PUT" }
    for name, value in pairs(more or {}) do headers[name] = value end
    return ask(function(session) return cors.preflight(session) end, { method = "OPTIONS", headers = headers })
  end

  it("answers preflights of those it knows, and of others without leave", function()
    local cors = require("perilune.cors").new { origins = { "https://a.example" }, credentials = true }
    local answer = preflight(cors, "https://a.example", { ["Access-Control-Request-Headers"] = "x-one" })
    local h = answer.headers
    assert.same({ 204, "https://a.example", "true", "x-one", "600", "Origin" }, { answer.status,
      h.access_control_allow_origin, h.access_control_allow_credentials, h.access_control_allow_headers,
      h.access_control_max_age, h.vary })
    assert.truthy(h.access_control_allow_methods:find "PUT")
    answer = preflight(cors, "https://b.example")
    assert.same({ 204, nil }, { answer.status, answer.headers.access_control_allow_origin })
  end)

  it("leaves other OPTIONS requests alone", function()
    local cors = require("perilune.cors").new { origins = { "*" } }
    local function filter(session) return cors.preflight(session) end
    assert.is_nil((ask(filter, { method = "OPTIONS", headers = { Origin = "https://a" } })))
    assert.is_nil((ask(filter, { method = "GET", headers = { Origin = "https://a",
      ["Access-Control-Request-Method"] = "GET" } })))
  end)

  it("marks responses", function()
    local function marked(options, origin)
      local cors = require("perilune.cors").new(options)
      return test.policy { upstream_peer = function() return "127.0.0.1:1" end,
        response_filter = function(session, response) cors.mark(session, response) end,
      }:request({ headers = { Origin = origin } }, { headers = { Vary = "Accept" } }).headers
    end
    local headers = marked({ origins = { "https://a" }, credentials = true, expose = { "X-A", "X-B" } }, "https://a")
    assert.same({ "https://a", "true", "X-A, X-B" }, { headers.access_control_allow_origin,
      headers.access_control_allow_credentials, headers.access_control_expose_headers })
    assert.same({ "Accept", "Origin" }, headers:all "vary")
    assert.is_nil(marked({ origins = { "https://a" } }, "https://b").access_control_allow_origin)
    assert.equal("*", marked({ origins = { "*" } }, "https://b").access_control_allow_origin)
  end)

  it("refuses credentials for everybody", function()
    assert.has_error(function() require("perilune.cors").new { origins = { "*" }, credentials = true } end)
  end)
end)

describe("request_id", function()
  local function walk(options, request)
    local id = require("perilune.request_id").new(options)
    local x = test.policy { upstream_peer = function() return "127.0.0.1:1" end,
      request_filter = function(session, ctx) id.request(session, ctx) end,
      response_filter = function(_, response, ctx) id.response(response, ctx) end,
    }:exchange(request)
    local back = x:walk({ headers = { ["X-Request-Id"] = "of the peer" } }).headers.x_request_id
    assert.equal(x:upstream_request().headers.x_request_id, back)
    assert.equal(x:ctx().request_id, back)
    return back
  end

  it("makes one of its own, another each time", function()
    assert.truthy(walk({}):find "^%x+$")
    assert.equal(32, #walk {})
    assert.are_not.equal(walk {}, walk {})
    assert.are_not.equal("brought", walk({}, { headers = { ["X-Request-Id"] = "brought" } }))
  end)

  it("keeps a plain one from those it trusts", function()
    local trust = { trust = { "127.0.0.0/8" } }
    assert.equal("brought-1", walk(trust, { headers = { ["X-Request-Id"] = "brought-1" } }))
    assert.are_not.equal("a b", walk(trust, { headers = { ["X-Request-Id"] = "a b" } }))
    assert.are_not.equal("x", walk(trust, { headers = { ["X-Request-Id"] = "x" }, client = "10.0.0.1:1" }))
  end)
end)

describe("body_replace", function()
  local body_replace = require "perilune.body_replace"
  local function walk(texts, body, headers)
    local policy = { upstream_peer = function() return "127.0.0.1:1" end }
    body_replace.new({ texts = texts }).install(policy)
    local x = test.policy(policy):exchange { headers = { ["Accept-Encoding"] = "gzip" } }
    return x:walk({ body = body, headers = headers or { ["Content-Type"] = "text/html", ETag = '"1"' } }), x
  end

  it("replaces texts, the longest where several begin together", function()
    local response, x = walk({ cat = "dog", category = "kind", [".*"] = "stars" }, "a cat, a category, a .*")
    assert.equal("a dog, a kind, a stars", response.body)
    assert.is_nil(response.headers.etag)
    assert.equal("zstd, br, gzip", x:upstream_request().headers.accept_encoding)
  end)

  it("leaves a part of a body as it is", function()
    local policy = { upstream_peer = function() return "127.0.0.1:1" end }
    body_replace.new({ texts = { a = "bb" } }).install(policy)
    local part = { status = 206, body = "aaa", headers = { ["Content-Type"] = "text/html" } }
    assert.body("aaa", test.policy(policy):request({}, part))
  end)

  it("finds texts that are cut in pieces, wherever the cuts are", function()
    local text = "one cat and two cats, category, ca"
    local whole = walk({ cat = "dog", category = "kind" }, text).body
    assert.equal("one dog and two dogs, kind, ca", whole)
    for first = 0, #text do
      local cuts = { text:sub(1, first), text:sub(first + 1, first + 2), "", text:sub(first + 3) }
      assert.equal(whole, walk({ cat = "dog", category = "kind" }, cuts).body)
    end
    local letters = {}
    for letter in text:gmatch "." do letters[#letters + 1] = letter end
    assert.equal(whole, walk({ cat = "dog", category = "kind" }, letters).body)
  end)

  -- What each piece of a body becomes at once.
  local function stream(texts, pieces)
    local replace, ctx, given = body_replace.new { texts = texts }, {}, {}
    ctx[replace] = { held = "" }
    for i, piece in ipairs(pieces) do given[i] = replace.body(nil, piece, i == #pieces, ctx) end
    return given
  end

  for _, case in ipairs {
    { "nothing of what cannot become a text",
      { "data: 1\n\n", "data: 2\n\n", "" }, { "data: 1\n\n", "data: 2\n\n", "" } },
    { "what begins like a text", { "a c", "a", "r c", "at c", "atego", "ry.", "" },
      { "a ", "", "car ", "dog ", "", "kind.", "" } },
    { "a whole text that a longer one begins with", { "cat", "!", "cat", "" }, { "", "dog!", "", "dog" } },
    { "no more than the longest text less a byte", { "categorcategor", "" }, { "dogegor", "dogegor" } },
    { "the earliest beginning of several", { "xxabab", "abc", "" }, { "xx", "ab!", "" } },
    { "a beginning behind a replacement", { "catcat", "cat", "s", "" }, { "dog", "dog", "dogs", "" } },
    { "nothing behind the end", { "cate", "" }, { "", "doge" } },
  } do
    it("holds back " .. case[1], function()
      assert.same(case[3], stream({ cat = "dog", category = "kind", ababc = "!" }, case[2]))
    end)
  end

  it("leaves other types and unknown codings alone", function()
    assert.equal("cat", walk({ cat = "dog" }, "cat", { ["Content-Type"] = "image/png" }).body)
    local compressed = { ["Content-Type"] = "text/html", ["Content-Encoding"] = "compress" }
    assert.equal("cat", walk({ cat = "dog" }, "cat", compressed).body)
    assert.equal("dog", walk({ cat = "dog" }, "cat", { ["Content-Type"] = "image/svg+xml" }).body)
  end)

  it("wants texts", function()
    assert.has_error(function() body_replace.new { texts = {} } end)
    assert.has_error(function() body_replace.new { texts = { [""] = "x" } } end)
  end)
end)
