-- SPDX-License-Identifier: Apache-2.0
-- perilune.acme_client and acme_manager on virtual time, with an authority scripted here: slow, full, or a liar.
local acme_client = require "perilune.acme_client"
local authority = require "spec.support.acme_authority"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local test = require "perilune.test"

local HOST, problem = authority.HOST, authority.problem

-- What comes of an order; nil and a fault. Also how long it took.
local function obtain(wrong, run)
  local calls, results = authority.start { wrong = wrong, key = wrong.key, names = wrong.names }.calls, nil
  local x = test.policy({ request_filter = function(session)
    local client = acme_client.new(HOST .. "/dir", { key = crypto.new_key "P-256" })
    local since = core.now()
    results = { (run or client.obtain)(client, { "a.example" }, function() return nil, "not asked" end) }
    results.took = core.now() - since
    return session:respond { status = 204 }
  end }):exchange {}
  x:walk()
  return results[1], results[2], results.took, calls
end

describe("acme_client", function()
  it("gets a certificate for its names and its key", function()
    local made, fault = obtain {}
    assert.is_nil(fault)
    assert.same({ "a.example" }, core.certificate_facts(made.chain).names)
    assert.equal(crypto.key(made.chain):public_pem(), crypto.key(made.key):public_pem())
  end)

  local lies = {
    ["a certificate for other names"] = { { names = { "b.example" } }, "is not for a.example" },
    ["a certificate for another key"] = { { key = crypto.new_key "P-256" }, "is for another key" },
    ["no certificate"] = { { ["/certificate/1"] = { body = "nothing" } }, "certificate cannot be read" },
    ["an order without a URL"] = { { ["/order"] = { status = 201, body = '{"authorizations":[],"finalize":"x"}' } },
      "/order: the answer is no order" },
    ["an order at a URL of another kind"] = { { ["/order"] = { status = 201, headers = { Location = "http://x/order" },
      body = '{"status":"ready","authorizations":[],"finalize":"https://ca.example/finalize"}' } },
      "names the URL 'http://x/order', which is not https://" },
    ["more names to prove than were asked for"] = { { ["/order"] = { status = 201, headers = { Location = "/o" },
      body = '{"authorizations":["1","2","3"],"finalize":"x"}' } }, "/order: the answer is no order" },
    ["no JSON"] = { { ["/order"] = { status = 201, body = "<html>" } }, "/order: the answer is no JSON object" },
    ["no directory"] = { { ["/dir"] = { body = "{}" } }, "/dir: no ACME directory: it has no newNonce" },
    ["an order that is invalid"] = { { ["/order/1"] = { body = '{"status":"invalid","error":{"detail":"no\\nway"}}' } },
      "/order/1: the order is invalid: no way" },
    ["no account"] = { { ["/account"] = { status = 201, body = "{}" } }, "/account: the answer names no account" },
  }
  for what, case in pairs(lies) do
    it("takes nothing from an authority that gives " .. what .. ", and says so in one line", function()
      local made, fault = obtain(case[1])
      assert.is_nil(made)
      assert.matches(case[2], tostring(fault))
      assert.is_nil(tostring(fault):find "%c")
    end)
  end

  it("says when an authority that has had too many requests wants the next one, and asks no more itself", function()
    local made, fault, _, calls = obtain { ["/order"] = problem(429, "rateLimited", { ["Retry-After"] = "7200" }) }
    assert.is_nil(made)
    assert.equal("rateLimited", fault.type)
    assert.equal(7200, fault.retry_after)
    assert.matches("/order: rateLimited: so it is", tostring(fault))
    local orders = 0
    for _, request in ipairs(calls.requests) do orders = orders + (request.url == HOST .. "/order" and 1 or 0) end
    assert.equal(1, orders)
  end)

  it("takes new nonces for those that are refused, but not for ever", function()
    local function refuse(most)
      return function(_, nth)
        if nth <= most then return problem(400, "badNonce") end
        return { status = 201, headers = { Location = HOST .. "/account/1" }, body = "{}" }
      end
    end
    assert.is_table((obtain { ["/account"] = refuse(5) }))
    local made, fault = obtain { ["/account"] = refuse(1000) }
    assert.is_nil(made)
    assert.matches("has refused every nonce", tostring(fault))
  end)

  it("waits for an authority that is slow, and ends with one that is not done in its time", function()
    local made, _, took = obtain { ["/order/1"] = function(_, nth)
      if nth < 4 then return { headers = { ["Retry-After"] = "20" }, body = '{"status":"pending"}' } end
      return { body = '{"status":"invalid"}' }
    end }
    assert.is_nil(made)
    assert.is_true(took >= 60 and took < 70, took)
    local fault
    made, fault, took = obtain { ["/order/1"] = function(_, nth)
      return { body = nth == 1 and '{"status":"ready"}' or '{"status":"processing"}' }
    end }
    assert.is_nil(made)
    assert.matches("/order/1: still processing after 300 s", tostring(fault))
    assert.is_true(took <= 310, took)
  end)

  it("goes by windows of renewal that are times, and by no others", function()
    local function window(body, headers)
      return obtain({ ["/ari/name"] = { headers = headers, body = body } }, function(client)
        return client:renewal "name"
      end)
    end
    local text = '{"suggestedWindow":{"start":"2030-01-01T00:00:00Z","end":"2030-01-03T00:00:00Z"}}'
    local found = window(text, { ["Retry-After"] = "3600" })
    assert.equal(2 * 86400, found.to - found.from)
    assert.equal(3600, found.again)
    for _, body in ipairs { "{}", "nothing", '{"suggestedWindow":{"start":"x","end":"y"}}', '{"suggestedWindow":7}',
      '{"suggestedWindow":{"start":"2030-01-03T00:00:00Z","end":"2030-01-01T00:00:00Z"}}' } do
      local made, fault = window(body)
      assert.is_nil(made)
      assert.matches("/ari/name: the", tostring(fault))
    end
  end)
end)

describe("acme_manager", function()
  local manager = require "perilune.acme_manager"
  local DAY = 86400
  local function renewal(days, ari)
    local entry = { id = "a", names = { "a" }, failures = 0,
      facts = { not_before = 1000, not_after = 1000 + days * DAY }, ari = ari and { chosen = 1000 + ari * DAY } }
    return (manager.status { entries = { entry } }[1].renew_at - 1000) / DAY
  end

  it("renews after two thirds of a certificate's time, or when the authority wants it", function()
    assert.equal(60, renewal(90))
    assert.equal(4, renewal(6))
    assert.equal(50, renewal(90, 50))
    assert.equal(70, renewal(90, 70))
  end)

  it("lets no window of an authority order a new certificate again at once, nor let it expire", function()
    assert.equal(0.25, renewal(90, -10))
    assert.equal(0.1, renewal(1, 0))
    assert.equal(85.5, renewal(90, 300))
  end)
end)
