-- SPDX-License-Identifier: Apache-2.0
-- Traces: what goes on to peers, which spans there are and how they hang together, and what logs say. The collector is
-- scripted; spec/tracing_collector_spec.lua has what happens when it does not do its part.
local client = require "client"
local json = require "cjson"
local origins = require "origins"
local otlp = require "otlp"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
local SAMPLED = ("00-%s-%s-01"):format(ID, PARENT)
local UNSAMPLED = ("00-%s-%s-00"):format(ID, PARENT)

-- opentelemetry-proto, SpanFlags: does the parent of a span belong to another process?
local FLAG_SAMPLED, FLAG_HAS_REMOTE, FLAG_REMOTE = 0x1, 0x100, 0x200

local POLICY = [[
local perilune = require "perilune"
$TRACING
local policy = {}
$HOOKS
if not policy.upstream_peer then
  function policy.upstream_peer() return "$PEER" end
end
perilune.listen("127.0.0.1:0", policy, { access_log = "$LOG", access_log_format = "json", h2c = true, $LISTEN })
]]

-- A proxy with one worker between an origin and a collector.
local function start(given)
  local self = { log_file = process.directory() .. "/access.log" }
  self.collector = otlp.start()
  self.origin = given.origin or origins.start "hello"
  local tracing = given.tracing ~= false and ([[perilune.tracing { endpoint = %q, interval = 0.1, %s }]]):format(
    self.collector.url, given.tracing or "ratio = 1") or ""
  self.proxy = perilune.start { workers = 1, policy = policies.fill(POLICY, {
    TRACING = tracing, HOOKS = (given.hooks or ""):gsub("%$PEER", self.origin.address), PEER = self.origin.address,
    LOG = self.log_file, LISTEN = given.listen or "" }) }
  function self.ask(headers, path)
    return client.request { port = self.proxy.port, path = path or "/a?secret=1", headers = headers }
  end
  function self.received() return self.origin.requests[#self.origin.requests].headers end
  return self
end

local function split(traceparent)
  return traceparent:match "^00%-(%x+)%-(%x+)%-(%x%x)$"
end

describe("without tracing", function()
  it("nothing is added to a request, and what the client says passes as it is", function()
    local s = start { tracing = false }
    s.ask {}
    assert.is_nil(s.received().traceparent)
    assert.is_nil(s.received().tracestate)
    s.ask { traceparent = "what it likes", tracestate = "%%%" }
    assert.equal("what it likes", s.received().traceparent)
    assert.equal("%%%", s.received().tracestate)
    s.proxy:stop()
    assert.is_nil(process.read_file(s.log_file):match "trace_id")
    assert.equal(0, #s.collector.origin.requests)
  end)
end)

describe("a trace that the client samples", function()
  it("goes on: a SERVER span below the client's, a CLIENT span below that one, which the peer is told", function()
    local s = start { tracing = "ratio = 0, service = 'edge', resource = { zone = 'a', n = 2 }" }
    s.ask({ traceparent = SAMPLED, tracestate = "a=1,b@c=2", ["User-Agent"] = "spec \255" })
    local spans = s.collector:await(2, ID)
    local server, attempt = spans[1], spans[2]
    assert.same({ "server", PARENT, "GET", "a=1,b@c=2", false },
      { server.kind, server.parent, server.name, server.state, server.failed })
    assert.same({ "client", server.id, "GET", false }, { attempt.kind, attempt.parent, attempt.name, attempt.failed })
    assert.equal(("00-%s-%s-01"):format(ID, attempt.id), s.received().traceparent)
    assert.equal("a=1,b@c=2", s.received().tracestate)
    assert.same({
      ["http.request.method"] = "GET", ["url.scheme"] = "http", ["url.path"] = "/a",
      ["http.response.status_code"] = 200, ["network.protocol.version"] = "1.1",
      ["server.address"] = server.attributes["server.address"], ["server.port"] = server.attributes["server.port"],
      ["client.address"] = "127.0.0.1", ["user_agent.original"] = "spec \239\191\189",
    }, server.attributes)
    assert.same({
      ["http.request.method"] = "GET", ["url.full"] = "http://" .. s.origin.address .. "/a",
      ["server.address"] = "127.0.0.1", ["server.port"] = s.origin.port, ["http.response.status_code"] = 200,
      ["network.protocol.version"] = "1.1",
    }, attempt.attributes)
    assert.same({ "edge", "a", 2 },
      { server.resource["service.name"], server.resource.zone, server.resource.n })
    assert.same({ FLAG_SAMPLED + FLAG_HAS_REMOTE + FLAG_REMOTE, FLAG_SAMPLED + FLAG_HAS_REMOTE },
      { server.flags, attempt.flags })
    assert.is_true(attempt.begin >= server.begin and attempt.finish <= server.finish)
    assert.is_true(math.abs(server.begin / 1e9 - os.time()) < 600)
  end)

  it("is named in the access log, and in the error log", function()
    local s = start { hooks = "function policy.request_filter() error 'so' end" }
    s.ask({ traceparent = SAMPLED }, "/bad")
    s.proxy:wait_log("trace " .. ID)
    s.proxy:stop()
    assert.equal(ID, json.decode(process.read_file(s.log_file)).trace_id)
    local server = s.collector:await(1, ID)[1]
    assert.same({ true, "script", 500 },
      { server.failed, server.attributes["error.type"], server.attributes["http.response.status_code"] })
  end)
end)

describe("a trace that nobody samples", function()
  it("goes on as it came", function()
    local s = start {}
    s.ask { traceparent = UNSAMPLED, tracestate = "a=1" }
    assert.equal(UNSAMPLED, s.received().traceparent)
    assert.equal("a=1", s.received().tracestate)
    s.proxy:stop()
    assert.equal(ID, json.decode(process.read_file(s.log_file)).trace_id)
    assert.same({}, s.collector:all())
  end)

  it("begins here, so that peers decide the same, where the ratio is 0", function()
    local s = start { tracing = "ratio = 0" }
    s.ask {}
    local id, span, flags = split(s.received().traceparent)
    assert.same({ 32, 16, "00" }, { #id, #span, flags })
    s.ask {}
    assert.not_equal(id, (split(s.received().traceparent)))
    s.proxy:stop()
    assert.equal(id, json.decode(process.read_file(s.log_file):match "[^\n]+").trace_id)
    assert.same({}, s.collector:all())
  end)
end)

describe("what the client says", function()
  it("is replaced by a new trace where it is not valid, and its tracestate is dropped", function()
    local s = start {}
    local zero = ("0"):rep(32)
    local wrong = {
      "", "00", SAMPLED:upper(), SAMPLED .. "-x", SAMPLED:sub(1, 54), "ff" .. SAMPLED:sub(3), "0x" .. SAMPLED:sub(3),
      ("00-%s-%s-01"):format(zero, PARENT), ("00-%s-%s-01"):format(ID, zero:sub(1, 16)), SAMPLED:gsub("-", "_"),
      SAMPLED .. ",", SAMPLED:gsub("01$", "0g"), { SAMPLED, SAMPLED },
    }
    for _, value in ipairs(wrong) do
      s.ask { traceparent = value, tracestate = "a=1" }
      local id, _, flags = split(s.received().traceparent)
      assert.equal(1, #s.received():all "traceparent")
      assert.is_true(id ~= nil and id ~= ID and flags == "01", tostring(s.received().traceparent))
      assert.is_nil(s.received().tracestate)
    end
    for _, one in ipairs(s.collector:await(2 * #wrong)) do
      if one.kind == "server" then assert.is_nil(one.parent) end
      assert.equal(FLAG_SAMPLED + FLAG_HAS_REMOTE, one.flags)
    end
  end)

  it("is understood in a later version, and goes on in ours", function()
    local s = start {}
    s.ask { traceparent = "cc" .. SAMPLED:sub(3) .. "-what-is-to-come" }
    local id, span, flags = split(s.received().traceparent)
    assert.same({ ID, "01" }, { id, flags })
    assert.equal(span, s.collector:await(2, ID)[2].id)
    s.ask { traceparent = "cc" .. UNSAMPLED:sub(3) }
    assert.same({ ID, "00" }, { s.received().traceparent:match "^00%-(%x+)%-%x+%-(%x%x)$" })
  end)

  it("does not stand in the place of what the policy tells the peer", function()
    local s = start { hooks = [[
      function policy.request_filter(session)
        local request = session:request()
        request:set_header("traceparent", "mine")
        request:set_header("tracestate", "%%%")
      end
    ]] }
    s.ask { traceparent = "none", tracestate = "a=1" }
    assert.same({ "mine", "%%%" }, { s.received().traceparent, s.received().tracestate })
  end)

  it("loses a tracestate that is not valid, and keeps the trace", function()
    local s = start {}
    local long = {}
    for i = 1, 33 do long[i] = "k" .. i .. "=v" end
    for _, state in ipairs { "a", "=1", "A=1", "a=1,b", "a=\t", "a=" .. ("x"):rep(257), table.concat(long, ",") } do
      s.ask { traceparent = UNSAMPLED, tracestate = state }
      assert.equal(UNSAMPLED, s.received().traceparent)
      assert.is_nil(s.received().tracestate)
    end
    for _, state in ipairs { "a=1, b=2", "0a@b=x y", table.concat(long, ",", 1, 32), "a=1,,b=2" } do
      s.ask { traceparent = UNSAMPLED, tracestate = state }
      assert.equal(state, s.received().tracestate)
    end
  end)

  it("does not count with parent = 'ignore', and does not decide with parent = 'join'", function()
    local s = start { tracing = "ratio = 0, parent = 'ignore'" }
    s.ask { traceparent = SAMPLED, tracestate = "a=1" }
    local id, _, flags = split(s.received().traceparent)
    assert.is_true(id ~= ID and flags == "00")
    assert.is_nil(s.received().tracestate)
    s = start { tracing = "ratio = 0, parent = 'join'" }
    s.ask { traceparent = SAMPLED }
    id, _, flags = split(s.received().traceparent)
    assert.same({ ID, "00" }, { id, flags })
    s = start { tracing = "ratio = 1, parent = 'join'" }
    s.ask { traceparent = UNSAMPLED }
    assert.equal(PARENT, s.collector:await(2, ID)[1].parent)
  end)
end)

describe("attempts", function()
  it("say whether their connection was used before", function()
    local s = start {}
    s.ask { traceparent = SAMPLED }
    s.ask { traceparent = SAMPLED }
    local reused = {}
    for _, span in ipairs(s.collector:await(4, ID)) do
      if span.kind == "client" then reused[#reused + 1] = tostring(span.attributes["perilune.connection.reused"]) end
      if span.kind == "server" then assert.is_nil(span.attributes["perilune.connection.reused"]) end
    end
    assert.same({ "nil", "true" }, reused)
  end)

  it("are none where a cache has the answer, and the request's span says so", function()
    local s = start { listen = 'cache = perilune.cache("pages", { size = "1M" })',
      hooks = "function policy.response_cache_filter() return { ttl = 60 } end" }
    for _ = 1, 2 do s.ask { traceparent = SAMPLED } end
    local spans = s.collector:await(3, ID)
    assert.same({ "miss", "hit" }, { spans[1].attributes["perilune.cache"], spans[3].attributes["perilune.cache"] })
    assert.is_nil(spans[2].attributes["perilune.cache"])
  end)

  it("have a span each: those that fail, and the one that follows", function()
    local s = start { hooks = ([[
      function policy.upstream_peer(session)
        return session:attempts() == 1 and "%s" or "$PEER"
      end
      function policy.fail_to_connect(session, peer, ctx, error) error.retry = true end
    ]]):format(origins.dead_address()) }
    assert.equal(200, s.ask({ traceparent = SAMPLED }).status)
    local spans = s.collector:await(3, ID)
    local first, second = spans[2], spans[3]
    assert.same({ "connect_refused", true }, { first.attributes["error.type"], first.failed })
    assert.same({ 1, 200, false }, { second.attributes["http.request.resend_count"],
      second.attributes["http.response.status_code"], second.failed })
    assert.same({ spans[1].id, spans[1].id }, { first.parent, second.parent })
    assert.equal(second.id, (select(2, split(s.received().traceparent))))
    assert.is_false(spans[1].failed)
  end)

  it("that a hedge overtakes have one, too", function()
    local slow = origins.start(function(connection)
      connection:read_request()
      scheduler.sleep(60)
    end)
    local s = start { hooks = ([[
      function policy.upstream_peer(session)
        return { address = session:attempts() == 1 and "%s" or "$PEER", hedge = 0.05 }
      end
    ]]):format(slow.address) }
    assert.equal("hello", s.ask({ traceparent = SAMPLED }).body)
    local spans = s.collector:await(3, ID)
    assert.is_true(spans[2].attributes["perilune.hedge.lost"])
    assert.is_nil(spans[3].attributes["perilune.hedge.lost"])
    assert.same({ spans[2].id, spans[3].id }, { (select(2, split(slow.requests[1].headers.traceparent))),
      (select(2, split(s.received().traceparent))) })
    assert.is_true(spans[2].begin < spans[3].begin and spans[3].begin < spans[2].finish)
  end)

  it("over HTTP/2 have them for calls of gRPC, with the code of their end", function()
    local origin = origins.start(function(stream)
      stream:respond { headers = { ["content-type"] = "application/grpc" }, body = "\0\0\0\0\0",
        trailers = { ["grpc-status"] = "14" } }
    end, { http2 = true })
    local s = start { origin = origin, hooks = [[
      function policy.upstream_peer() return { address = "$PEER", http2 = true } end]] }
    local connection = client.connect { port = s.proxy.port, version = "2" }
    local response = connection:request { method = "POST", path = "/pets.Store/Find", body = "\0\0\0\0\0",
      headers = { { "content-type", "application/grpc" }, { "te", "trailers" }, { "traceparent", SAMPLED } } }
    assert.equal(200, response.status)
    local spans = s.collector:await(2, ID)
    assert.same({ "pets.Store/Find", "grpc", "pets.Store", "Find", 14, "2", true }, {
      spans[1].name, spans[1].attributes["rpc.system"], spans[1].attributes["rpc.service"],
      spans[1].attributes["rpc.method"], spans[1].attributes["rpc.grpc.status_code"],
      spans[1].attributes["network.protocol.version"], spans[1].failed })
    assert.same({ "pets.Store/Find", "2" }, { spans[2].name, spans[2].attributes["network.protocol.version"] })
    assert.equal(spans[2].id, (select(2, split(origin.requests[1].headers.traceparent))))
  end)
end)

describe("session:trace", function()
  it("adds attributes and spans; a call of perilune.http has one, and carries it on", function()
    local auth = origins.start(function(connection)
      while connection:read_request() do connection:respond { status = 403, body = "no" } end
    end)
    local s = start { hooks = ([[
      function policy.request_filter(session)
        local trace = session:trace()
        trace:set("tenant", "a") trace:set("tenant", "b") trace:set("n", -3) trace:set("f", 0.5) trace:set("yes", true)
        trace:set("text", ("\\228"):rep(2000)) trace:set("url.path", nil) trace:set("user_agent.original", "hidden")
        trace:set_name "GET /users/{id}"
        local status = trace:span("auth", function(span, url)
          span:set("user", "bob")
          local spawned = perilune.spawn(function() return perilune.http.get(url .. "?key=1").status end)
          return (perilune.wait(spawned))
        end, "http://%s/may")
        local ok, why = pcall(trace.span, trace, "raises", function() error("so", 0) end)
        local own = trace:start "own"
        own:fail "late"
        own:finish()
        return session:respond { status = 200, body = table.concat({ status, tostring(ok), why, trace:id(),
          tostring(trace:is_sampled()), own:traceparent() }, " ") }
      end
    ]]):format(auth.address) }
    local body = s.ask({ traceparent = SAMPLED, tracestate = "a=1" }).body
    local spans, by_name = s.collector:await(5, ID), {}
    for _, one in ipairs(spans) do by_name[one.name] = one end
    local server, around, call, own = by_name["GET /users/{id}"], by_name.auth, by_name.GET, by_name.own
    assert.equal(("403 false so %s true 00-%s-%s-01"):format(ID, ID, own.id), body)
    assert.same({ "b", -3, 0.5, true, "hidden" }, { server.attributes.tenant, server.attributes.n, server.attributes.f,
      server.attributes.yes, server.attributes["user_agent.original"] })
    assert.is_nil(server.attributes["url.path"])
    assert.is_true(#server.attributes.text > 900 and #server.attributes.text <= 1000)
    assert.same({ server.id, "internal", "bob" }, { around.parent, around.kind, around.attributes.user })
    assert.same({ around.id, "client", 403, true, "http://" .. auth.address .. "/may" }, { call.parent, call.kind,
      call.attributes["http.response.status_code"], call.failed, call.attributes["url.full"] })
    assert.same({ ("00-%s-%s-01"):format(ID, call.id), "a=1" },
      { auth.requests[1].headers.traceparent, auth.requests[1].headers.tracestate })
    assert.same({ "late", true, true }, { own.attributes["error.type"], own.failed, by_name.raises.failed })
  end)

  it("decides by itself what is sampled, until the end of the request", function()
    local s = start { tracing = "ratio = 0", hooks = [[
      function policy.request_filter(session)
        if session:path() == "/on" then session:trace():set_sampled(true) end
        if session:path() == "/off" then session:trace():set_sampled(false) end
      end
      function policy.logging(session)
        if session:path() == "/late" then session:trace():set_sampled(true) end
      end
    ]] }
    s.ask({ traceparent = UNSAMPLED }, "/on")
    local _, span, flags = split(s.received().traceparent)
    assert.equal("01", flags)
    assert.equal(span, s.collector:await(2, ID)[2].id)
    s.ask({ traceparent = SAMPLED }, "/off")
    assert.equal("00", (select(3, split(s.received().traceparent))))
    s.ask({ traceparent = UNSAMPLED }, "/late")
    assert.equal(UNSAMPLED, s.received().traceparent)
    assert.equal("/late", s.collector:await(3, ID)[3].attributes["url.path"])
  end)

  it("is bounded: spans and attributes beyond are counted, and a span with too much keeps what fits", function()
    local s = start { hooks = [[
      function policy.request_filter(session)
        local trace = session:trace()
        for i = 1, 40 do trace:set("k" .. i, ("x"):rep(1000)) end
        for i = 1, 200 do trace:start("s" .. i) end
        return session:respond { status = 204 }
      end
    ]] }
    s.ask { traceparent = SAMPLED }
    local server = s.collector:await(129, ID)[1]
    local kept = 0
    for name in pairs(server.attributes) do kept = kept + (name:match "^k%d+$" and 1 or 0) end
    assert.equal(40, kept + server.missed)
    assert.equal(204, server.attributes["http.response.status_code"])
  end)

  it("does nothing without tracing, but checks what it is given at the policy's line", function()
    local s = start { tracing = false, hooks = [[
      local function check(session)
        local trace = session:trace()
        trace:set("a", 1)
        trace:set_sampled(true)
        local lines = { tostring(trace:id()), tostring(trace:is_sampled()), tostring(trace:traceparent()),
          trace:span("x", function() return "fine" end) }
        for _, wrong in ipairs {
          function() trace:set({}, 1) end, function() trace:set("a", {}) end, function() trace:set("a b", 1) end,
          function() trace:set_sampled(1) end, function() trace:span("x") end, function() trace:start("") end,
          function() trace.set("a", 1) end, function() trace:sett("a", 1) end,
        } do lines[#lines + 1] = select(2, pcall(wrong)) end
        return table.concat(lines, "\n")
      end
      function policy.request_filter(session) return session:respond { status = 200, body = check(session) } end
    ]] }
    local lines = {}
    for line in s.ask({}).body:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.same({ "nil", "false", "nil", "fine" }, { unpack(lines, 1, 4) })
    assert.equal(12, #lines)
    for i = 5, 12 do assert.matches("policy.lua:%d+: ", lines[i]) end
  end)
end)
