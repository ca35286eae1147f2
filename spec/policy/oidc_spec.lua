-- SPDX-License-Identifier: Apache-2.0
-- oidc, with a provider that is scripted from the documents (OpenID Connect Core 1.0, RFC 6749, RFC 7636).
local base64 = require "perilune.base64"
local cookie = require "perilune.cookie"
local crypto = require "perilune.crypto"
local json = require "perilune.json"
local oidc = require "perilune.oidc"
local test = require "perilune.test"
local token_auth = require "perilune.token_auth"
local url = require "perilune.url"

local ISSUER = "https://login.example"
local key, other = crypto.new_key "P-256", crypto.new_key "P-256"

-- A provider; its fields change what it says.
local function provide(more)
  local self = { asked = {}, claims = {}, token = {}, signer = key }
  for name, value in pairs(more or {}) do self[name] = value end
  local function tokens(request)
    local form = url.parse_query(request.body)
    self.asked[#self.asked + 1] = { form = form, authorization = request.headers.authorization }
    if self.refusal then return { status = 400, body = json.encode { error = self.refusal } } end
    local claims = { iss = ISSUER, aud = "shop", sub = "ada", email = "ada@example.org", nonce = self.nonce,
      exp = test.clock:time() + 300 }
    for name, value in pairs(self.claims) do claims[name] = value end
    local answer = { access_token = "at", token_type = "Bearer", expires_in = 300, refresh_token = "rt",
      id_token = token_auth.sign(claims, self.signer, "k") }
    for name, value in pairs(self.token) do answer[name] = value end
    return { body = json.encode(answer) }
  end
  local jwk = crypto.jwk(key)
  jwk.kid = "k"
  test.http {
    [ISSUER .. "/.well-known/openid-configuration"] = { body = json.encode { issuer = self.issuer or ISSUER,
      authorization_endpoint = ISSUER .. "/authorize", token_endpoint = ISSUER .. "/token",
      jwks_uri = ISSUER .. "/jwks", end_session_endpoint = ISSUER .. "/end" } },
    [ISSUER .. "/token"] = tokens,
    [ISSUER .. "/jwks"] = { body = json.encode { keys = json.array { jwk } } },
  }
  return self
end

local function options(more)
  local all = { issuer = ISSUER, client_id = "shop", client_secret = "s/ecret", secret = ("k"):rep(32),
    redirect_uri = "https://shop.example/signin/callback" }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

-- A browser: keeps cookies, and asks the policy.
local function browse(more)
  local login, jar = oidc.new(options(more)), {}
  local policy = test.policy {
    request_filter = function(session, ctx)
      if login(session, ctx) then return true end
      return session:respond { status = 200, body = ctx.claims.sub .. " " .. (session:get_header "cookie" or "none") }
    end,
  }
  local self = { jar = jar }
  function self.ask(target, request)
    request = request or {}
    local cookies = {}
    for name, value in pairs(jar) do cookies[#cookies + 1] = name .. "=" .. value end
    request.target, request.headers = target, request.headers or {}
    if #cookies > 0 then request.headers.Cookie = table.concat(cookies, "; ") end
    local answer = policy:request(request)
    for _, field in ipairs(answer.headers:all "set-cookie") do
      local name, value = field:match "^([^=]+)=([^;]*)"
      jar[name] = value ~= "" and value or nil
    end
    return answer
  end
  -- From the first request to the callback: its answer.
  function self.sign_in(provider, target)
    local query = url.parse_query(self.ask(target or "/a?b=1").headers.location:match "%?(.*)$")
    if provider.nonce == nil then provider.nonce = query.nonce end
    return self.ask("/signin/callback?code=c0de&state=" .. query.state), query
  end
  return self
end

describe("oidc", function()
  before_each(function() test.clock:set_time(1000000) end)

  it("sends a browser to the provider, and back to its page with a session", function()
    local provider, browser = provide(), browse()
    local answer = browser.ask "/a?b=1"
    assert.status(302, answer)
    local query = url.parse_query(answer.headers.location:match "^https://login%.example/authorize%?(.*)$")
    assert.equal("code", query.response_type)
    assert.equal("S256", query.code_challenge_method)
    assert.equal("openid profile email", query.scope)
    provider.nonce = query.nonce
    answer = browser.ask("/signin/callback?code=c0de&state=" .. query.state)
    assert.status(302, answer)
    assert.equal("/a?b=1", answer.headers.location)
    local form = provider.asked[1].form
    assert.equal("c0de", form.code)
    assert.equal(query.code_challenge, base64.encode_url(crypto.sha256(form.code_verifier)))
    assert.equal("Basic " .. base64.encode "shop:s%2Fecret", provider.asked[1].authorization)
    browser.jar.other = "1"
    answer = browser.ask "/a"
    assert.status(200, answer)
    assert.equal("ada other=1", answer.body)
  end)

  it("signs in whatever the provider says of how long its token lasts, and asks again within the session", function()
    for _, lifetime in ipairs { "nan", "inf", "1e999", -1, "", true, {}, 1e300, "0x10", "300" } do
      local provider, browser = provide { token = { expires_in = lifetime } }, browse()
      assert.status(302, browser.sign_in(provider))
      assert.status(200, browser.ask "/a")
    end
  end)

  it("answers any query of a callback", function()
    local browser = browse()
    browser.ask "/"
    for _, query in ipairs { "", "?state", "?state=a&state=b", "?error", "?error=%00%0a&error=b", "?state=%00%ff;=",
      "?code=a&code=b", "?code&state=" .. ("x"):rep(5000) } do
      assert.status(400, browser.ask("/signin/callback" .. query))
    end
  end)

  it("says in its cookies that they are for this site and no script", function()
    local provider, browser = provide(), browse()
    local answer = browser.sign_in(provider)
    local field = answer.headers:all("set-cookie")[1]
    for _, attribute in ipairs { "HttpOnly", "Secure", "SameSite=Lax", "Path=/" } do
      assert.matches(attribute, field, 1, true)
    end
    assert.is_nil(base64.decode_url(cookie.parse(field).perilune_session):find "ada")
  end)

  it("takes no callback that another browser began, twice, or too late", function()
    local provider, browser, victim = provide(), browse(), browse()
    local query = url.parse_query(browser.ask("/").headers.location:match "%?(.*)$")
    provider.nonce = query.nonce
    local back = "/signin/callback?code=c&state=" .. query.state
    assert.status(400, victim.ask(back))
    assert.status(400, victim.ask "/signin/callback?code=c")
    assert.status(302, browser.ask(back))
    assert.status(400, browser.ask(back))
    browser.jar.perilune_session = nil
    query = url.parse_query(browser.ask("/").headers.location:match "%?(.*)$")
    provider.nonce = query.nonce
    local last = query.state:sub(-1) == "A" and "B" or "A"
    assert.status(400, browser.ask("/signin/callback?code=c&state=" .. query.state:sub(1, -2) .. last))
    test.clock:advance(601)
    assert.status(400, browser.ask("/signin/callback?code=c&state=" .. query.state))
    assert.equal(1, #provider.asked)
  end)

  it("takes no ID token of another login, issuer, client or key", function()
    for _, wrong in ipairs { { nonce = "other" }, { claims = { iss = "https://evil.example" } },
      { claims = { aud = "bank" } }, { claims = { exp = 999000 } }, { claims = { aud = { "shop", "bank" } } },
      { claims = { azp = "bank" } }, { signer = other }, { signer = "secret" }, { token = { id_token = 7 } },
      { refusal = "invalid_grant" } } do
      local provider, browser = provide(wrong), browse()
      assert.status(502, (browser.sign_in(provider)))
      assert.is_nil(browser.jar.perilune_session)
    end
  end)

  it("leads to no other site", function()
    for _, target in ipairs { "//evil.example", "/\\evil.example" } do
      local provider, browser = provide(), browse()
      local answer = browser.sign_in(provider, target)
      assert.status(302, answer)
      assert.equal("/", answer.headers.location)
    end
  end)

  it("takes no session that was changed, made with another secret, or is over", function()
    local provider, browser = provide(), browse { max_age = 600 }
    browser.sign_in(provider)
    local text = browser.jar.perilune_session
    assert.status(200, browser.ask "/")
    browser.jar.perilune_session = text:sub(1, 20) .. (text:sub(21, 21) == "A" and "B" or "A") .. text:sub(22)
    assert.status(302, browser.ask "/")
    local stranger = browse { secret = ("x"):rep(32) }
    stranger.jar.perilune_session = text
    assert.status(302, stranger.ask "/")
    for name, of_login in pairs(stranger.jar) do
      if name ~= "perilune_session" then stranger.jar.perilune_session = of_login end
    end
    assert.not_equal(text, stranger.jar.perilune_session)
    assert.status(302, stranger.ask "/")
    test.clock:advance(601)
    browser.jar.perilune_session = text
    assert.status(302, browser.ask "/")
  end)

  it("renews a session with its refresh token, for the same person only", function()
    local provider, browser = provide(), browse()
    browser.sign_in(provider)
    test.clock:advance(301)
    local answer = browser.ask "/a"
    assert.status(302, answer)
    assert.equal("/a", answer.headers.location)
    assert.equal("rt", provider.asked[2].form.refresh_token)
    assert.status(200, browser.ask "/a")
    assert.status(200, browser.ask("/a", { method = "POST" }))
    test.clock:advance(301)
    provider.claims = { sub = "eve" }
    assert.matches("/authorize", browser.ask("/a").headers.location, 1, true)
    test.clock:advance(301)
    assert.status(401, browser.ask("/a", { method = "POST" }))
  end)

  it("answers 401 to what is no page, 403 to whom it does not let in, 503 while the provider is away", function()
    local provider = provide()
    local browser = browse { allow = function(claims) return claims.email ~= "ada@example.org" end }
    assert.status(401, browser.ask("/", { method = "POST" }))
    assert.status(401, browser.ask("/", { headers = { ["Sec-Fetch-Mode"] = "cors" } }))
    assert.status(403, (browser.sign_in(provider)))
    test.http { ["*"] = { error = "connect_refused" } }
    assert.status(503, browse({ issuer = "https://away.example" }).ask "/")
    provide { issuer = "https://evil.example" }
    assert.status(503, browse().ask "/")
  end)

  it("signs out here and there", function()
    local provider, browser = provide(), browse()
    browser.sign_in(provider)
    local answer = browser.ask "/signout"
    assert.status(302, answer)
    assert.equal("https://login.example/end?client_id=shop", answer.headers.location)
    assert.is_nil(browser.jar.perilune_session)
  end)

  it("says which option is wrong", function()
    for fault, more in pairs { ["32 characters"] = { secret = "short" },
      ["with https"] = { issuer = "http://x.example" }, ["a path of its own"] = { redirect_uri = "https://x" } } do
      assert.error_matches(function() oidc.new(options(more)) end, fault)
    end
  end)
end)
