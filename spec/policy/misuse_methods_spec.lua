-- SPDX-License-Identifier: Apache-2.0
-- Every method of the API is called with what it does not expect, and so are metamethods; and what waits where nothing
-- can wait raises.
local core = require "perilune.core"
local ffi = require "ffi"
local misuse = require "misuse"
local perilune = require "perilune"
local test = require "perilune.test"

local SESSION = [[method target path query version host scheme get_header get_headers headers request read_body set_body
  client_address client_ip server_address tls connection_requests connection_ctx peer_address attempts reused
  response_status retries_left last_failure upstream_tls request_bytes body_bytes duration timings phase query_args
  query_arg cookies cookie set_close set_log_field cache_status cache_age cache_ttl trace respond]]
local REQUEST = "set_header add_header remove_header set_target"

local function try_methods(name, object, methods)
  local faults = {}
  for method in methods:gmatch "%S+" do misuse.try_all(name .. ":" .. method, object[method], object, faults) end
  assert.same({}, faults)
end

describe("what a method does not expect raises at the caller's line, with a sentence:", function()
  before_each(function() test.policy({ request_filter = function() end }) end)

  local OBJECTS = {
    dict = { function() return perilune.dict "misuse" end, "get set add incr delete ttl keys flush used size" },
    rate = { function() return perilune.rate "misuse" end, "observe rate proportional" },
    inflight = { function() return perilune.inflight "misuse" end, "acquire release count" },
    counter = { function() return perilune.counter "misuse" end, "add get set" },
    gauge = { function() return perilune.metrics.gauge("misuse", { labels = { "a" } }) end, "add set" },
    histogram = { function() return perilune.metrics.histogram("misuse_h", { labels = { "a" } }) end, "observe" },
    networks = { function() return perilune.cidr.new "10.0.0.0/8" end, "contains" },
    pattern = { function() return perilune.regex.new "a(b)?" end, "match test find" },
    job = { function() return perilune.after(1000, print) end, "stop" },
    routes = { function() return require("perilune.router").new { ["/a"] = 1 } end, "match" },
    maintenance = { function() return require("perilune.maintenance").new() end, "turn is_on" },
    backends = { function() return require("perilune.round_robin").new { "127.0.0.1:1", name = "misuse" } end,
      "select update addresses ready_count is_healthy is_fit is_enabled set_enabled in_flight latency" },
    shared_dict = { function() return perilune.shared_dict("misuse", { fetch = function() return 1 end }) end,
      "get set delete flush" },
    cache = { function() return perilune.cache("misuse", { size = "1M" }) end,
      "purge purge_prefix purge_tag purge_all" },
    redis = { function() return require("perilune.redis").new("127.0.0.1:1", { timeout = 0.01 }) end,
      "call pipeline transaction eval connect stream subscribe with_timeout status" },
    hash = { function() return require("perilune.hash").new { "127.0.0.1:1", name = "misuse_hash" } end, "select" },
  }
  for name, object in pairs(OBJECTS) do
    it(name, function() try_methods(name, object[1](), object[2]) end)
  end

  it("sessions and requests", function()
    local failures = {}
    local policy = test.policy { request_filter = function(session)
      failures = { pcall(try_methods, "session", session, SESSION) }
      if not failures[1] then return end
      failures = { pcall(try_methods, "request", session:request(), REQUEST) }
    end }
    policy:exchange({ method = "POST", body = "body" }):request_filter()
    assert.same({ true }, failures)
  end)
end)

describe("a metamethod, got by whatever means,", function()
  -- Of each kind of handle; what is closed is reached as a policy that is bent on it would.
  local function metatable_of(value)
    for index = 1, 200 do
      local name, held = debug.getupvalue(debug.getmetatable, index)
      if not name then break end
      if type(held) == "function" then return held(value) end
    end
  end
  local NAMES = { "__gc", "__index", "__newindex", "__tostring", "__eq", "__len", "__call", "__concat", "__lt" }

  local function handles()
    local made = {
      perilune.dict "meta", perilune.rate "meta", perilune.inflight "meta", perilune.counter "meta",
      perilune.metrics.gauge("meta", {}), perilune.cidr.new "10.0.0.0/8", perilune.regex.new "a",
      perilune.after(1000, print), require("perilune.round_robin").new { "127.0.0.1:1", name = "meta" },
      perilune.cache("meta", { size = "1M" }), core.counts(1, 100, "meta"), core.live "meta",
    }
    return made
  end

  it("crashes nothing, whatever it is called with, and what it has ended raises when it is used", function()
    test.policy { request_filter = function() end }
    local strangers = { newproxy(true), io.stdout, ffi.new "int[4]", {}, "text", 1, true, print,
    coroutine.create(print) }
    -- Userdata of others: it is as large as a handle, and begins with an address, whose last byte is this length.
    for length = 0, 255 do
      table.insert(strangers, require("string.buffer").new():put(("x"):rep(length)))
    end
    for _, handle in pairs(handles()) do
      local metatable = metatable_of(handle)
      assert.equal("table", type(metatable))
      for _, name in ipairs(NAMES) do
        local method = type(metatable) == "table" and metatable[name]
        if type(method) == "function" then
          pcall(method)
          for _, stranger in ipairs(strangers) do pcall(method, stranger, stranger, stranger) end
          for _, other in pairs(handles()) do pcall(method, other, other, other) end
        end
      end
      if type(metatable) == "table" and metatable.__gc then
        for _ = 1, 2 do metatable.__gc(handle) end
        for method, fn in pairs(type(metatable.__index) == "table" and metatable.__index or {}) do
          local ok, why = pcall(fn, handle, "a", 1)
          assert.is_false(ok, method)
          assert.matches("used after it was collected", why)
        end
      end
    end
    collectgarbage()
  end)
end)

describe("waiting where nothing can wait", function()
  local PLACES = {
    ["string.gsub"] = function(wait) return (("a"):gsub("a", wait)) end,
    ["table.sort"] = function(wait) table.sort({ 2, 1 }, wait) end,
    ["a metamethod called by C"] = function(wait) return ("%s"):format(setmetatable({}, { __tostring = wait })) end,
    ["require"] = function(wait)
      package.loaded.waits, package.preload.waits = nil, wait
      require "waits"
    end,
  }
  for name, place in pairs(PLACES) do
    it("raises a sentence that says so: in " .. name, function()
      local said
      local policy = test.policy { request_filter = function()
        local _, why = pcall(place, function() perilune.sleep(0.01) end)
        said = why
      end }
      policy:exchange():request_filter()
      assert.matches("perilune.sleep waits, and nothing can wait in a function that C calls back", said)
    end)
  end

  it("goes on in a pcall, a metamethod and an iterator of Lua's own", function()
    local said = {}
    local policy = test.policy { request_filter = function()
      said[1] = pcall(perilune.sleep, 0.01)
      said[2] = setmetatable({}, { __index = function() perilune.sleep(0.01) return true end }).x
      for i in function(_, last) perilune.sleep(0.01) return not last and 3 or nil end do said[i] = true end
      said[4] = xpcall(perilune.sleep, debug.traceback, 0.01)
    end }
    local exchange = policy:exchange()
    exchange:request_filter()
    test.clock:advance(1)
    assert.same({ true, true, true, true }, said)
  end)

  it("of a session in a coroutine that somebody else resumes later raises once its exchange has ended", function()
    local kept
    local policy = test.policy { request_filter = function(session)
      kept = coroutine.create(function()
        coroutine.yield(session:path())
        return session:path()
      end)
      assert.same({ true, "/" }, { coroutine.resume(kept) })
    end }
    local exchange = policy:exchange()
    exchange:request_filter()
    exchange:finish()
    local ok, why = coroutine.resume(kept)
    assert.is_false(ok)
    assert.matches("session used after its exchange ended", why)
  end)
end)
