-- SPDX-License-Identifier: Apache-2.0
-- The shared cache as a client sees it: what is asked once and served often, and what never is.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local cached, fresh, FRESH = scene.start, scene.fresh, scene.FRESH

describe("a response with a lifetime", function()
  it("is asked for once and served again, with its age", function()
    local ask, origin = cached(FRESH)
    local first, second = ask(), ask()
    assert.equal("stored", first.body)
    assert.equal("stored", second.body)
    assert.equal(200, second.status)
    assert.is_nil(first.headers.age)
    assert.is_truthy(tonumber(second.headers.age))
    assert.equal(1, #origin.requests)
  end)

  it("is found by all workers", function()
    local ask, origin = cached(FRESH, { workers = 4 })
    for _ = 1, 12 do assert.equal("stored", ask().body) end
    assert.equal(1, #origin.requests)
  end)

  it("answers HEAD, without its body and with its length", function()
    local ask, origin = cached(FRESH)
    ask()
    local head = ask { method = "HEAD" }
    assert.equal("6", head.headers.content_length)
    assert.equal("", head.body)
    assert.equal(1, #origin.requests)
  end)

  it("is fetched whole for a HEAD, and then answers GET", function()
    local ask, origin = cached(FRESH)
    local head = ask { method = "HEAD" }
    assert.equal("6", head.headers.content_length)
    assert.equal("stored", ask().body)
    assert.equal(1, #origin.requests)
    assert.equal("GET", origin.requests[1].method)
  end)

  it("is 304 to who has it already", function()
    local ask, origin = cached(fresh { headers = { ETag = '"one"' } })
    ask()
    local answer = ask { headers = { ["If-None-Match"] = '"one"' } }
    assert.equal(304, answer.status)
    assert.equal('"one"', answer.headers.etag)
    assert.equal("stored", ask { headers = { ["If-None-Match"] = '"two"' } }.body)
    assert.equal(1, #origin.requests)
  end)

  it("is cut into the ranges that are asked for", function()
    local ask, origin = cached(fresh { body = "0123456789" })
    ask()
    local part = ask { headers = { Range = "bytes=2-4" } }
    assert.equal(206, part.status)
    assert.equal("234", part.body)
    assert.equal("bytes 2-4/10", part.headers.content_range)
    assert.equal("789", ask { headers = { Range = "bytes=-3" } }.body)
    assert.equal(416, ask { headers = { Range = "bytes=20-" } }.status)
    assert.equal(1, #origin.requests)
  end)

  it("of any length comes whole, of known length and in chunks", function()
    local body = ("0123456789abcdef"):rep(20000)
    for _, chunked in ipairs { true, false } do
      local ask, origin = cached(fresh { body = body, chunked = chunked })
      for _ = 1, 3 do assert.is_true(ask().body == body) end
      assert.equal(1, #origin.requests)
    end
  end)

  it("is not served for another path, query, host or scheme's port", function()
    local ask, origin = cached(function(request) return fresh { body = request.headers.host .. request.target } end)
    for _, request in ipairs { { target = "/a" }, { target = "/a?x" }, { target = "/a", host = "b" } } do
      local body = (request.host or "spec.example") .. request.target
      for _ = 1, 2 do assert.equal(body, ask(request).body) end
    end
    assert.equal(3, #origin.requests)
  end)
end)

describe("a response", function()
  -- By path: what the origin says, and what the client asks with.
  local refused = {
    ["that sets a cookie"] = { fresh { headers = { ["Set-Cookie"] = "a=b" } } },
    ["that is private"] = { fresh { headers = { ["Cache-Control"] = "private, max-age=60" } } },
    ["that is no-store"] = { fresh { headers = { ["Cache-Control"] = "no-store, max-age=60" } } },
    ["that CDN-Cache-Control keeps out"] = { fresh { headers = { ["CDN-Cache-Control"] = "no-store" } } },
    ["without a lifetime or a validator"] = { { body = "stored" } },
    ["that varies on everything"] = { fresh { headers = { Vary = "*" } } },
    ["to a client that shows who it is"] = { FRESH, { headers = { Authorization = "Basic eDp5" } } },
    ["to a client that says no-store"] = { FRESH, { headers = { ["Cache-Control"] = "no-store" } } },
    ["to a GET with a body"] = { FRESH, { body = "fat" } },
    ["to a POST"] = { FRESH, { method = "POST", body = "" } },
  }

  it("is not stored where it, or its request, speaks against that", function()
    local answers, paths = {}, {}
    for name, case in pairs(refused) do
      local path = "/" .. name:gsub(" ", "-")
      answers[path], paths[name] = case[1], path
    end
    local ask, origin = cached(function(request) return answers[request.target] end)
    for name, case in pairs(refused) do
      local before = #origin.requests
      local request = { target = paths[name] }
      for field, value in pairs(case[2] or {}) do request[field] = value end
      for _ = 1, 3 do assert.equal("stored", ask(request).body, name) end
      assert.equal(3, #origin.requests - before, "a response " .. name .. " was stored")
    end
  end)

  it("does not depend on what the key has not", function()
    local ask = cached(function(request)
      local h = request.headers
      return fresh { body = (h["x-host"] or "") .. (h["x-original-url"] or "") .. (h["x-forwarded-host"] or "")
        .. (h["x-http-method-override"] or "") .. (h["x-forwarded-prefix"] or "") }
    end)
    local evil = { ["X-Host"] = "evil", ["X-Original-URL"] = "/evil", ["X-Forwarded-Host"] = "evil",
      ["X-HTTP-Method-Override"] = "evil", ["X-Forwarded-Prefix"] = "evil" }
    assert.equal("spec.example", ask { headers = evil }.body)
    assert.equal("spec.example", ask().body)
  end)

  it("is chosen by the fields that it varies on", function()
    local ask, origin = cached(function(request)
      return fresh { headers = { Vary = "Accept-Language" }, body = request.headers.accept_language }
    end)
    for _ = 1, 2 do
      for _, language in ipairs { "de", "en", "fr" } do
        assert.equal(language, ask { headers = { ["Accept-Language"] = language } }.body)
      end
    end
    assert.equal(3, #origin.requests)
  end)

  it("in a coding is not sent to who does not accept it, also where it does not say that it varies", function()
    local ask = cached(function(request)
      local accepts = request.headers.accept_encoding
      return fresh { headers = accepts and { ["Content-Encoding"] = "gzip" } or {}, body = accepts or "plain" }
    end)
    assert.equal("gzip", ask { headers = { ["Accept-Encoding"] = "foo, gzip;q=0.5, deflate" } }.body)
    assert.equal("plain", ask().body)
  end)

  it("is asked for only where it is there, if the client wants that", function()
    local ask, origin = cached(FRESH)
    local wanted = { headers = { ["Cache-Control"] = "only-if-cached" } }
    assert.equal(504, ask(wanted).status)
    ask()
    assert.equal("stored", ask(wanted).body)
    assert.equal(1, #origin.requests)
  end)
end)

describe("a stale response", function()
  local function revalidating(more)
    return cached(function(request)
      if request.headers.if_none_match then return { status = 304, headers = { ETag = '"one"' } } end
      local answer = fresh { headers = { ETag = '"one"', ["Cache-Control"] = "max-age=0, must-revalidate" } }
      for name, value in pairs(more or {}) do answer[name] = value end
      return answer
    end)
  end

  it("is asked about, and served again where the peer says that it is still good", function()
    local ask, origin = revalidating()
    for _ = 1, 3 do assert.equal("stored", ask().body) end
    assert.equal(3, #origin.requests)
    assert.equal('"one"', origin.requests[2].headers.if_none_match)
    assert.equal('"one"', origin.requests[3].headers.if_none_match)
  end)

  it("that was asked about is fresh again, of any size", function()
    for _, size in ipairs { 6, 400000 } do
      local body = ("x"):rep(size)
      local ask, origin = cached(function(request)
        local control = request.headers.if_none_match and "max-age=60" or "max-age=0"
        local status = request.headers.if_none_match and 304 or 200
        return { status = status, headers = { ETag = '"one"', ["Cache-Control"] = control }, body = body }
      end)
      for _ = 1, 4 do assert.is_true(ask { timeout = 10 }.body == body) end
      assert.equal(2, #origin.requests)
    end
  end)

  it("of some size too", function()
    local body = ("x"):rep(400000)
    local ask, origin = revalidating { body = body }
    for _ = 1, 3 do assert.is_true(ask().body == body) end
    assert.equal(3, #origin.requests)
  end)

  it("is served where the peer fails, if its header allows that", function()
    local fails = false
    local ask, origin = cached(function()
      if fails then return { status = 503, body = "down" } end
      return fresh { headers = { ["Cache-Control"] = "max-age=0, stale-if-error=60" } }
    end)
    ask()
    fails = true
    assert.equal("stored", ask().body)
    origin:stop()
    assert.equal("stored", ask().body)
  end)

  it("is served at once while it is fetched anew, if its header allows that", function()
    local count = 0
    local ask, origin = cached(function()
      count = count + 1
      local control = "max-age=0, stale-while-revalidate=60"
      return fresh { body = "number " .. count, headers = { ["Cache-Control"] = control } }
    end)
    assert.equal("number 1", ask().body)
    assert.equal("number 1", ask().body)
    scheduler.wait_until(function() return #origin.requests == 2 end, scheduler.deadline(10))
  end)
end)

describe("clients of HTTP/2", function()
  it("get the same, whole or in parts, and so does a HEAD", function()
    local body = ("0123456789"):rep(20000)
    local ask, origin = cached(fresh { body = body }, { listen = ", h2c = true" })
    for _ = 1, 2 do assert.is_true(ask { version = "2" }.body == body) end
    assert.is_true(ask().body == body)
    assert.equal("3456", ask { version = "2", headers = { Range = "bytes=3-6" } }.body)
    assert.equal("200000", ask { version = "2", method = "HEAD" }.headers.content_length)
    assert.equal(1, #origin.requests)
  end)
end)

describe("peers of HTTP/2", function()
  it("are asked once, also where the one that asked is gone before the body is there", function()
    local body, goes_on = ("0123456789"):rep(20000), false
    local origin = origins.start(function(stream)
      stream:read_request()
      scheduler.wait_until(function() return goes_on end, scheduler.deadline(20))
      stream:respond(fresh { body = body })
    end, { http2 = true })
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = "%s", http2 = true } end },
        { cache = perilune.cache("pages", { size = "8M" }) })
    ]]):format(origin.address) }
    local first = client.connect(proxy.port)
    first:send_request {}
    scheduler.wait_until(function() return #origin.requests == 1 end, scheduler.deadline(10))
    first:reset()
    goes_on = true
    for _ = 1, 3 do assert.is_true(client.request(proxy.port).body == body) end
    assert.equal(1, #origin.requests)
  end)
end)

describe("examples/cache.lua", function()
  it("keeps pages, says so, and forgets one for who has the token", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond(FRESH) end
    end)
    local proxy = perilune.start { script = "examples/cache.lua",
      env = { LISTEN = "127.0.0.1:0", PEER = origin.address, PURGE_TOKEN = "open" } }
    local function ask(request)
      request.port = proxy.port
      return client.request(request)
    end
    assert.matches("fwd=uri%-miss; .*stored", ask({ target = "/page?a" }).headers.cache_status)
    assert.matches("perilune; hit; ttl=%d+", ask({ target = "/page?a" }).headers.cache_status)
    assert.equal(403, ask({ target = "/page?a", method = "PURGE" }).status)
    local open = { Authorization = "Bearer open" }
    assert.equal("forgotten\n", ask({ target = "/page?a", method = "PURGE", headers = open }).body)
    ask { target = "/page?a" }
    assert.equal(2, #origin.requests)
  end)
end)

describe("a purge", function()
  it("forgets what is kept of a URL, with all that it varies on, or everything", function()
    local ask, origin = cached(function() return fresh { headers = { Vary = "Accept" } } end, { hooks = [[
      local pages = perilune.cache("pages", { size = "8M" })
      function policy.request_filter(session)
        local purged = session:get_header "x-purge"
        if purged == "all" then pages:purge_all() elseif purged then pages:purge(purged) end
      end]] })
    local function fetches(request)
      local before = #origin.requests
      ask(request)
      return #origin.requests - before
    end
    local kinds = { { headers = { Accept = "a" } }, { headers = { Accept = "b" } } }
    for _, kind in ipairs(kinds) do assert.equal(1, fetches(kind)) end
    for _, kind in ipairs(kinds) do assert.equal(0, fetches(kind)) end
    ask { target = "/other", headers = { ["X-Purge"] = "http://SPEC.example:80/" } }
    for _, kind in ipairs(kinds) do assert.equal(1, fetches(kind)) end
    assert.equal(0, fetches { target = "/other" })
    ask { method = "OPTIONS", headers = { ["X-Purge"] = "all" } }
    assert.equal(1, fetches { target = "/other" })
    assert.equal(1, fetches(kinds[1]))
  end)
end)

describe("an unsafe request", function()
  it("makes what is stored for its target stale", function()
    local ask, origin = cached(function(request) return request.method == "POST" and { body = "done" } or FRESH end)
    ask()
    ask { method = "POST", body = "x" }
    ask()
    assert.equal(3, #origin.requests)
  end)
end)
