-- SPDX-License-Identifier: Apache-2.0
-- The cache of a listener without sockets, in virtual time: what a walk stores, another one is served, and the hooks
-- are called as in the proxy.
local perilune = require "perilune"
local test = require "perilune.test"

-- A policy of these hooks with a cache, and an origin that counts.
local function scene(hooks, options)
  hooks = hooks or {}
  hooks.upstream_peer = hooks.upstream_peer or function() return "127.0.0.1:8000" end
  options = options or {}
  options.size = "1M"
  local pages = perilune.cache("pages", options)
  return test.policy(hooks, { cache = pages }), pages
end

local function page(control, more)
  local answer = { headers = { ["Cache-Control"] = control }, body = "page" }
  for name, value in pairs(more or {}) do
    if name == "headers" then
      for field, text in pairs(value) do answer.headers[field] = text end
    else
      answer[name] = value
    end
  end
  return answer
end

local FRESH = page "max-age=60"

-- What its author would write for examples/cache.lua.
describe("examples/cache.lua", function()
  local policy = nil
  before_each(function() policy = test.policy "examples/cache.lua" end)

  it("keeps a page for as long as it says", function()
    assert.cached("miss", policy:request({ target = "/page" }, FRESH))
    local hit = policy:request({ target = "/page" }, "connect_refused") -- and no peer is asked
    assert.cached(hit)
    assert.status(200, hit)
    assert.body("page", hit)
    assert.equal(0, hit.tries)
    test.clock:advance(59)
    assert.field("Age", "59", policy:request { target = "/page" })
    test.clock:advance(2)
    assert.is_not.cached(policy:request({ target = "/page" }, FRESH))
  end)

  it("forgets it for who has the token", function()
    policy:request({ target = "/page" }, FRESH)
    assert.status(403, policy:request { method = "PURGE", target = "/page" })
    assert.cached("hit", policy:request { target = "/page" })
    local purge = { method = "PURGE", target = "/page", headers = { Authorization = "Bearer secret" } }
    assert.body("forgotten\n", policy:request(purge))
    assert.cached("miss", policy:request({ target = "/page" }, FRESH))
  end)
end)

describe("a walk with a cache", function()
  it("keeps nothing that is private, and says so", function()
    local policy = scene()
    for _ = 1, 2 do assert.cached("miss", policy:request({}, page "private, max-age=60")) end
    assert.cached("bypass", policy:request({ method = "POST", body = "x" }, FRESH))
    assert.is_nil(test.policy({ upstream_peer = function() return "127.0.0.1:8000" end }):request({}, FRESH).cache)
  end)

  it("shows another answer each time that the same exchange is walked", function()
    local x = scene():exchange {}
    assert.cached("miss", x:walk(FRESH))
    assert.cached("hit", x:walk(FRESH))
  end)

  it("asks about what is stale, and what the peer says counts", function()
    local policy = scene()
    policy:request({}, page("max-age=10", { headers = { ETag = '"one"' } }))
    test.clock:advance(11)
    local x = policy:exchange {}
    local still_good = { status = 304, headers = { ETag = '"one"', ["Cache-Control"] = "max-age=60" } }
    assert.cached("revalidated", x:walk(still_good))
    assert.equal('"one"', x:upstream_request().headers.if_none_match)
    test.clock:advance(58)
    local hit = policy:request {}
    assert.cached("hit", hit)
    assert.body("page", hit)
    test.clock:advance(3)
    assert.cached("expired", policy:request({}, page("max-age=10", { body = "another" })))
    assert.body("another", policy:request {})
  end)

  it("asks once more where a 304 is about something else", function()
    local policy = scene()
    policy:request({}, page("max-age=0", { headers = { ETag = '"one"' } }))
    local answer = policy:request({}, function(_, try)
      return try == 1 and { status = 304, headers = { ETag = '"two"' } } or page("max-age=0", { body = "new" })
    end)
    assert.body("new", answer)
    assert.equal(2, answer.tries)
  end)

  it("serves what is stale while it is fetched, and the next one gets what was fetched", function()
    local asked = {}
    local policy = scene { upstream_request_filter = function(session)
      asked[#asked + 1] = session:cache_status()
    end }
    policy:request({}, page "max-age=10, stale-while-revalidate=60")
    test.clock:advance(11)
    local stale = policy:request({}, page("max-age=10, stale-while-revalidate=60", { body = "new" }))
    assert.cached("stale-updating", stale)
    assert.body("page", stale)
    assert.body("new", policy:request {})
    assert.same({ "miss", "expired" }, asked)
  end)

  it("serves what is stale where no peer answers, and where one answers with an error", function()
    local policy = scene()
    policy:request({}, page "max-age=10, stale-if-error=60")
    test.clock:advance(11)
    for _, trouble in ipairs { "connect_refused", { status = 503, body = "down" } } do
      local answer = policy:request({}, trouble)
      assert.cached("stale", answer)
      assert.body("page", answer)
    end
    test.clock:advance(60)
    assert.status(502, policy:request({}, "connect_refused"))
  end)

  it("answers HEAD, conditions and ranges from what is stored", function()
    local policy = scene()
    policy:request({}, page("max-age=60", { body = "0123456789", headers = { ETag = '"one"' } }))
    assert.body("", policy:request { method = "HEAD" })
    assert.status(304, policy:request { headers = { ["If-None-Match"] = '"one"' } })
    local part = policy:request { headers = { Range = "bytes=2-4" } }
    assert.status(206, part)
    assert.body("234", part)
    assert.status(504, policy:request { target = "/b", headers = { ["Cache-Control"] = "only-if-cached" } })
  end)

  it("keeps nothing of a body that is not as long as it says", function()
    local policy = scene()
    local short = page("max-age=60", { headers = { ["Content-Length"] = "10" } })
    assert.equal("response_truncated", policy:request({}, short).failure)
    assert.cached("miss", policy:request({}, FRESH))
  end)

  it("forgets by tags, prefixes and unsafe requests", function()
    local policy, pages = scene()
    local tagged = page("max-age=60", { headers = { ["Surrogate-Key"] = "a b" } })
    for _, forget in ipairs { function() pages:purge_tag "b" end,
      function() pages:purge_prefix "http://test.example/" end, function() pages:purge_all() end,
      function() policy:request({ method = "POST", body = "" }, { body = "done" }) end } do
      assert.cached("miss", policy:request({}, tagged))
      assert.cached("hit", policy:request {})
      forget()
    end
    assert.cached("miss", policy:request({}, tagged))
  end)
end)

describe("the hooks of the cache in a walk", function()
  it("are called in their order, and may wait", function()
    local calls = {}
    local hooks = {}
    for _, name in ipairs { "request_filter", "request_cache_filter", "cache_key_callback", "cache_vary_filter",
      "cache_hit_filter", "cache_miss", "proxy_upstream_filter", "response_cache_filter", "upstream_response_filter",
      "response_filter", "logging" } do
      hooks[name] = function(session)
        if name:find "^cache_" then perilune.sleep(1) end
        calls[#calls + 1] = name
        if name == "logging" then calls[#calls + 1] = session:cache_status() end
      end
    end
    local policy = scene(hooks)
    policy:request({}, FRESH)
    assert.equal("request_filter request_cache_filter cache_key_callback cache_vary_filter cache_miss "
      .. "proxy_upstream_filter upstream_response_filter response_cache_filter response_filter logging miss",
      table.concat(calls, " "))
    calls = {}
    policy:request {}
    assert.equal("request_filter request_cache_filter cache_key_callback cache_vary_filter cache_hit_filter "
      .. "response_filter logging hit", table.concat(calls, " "))
  end)

  it("decide: the key, what is kept, for how long, and whether it may be stale", function()
    local policy = scene {
      request_cache_filter = function(session) if session:path() == "/out" then return false end end,
      cache_key_callback = function(session) return session:path() end,
      response_cache_filter = function() return { ttl = 5, strip = { "Set-Cookie" } } end,
      should_serve_stale = function(_, failure) return failure ~= nil end,
    }
    local answer = { headers = { ["Set-Cookie"] = "a=b" }, body = "kept" }
    assert.cached("miss", policy:request({ target = "/a?1" }, answer))
    assert.cached("hit", policy:request { target = "/a?2" })
    test.clock:advance(6)
    assert.cached("stale", policy:request({ target = "/a" }, "connect_timeout"))
    for _ = 1, 2 do assert.cached("bypass", policy:request({ target = "/out" }, answer)) end
  end)

  it("that fail, fail the request", function()
    local policy = scene { cache_miss = function() error "no" end }
    local answer = policy:request({}, FRESH)
    assert.status(500, answer)
    assert.equal("script", answer.failure)
  end)
end)

describe("assert.cached", function()
  it("reads what a harness says in Cache-Status, and raises where nothing does", function()
    local text = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return os.getenv "ORIGIN" end },
        { cache = perilune.cache("pages", { size = "1M", status_header = %s }) })]]
    local h = test.harness { policy = text:format "true", origins = { one = FRESH } }
    assert.cached("miss", h:request())
    assert.cached(h:request())
    local asked = 0
    local stale = test.harness { policy = text:format "true", origins = { one = function()
      asked = asked + 1
      if asked == 2 then return { status = 304, headers = { ETag = '"1"' } } end
      if asked == 3 then return { status = 503 } end
      return page("max-age=0, stale-if-error=60", { headers = { ETag = '"1"' } })
    end } }
    for _, result in ipairs { "miss", "revalidated", "stale", "expired" } do
      assert.cached(result, stale:request())
    end
    local silent = test.harness { policy = text:format "false", origins = { one = FRESH } }
    assert.error_matches(function() assert.cached("hit", silent:request()) end, "does not say what the cache did")
    assert.error_matches(function() assert.cached("hid", silent:request()) end, 'there is no result "hid"')
    assert.error_matches(function() assert.cached("hit") end, "argument 2 must be a response")
  end)
end)
