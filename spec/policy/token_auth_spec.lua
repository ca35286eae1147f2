-- SPDX-License-Identifier: Apache-2.0
-- token_auth with public keys: those of the policy, and those that a provider publishes.
local base64 = require "perilune.base64"
local crypto = require "perilune.crypto"
local json = require "perilune.json"
local test = require "perilune.test"
local token_auth = require "perilune.token_auth"

local rsa, ec, ed = crypto.new_key "RSA", crypto.new_key(), crypto.new_key "Ed25519"
local others = crypto.new_key()
local URL = "https://login.example/keys.json"

local function jwk(key, kid, more)
  local made = crypto.jwk(key)
  made.kid, made.use = kid, "sig"
  for name, value in pairs(more or {}) do made[name] = value end
  return made
end

-- A policy that lets in whom it knows; and a function that asks it with a token, and gives the status.
local function start(options)
  local check = token_auth.new(options)
  local policy = test.policy {
    request_filter = function(session, ctx)
      if check(session, ctx) then return true end
      return session:respond { status = 200, body = ctx.claims.sub }
    end,
  }
  return function(token)
    local answer = policy:request { headers = { Authorization = token and "Bearer " .. token } }
    return answer.status, answer
  end
end

local function publish(keys) return test.http { [URL] = { headers = { ["Content-Type"] = "application/json" },
  body = json.encode { keys = json.array(keys) } } } end

local function signed(header, key, algorithm)
  local text = base64.encode_url(json.encode(header)) .. "." .. base64.encode_url '{"sub":"ada"}'
  local signature = type(key) == "string" and crypto.hmac_sha256(key, text) or key and key:sign(algorithm, text) or ""
  return text .. "." .. base64.encode_url(signature)
end

describe("token_auth with public keys", function()
  it("lets in who has a token by one of them", function()
    local ask = start { keys = { rsa:public_pem(), jwk(ec, "a"), ed:public_pem() } }
    for _, key in ipairs { rsa, ec, ed } do
      local status, answer = ask(token_auth.sign({ sub = "ada" }, key))
      assert.equal(200, status)
      assert.equal("ada", answer.body)
    end
    assert.equal(200, (ask(signed({ alg = "PS256" }, rsa, "PS256"))))
    assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, others))))
    assert.equal(401, (ask(nil)))
  end)

  it("refuses none, a public key as a secret, and algorithms that it does not list", function()
    local ask = start { keys = { rsa:public_pem(), ec:public_pem() }, algorithms = { "RS256" } }
    for _, token in ipairs { signed { alg = "none" }, signed { alg = "None" }, signed { alg = "" }, signed {},
      signed({ alg = "HS256" }, rsa:public_pem()), signed({ alg = "ES256" }, ec, "ES256"),
      signed({ alg = "PS256" }, rsa, "PS256"), signed({ alg = "RS256", crit = { "b64" } }, rsa, "RS256"),
      signed({ alg = "RS256" }, ec, "ES256"), signed({ alg = { "RS256" } }, rsa, "RS256") } do
      assert.equal(401, (ask(token)), token)
    end
    assert.equal(200, (ask(signed({ alg = "RS256" }, rsa, "RS256"))))
  end)

  it("never takes the key that a token brings along", function()
    local ask = start { keys = { rsa:public_pem() } }
    assert.equal(401, (ask(signed({ alg = "ES256", jwk = crypto.jwk(others) }, others, "ES256"))))
    assert.equal(401, (ask(signed({ alg = "RS256", jku = "https://evil.example/" }, crypto.new_key "RSA", "RS256"))))
  end)

  it("says at the policy's line which option is wrong", function()
    for fault, options in pairs {
      ["expected one of the options"] = {}, ["expected one of the options 'secret'"] = { secret = "s", jwks = URL },
      ["'keys', number 1: no key"] = { keys = { "x" } },
      ["HS256 goes with 'secret' only"] = { jwks = URL, algorithms = { "HS256" } },
      ["RS256 goes with 'keys' or 'jwks'"] = { secret = "s", algorithms = { "RS256" } },
      ["none is unknown"] = { jwks = URL, algorithms = { "none" } }, ["must be a URL"] = { jwks = "keys.json" },
    } do
      local ok, why = pcall(token_auth.new, options)
      assert.is_false(ok)
      assert.matches(fault, why, 1, true)
      assert.matches("token_auth_spec.lua", why, 1, true)
    end
  end)
end)

describe("token_auth with a provider's keys", function()
  local now = 1000000
  before_each(function() test.clock:set_time(now) end)

  it("asks for them once, and again when they are old", function()
    local calls = publish { jwk(rsa, "r"), jwk(ec, "e"), { kty = "oct", k = "AA" }, "nonsense",
      jwk(others, "x", { use = "enc" }) }
    local ask = start { jwks = URL }
    for _ = 1, 3 do
      assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
      assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, ec))))
    end
    assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, others))))
    assert.equal(1, #calls.requests)
    test.clock:advance(3601)
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
    assert.equal(2, #calls.requests)
  end)

  it("asks again for a key that it does not know, but not more often than the floor", function()
    local calls = publish { jwk(rsa, "r") }
    local ask = start { jwks = URL, floor = 30 }
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
    for i = 1, 5 do assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, others, "new" .. i)))) end
    assert.equal(2, #calls.requests)
    local rotated = publish { jwk(rsa, "r"), jwk(others, "new") }
    assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, others, "new"))))
    test.clock:advance(31)
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, others, "new"))))
    assert.equal(1, #rotated.requests)
  end)

  it("asks again a second after this machine lacked what it takes to ask", function()
    publish { jwk(rsa, "r") }
    local ask = start { jwks = URL, floor = 30 }
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
    local asked = test.http { [URL] = { error = "local_shortage" } }
    for i = 1, 5 do assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, others, "new" .. i)))) end
    assert.equal(1, #asked.requests)
    publish { jwk(rsa, "r"), jwk(others, "new") }
    test.clock:advance(1.1)
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, others, "new"))))
  end)

  it("keeps the last set while the provider fails, lies or sends too much", function()
    publish { jwk(rsa, "r") }
    local ask = start { jwks = URL }
    assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
    local many = {}
    for i = 1, 101 do many[i] = jwk(ec, "k" .. i) end
    for _, answer in ipairs { { status = 500 }, { body = "<html>" }, { body = '{"keys":3}' },
      { body = ("x"):rep(300000) }, { body = json.encode { keys = many } }, { error = "connect_refused" } } do
      test.http { [URL] = answer }
      test.clock:advance(3700)
      assert.equal(200, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
      assert.equal(401, (ask(token_auth.sign({ sub = "ada" }, ec, "e"))))
    end
  end)

  it("answers 503 while there is no set at all", function()
    test.http { [URL] = { status = 500 } }
    local ask = start { jwks = URL }
    assert.equal(503, (ask(token_auth.sign({ sub = "ada" }, rsa, "r"))))
    assert.equal(401, (ask(nil)))
    assert.equal(401, (ask("nonsense")))
    assert.logged("token_auth: .*status 500", test.log)
  end)
end)
