-- SPDX-License-Identifier: Apache-2.0
-- The bench itself: hooks called on requests that are tables, on virtual time.
local perilune = require "perilune"
local test = require "perilune.test"

describe("a rehearsed exchange", function()
  it("calls one hook with a request that is a table", function()
    local seen
    local policy = test.policy { request_filter = function(session)
      seen = { session:method(), session:target(), session:host(), session:get_header "accept",
        session:client_address() }
      return session:respond { status = 403, headers = { ["X-Why"] = "no" }, body = "no" }
    end }
    local x = policy:exchange { method = "POST", target = "/a?b", host = "Example.org:8080", client = "[::1]:5",
      headers = { Accept = "text/html" }, body = "x" }
    local result = x:request_filter()
    assert.same({ "POST", "/a?b", "example.org", "text/html", "[::1]:5" }, seen)
    assert.is_true(result.answered)
    assert.equal(403, result.answer.status)
    assert.equal("no", result.answer.headers.x_why)
    assert.equal("no", result.answer.body)
  end)

  it("keeps ctx from hook to hook", function()
    local policy = test.policy {
      request_filter = function(_, ctx) ctx.name = "mine" end,
      upstream_peer = function(_, ctx) return { address = "127.0.0.1:1", group = ctx.name } end,
    }
    local x = policy:exchange()
    assert.is_false(x:request_filter().answered)
    assert.equal("mine", x:upstream_peer().peer.group)
    assert.equal("mine", x:ctx().name)
  end)

  it("tells what the policy adds to the access log", function()
    local policy = test.policy {
      request_filter = function(session)
        session:set_log_field("user", 'J"o\n')
        session:set_log_field("tries", 1)
        session:set_log_field("gone", true)
      end,
      logging = function(session)
        session:set_log_field("tries", 2.5)
        session:set_log_field("us", 1700000000123456)
        session:set_log_field("gone", nil)
        session:set_log_field("never", nil)
      end,
    }
    local x = policy:exchange()
    assert.same({}, x:log_fields())
    x:request_filter()
    assert.same({ user = 'J"o\n', tries = 1, gone = true }, x:log_fields())
    x:logging()
    assert.same({ user = 'J"o\n', tries = 2.5, us = 1700000000123456 }, x:log_fields())
  end)

  it("says what is wrong with a field for the access log, and keeps the others", function()
    local faults = {}
    local policy = test.policy { request_filter = function(session)
      local function try(...)
        local _, why = pcall(session.set_log_field, session, ...)
        faults[#faults + 1] = why
      end
      for i = 1, 16 do session:set_log_field("field" .. i, i) end
      try("field17", 1)
      try("status", 1)
      try("", 1)
      try(("x"):rep(65), 1)
      try('a"b', 1)
      try("a\0", 1)
      try("field1", 0 / 0)
      try("field1", {})
      try("field1")
      session:set_log_field("field2", ("ä"):rep(1000))
    end }
    local x = policy:exchange()
    assert.is_nil(x:request_filter().failure)
    local expected = { "16 such fields", "of itself", "1 to 64", "1 to 64", "letters", "letters", "finite number",
      "string expected", "value expected" }
    for i, pattern in ipairs(expected) do assert.matches(pattern, faults[i]) end
    local found = x:log_fields()
    assert.same({ 1, 16 }, { found.field1, found.field16 })
    assert.equal(("ä"):rep(#found.field2 / 2), found.field2)
    assert.is_true(#found.field2 > 900 and #found.field2 <= 1000)
  end)

  it("has a table of its connection, which goes with it", function()
    local policy = test.policy { request_filter = function(session)
      local kept = session:connection_ctx()
      kept.count = (kept.count or 0) + 1
      return session:respond { status = 200, body = ("%d"):format(session:connection_ctx().count) }
    end }
    for _ = 1, 2 do assert.equal("1", policy:request().body) end
    collectgarbage()
  end)

  it("tells how a hook failed, with the message of the log", function()
    local policy = test.policy { request_filter = function() error "deliberate" end }
    local result = policy:exchange():request_filter()
    assert.equal("script", result.failure.kind)
    assert.equal(500, result.failure.status)
    assert.truthy(result.failure.message:find "bench_spec.lua:%d+: deliberate")
  end)

  it("lets a hook sleep until the clock is advanced", function()
    local policy = test.policy { request_filter = function(session)
      perilune.sleep(10)
      return session:respond { status = 200 }
    end }
    local result = policy:exchange():request_filter()
    assert.is_true(result.waits)
    test.clock:advance(9.999)
    assert.is_true(result.waits)
    test.clock:advance(0.001)
    assert.is_false(result.waits)
    assert.equal(200, result.answer.status)
  end)

  it("walks from the first hook to logging against an origin that is a table", function()
    local walked = {}
    local hooks = {}
    for _, name in ipairs { "early_request_filter", "request_filter", "proxy_upstream_filter", "connected_to_upstream",
      "upstream_request_filter", "upstream_response_filter", "response_filter", "logging" } do
      hooks[name] = function(session) walked[#walked + 1] = session:phase() end
    end
    function hooks.upstream_peer() return "127.0.0.1:1" end
    function hooks.upstream_request_filter(_, request) request:set_header("X-Up", "1") end
    function hooks.response_filter(_, response) response:set_header("X-Down", response:status()) end
    local x = test.policy(hooks):exchange { headers = { Cookie = "a=b" } }
    local response = x:walk { status = 404, headers = { Server = "origin" }, body = "gone" }
    assert.equal("early_request_filter request_filter proxy_upstream_filter connected_to_upstream " ..
      "upstream_response_filter logging", table.concat(walked, " "))
    assert.same({ 404, "404", "origin", "gone" },
      { response.status, response.headers["x-down"], response.headers.server, response.body })
    local sent = x:upstream_request()
    assert.same({ "1", "a=b", "127.0.0.1" }, { sent.headers.x_up, sent.headers.cookie, sent.headers.x_forwarded_for })
  end)

  it("tries another peer when connecting fails, and answers when none is left", function()
    local tried = {}
    local policy = test.policy {
      upstream_peer = function(session) return "127.0.0.1:" .. session:attempts() end,
      fail_to_connect = function(_, peer, _, failure) tried[#tried + 1] = peer.address .. " " .. failure:kind() end,
    }
    local response = policy:request({}, function(_, try) return try < 3 and "connect_refused" or { status = 201 } end)
    assert.same({ 201, 3 }, { response.status, response.tries })
    assert.same({ "127.0.0.1:1 connect_refused", "127.0.0.1:2 connect_refused" }, tried)
    assert.equal(504, policy:request({}, "connect_timeout").status)
  end)

  it("takes the error of a peer that cannot be reached to the policy", function()
    local policy = test.policy {
      upstream_peer = function() return "127.0.0.1:1" end,
      error_while_proxy = function(_, _, failure) failure.retry = failure:kind() == "read_timeout" end,
    }
    assert.is_true(policy:exchange():error_while_proxy("read_timeout").retry)
    assert.is_false(policy:exchange():error_while_proxy("bad_response").retry)
  end)

  it("refuses requests that are none, and hooks that do not exist", function()
    local policy = test.policy { request_filter = print }
    assert.has_error(function() policy:exchange { target = "no slash" } end)
    assert.has_error(function() policy:exchange():request_fitler() end,
      "there is no hook 'request_fitler': did you mean 'request_filter'?")
  end)
end)

describe("a policy on the bench", function()
  it("runs its background work as the clock says", function()
    local runs = 0
    test.policy { request_filter = function() perilune.every(1, function() runs = runs + 1 end) end }
      :exchange():request_filter()
    test.clock:advance(3.5)
    assert.equal(3, runs)
    test.policy { request_filter = print }
    test.clock:advance(5)
    assert.equal(3, runs)
  end)

  -- What the main chunk of a policy counts, by the time that has passed.
  local function counts_of(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write('local perilune = require "perilune"\ncounts = {}\n'
      .. 'local function count(name) counts[name] = (counts[name] or 0) + 1 end\n' .. text
      .. '\nperilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })\n')
    file:close()
    finally(function() os.remove(path) end)
    local policy = test.policy(path)
    return rawget(_G, "counts"), policy
  end

  it("runs the background work of its main chunk as the clock says", function()
    local counts = counts_of [[
      perilune.every(1, function() count "every" end)
      perilune.every(1, function() count "at once" end, { immediately = true, on = "every worker" })
      perilune.after(0, function() count "soon" end)
      perilune.after(3, function() count "later" end)
      perilune.spawn(function() count "spawned"; perilune.sleep(2); count "slept" end)
    ]]
    assert.same({}, counts)
    test.clock:settle()
    assert.same({ ["at once"] = 1, soon = 1, spawned = 1 }, counts)
    test.clock:advance(3.5)
    assert.same({ every = 3, ["at once"] = 4, soon = 1, later = 1, spawned = 1, slept = 1 }, counts)
  end)

  it("ends the background work with the test that has loaded it, and with the next policy", function()
    local counts = counts_of [[
      perilune.every(1, function() perilune.spawn(function() perilune.sleep(5); count "x" end) end)
    ]]
    test.clock:advance(2)
    test.policy { request_filter = print }
    test.clock:advance(10)
    assert.same({}, counts)
    counts = counts_of 'perilune.every(1, function() count "x" end)'
    test.reset()
    test.clock:advance(10)
    assert.same({}, counts)
  end)

  it("does not let time pass without end for a hook, however much background work is due", function()
    local policy = test.policy { request_filter = function()
      perilune.every(1, function() end)
      perilune.sleep(1e8)
    end }
    assert.error_matches(function() policy:request() end, "request_filter waits for more than an hour")
  end)

  it("has no connections of its own: perilune.tcp says so, and health_check.tcp changes nothing", function()
    local counts, policy = counts_of [[
      set = require("perilune.round_robin").new { "127.0.0.1:1" }
      require("perilune.health_check").tcp(set, { interval = 1 })
      require("perilune.discovery").dns(require("perilune.round_robin").new({}), "a.example:80")
    ]]
    test.clock:advance(10)
    assert.is_true(rawget(_G, "set"):is_fit "127.0.0.1:1")
    assert.logged("cannot be checked: .*the test bench does not simulate perilune.tcp: use test.harness", test.log)
    assert.logged("a.example:80: the test bench does not simulate perilune.dns", test.log)
    assert.status(200, policy:request())
    assert.same({}, counts)
  end)

  it("begins with fresh shared state, whose windows turn with the clock", function()
    local function counter()
      return test.policy { request_filter = function(session)
        local rate = perilune.rate("r", { interval = 10 })
        return session:respond { status = 200, body = tostring(rate:observe "k") }
      end }
    end
    local policy = counter()
    assert.equal("1", policy:request().body)
    assert.equal("2", policy:request().body)
    test.clock:advance(10)
    assert.equal("1", policy:request().body)
    assert.equal("1", counter():request().body)
  end)

  it("knows a set of backends by the name that it has in the policy, in each test anew", function()
    for _ = 1, 2 do
      local policy = test.policy {
        upstream_peer = function() return require("perilune.round_robin").new({ name = "api" }):select() end,
      }
      assert.status(503, policy:request())
      assert.logged("set 'api': it has no backends", test.log)
    end
  end)

  it("gives back what an exchange holds", function()
    local places = perilune.inflight "places"
    local policy = test.policy { request_filter = function(session) places:acquire(session, "k") end }
    local x = policy:exchange()
    x:request_filter()
    assert.equal(1, places:count "k")
    x:finish()
    assert.equal(0, places:count "k")
  end)

  it("logs to where the test can read it", function()
    local policy = test.policy { request_filter = function() perilune.log.warn("careful") end }
    policy:exchange():request_filter()
    assert.equal("careful", test.log.find "^care")
    assert.equal("warn", test.log.entries "warn"[1].level)
  end)

  it("moves the time of day with the clock", function()
    test.clock:set_time(1000)
    test.clock:advance(5)
    assert.equal(1005, perilune.time())
  end)
end)

describe("the scheme of a request", function()
  it("is http unless the test says otherwise, also towards the peer", function()
    for scheme, given in pairs { http = {}, https = { scheme = "https" } } do
      local seen = {}
      local x = test.policy { upstream_peer = function() return "127.0.0.1:1" end,
        request_filter = function(session) seen[1] = session:scheme() end,
        logging = function(session) seen[2] = session:scheme() end,
      }:exchange(given)
      x:walk()
      assert.same({ scheme, scheme }, seen)
      assert.equal(scheme, x:upstream_request().headers.x_forwarded_proto)
    end
  end)
end)

describe("the query and cookies of a session", function()
  local function session_of(request)
    local x = test.policy({ request_filter = function() end }):exchange(request)
    x:request_filter()
    return x:session()
  end

  it("are read by name", function()
    local session = session_of { target = "/p?a=1&b=x%20y&a=2",
      headers = { Cookie = { "id=7; theme=dark", "late=1" } } }
    assert.same({ a = "1", b = "x y" }, (session:query_args()))
    assert.same({ "1", "x y" }, { session:query_arg "a", session:query_arg "b" })
    assert.is_nil(session:query_arg "c")
    assert.same({ id = "7", theme = "dark", late = "1" }, session:cookies())
    assert.equal("dark", session:cookie "theme")
  end)

  it("are empty where there are none", function()
    local session = session_of { target = "/p" }
    assert.same({}, (session:query_args()))
    assert.same({}, session:cookies())
    assert.is_nil(session:cookie "id")
  end)
end)

describe("a body on the bench", function()
  it("goes through its hook piece by piece, which may wait", function()
    local policy = test.policy { upstream_peer = print, response_body_filter = function(_, chunk, is_last)
      perilune.sleep(1)
      return chunk:upper() .. (is_last and "." or ",")
    end }
    local result = policy:exchange():response_body_filter { "one", "two", "" }
    assert.same({ "ONE,", "TWO,", "." }, result.pieces)
    assert.equal("ONE,TWO,.", result.body)
    assert.equal("same", policy:exchange():request_body_filter("same").body)
  end)

  it("tells how a filter failed", function()
    local policy = test.policy { upstream_peer = print, response_body_filter = function() error "deliberate" end }
    local result = policy:exchange():response_body_filter { "one", "two" }
    assert.equal("script", result.failure.kind)
    assert.truthy(result.failure.message:find "deliberate")
  end)

  it("is there for session:read_body, and goes to the peer as the policy has set it", function()
    local policy = test.policy {
      request_filter = function(session) session:set_body(session:read_body():upper()) end,
      request_body_filter = function(_, chunk) return chunk .. "!" end,
      upstream_peer = function() return "127.0.0.1:1" end,
      response_body_filter = function(_, chunk) return "<" .. chunk .. ">" end,
      upstream_response_body_filter = function(_, chunk) return chunk:reverse() end,
    }
    local x = policy:exchange { method = "POST", body = "text" }
    assert.equal("<cba>", x:walk({ body = "abc" }).body)
    assert.equal("TEXT!", x:upstream_request().body)
  end)
end)
