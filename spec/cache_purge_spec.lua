-- SPDX-License-Identifier: Apache-2.0
-- What the cache forgets, by a policy, by a command and by answers to unsafe requests.
local perilune = require "perilune"
local scene = require "cached"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local cached, fresh = scene.start, scene.fresh

-- /purge?prefix=... of the proxy does what a policy can do.
local HOOKS = [[
  local function purge(session)
    local args, soft = session:query_args(), { soft = session:query_arg "soft" ~= nil }
    if args.url then return pages:purge(args.url, soft) end
    if args.prefix then pages:purge_prefix(args.prefix, soft) end
    if args.tag then pages:purge_tag(args.tag, soft) end
    if args.all then pages:purge_all(soft) end
  end
  function policy.request_filter(session)
    if session:path() == "/purge" then return session:respond { status = 200, body = tostring(purge(session)) } end
  end
]]

-- Each answer has the count of requests to its path, and what `fields` gives for it.
local function counting(fields)
  local counts = {}
  return function(request)
    local path = request.target
    counts[path] = (counts[path] or 0) + 1
    local given = fresh { headers = fields and fields(request) or {} }
    given.body = path .. " " .. counts[path]
    return given
  end
end

local function bodies(ask, paths)
  local all = {}
  for i, path in ipairs(paths) do all[i] = ask({ target = path }).body end
  return all
end

describe("a purge", function()
  it("of a prefix forgets all URLs that begin so, and no others", function()
    local ask = cached(counting(), { hooks = HOOKS })
    local paths = { "/img/a", "/img/b/c", "/im", "/other" }
    bodies(ask, paths)
    ask { target = "/purge?prefix=http://spec.example/img/" }
    assert.same({ "/img/a 2", "/img/b/c 2", "/im 1", "/other 1" }, bodies(ask, paths))
    ask { target = "/purge?prefix=http://spec.example" }
    assert.same({ "/img/a 3", "/img/b/c 3", "/im 2", "/other 2" }, bodies(ask, paths))
    ask { target = "/purge?prefix=http://spec.exampl" }
    assert.same({ "/img/a 3", "/img/b/c 3", "/im 2", "/other 2" }, bodies(ask, paths))
  end)

  it("of a tag forgets all that have it, in whichever field", function()
    local fields = { ["/a"] = { ["Surrogate-Key"] = "one two" }, ["/b"] = { ["Cache-Tag"] = "two,three" },
      ["/c"] = { ["Cache-Groups"] = '"two"' }, ["/d"] = { ["Surrogate-Key"] = "twofold" } }
    local ask = cached(counting(function(request) return fields[request.target] end), { hooks = HOOKS .. [[
      function policy.response_cache_filter(session) return session:path() == "/e" and { tags = { "two" } } or nil end
    ]] })
    local paths = { "/a", "/b", "/c", "/d", "/e" }
    bodies(ask, paths)
    ask { target = "/purge?tag=two" }
    assert.same({ "/a 2", "/b 2", "/c 2", "/d 1", "/e 2" }, bodies(ask, paths))
    ask { target = "/purge?tag=three" }
    assert.same({ "/a 2", "/b 3", "/c 2", "/d 1", "/e 2" }, bodies(ask, paths))
  end)

  it("of a URL forgets all variants, and they do not come back with the next one", function()
    local ask = cached(counting(function() return { Vary = "X-V" } end), { hooks = HOOKS })
    local function of(v) return ask({ target = "/a", headers = { ["X-V"] = v } }).body end
    assert.same({ "/a 1", "/a 2", "/a 1" }, { of "1", of "2", of "1" })
    assert.equal("true", ask({ target = "/purge?url=http://spec.example/a" }).body)
    assert.same({ "/a 3", "/a 4", "/a 3" }, { of "1", of "2", of "1" })
    assert.equal("false", ask({ target = "/purge?url=http://spec.example/b" }).body)
  end)

  it("that is soft makes responses stale: they are validated, or served while they are fetched anew", function()
    local ask, origin = cached(counting(function(request)
      return request.target == "/grace" and { ["Cache-Control"] = "max-age=60, stale-while-revalidate=60" }
        or { ETag = '"x"' }
    end), { hooks = HOOKS })
    for _, what in ipairs { "url=http://spec.example/", "prefix=http://spec.example/", "all=1" } do
      local name = what:match "^url" and { "grace", "tagged" } or { "" }
      for _, path in ipairs { "/grace", "/tagged" } do ask { target = path } end
      local before = #origin.requests
      for _, path in ipairs(name) do ask { target = "/purge?soft=1&" .. what .. path } end
      ask { target = "/tagged" }
      assert.equal('"x"', origin.requests[before + 1].headers["if-none-match"])
      local stale = ask({ target = "/grace" }).body
      assert.is_true(scheduler.wait_until(function() return #origin.requests == before + 2 end))
      assert.is_true(scheduler.wait_until(function() return ask({ target = "/grace" }).body ~= stale end))
    end
  end)

  it("concerns what is on its way: it is not kept, and who asks later does not wait for it", function()
    local release = {}
    local ask, origin = cached(function(request)
      local number = #release + 1
      release[number] = false
      scheduler.wait_until(function() return release[number] end)
      return fresh { body = request.target .. " " .. number }
    end, { hooks = HOOKS, cache = ", lock_wait = 3600" })
    local first, second
    scheduler.spawn(function() first = ask({ target = "/a" }).body end)
    assert.is_true(scheduler.wait_until(function() return #release == 1 end))
    ask { target = "/purge?prefix=http://spec.example/a" }
    scheduler.spawn(function() second = ask({ target = "/a" }).body end)
    assert.is_true(scheduler.wait_until(function() return #release == 2 end))
    release[2] = true
    assert.is_true(scheduler.wait_until(function() return second ~= nil end))
    release[1] = true
    assert.is_true(scheduler.wait_until(function() return first ~= nil end))
    assert.same({ "/a 1", "/a 2" }, { first, second })
    assert.equal("/a 2", ask({ target = "/a" }).body)
    assert.equal(2, #origin.requests)
  end)

  it("comes with the answer to an unsafe request, for the groups of its origin that it names (RFC 9875)", function()
    local ask = cached(counting(function(request)
      if request.method == "POST" then return { ["Cache-Group-Invalidation"] = '"g"' } end
      return { ["Cache-Groups"] = '"g"' }
    end))
    local function of(host) return ask({ target = "/a", host = host }).body end
    assert.same({ "/a 1", "/a 2" }, { of "one", of "two" })
    ask { target = "/post", method = "POST", body = "x", host = "one" }
    assert.same({ "/a 3", "/a 2" }, { of "one", of "two" })
  end)

  it("raises where it is not told what", function()
    local ask, _, proxy = cached(counting(), { hooks = HOOKS })
    for _, what in ipairs { "url=/a", "prefix=http:/x", "prefix=http://a/" .. ("x"):rep(600), "tag=" } do
      assert.equal(500, ask({ target = "/purge?" .. what }).status, what)
    end
    assert.matches('cache:purge: expected a URL such as "https://a.example/path"', proxy:log(), 1, true)
    assert.matches("cache:purge_prefix: a prefix has at most 512 characters", proxy:log(), 1, true)
  end)
end)

describe("`perilune purge`", function()
  it("forgets a URL, a prefix, a tag, or everything", function()
    local ask, _, proxy = cached(counting(function() return { ["Cache-Tag"] = "t" } end))
    local function purge(...) return perilune.run("purge", "--pid", tostring(proxy.pid), ...) end
    local count = 1
    for _, what in ipairs { { "--url", "http://spec.example/a" }, { "pages", "--prefix", "http://spec.example/" },
      { "--tag", "t" }, { "--all" } } do
      assert.equal("/a " .. count, ask({ target = "/a" }).body)
      local result = purge(unpack(what))
      assert.equal(0, result.code, result.stderr)
      assert.matches("^purged: .* in 1 cache", result.stdout)
      count = count + 1
      assert.equal("/a " .. count, ask({ target = "/a" }).body)
    end
    assert.matches("there is no cache 'pagse'; there is pages", purge("pagse", "--all").stderr, 1, true)
    assert.matches("expected a URL such as", purge("--url", "a").stderr, 1, true)
    assert.matches("one of --url, --prefix, --tag and --all", purge("--soft").stderr, 1, true)
  end)
end)
