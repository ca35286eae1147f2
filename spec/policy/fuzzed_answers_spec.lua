-- SPDX-License-Identifier: Apache-2.0
-- What servers answer to our own modules, fuzzed by a seeded generator (spec/support/mutations.lua): whatever it is, no
-- module raises; what is no answer gives nil and a sentence that names who gave it; and a good answer afterwards is
-- taken as before.
local authority = require "spec.support.acme_authority"
local mutations = require "spec.support.mutations"
local acme_client = require "perilune.acme_client"
local archive = require "perilune.bundle_archive"
local base64 = require "perilune.base64"
local consul = require "perilune.discovery_consul"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local etcd = require "perilune.discovery_etcd"
local json = require "perilune.json"
local jwks = require "perilune.jwks"
local jwt = require "perilune.jwt"
local kubernetes = require "perilune.discovery_kubernetes"
local oidc_provider = require "perilune.oidc_provider"
local perilune = require "perilune"
local redis = require "perilune.redis"
local slots = require "perilune.redis_slots"
local tcp = require "perilune.tcp"
local test = require "perilune.test"

local function nothing() end

-- Calls `try(generator)` so often; what it raises names the round.
local function fuzz(rounds, try)
  local generator = mutations.new(20261130)
  for round = 1, rounds do
    local ok, why = pcall(try, generator, round)
    if not ok then error(("round %d: %s"):format(round, tostring(why)), 0) end
  end
end

-- A sentence, of one line in the log, that does not show where in our own code it was made.
local function require_sentence(why, wanted)
  assert.equal("string", type(why))
  assert.is_true(why ~= "" and #why < 2000, #why)
  assert.is_nil(why:match "attempt to [^\n]+" or why:match "bad argument [^\n]+")
  if wanted then assert.truthy(why:find(wanted, 1, true), why) end
end

-- Runs it in a task of a policy, and lets its time pass.
local function run(body)
  local results
  perilune.spawn(function() results = { pcall(body) } end)
  for _ = 1, 100 do
    if results then break end
    test.clock:advance(10)
  end
  assert.truthy(results, "it waits for ever")
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, 4)
end

before_each(function() test.policy { request_filter = nothing } end)

describe("fuzzed answers", function()
  it("of a provider of sign-in and of keys leave what is known", function()
    local issuer, key = "https://idp.example", crypto.new_key "P-256"
    local facts = { issuer = issuer, authorization_endpoint = issuer .. "/auth", token_endpoint = issuer .. "/token",
      jwks_uri = issuer .. "/keys", token_endpoint_auth_methods_supported = { "client_secret_post" } }
    local jwk = crypto.jwk(key)
    jwk.kid = "k"
    local answers = { facts = json.encode(facts), keys = json.encode { keys = { jwk } },
      token = json.encode { access_token = "a", id_token = "i" } }
    test.http { [issuer .. "/.well-known/openid-configuration"] = function() return { body = answers.facts } end,
      [issuer .. "/keys"] = function() return { body = answers.keys } end,
      [issuer .. "/token"] = function() return { body = answers.token } end }
    local provider = oidc_provider.new { issuer = issuer, client_id = "c", client_secret = "s", timeout = 5,
      redirect_uri = "https://a.example/" }
    local set = jwks.new(issuer .. "/keys", {})
    assert.equal(facts.token_endpoint, run(function() return provider:facts() end).token_endpoint)
    assert.equal(1, #run(function() return set:find("ES256", "k") end))
    fuzz(400, function(generator)
      answers.facts, answers.keys = generator:json(facts), generator:json { keys = { jwk } }
      answers.token = generator:json { access_token = "a", id_token = "i" }
      test.clock:advance(3700) -- beyond what is kept as fresh
      local known = run(function() return provider:facts() end)
      assert.equal(issuer, known and known.issuer)
      local keys, why = run(function() return set:find("ES256", "other" .. generator:below(1e6)) end)
      if not keys then require_sentence(why) end
      local body, failure = run(function() return provider:redeem("code", "verifier") end)
      if body == nil then require_sentence(failure) else assert.equal("table", type(body)) end
    end)
    answers.keys = json.encode { keys = { jwk } }
    test.clock:advance(3700)
    assert.equal(1, #run(function() return set:find("ES256", "k") end))
  end)

  it("of tokens give the claims that were signed, or none", function()
    local key = crypto.new_key "P-256"
    local head, claims = { alg = "ES256", kid = "k" }, { sub = "ada", aud = { "a", "b" }, exp = 4e9 }
    local function signed(a, b)
      local text = base64.encode_url(a) .. "." .. base64.encode_url(b)
      return text .. "." .. base64.encode_url(key:sign("ES256", text))
    end
    local wanted = { allowed = { ES256 = true }, named = "ES256", audience = "a", find = function() return { key } end }
    local good = signed(json.encode(head), json.encode(claims))
    assert.equal("ada", jwt.check(good, wanted).sub)
    fuzz(1500, function(generator)
      local found, why = jwt.check(generator:text(good), wanted)
      if found then assert.equal("ada", found.sub) else require_sentence(why) end
      found, why = jwt.check(signed(generator:json(head), generator:json(claims)), wanted)
      if found then assert.equal("table", type(found)) else require_sentence(why) end
    end)
  end)

  it("of an authority of certificates fail an order with a sentence, and the next order is fine", function()
    local generator, path
    local server = authority.start { days = 90, wrong = setmetatable({}, { __index = function(_, asked)
      if not path or asked:match "^/%l+" ~= path then return nil end
      return function()
        return { status = ({ 200, 200, 201, 400 })[generator:below(4)],
          headers = generator:below(2) == 1 and { Location = generator:text(authority.HOST .. "/order/1") } or nil,
          body = generator:json { newNonce = authority.HOST .. "/nonce", newAccount = authority.HOST .. "/account",
            newOrder = authority.HOST .. "/order", status = "valid", type = "urn:ietf:params:acme:error:malformed",
            detail = "so", identifier = { type = "dns", value = "a.example" },
            finalize = authority.HOST .. "/finalize/1",
            authorizations = { authority.HOST .. "/authorization/1" }, certificate = authority.HOST .. "/certificate/1",
            challenges = { { type = "http-01", url = authority.HOST .. "/challenge/1", token = "t",
              error = { type = "dns", detail = "none" } } },
            suggestedWindow = { start = "2030-01-01T00:00:00Z", ["end"] = "2030-01-02T00:00:00Z" } } }
      end
    end }) }
    local account = crypto.new_key "P-256"
    local function obtain()
      local client = acme_client.new(authority.HOST .. "/dir", { key = account })
      return run(function() return client:obtain({ "a.example" }, function(_, challenges)
        local challenge = challenges[1]
        if type(challenge) ~= "table" or type(challenge.url) ~= "string" then return nil, "no challenge that fits" end
        return challenge
      end) end)
    end
    local paths = { "/dir", "/account", "/order", "/finalize", "/certificate", "/authorization", "/challenge", "/ari" }
    fuzz(240, function(seeded, round)
      generator, path = seeded, paths[round % #paths + 1]
      local made, fault = obtain()
      if not made then require_sentence(tostring(fault)) end
      local client = acme_client.new(authority.HOST .. "/dir", { key = account })
      local window, why = run(function() return client:renewal "name" end)
      if not window and why then require_sentence(tostring(why)) end
    end)
    path = nil
    assert.truthy(obtain())
    assert.truthy(#server.issued > 0)
  end)

  it("of an authority that names a number where a URL belongs are refused in words", function()
    authority.start { wrong = { ["/order"] = { status = 201, headers = { Location = authority.HOST .. "/order/1" },
      body = json.encode { status = "pending", authorizations = { 7 },
        finalize = authority.HOST .. "/finalize/1" } } } }
    local client = acme_client.new(authority.HOST .. "/dir", { key = crypto.new_key "P-256" })
    local made, fault = run(function() return client:obtain({ "a.example" }, nothing) end)
    assert.is_nil(made)
    assert.equal("the server names the URL '7', which is not https://", tostring(fault))
  end)

  it("of a bundle are none, or the files that were packed", function()
    local real = core.bundle_is_signed
    core.bundle_is_signed = function() return true end -- as if the thief had the key
    local files = { { path = "policy.lua", bytes = "return 1\n" }, { path = "parts/a.lua", bytes = "return 2\n" } }
    local manifest, bodies = { format = 1, version = 7, main = "policy.lua", files = {}, created = 1,
      stages = { { share = 5000, after = 10 } }, canary = { share = 100, for_ms = 1000, max_errors = 1 } }, {}
    for i, file in ipairs(files) do
      manifest.files[i] = { path = file.path, size = #file.bytes,
        sha256 = core.encode_hex(core.digest("sha256", file.bytes)) }
      bodies[i] = file.bytes
    end
    local function packed(text)
      return ("perilune-bundle 1\n%s\n%d\n%s%s"):format(base64.encode(("s"):rep(64)), #text, text, table.concat(bodies))
    end
    assert.equal(2, #archive.read(packed(json.encode(manifest))).files)
    local ok, why = pcall(fuzz, 3000, function(generator)
      local text = generator:below(2) == 1 and generator:text(packed(mutations.encode(manifest)))
        or packed(generator:json(manifest))
      local read, fault = archive.read(text)
      if not read then return require_sentence(fault) end
      assert.equal("boolean", type(archive.is_due(read, "node", 1e9)))
      for _, file in ipairs(read.files) do
        assert.is_nil(("/" .. file.path .. "/"):match "/%.%.?/")
        assert.is_true(#file.bytes <= #text)
      end
    end)
    core.bundle_is_signed = real
    assert.is_true(ok, why)
  end)

  it("of Redis leave a map of slots, subscriptions and streams that go on", function()
    local map = { { 0, 8191, { "10.0.0.1", 6379, "id", {} }, { "10.0.0.2", 6379, "id" } },
      { 8192, 16383, { "", 6380 } } }
    fuzz(3000, function(generator)
      local read, servers = slots.read(generator:document(map), "10.0.0.9")
      if not read then return require_sentence(servers, "CLUSTER SLOTS") end
      for address in pairs(servers) do assert.matches("^%S+:%d+$", address) end
    end)
    local reply
    local real_connect, real_receive = tcp.connect, core.redis_receive
    tcp.connect = function()
      return { send = function() return true end, close = nothing, set_timeouts = nothing }
    end
    local greetings = 1
    core.redis_receive = function()
      if greetings > 0 then
        greetings = greetings - 1
        return "PONG"
      end
      core.sleep(0.3) -- no server says anything for ever in no time
      return reply
    end
    local function fuzz_replies(sample, wanted, read)
      fuzz(600, function(generator)
        greetings = 1
        reply = generator:document(sample)
        local got, why = read(1)
        if got == nil then require_sentence(why) end
        greetings, reply = 1, sample
        for _ = 1, 2 do -- the first may connect anew
          got = read(1) or got
        end
        assert.same(wanted, got)
      end)
    end
    local ok, why = pcall(function()
      local subscription = redis.new("10.0.0.1:6379"):subscribe { channels = { "a" } }
      fuzz_replies({ "message", "a", "hello" }, { channel = "a", payload = "hello" }, function(seconds)
        return run(function() return subscription:receive(seconds) end)
      end)
      local stream = redis.new("10.0.0.1:6379"):stream("key", { from = "0" })
      local sample = { { "key", { { "1-1", { "field", "value" } } } } }
      fuzz_replies(sample, { { id = "1-1", fields = { field = "value" } } }, function(seconds)
        return run(function() return stream:read(seconds) end)
      end)
    end)
    tcp.connect, core.redis_receive = real_connect, real_receive
    assert.is_true(ok, why)
  end)

  it("of engines of discovery leave the last list, or a list of addresses and faults", function()
    local instance = { Node = { Address = "10.0.0.1" }, Checks = { { Status = "passing" } },
      Service = { ID = "s", Address = "10.0.0.2", Port = 80, Weights = { Passing = 2 } } }
    local kv = { key = base64.encode "/app/1", value = base64.encode "10.0.0.2:80", mod_revision = "9" }
    local slice = { metadata = { name = "s" }, ports = { { name = "http", port = 80 } },
      endpoints = { { addresses = { "10.0.0.2" }, conditions = { ready = true } } } }
    local cases = {
      { assert(consul.new("app", { address = "http://e", wait = 1, timeout = 1 })), "ask", { instance } },
      { assert(etcd.new("/app/", { endpoints = "http://e", timeout = 1 })), "list",
        { header = { cluster_id = "7", revision = "10" }, kvs = { kv } } },
      { assert(kubernetes.new("default/app", { address = "http://e", timeout = 1 })), "list",
        { metadata = { resourceVersion = "5" }, items = { slice } } },
    }
    local body
    test.http { ["*"] = function() return { body = body, headers = { ["X-Consul-Index"] = "5" } } end }
    for _, case in ipairs(cases) do
      local engine, call, sample = unpack(case)
      local list
      local taker = { alive = nothing, take = function(_, given) list = given end }
      local function ask()
        return run(function() return engine[call](engine, taker) end)
      end
      fuzz(500, function(generator)
        body, list = generator:json(sample), nil
        local ok, why = ask()
        if not ok then require_sentence(why) end
        for _, entry in ipairs(list or {}) do
          assert.is_true(entry.fault ~= nil or type(entry.address) == "string")
        end
        engine.index, body = 0, json.encode(sample)
        assert.is_true((ask()))
        assert.equal("10.0.0.2:80", list[1].address)
      end)
    end
  end)
end)
