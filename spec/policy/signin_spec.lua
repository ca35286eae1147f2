-- SPDX-License-Identifier: Apache-2.0
-- Default policies for sign-in: api_keys, client_certificate, forward_auth.
local crypto = require "perilune.crypto"
local test = require "perilune.test"

-- A policy whose request_filter is `check`; its peer is told by the fields that it gets.
local function start(check)
  return test.policy {
    request_filter = function(session, ctx) if check(session, ctx) then return true end end,
    upstream_peer = function() return "127.0.0.1:8000" end,
  }
end

describe("api_keys", function()
  local api_keys = require "perilune.api_keys"

  it("lets in who has a key, and tells whose it is", function()
    local owner
    local check = api_keys.new { keys = { shop = "sha256:" .. crypto.hex(crypto.sha256 "s3cret"), jobs = "k" } }
    local policy = start(function(session, ctx)
      local refused = check(session, ctx)
      owner = ctx.api_key
      return refused
    end)
    assert.status(200, policy:request({ headers = { ["X-API-Key"] = "s3cret" } }, { status = 200 }))
    assert.equal("shop", owner)
    assert.status(200, policy:request({ headers = { ["X-API-Key"] = "k" } }, { status = 200 }))
    assert.equal("jobs", owner)
    for _, bad in ipairs { "", "S3cret", ("x"):rep(5000) } do
      assert.status(401, policy:request { headers = { ["X-API-Key"] = bad } })
    end
    assert.status(401, policy:request())
  end)

  it("keeps a key from the peer, unless it is to have it", function()
    for _, forward in ipairs { false, true } do
      local x = start(api_keys.new { keys = { jobs = "k" }, forward = forward }):exchange {
        headers = { ["X-API-Key"] = "k" } }
      assert.equal(200, x:walk({ status = 200 }).status)
      assert.equal(forward and "k" or nil, x:upstream_request().headers.x_api_key)
    end
  end)

  it("asks the policy's own function by digest, and answers 503 where that fails", function()
    local digest = crypto.hex(crypto.sha256 "k")
    local policy = start(api_keys.new { header = "X-Key", find = function(asked)
      if asked == digest then return "ada" end
      if asked == crypto.hex(crypto.sha256 "down") then return nil, "the database is away" end
    end })
    assert.status(200, policy:request({ headers = { ["X-Key"] = "k" } }, { status = 200 }))
    assert.status(401, policy:request { headers = { ["X-Key"] = "other" } })
    assert.status(503, policy:request { headers = { ["X-Key"] = "down" } })
  end)

  it("says which option is wrong", function()
    assert.error_matches(function() api_keys.new {} end, "expected one of the options")
    assert.error_matches(function() api_keys.new { keys = { a = "sha256:12" } } end, "must have 64 digits")
    assert.error_matches(function() api_keys.new { keys = { a = 7 } } end, "the key of 'a' is no string")
  end)
end)

describe("client_certificate", function()
  local client_certificate = require "perilune.client_certificate"
  local function verdict(options, client)
    local answered
    local session = { tls = function() return client and { client = client } end,
      respond = function(_, answer) answered = answer.status return true end }
    local ctx = {}
    client_certificate.new(options)(session, ctx)
    return answered, ctx.subject
  end
  local alice = { subject = "CN=alice,O=Example", issuer = "CN=ca", fingerprint = ("ab"):rep(32), serial = "0A" }

  it("lets in whom all its rules fit", function()
    for _, options in ipairs { { subjects = { "CN=bob*", "CN=alice,*" } }, { issuers = { "CN=ca" } },
      { fingerprints = { ("AB:"):rep(31) .. "AB" } }, { serials = { "0a" }, subjects = { "*O=Example" } } } do
      local status, subject = verdict(options, alice)
      assert.is_nil(status)
      assert.equal(alice.subject, subject)
    end
  end)

  it("refuses all others", function()
    for _, options in ipairs { { subjects = { "CN=alice" } }, { subjects = { "CN=alic.,*" } }, { issuers = { "CN=c" } },
      { serials = { "0a" }, subjects = { "CN=bob" } }, { fingerprints = { "ab" } } } do
      assert.equal(403, (verdict(options, alice)))
    end
    assert.equal(403, (verdict({ subjects = { "*" } }, nil)))
    assert.error_matches(function() client_certificate.new {} end, "give 'subjects'")
    assert.error_matches(function() client_certificate.new { serials = { "xyz" } } end, "not hexadecimal")
  end)
end)

describe("forward_auth", function()
  local forward_auth = require "perilune.forward_auth"
  local URL = "http://127.0.0.1:9000/verify"

  it("asks who it is, and the peer gets what the service said, not what the client said", function()
    local calls = test.http { [URL] = { status = 200, headers = { ["X-User"] = "ada", ["X-Other"] = "1" } } }
    local policy = start(forward_auth.new { url = URL, copy = { "X-User", "X-Groups" } })
    local x = policy:exchange { target = "/a?b=1", headers = { Authorization = "Bearer t", ["X-User"] = "eve",
      ["X-Groups"] = "root" } }
    assert.equal(200, x:walk({ status = 200 }).status)
    local sent = x:upstream_request().headers
    assert.equal("ada", sent.x_user)
    assert.is_nil(sent.x_groups)
    assert.is_nil(sent.x_other)
    local question = calls.requests[1].headers
    assert.equal("Bearer t", question.authorization)
    assert.equal("/a?b=1", question.x_forwarded_uri)
    assert.equal("GET", question.x_forwarded_method)
  end)

  it("gives the client the service's answer", function()
    test.http { [URL] = { status = 302, headers = { Location = "https://login.example/" }, body = "see there" } }
    local answer = start(forward_auth.new { url = URL }):request()
    assert.status(302, answer)
    assert.equal("https://login.example/", answer.headers.location)
    test.http { [URL] = { status = 403, body = "no" } }
    assert.status(403, start(forward_auth.new { url = URL }):request())
  end)

  it("keeps a verdict by all that the service was told", function()
    local calls = test.http { [URL] = { status = 200 } }
    local policy = start(forward_auth.new { url = URL, ttl = 10, name = "kept" })
    for _ = 1, 3 do assert.status(200, policy:request({ headers = { Cookie = "a=1" } }, { status = 200 })) end
    assert.equal(1, #calls.requests)
    assert.status(200, policy:request({ headers = { Cookie = "a=2" } }, { status = 200 }))
    assert.status(200, policy:request({ target = "/b", headers = { Cookie = "a=2" } }, { status = 200 }))
    assert.equal(3, #calls.requests)
    test.clock:advance(11)
    test.http { [URL] = { status = 401 } }
    assert.status(401, policy:request { headers = { Cookie = "a=1" } })
  end)

  it("lets nobody in while the service fails, unless that is wanted", function()
    for _, failure in ipairs { { status = 500 }, { error = "connect_refused" } } do
      test.http { [URL] = failure }
      assert.status(503, start(forward_auth.new { url = URL }):request())
      assert.status(503, start(forward_auth.new { url = URL, ttl = 5, name = "x" }):request())
      assert.status(200, start(forward_auth.new { url = URL, on_error = "open" }):request({}, { status = 200 }))
    end
    assert.error_matches(function() forward_auth.new { url = "x" } end, "must be a URL")
    assert.error_matches(function() forward_auth.new { url = URL, on_error = "x" } end, "'on_error'")
  end)
end)
