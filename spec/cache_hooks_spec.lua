-- SPDX-License-Identifier: Apache-2.0
-- The hooks of the cache: what a policy decides about what is kept, found and served.
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local cached, fresh, FRESH = scene.start, scene.fresh, scene.FRESH

-- A count for each answer, so that it shows which one a client gets.
local function counting(answer)
  local count = 0
  return function(request)
    count = count + 1
    local given = fresh(answer)
    given.body = ("%d of %s"):format(count, request.target)
    return given
  end
end

describe("request_cache_filter", function()
  it("keeps requests away from the cache with false", function()
    local ask, origin = cached(FRESH, { hooks = [[
      function policy.request_cache_filter(session) if session:path() == "/no" then return false end end
      function policy.response_filter(session, response) response:set_header("X-Cache", session:cache_status()) end
    ]] })
    for _ = 1, 2 do assert.equal("bypass", ask({ target = "/no" }).headers.x_cache) end
    assert.equal("miss", ask({ target = "/yes" }).headers.x_cache)
    assert.equal("hit", ask({ target = "/yes" }).headers.x_cache)
    assert.equal(3, #origin.requests)
  end)

  it("takes true for what it does without a result, as response_cache_filter does", function()
    local ask, origin = cached(FRESH, { hooks = [[
      function policy.request_cache_filter(session) return session:path() ~= "/no" end
      function policy.response_cache_filter(session) return session:path() ~= "/not_kept" end
    ]] })
    for target, asked in pairs { ["/yes"] = 1, ["/no"] = 2, ["/not_kept"] = 2 } do
      local before = #origin.requests
      for _ = 1, 2 do assert.equal("stored", ask({ target = target }).body) end
      assert.equal(asked, #origin.requests - before, target)
    end
  end)

  it("may wait, refresh, ask for what is there only, and give a lifetime", function()
    local ask, origin = cached(function(request) return { body = request.target } end, { hooks = [[
      function policy.request_cache_filter(session)
        perilune.sleep(0.001)
        local wanted = session:query_arg "x"
        if wanted == "refresh" then return { ttl = 60, refresh = true } end
        if wanted == "only" then return { only_if_cached = true } end
        return { ttl = 60 }
      end
      function policy.cache_key_callback(session) return session:path() end
    ]] })
    assert.equal(504, ask({ target = "/a?x=only" }).status)
    for _ = 1, 2 do assert.equal("/a", ask({ target = "/a" }).body) end
    assert.equal("/a?x=refresh", ask({ target = "/a?x=refresh" }).body)
    assert.equal("/a?x=refresh", ask({ target = "/a?x=only" }).body)
    assert.equal(2, #origin.requests)
  end)

  it("may answer itself", function()
    local ask, origin = cached(FRESH, { hooks = [[
      function policy.request_cache_filter(session) return session:respond { status = 403 } end
    ]] })
    assert.equal(403, ask().status)
    assert.equal(0, #origin.requests)
  end)

  it("fails the request where its table has a name that there is none of", function()
    local ask, _, proxy = cached(FRESH, { hooks = [[
      function policy.request_cache_filter() return { lock_wiat = 1 } end
    ]] })
    assert.equal(500, ask().status)
    assert.matches("there is no 'lock_wiat' in its result: did you mean lock_wait?", proxy:log(), 1, true)
  end)
end)

describe("cache_key_callback", function()
  it("stands for path and query, for purges and unsafe methods as well", function()
    local ask, origin = cached(counting(), { hooks = [[
      function policy.cache_key_callback(session) return "/" .. session:host() end
      function policy.request_filter(session)
        if session:path() ~= "/purge" then return end
        pages:purge("http://" .. session:host() .. "/" .. session:host())
        return session:respond { status = 204 }
      end
    ]] })
    assert.equal("1 of /a", ask({ target = "/a" }).body)
    assert.equal("1 of /a", ask({ target = "/b?c" }).body)
    assert.equal("2 of /b?c", ask({ target = "/b?c", host = "other.example" }).body)
    ask { target = "/purge" }
    assert.equal("3 of /d", ask({ target = "/d" }).body)
    ask { target = "/elsewhere", method = "POST", body = "x" }
    assert.equal("5 of /e", ask({ target = "/e" }).body)
    assert.equal(5, #origin.requests)
  end)
end)

describe("cache_vary_filter", function()
  it("keeps a response for each of its texts, and a purge forgets them all", function()
    local ask = cached(counting(), { hooks = [[
      function policy.cache_vary_filter(session) return session:get_header "X-Country" end
      function policy.request_filter(session)
        if session:path() ~= "/purge" then return end
        pages:purge "http://spec.example/a"
        return session:respond { status = 204 }
      end
    ]] })
    local function of(country) return ask({ target = "/a", headers = { ["X-Country"] = country } }).body end
    assert.same({ "1 of /a", "2 of /a", "1 of /a", "3 of /a" }, { of "de", of "fr", of "de", of(nil) })
    ask { target = "/purge" }
    assert.same({ "4 of /a", "5 of /a" }, { of "de", of "fr" })
  end)
end)

describe("cache_hit_filter", function()
  it("takes what is stored for fresh, expired or missing", function()
    local ask, origin = cached(counting { headers = { ETag = '"x"', ["Cache-Control"] = "max-age=0" } }, { hooks = [[
      function policy.cache_hit_filter(session, response, is_fresh)
        assert(response:get_header "ETag" == '"x"' and not is_fresh and session:cache_ttl() <= 0)
        return session:query_arg "as"
      end
      function policy.cache_key_callback(session) return session:path() end
    ]] })
    assert.equal("1 of /a", ask({ target = "/a" }).body)
    assert.equal("1 of /a", ask({ target = "/a?as=fresh" }).body)
    assert.equal("2 of /a?as=miss", ask({ target = "/a?as=miss" }).body)
    ask { target = "/a?as=expired" }
    assert.equal(3, #origin.requests)
    assert.is_nil(origin.requests[2].headers["if-none-match"])
    assert.equal('"x"', origin.requests[3].headers["if-none-match"])
  end)
end)

describe("cache_miss", function()
  it("is called where a peer is asked because nothing is stored, and may answer", function()
    local ask, origin = cached(FRESH, { hooks = [[
      function policy.cache_miss(session)
        perilune.sleep(0.001)
        if session:path() == "/closed" then return session:respond { status = 503 } end
        perilune.log.warn("missed " .. session:path())
      end
    ]] })
    for _ = 1, 2 do assert.equal(503, ask({ target = "/closed" }).status) end
    for _ = 1, 2 do assert.equal(200, ask({ target = "/open" }).status) end
    assert.equal(1, #origin.requests)
  end)
end)

describe("response_cache_filter", function()
  it("keeps responses out with false", function()
    local ask, origin = cached(FRESH, { hooks = "function policy.response_cache_filter() return false end" })
    for _ = 1, 3 do assert.equal("stored", ask().body) end
    assert.equal(3, #origin.requests)
  end)

  it("gives a lifetime, and takes fields out that would keep a response out", function()
    local answer = { headers = { ["Set-Cookie"] = "a=b", ["X-Kept"] = "yes" }, body = "stored" }
    local ask, origin = cached(answer, { hooks = [[
      function policy.response_cache_filter(session, response)
        perilune.sleep(0.001)
        assert(response:status() == 200)
        return { ttl = 60, strip = { "Set-Cookie" }, stale_if_error = 10 }
      end
    ]] })
    for _ = 1, 2 do
      local given = ask()
      assert.is_nil(given.headers.set_cookie)
      assert.equal("yes", given.headers.x_kept)
    end
    assert.equal(1, #origin.requests)
  end)

  it("may wait past the second in which the response came: its Date stays", function()
    local ask = cached(function(_, connection)
      connection:send "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nstored"
    end, { hooks = [[
      local came, may_go = false, false
      function policy.request_filter(session)
        if session:path() == "/go" then may_go = true end
        if session:path() ~= "/page" then return session:respond { status = 200, body = came and "came" or "no" } end
      end
      function policy.response_cache_filter()
        came = true
        while not may_go do perilune.sleep(0.005) end
      end
    ]] })
    local page
    local waits = scheduler.spawn(function() page = ask { target = "/page" } end)
    local noted, later
    scheduler.eventually(function()
      noted = ask { target = "/look" }
      return noted.body == "came"
    end)
    scheduler.eventually(function()
      later = ask { target = "/look" }
      return later.headers.date ~= noted.headers.date
    end)
    ask { target = "/go" }
    scheduler.eventually(function() return page end)
    assert.not_equal(later.headers.date, page.headers.date)
    assert.equal(page.headers.date, ask({ target = "/page" }).headers.date)
    scheduler.cancel(waits)
  end)

  it("does not make storable what is private", function()
    local ask, origin = cached({ headers = { ["Cache-Control"] = "private" }, body = "x" }, { hooks = [[
      function policy.response_cache_filter() return { ttl = 60 } end
    ]] })
    for _ = 1, 2 do assert.equal("x", ask().body) end
    assert.equal(2, #origin.requests)
  end)
end)

describe("should_serve_stale", function()
  local STALE = { headers = { ["Cache-Control"] = "max-age=0", ETag = '"x"' } }

  it("allows, for an error, what the response does not", function()
    local is_broken = false
    local answer = counting(STALE)
    local ask, _, proxy = cached(function(request)
      if is_broken == "silent" then return nil end
      return is_broken and { status = 503, body = "broken" } or answer(request)
    end, { hooks = [[
      function policy.should_serve_stale(session, error)
        perilune.log.warn("asked because of " .. (error and error:kind() or "nothing"))
        perilune.sleep(0.001)
        if error and session:path() == "/a" then return true end
      end
      function policy.fail_to_proxy() return 500 end
    ]] })
    ask { target = "/a" }
    ask { target = "/b" }
    is_broken = true
    assert.equal("1 of /a", ask({ target = "/a" }).body)
    assert.equal("broken", ask({ target = "/b" }).body)
    is_broken = "silent"
    assert.equal("1 of /a", ask({ target = "/a" }).body)
    assert.matches("asked because of answered_error", proxy:log(), 1, true)
    assert.matches("asked because of upstream_closed", proxy:log(), 1, true)
  end)

  it("forbids what the response allows", function()
    local ask, origin = cached(counting { headers = { ["Cache-Control"] = "max-age=0, stale-while-revalidate=60" } },
      { hooks = "function policy.should_serve_stale(_, error) return error ~= nil end" })
    for n = 1, 3 do assert.equal(n .. " of /", ask({ target = "/" }).body) end
    assert.equal(3, #origin.requests)
  end)

  it("that fails serves nothing stale", function()
    local ask = cached(counting { headers = { ["Cache-Control"] = "max-age=0, stale-while-revalidate=60" } },
      { hooks = "function policy.should_serve_stale() error 'oops' end" })
    for n = 1, 2 do assert.equal(n .. " of /", ask({ target = "/" }).body) end
  end)
end)
