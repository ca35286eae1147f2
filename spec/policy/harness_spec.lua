-- SPDX-License-Identifier: Apache-2.0
-- The harness that users test policies with: the proxy in a process of its own, origins, clients, assertions.
local process = require "perilune.test.process"
local test = require "perilune.test"

local PLAIN = [[
local perilune = require "perilune"
perilune.listen("127.0.0.1:6188", { upstream_peer = function() return os.getenv "ORIGIN" end })
]]

describe("a harness", function()
  it("leaves alone what the real proxy has open: its files are its own", function()
    local folder = process.directory()
    local policy = ([[
      local perilune = require "perilune"
      perilune.configure { pid_file = "DIR/run.pid", socket = "DIR/run.sock", access_log = "DIR/access.log:json",
        error_log = "DIR/error.log", daemon = true, user = "nobody", group = "nogroup" }
      local hooks = { request_filter = function(s) return s:respond { status = 200 } end }
      perilune.listen("127.0.0.1:6188", hooks)
      perilune.listen("127.0.0.1:6189", hooks, { access_log = "DIR/second.log" })
    ]]):gsub("DIR", folder)
    local one, other = test.harness { policy = policy }, test.harness { policy = policy }
    for listener, name in ipairs { "access.log", "second.log" } do
      assert.status(200, one:request { path = "/seen", listener = listener })
      one:eventually(function()
        local file = io.open(one.directory .. "/" .. name)
        return file and file:read "*a":find("/seen", 1, true)
      end)
    end
    assert.logged("ready", other)
    for name in require("lfs").dir(folder) do assert.truthy(name:find "^%.+$", name) end
  end)

  it("puts the proxy between a client and an origin", function()
    local h = test.harness { policy = PLAIN, origins = { api = "hello" } }
    local response = h:request { path = "/a?b", headers = { ["X-A"] = "1" } }
    assert.status(200, response)
    assert.body("hello", response)
    assert.received({ method = "GET", target = "/a?b", headers = { ["X-A"] = "1" } }, h.origins.api)
    assert.requests(1, h.origins.api)
  end)

  it("answers with what a function makes of the request", function()
    local h = test.harness { policy = PLAIN, origins = { api = function(request)
      return { status = 201, headers = { ["X-Method"] = request.method }, body = request.body }
    end } }
    local response = h:request { method = "POST", body = "sent" }
    assert.status(201, response)
    assert.field("X-Method", "POST", response)
    assert.field("X-Other", nil, response)
    assert.body("sent", response)
    assert.is_not.body("other", response)
  end)

  it("has origins that answer in the words of the bench: pieces, delay, reset", function()
    local h = test.harness { policy = PLAIN, origins = { api = function(request)
      if request.target == "/pieces" then return { pieces = { "hel", "lo" } } end
      if request.target == "/list" then return { body = { "hel", "lo" }, status = 201 } end
      if request.target == "/known" then return { pieces = { "hel", "lo" }, headers = { ["Content-Length"] = 5 } } end
      if request.target == "/open" then return { pieces = { "hel", "lo" }, no_length = true } end
      if request.target == "/late" then return { body = "hello", delay = 0.02 } end
      return { reset = true, delay = 0.01 }
    end } }
    for _, path in ipairs { "/pieces", "/list", "/late" } do assert.body("hello", h:request { path = path }) end
    assert.status(201, h:request { path = "/list" })
    assert.body("", h:request { path = "/list", method = "HEAD" })
    assert.equal("chunked", h:request { path = "/pieces" }.framing)
    assert.field("Content-Length", "5", h:request { path = "/known" })
    local open = h:request { path = "/open" }
    assert.body("hello", open)
    assert.is_nil(open.failure)
    assert.status(502, h:request { path = "/reset" })
  end)

  it("refuses an origin that makes no sense, at the test's line", function()
    local cases = {
      ["unknown field 'pices'; valid are body, chunked, delay"] = { pices = { "a" } },
      ["'status' belongs into answer = { ... }"] = { answer = "a", status = 200 },
      ["there is one of answer, serve and grpc"] = { answer = "a", serve = print },
      ["the error 'connect_refused' is for the bench (test.policy); here: reset = true"] = "connect_refused",
      ["an answer is a text or a table with body"] = 200,
    }
    for told, origin in pairs(cases) do
      local ok, message = pcall(function() test.harness { policy = PLAIN, origins = { api = origin } } end)
      assert.is_false(ok)
      assert.truthy(message:find("the origin 'api': " .. told, 1, true), message)
      assert.matches("^[^\n]*harness_spec.lua:%d+: ", message)
    end
  end)

  it("lets origins delay, reset, break and half close", function()
    local way
    local h = test.harness { policy = PLAIN, origins = { api = { serve = function(connection)
      connection:read_request()
      if way == "delay" then connection:sleep(0.02) connection:respond { body = "late" } end
      if way == "reset" then connection:reset() end
      if way == "bad" then connection:send "HTTP/1.1 nonsense\r\n\r\n" end
      if way == "half" then
        connection:send "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        connection:half_close()
        connection:read(1)
      end
    end } } }
    for the_way, status in pairs { delay = 200, reset = 502, bad = 502, half = 200 } do
      way = the_way
      assert.status(status, h:request { path = "/" .. the_way })
    end
    assert.logged("malformed response", h)
  end)

  it("has origins with TLS, whose certificates are made on the fly", function()
    local h = test.harness { policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:6188", { upstream_peer = function()
        return { address = os.getenv "ORIGIN_API", tls = true, sni = "api.example", ca = os.getenv "ORIGIN_CA" }
      end })
    ]], origins = { api = { answer = "secret", tls = { "api.example" } }, other = "unused" } }
    assert.body("secret", h:request())
    assert.equal("api.example", h.origins.api.requests[1].sni)
    assert.requests(0, h.origins.other)
  end)

  it("gives each listener a free port, and raw connections to it", function()
    local h = test.harness { policy = [[
      local perilune = require "perilune"
      for _, port in ipairs { 6188, 6189 } do
        perilune.listen("127.0.0.1:" .. port, { request_filter = function(session)
          return session:respond { status = 200, body = tostring(port) }
        end })
      end
    ]] }
    assert.body("6188", h:request())
    assert.body("6189", h:request { listener = 2 })
    local connection = h:connect()
    connection:send "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert.truthy(connection:receive_all():find "^HTTP/1.1 200 OK\r\n")
  end)

  it("reloads, and tells why it did not", function()
    local function answering(text)
      return ("local perilune = require 'perilune'\nperilune.listen('127.0.0.1:6188', {\n" ..
        "request_filter = function(s) return s:respond { status = 200, body = %q } end })\n"):format(text)
    end
    local h = test.harness { policy = answering "one" }
    assert.body("one", h:request())
    assert.is_true(h:reload(answering "two"))
    assert.body("two", h:request())
    local ok, why = h:reload "broken ("
    assert.is_nil(ok)
    assert.truthy(why:find "policy.lua:1")
    assert.body("two", h:request())
  end)

  it("runs an example as it is", function()
    local h = test.harness { policy = "examples/request_id.lua", origins = { api = "hello" } }
    local response = h:request()
    assert.received({ headers = { ["X-Request-Id"] = response.headers.x_request_id } }, h.origins.api)
    h:wait_log("id=" .. response.headers.x_request_id .. " status=200")
  end)

  it("answers for names", function()
    local h = test.harness { policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:6188", { upstream_peer = function(session)
        return session:path():sub(2) .. ":" .. os.getenv("ORIGIN"):match ":(%d+)"
      end })
    ]], origins = { api = "hello" }, dns = { ["api.internal"] = "127.0.0.1" } }
    assert.body("hello", h:request { path = "/api.internal" })
    assert.status(502, h:request { path = "/other.internal" })
    assert.same({ "api.internal", "other.internal" }, { h.dns.questions[1], h.dns.questions[#h.dns.questions] })
  end)

  it("reads metrics", function()
    local h = test.harness { policy = PLAIN, origins = { api = "hello" } }
    for _ = 1, 3 do h:request() end
    assert.metric(3, "perilune_requests_total", h)
    assert.metric(3, 'perilune_requests_total{status="200"}', h)
    assert.equal(0, h:metric("perilune_requests_total", 'status="404"'))
    assert.equal(0, h:metric "of_a_hook_that_was_not_called")
    assert.has_error(function() h:metric "perilune_request_total" end,
      "there is no metric 'perilune_request_total': did you mean 'perilune_requests_total'?")
  end)

  it("says what a metric was, by its labels, where an assertion fails", function()
    local h = test.harness { origins = { api = "hello" }, policy = [[
      local perilune = require "perilune"
      local orders = perilune.metrics.counter("orders", { labels = { "side" } })
      perilune.listen("127.0.0.1:0", {
        upstream_peer = function(session)
          if session:path() ~= "/" then orders:add(1, session:path()) end
          return os.getenv "ORIGIN"
        end,
      })
    ]] }
    local function message(...) return select(2, pcall(assert.metric, ...)).message end
    assert.equal("Wanted the metric orders 2 within two seconds.\nFound: 0\n  it has no series yet",
      message(2, "orders", h))
    h:request { path = "/a" }
    h:request { path = "/b" }
    assert.metric(2, "orders", h)
    assert.equal('Wanted the metric orders{side="/a"} 2 within two seconds.\nFound: 1\n'
      .. '  orders{side="/a"} 1\n  orders{side="/b"} 1', message(2, 'orders{side="/a"}', h))
    assert.matches("Found: 0\n  there is no metric 'ordrs': did you mean 'orders'%?$", message(1, "ordrs", h))
    h:stop()
    assert.matches("Connection refused", tostring(select(2, pcall(assert.metric, 2, "orders", h))))
  end)

  it("refuses options that it does not know", function()
    assert.has_error(function() test.harness { polcy = "" } end,
      "test.harness: unknown field 'polcy': did you mean 'policy'?")
  end)
end)

describe("a harness of a whole file", function()
  local h
  lazy_setup(function() h = test.harness { policy = PLAIN, origins = { api = "hello" } } end)
  before_each(function() h:clear() end)

  for i = 1, 3 do
    it("serves test " .. i, function()
      assert.body("hello", h:request { path = "/" .. i })
      assert.received({ target = "/" .. i }, h.origins.api)
      assert.requests(1, h.origins.api)
    end)
  end

  it("serves many requests side by side", function()
    local bodies = {}
    for i = 1, 30 do bodies[i] = function() return h:request().status end end
    for _, status in ipairs(h:together(bodies)) do assert.equal(200, status) end
    assert.requests(30, h.origins.api)
  end)
end)

describe("an assertion", function()
  local function message(...) return select(2, pcall(...)).message end

  it("says what it has found", function()
    local response = { status = 404, reason = "Not Found", headers = { { name = "A", value = "b" } }, body = "gone" }
    local text = message(assert.status, 200, response)
    assert.truthy(text:find("Wanted status 200.\nFound: 404 Not Found\n  A: b", 1, true))
    assert.truthy(message(assert.body, "x", response):find('Wanted the body "x".\nFound: "gone"', 1, true))
    local origin = { requests = { { method = "GET", target = "/", headers = {}, head = "GET / HTTP/1.1" } } }
    assert.truthy(message(assert.received, { method = "PUT" }, origin):find('Found: method "GET" in', 1, true))
    assert.truthy(message(assert.requests, 2, origin):find("Found: 1\n  GET /", 1, true))
    assert.equal("Wanted in the log: nothing.\nFound: nothing: the log is empty",
      message(assert.logged, "nothing", { log = function() return "" end }))
    local lines = {}
    for i = 1, 30 do lines[i] = "line " .. i end
    local source = { log = function() return table.concat(lines, "\n") .. "\n" end }
    assert.matches("^Wanted in the log: nothing%.\nFound: the last 20 of 30 lines\n  line 11\n.*  line 30$",
      message(assert.logged, "nothing", source))
    assert.equal("Wanted anything but in the log: e 1%d.\nFound: \n  line 10",
      message(assert.is_not.logged, "e 1%d", source))
    assert.truthy(message(assert.is_not.status, 404, response):find("^Wanted anything but status 404%.\nFound: 404 "))
  end)
end)
