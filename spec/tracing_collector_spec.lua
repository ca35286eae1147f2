-- SPDX-License-Identifier: Apache-2.0
-- Traces when the collector refuses, is slow or is away, when the queue is full, and when the policy ends: requests go
-- on, memory is bounded, what is lost is counted, and the log has one line of it.
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local otlp = require "otlp"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local shortage = require "shortage"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
$TRACING
local policy = {}
function policy.request_filter(session)
  if session:path() == "/wait" then perilune.sleep($WAIT) end
  return session:respond { status = 200, body = "$NAME" }
end
perilune.listen("127.0.0.1:0", policy)
]]

local function text(endpoint, options, more)
  more = more or {}
  local tracing = endpoint and ([[perilune.tracing { endpoint = %q, ratio = 1, interval = 0.1, %s }]]):format(endpoint,
    options or "") or ""
  return policies.fill(POLICY, { TRACING = tracing, NAME = more.name or "one", WAIT = more.wait or 0.5 })
end

local function start(endpoint, options, more)
  return perilune.start { workers = more and more.workers or 1, policy = text(endpoint, options, more),
    settings = { "--admin", "127.0.0.1:0" } }
end

local function ask(proxy, count)
  local connection = client.connect(proxy.port)
  for _ = 1, count or 1 do assert.equal(200, connection:request({}).status) end
end

local function until_metric(proxy, name, value)
  scheduler.eventually(function() return metrics.read(proxy)[name] == value end, nil, name)
end

describe("a collector", function()
  it("that has no time is asked again as late as it says, and gets each span once", function()
    local collector = otlp.start(function(number)
      if number <= 2 then return { status = number == 1 and 503 or 429, headers = { ["Retry-After"] = "0" } } end
      return { status = 200 }
    end)
    local proxy = start(collector.url, "headers = { Authorization = 'Bearer x' }")
    ask(proxy)
    collector:await(1)
    local request = collector.origin.requests[3]
    assert.same({ "/v1/traces", "application/x-protobuf", "Bearer x" },
      { request.target, request.headers.content_type, request.headers.authorization })
    until_metric(proxy, "perilune_trace_exported_total", 1)
    local samples = metrics.read(proxy)
    assert.same({ 1, 0, 2, 0, 0 }, { samples.perilune_trace_spans_total, samples.perilune_trace_refused_total,
      samples.perilune_trace_export_failures_total, samples.perilune_trace_queue_bytes,
      samples.perilune_trace_collector_down })
    assert.equal(1, proxy:count_log "tracing: .* it answered 503")
    assert.equal(1, proxy:count_log "tracing: .* takes spans again")
  end)

  it("that this machine cannot ask for want of a port gets the spans when it can, in the first try", function()
    local collector, lack = otlp.start(function() return { status = 200 } end), shortage.new()
    local proxy = perilune.start { workers = 1, policy = text(collector.url, "tries = 1"), env = lack.env,
      settings = { "--admin", "127.0.0.1:0" } }
    lack:begin("connect", "EADDRNOTAVAIL", 1)
    ask(proxy)
    scheduler.eventually(function() return lack:count "connect" > 1 end)
    lack:over()
    collector:await(1)
    until_metric(proxy, "perilune_trace_exported_total", 1)
    assert.equal(0, proxy:count_log "given up")
  end)

  it("that names a date is not asked again before it", function()
    local due
    local asked_at = {}
    local collector = otlp.start(function(number)
      asked_at[number] = os.time()
      if number > 1 then return { status = 200 } end
      due = os.time() + 4
      return { status = 503, headers = { ["Retry-After"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", due) } }
    end)
    ask(start(collector.url))
    collector:await(1)
    assert.is_true(asked_at[2] >= due - 1) -- which no pause of its own comes near; times are whole seconds
  end)

  it("that refuses a batch, or a part of it, is not sent it again", function()
    local collector = otlp.start(function(number)
      if number == 1 then return { status = 400, body = "no" } end
      return { status = 200, body = "\10\6\8\1\18\2no" } -- partial_success { rejected_spans: 1, error_message: "no" }
    end)
    local proxy = start(collector.url)
    ask(proxy)
    until_metric(proxy, "perilune_trace_refused_total", 1)
    ask(proxy)
    until_metric(proxy, "perilune_trace_refused_total", 2)
    assert.equal(2, #collector.origin.requests)
    assert.equal(0, metrics.read(proxy).perilune_trace_exported_total)
    assert.equal(1, proxy:count_log "it answered 400; 1 spans are given up")
  end)

  it("that is away costs requests nothing: a bounded queue, what is dropped is counted, one line in the log", function()
    local proxy = start("http://" .. origins.dead_address(), "queue = '64K', tries = 1000000")
    ask(proxy, 400)
    local samples = metrics.read(proxy)
    assert.equal(400, samples.perilune_trace_spans_total + samples.perilune_trace_dropped_total)
    assert.is_true(samples.perilune_trace_dropped_total > 0)
    assert.is_true(samples.perilune_trace_queue_bytes <= 65536)
    until_metric(proxy, "perilune_trace_collector_down", 1)
    assert.equal(1, proxy:count_log "tracing: ")
    local status = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/status.json" }.body
    assert.matches('"is_down":true', status)
    assert.matches('"last_failure":"[^"]+refused', status)
    local begun = scheduler.now and scheduler.now() or os.time()
    proxy:stop()
    assert.is_true((scheduler.now and scheduler.now() or os.time()) - begun < 15)
    assert.equal(1, proxy:count_log "spans were not sent before the end")
  end)

  it("that is silent holds up neither requests nor a stop", function()
    local collector = otlp.start(function() return { status = 0, silent = true } end)
    local proxy = start(collector.url, "timeout = 60")
    ask(proxy)
    scheduler.eventually(function() return #collector.origin.requests > 0 end)
    ask(proxy, 5)
    local begun = os.time()
    proxy:stop()
    assert.is_true(os.time() - begun < 25)
    assert.equal(1, proxy:count_log "spans were not sent before the end")
  end)
end)

describe("the end", function()
  it("of the proxy sends what is left, of requests that end during it, too", function()
    local collector = otlp.start()
    local proxy = start(collector.url, "interval = 3600", { workers = 2 })
    ask(proxy, 3)
    local connection = client.connect(proxy.port)
    connection:send "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    client.request(proxy.port)
    proxy:stop()
    assert.equal(200, connection:read_response().status)
    collector:await(5)
  end)

  it("of a policy hands its queue to the next one; without a next one it is sent all the same", function()
    local collector, other = otlp.start(), otlp.start()
    local proxy = start(collector.url, "interval = 3600")
    local connection = client.connect(proxy.port)
    ask(proxy, 2)
    connection:send "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    local function reload(policy)
      process.write_file(proxy.script or proxy.directory .. "/policy.lua", policy)
      local before = #proxy:log()
      proxy:signal "HUP"
      proxy:wait_log("in force", nil, before)
    end
    reload(text(other.url, "", { name = "two" }))
    assert.equal("one", connection:read_response().body)
    scheduler.eventually(function() return #collector:all() + #other:all() == 3 end)
    assert.equal("two", client.request(proxy.port).body)
    other:await(#other:all() + 1 - (#other:all() > 3 and 1 or 0))
    connection:send "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"
    reload(text(nil, nil, { name = "three" }))
    assert.equal("two", connection:read_response().body)
    scheduler.eventually(function() return #collector:all() + #other:all() == 5 end)
  end)
end)

describe("perilune.tracing", function()
  local function fault(options)
    local result = perilune.run { args = { "check", process.write_file(process.directory() .. "/policy.lua",
      "local perilune = require 'perilune'\nperilune.tracing " .. options .. "\n" ..
      "perilune.listen('127.0.0.1:0', { upstream_peer = function() return '127.0.0.1:1' end })\n") } }
    return result.stderr .. result.stdout
  end

  it("says what is wrong with its options, at their line", function()
    local wrong = {
      ["{}"] = "option 'endpoint' is missing", ["{ endpoint = 'collector:4318' }"] = "must be a URL such as",
      ["{ endpoint = 'http://a', ratio = 2 }"] = "option 'ratio' must be a number from 0 to 1",
      ["{ endpoint = 'http://a', parent = 'x' }"] = "must be follow, join or ignore",
      ["{ endpoint = 'http://a', headers = { a = 'b\\n' } }"] = "option 'headers'",
      ["{ endpoint = 'http://a', resource = { 'x' } }"] = "option 'resource'",
      ["{ endpoint = 'http://a', queue = 1 }"] = "option 'queue' must be",
      ["{ endpont = 'http://a' }"] = "did you mean endpoint",
      ["{ endpoint = 'http://a' } perilune.tracing { endpoint = 'http://a' }"] = "it was called before",
    }
    for options, message in pairs(wrong) do
      local said = fault(options)
      assert.is_truthy(said:find("policy.lua:2: ", 1, true), said)
      assert.is_truthy(said:find(message, 1, true), said)
    end
  end)
end)

-- What the scripted collector reads is what the official package reads.
local function find_python()
  for _, name in ipairs { os.getenv "OTLP_PYTHON" or "python3", "/usr/bin/python3" } do
    if os.execute(name .. " -c 'import opentelemetry.proto.collector.trace.v1.trace_service_pb2' 2>/dev/null") == 0 then
      return name
    end
  end
end
local python = find_python()

local READER = [[
import sys
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as t
m = t.ExportTraceServiceRequest.FromString(open(sys.argv[1], 'rb').read())
for r in m.resource_spans:
    for s in r.scope_spans:
        for span in s.spans:
            print(span.trace_id.hex(), span.span_id.hex(), span.name, span.kind, len(span.attributes))
]]

describe("a batch", function()
  local function no_python(sentence) pending(sentence .. " (opentelemetry-proto: make deps)") end
  local test = python and it or no_python
  test("is read by the official opentelemetry-proto package", function()
    local collector = otlp.start()
    local proxy = start(collector.url)
    ask(proxy)
    local one = collector:await(1)[1]
    local directory, count = process.directory(), 0
    process.write_file(directory .. "/batch", collector.bodies[1])
    process.write_file(directory .. "/reader.py", READER)
    local reader = process.start({ python, directory .. "/reader.py", directory .. "/batch" }, {})
    reader:wait(60)
    for _ in pairs(one.attributes) do count = count + 1 end
    assert.equal(("%s %s GET 2 %d\n"):format(one.trace_id, one.id, count), reader:stdout())
  end)
end)
