-- SPDX-License-Identifier: Apache-2.0
-- Purges that several proxies share by a stream in a real Redis.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local with_redis = redis_server.it(it, pending)

local POLICY = [[
  local perilune = require "perilune"
  local store = require("perilune.redis").new "$STORE"
  local pages = perilune.cache("pages", { size = "2M"$CACHE })
  require("perilune.cluster_purge").start(pages, { store = store$OPTIONS })
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      if session:path() ~= "/purge" then return false end
      local args, soft = session:query_args(), { soft = session:query_arg "soft" ~= nil }
      if args.url then pages:purge(args.url, soft) end
      if args.prefix then pages:purge_prefix(args.prefix, soft) end
      if args.tag then pages:purge_tag(args.tag, soft) end
      return session:respond { status = 200, body = "done" }
    end,
    upstream_peer = function() return { address = "$PEER" } end,
  }, { cache = pages })
]]

-- An origin that counts, and fields by which what it says can be purged.
local function counting()
  local counts = {}
  local origin = origins.start(function(connection)
    while connection:read_request() do
      local path = connection.request.target
      counts[path] = (counts[path] or 0) + 1
      connection:respond { headers = { ["Cache-Control"] = "max-age=600", ["Surrogate-Key"] = "t" .. path:sub(2, 2) },
        body = path .. " " .. counts[path] }
    end
  end)
  return origin
end

local function node(origin, store, more)
  more = more or {}
  return perilune.start { workers = 1, settings = { "--admin", "127.0.0.1:0" }, script = more.script,
    policy = policies.fill(POLICY, { STORE = store, PEER = origin.address, CACHE = more.cache or "",
      OPTIONS = more.options or "" }) }
end

local function get(proxy, path)
  return client.request { port = proxy.port, host = "spec.example", path = path }.body
end

-- It follows the stream, and what it has kept before is asked for again.
local function wait_follows(proxy)
  scheduler.eventually(function()
    return client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
      :find 'perilune_cluster_purge_down{cache="pages"} 0'
  end, nil, "a proxy that follows the stream")
end

local function nodes(store, more)
  local origin = counting()
  local one, two = node(origin, store, more), node(origin, store, more)
  wait_follows(one)
  wait_follows(two)
  return one, two, origin
end

describe("purges that proxies share", function()
  with_redis("reach all of them, of each kind, by a policy and by the command", function()
    local one, two = nodes(redis_server.start().address)
    for _, path in ipairs { "/a", "/b/1", "/c", "/d" } do get(one, path) end
    for _, path in ipairs { "/a", "/b/1", "/c", "/d" } do get(two, path) end
    get(one, "/purge?url=http://spec.example/a")
    get(one, "/purge?prefix=http://spec.example/b")
    assert.equal(0, perilune.run("purge", "--tag", "tc", "--pid", tostring(one.pid)).code)
    for path, wanted in pairs { ["/a"] = "/a 3", ["/b/1"] = "/b/1 3", ["/c"] = "/c 3", ["/d"] = "/d 2" } do
      scheduler.eventually(function() return get(two, path) == wanted end, nil, wanted)
    end
    assert.equal("/d 1", get(one, "/d"))
    assert.equal("/a 4", get(one, "/a"))
    assert.equal("/a 4", get(one, "/a"))
  end)

  with_redis("are not done twice by the one that made them", function()
    local one, two = nodes(redis_server.start().address)
    get(one, "/a")
    get(one, "/purge?url=http://spec.example/a")
    assert.equal("/a 2", get(one, "/a"))
    get(two, "/purge?url=http://spec.example/b")
    scheduler.eventually(function()
      local page = client.request { port = one.admin_port, host = "127.0.0.1", path = "/metrics" }.body
      return page:find 'perilune_cluster_purges_total{cache="pages",result="received"} 1\n'
        and page:find 'perilune_cluster_purges_total{cache="pages",result="sent"} 1\n'
    end)
    assert.equal("/a 2", get(one, "/a"))
  end)

  with_redis("reach who was away, when it is back, and wait while Redis is away", function()
    local redis = redis_server.start()
    local one, two = nodes(redis.address)
    for _, path in ipairs { "/a", "/b", "/c" } do get(two, path) end
    two:signal "STOP"
    for _, path in ipairs { "/a", "/b" } do get(one, "/purge?url=http://spec.example" .. path) end
    two:signal "CONT"
    for _, path in ipairs { "/a", "/b" } do
      scheduler.eventually(function() return get(two, path) == path .. " 2" end)
    end
    assert.equal("/c 1", get(two, "/c"))
    redis:signal "STOP"
    get(one, "/purge?url=http://spec.example/c")
    one:wait_log "cluster_purge: pages: sending: .*it is tried again"
    assert.equal("/c 1", get(two, "/c"))
    redis:signal "CONT"
    scheduler.eventually(function() return get(two, "/c") == "/c 2" end)
    one:wait_log "cluster_purge: pages: sending: it works again"
  end)

  with_redis("reach a cache in a file whose process was away", function()
    local redis, origin = redis_server.start(), counting()
    local file = process.directory() .. "/pages"
    local other = node(origin, redis.address)
    local function begin() return node(origin, redis.address, { cache = (", path = %q"):format(file) }) end
    local two = begin()
    wait_follows(two)
    wait_follows(other)
    for _, path in ipairs { "/a", "/b" } do get(two, path) end
    get(other, "/purge?tag=none")
    scheduler.eventually(function() return process.read_file(file .. ".position") ~= "" end)
    two:stop()
    get(other, "/purge?url=http://spec.example/a")
    two = begin()
    scheduler.eventually(function() return get(two, "/a") == "/a 2" end)
    assert.equal("/b 1", get(two, "/b"))
    assert.equal(0, two:count_log "purged softly")
  end)

  with_redis("are soft ones of everything, where nobody knows what was missed", function()
    local redis = redis_server.start()
    local one, two = nodes(redis.address)
    get(one, "/purge?url=http://spec.example/x")
    scheduler.eventually(function()
      return client.request { port = two.admin_port, host = "127.0.0.1", path = "/metrics" }.body
        :find 'result="received"} 1\n'
    end)
    get(two, "/a")
    two:signal "STOP"
    get(one, "/purge?url=http://spec.example/a")
    scheduler.eventually(function() return redis:ask { "XLEN", "perilune:purges:pages" }:find ":2\r\n" end)
    redis:ask({ "DEL", "perilune:purges:pages" }, { "CLIENT", "KILL", "TYPE", "normal" })
    two:signal "CONT"
    two:wait_log "cluster_purge: pages: the stream was lost: everything is purged softly"
    assert.equal("/a 2", get(two, "/a"))
    get(one, "/purge?url=http://spec.example/a")
    scheduler.eventually(function() return get(two, "/a") == "/a 3" end)
  end)

  with_redis("that make no sense purge everything softly, with a line of the log", function()
    local redis = redis_server.start()
    local one = nodes(redis.address)
    for _, words in ipairs { { "kind", "planet", "what", "x" }, { "x", "y" } } do
      get(one, "/a")
      redis:ask { "XADD", "perilune:purges:pages", "*", unpack(words) }
    end
    one:wait_log "an entry of perilune:purges:pages makes no sense: .*everything is purged softly"
    scheduler.eventually(function() return get(one, "/a") ~= "/a 1" end)
  end)

  with_redis("go on after a reload, from where they were", function()
    local redis = redis_server.start()
    local one, two = nodes(redis.address)
    get(one, "/purge?tag=none")
    get(two, "/a")
    two:signal "HUP"
    two:wait_log "generation 2"
    get(one, "/purge?url=http://spec.example/b")
    assert.equal("/a 1", get(two, "/a"))
    get(one, "/purge?url=http://spec.example/a")
    scheduler.eventually(function() return get(two, "/a") == "/a 2" end)
    get(two, "/purge?url=http://spec.example/a")
    scheduler.eventually(function() return redis:ask { "XLEN", "perilune:purges:pages" }:find ":4\r\n" end)
  end)

  it("are refused where there is no cache, or no store", function()
    local path = process.write_file(process.directory() .. "/policy.lua", [[
      local start = require("perilune.cluster_purge").start
      local fine, why = pcall(start, {}, { store = {} })
      print(why)
      start(require("perilune").cache("pages", { size = "2M" }), {})
    ]])
    local result = perilune.run("check", path)
    assert.equal(2, result.code)
    assert.matches("expected a cache, as of perilune.cache, as its first argument", result.stdout)
    assert.matches("policy.lua:4: cluster_purge.start: option 'store' is missing", result.stdout .. result.stderr)
  end)
end)
