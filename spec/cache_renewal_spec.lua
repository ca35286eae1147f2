-- SPDX-License-Identifier: Apache-2.0
-- What is stored and the peer says of it when it is asked: how old it is then, and what Cache-Status tells of it.
local scene = require "cached"

after_each(require("cleanup").run)

-- A cache whose origin gives these answers, one after another, and the last one again and again; a response without a
-- status is a 200. `nil` for an answer: the connection is closed.
local function start(answers, options)
  options = options or {}
  options.cache = (options.cache or "") .. ", status_header = true"
  local at = 0
  return scene.start(function()
    at = at + 1
    local answer = answers[math.min(at, #answers)]
    return answer ~= "closed" and answer or nil
  end, options)
end

local STALE = { headers = { ["Cache-Control"] = "max-age=0", ETag = '"1"' }, body = "stored" }

local function good(headers)
  headers.ETag = '"1"'
  return { status = 304, headers = headers }
end

describe("a response that the peer says is still good", function()
  it("is as old as the peer's answer (RFC 9111 4.2.3)", function()
    local ask, origin = start { STALE, good { ["Cache-Control"] = "max-age=100", Age = "30" } }
    ask()
    for _ = 1, 2 do
      local age = assert(tonumber(ask().headers.age))
      assert.is_true(age >= 30 and age < 90, age)
    end
    assert.same({ "stored", 2 }, { ask().body, #origin.requests })
  end)

  it("is stale again where that is older than it may be", function()
    local ask, origin = start { STALE, good { ["Cache-Control"] = "max-age=100", Age = "200" } }
    for _ = 1, 3 do assert.equal("stored", ask().body) end
    assert.equal(3, #origin.requests)
  end)
end)

describe("Cache-Status", function()
  local failing = { status = 500, headers = {}, body = "failed" }
  local grace = { headers = { ["Cache-Control"] = "max-age=0, stale-if-error=60", ETag = '"1"' }, body = "stored" }
  -- By what the second request meets: the answers, and what is said of it (RFC 9211 2.2 and 2.3).
  local cases = {
    ["what is still good"] = { { STALE, good { ["Cache-Control"] = "max-age=100" } },
      "^perilune; fwd=stale; fwd%-status=304; ttl=%d+$" },
    ["what is replaced"] = { { STALE, scene.fresh { body = "other" } }, "^perilune; fwd=stale; ttl=%d+; stored$" },
    ["what is served because the peer has failed"] = { { grace, failing },
      "^perilune; fwd=stale; fwd%-status=500; ttl=%-?%d+$" },
    ["what is served because the peer does not answer"] = { { grace, "closed" },
      "^perilune; fwd=stale; ttl=%-?%d+; detail=no%-answer$" },
  }
  for what, case in pairs(cases) do
    it("says that the peer was asked, and what it said, of " .. what, function()
      local ask = start(case[1])
      assert.equal("stored", ask().body)
      assert.matches(case[2], ask().headers.cache_status)
    end)
  end

  it("says why a response is not kept", function()
    local reasons = {
      no_store = { ["Cache-Control"] = "no-store" }, private = { ["Cache-Control"] = "private" },
      set_cookie = { ["Cache-Control"] = "max-age=60", ["Set-Cookie"] = "a=b" },
      vary = { ["Cache-Control"] = "max-age=60", Vary = "*" }, no_freshness = {},
    }
    for reason, headers in pairs(reasons) do
      local ask = start { { headers = headers, body = "stored" } }
      assert.equal("perilune; fwd=uri-miss; detail=" .. reason, ask().headers.cache_status)
    end
    local large = start({ scene.fresh { body = ("x"):rep(5000) } }, { cache = ", max_object = \"4K\"" })
    assert.equal("perilune; fwd=uri-miss; detail=too_large", large().headers.cache_status)
    local policy = start({ scene.FRESH }, { hooks = "function policy.response_cache_filter() return false end" })
    assert.equal("perilune; fwd=uri-miss; detail=policy", policy().headers.cache_status)
  end)
end)

describe("a request that is made for the cache", function()
  it("has none of the fields by which frameworks take another host or URL", function()
    local names = { "X-HTTP-Host-Override", "X-Host-Override", "X-Override-URL", "X-Backend-Host",
      "X-Http-Destinationurl", "X-Proxy-Url", "Base-Url", "Http-Host", "Proxy-Host", "Request-Uri", "Proxy" }
    local ask, origin = start { scene.FRESH }
    local headers = { ["X-Other"] = "here" }
    for _, name in ipairs(names) do headers[name] = "evil.example" end
    ask { headers = headers }
    local sent = origin.requests[1].headers
    assert.equal("here", sent["X-Other"])
    for _, name in ipairs(names) do assert.is_nil(sent[name], name) end
  end)
end)
