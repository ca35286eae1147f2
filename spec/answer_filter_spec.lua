-- SPDX-License-Identifier: Apache-2.0
-- answer_filter: the policy's last look at each final head, whoever made it: a peer, the policy, or the proxy itself.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- Counts its calls in ctx, and tells them to the log at the end.
local COUNTING = [[
function policy.answer_filter(session, response, ctx)
  ctx.calls = (ctx.calls or 0) + 1
  response:set_header("Strict-Transport-Security", "max-age=60")
  response:set_header("X-Seen", ("%s %d %s"):format(session:phase(), response:status(), session:method()))
end
function policy.logging(session, failure, ctx)
  io.stderr:write(("looked: %d times; %s; %s\n"):format(ctx.calls or 0, failure and failure:kind() or "none",
    tostring(session:response_status())))
end
]]

local function start(origin, hooks, options)
  options = options or {}
  options.hooks = (options.plain and "" or COUNTING) .. (hooks or "")
  return scene.start(origin, options)
end

-- The response was looked at, once, and so was nothing else of its exchange.
local function is_seen(proxy, response, status, kind, from)
  assert.equal(status, response.status)
  assert.equal("max-age=60", response.headers["strict-transport-security"])
  local count, failure, logged = proxy:wait_log("looked: (%d+) times; (%S+); (%S+)\n", nil, from)
  assert.same({ "1", kind or "none", tostring(status) }, { count, failure, logged })
end

describe("answer_filter", function()
  it("is given a peer's response, behind response_filter, and changes its fields", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:respond { headers = { Server = "origin" }, body = "hello" }
    end), [[
      function policy.response_filter(session, response) response:set_header("X-Seen", "too early") end
    ]])
    local response = client.request(proxy.port)
    is_seen(proxy, response, 200)
    assert.equal("answer_filter 200 GET", response.headers["x-seen"])
    assert.equal("origin", response.headers.server)
    assert.equal("hello", response.body)
  end)

  for _, hook in ipairs {
    "early_request_filter", "request_filter", "proxy_upstream_filter", "upstream_peer", "connected_to_upstream",
    "upstream_request_filter", "upstream_response_filter", "response_filter",
  } do
    it("is given what session:respond in " .. hook .. " answers", function()
      local proxy = start(origins.start "hello", ([[
        function policy.%s(session)
          return session:respond { status = 418, headers = { ["X-Own"] = "yes" }, body = "short and stout" }
        end
      ]]):format(hook))
      local response = client.request(proxy.port)
      is_seen(proxy, response, 418)
      assert.equal("answer_filter 418 GET", response.headers["x-seen"])
      assert.same({ "yes", "15", "short and stout" },
        { response.headers["x-own"], response.headers["content-length"], response.body })
    end)
  end

  it("is given the answer to a failure, once, however many attempts there were", function()
    local proxy = start { address = origins.dead_address() }
    is_seen(proxy, client.request(proxy.port), 502, "connect_refused")
  end)

  it("is given what error_while_proxy and fail_to_proxy answer", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:close()
    end), [[
      function policy.fail_to_proxy(session)
        if session:path() == "/own" then return session:respond { status = 503, body = "soon" } end
        return 504
      end
    ]])
    local response = client.request({ port = proxy.port, path = "/own" })
    is_seen(proxy, response, 503, "upstream_closed")
    assert.equal("soon", response.body)
    local from = #proxy:log() + 1
    is_seen(proxy, client.request(proxy.port), 504, "upstream_closed", from)
  end)

  it("is given the answer where a hook has failed", function()
    local proxy = start(origins.start "hello", "function policy.request_filter() error 'on purpose' end")
    is_seen(proxy, client.request(proxy.port), 500, "script")
  end)

  local malformed = {
    ["a request that is none"] = { "NONSENSE\r\n\r\n", 400, "bad_request" },
    ["a request in doubt about its end"] = {
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_framing" },
    ["a target that is too long"] = {
      "GET /" .. ("a"):rep(9000) .. " HTTP/1.1\r\nHost: x\r\n\r\n", 414, "target_too_long" },
    ["a method that is refused"] = { "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, "method_not_allowed" },
    ["a version that is refused"] = { "GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, "version_unsupported" },
  }
  for what, case in pairs(malformed) do
    it("is given the answer to " .. what, function()
      local proxy = start(origins.start "hello")
      local connection = client.connect(proxy.port)
      connection:send(case[1])
      local response = connection:read_response()
      assert.equal(case[2], response.status)
      assert.equal("max-age=60", response.headers["strict-transport-security"])
      local count, _, logged = proxy:wait_log "looked: (%d+) times; (%S+); (%S+)\n"
      assert.same({ "1", tostring(case[2]) }, { count, logged })
    end)
  end

  it("is given the answer of the proxy itself to TRACE with Max-Forwards: 0", function()
    local proxy = start(origins.start "hello")
    local response = client.request({ port = proxy.port, method = "TRACE", headers = { ["Max-Forwards"] = "0" } })
    is_seen(proxy, response, 200)
    assert.matches("^TRACE / HTTP/1.1", response.body)
  end)

  it("is given a response without a body: HEAD, 204, 304", function()
    local proxy = start(origins.start(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        local status = tonumber(request.target:match "%d+")
        connection:send(("HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n"):format(status))
        if status == 204 then return end
      end
    end))
    for _, case in ipairs { { "HEAD", 200 }, { "GET", 304 }, { "GET", 204 } } do
      local from = #proxy:log() + 1
      local response = client.request({ port = proxy.port, method = case[1], path = "/" .. case[2] })
      is_seen(proxy, response, case[2], nil, from)
      assert.equal("", response.body)
    end
  end)

  it("is given a 101, before the tunnel begins, and no interim response", function()
    local proxy = start(origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      connection:send "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
      connection:send(connection:read(4))
    end))
    local connection = client.connect(proxy.port)
    connection:send "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    local hints = connection:read_until "\r\n\r\n"
    assert.matches("^HTTP/1.1 103", hints)
    assert.not_matches("[Ss]trict", hints)
    local head = connection:read_until "\r\n\r\n"
    assert.matches("^HTTP/1.1 101", head)
    assert.matches("Strict%-Transport%-Security: max%-age=60", head)
    connection:send "ping"
    assert.equal("ping", connection:read(4))
    connection:close()
    assert.same({ "1", "none", "101" }, { proxy:wait_log "looked: (%d+) times; (%S+); (%S+)\n" })
  end)

  it("is given an answer that comes before the request's body, and the rest of that is read away", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter(session) return session:respond { status = 403 } end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf"
    is_seen(proxy, connection:read_response(), 403)
    connection:send "half"
    connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert.equal(403, connection:read_response().status)
  end)

  it("may wait, for an answer of one's own and for a peer's", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter(session)
        if session:path() == "/own" then return session:respond { status = 200, body = "own" } end
      end
      function policy.answer_filter(session, response)
        perilune.sleep(0.01)
        response:set_header("X-Waited", "yes")
      end
    ]])
    for path, body in pairs { ["/own"] = "own", ["/"] = "hello" } do
      local response = client.request({ port = proxy.port, path = path })
      assert.same({ 200, "yes", body }, { response.status, response.headers["x-waited"], response.body })
    end
  end)

  it("ends with a client that leaves while it waits, and logging follows", function()
    local proxy = start(origins.start "hello", [[
      function policy.answer_filter(session, response)
        perilune.log.info "waits now"
        perilune.sleep(60)
      end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    proxy:wait_log "waits now"
    connection:close()
    assert.equal("client_gone", (select(2, proxy:wait_log "looked: (%d+) times; (%S+); (%S+)\n")))
  end)

  it("reads what an answer of one's own has: its status, its length, and the fields that it was given", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter(session)
        return session:respond { status = 201, headers = { Vary = "Origin" }, body = "12345" }
      end
      function policy.answer_filter(session, response)
        response:set_header("X-Read", table.concat({ response:status(), session:response_status(),
          response:get_header "vary", response:get_header "content-length" }, " "))
      end
    ]], { plain = true })
    assert.equal("201 201 Origin 5", client.request(proxy.port).headers["x-read"])
  end)

  it("sets and removes the policy's own fields, and a Date, but says nothing of the body's end", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter(session)
        return session:respond { status = 200, headers = { ["X-Away"] = "1", ["X-Stays"] = "1" } }
      end
      function policy.answer_filter(session, response)
        response:remove_header "X-Away"
        response:add_header("X-Two", { "a", "b" })
        response:set_header("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
        response:set_header("X-Length", tostring(pcall(response.set_header, response, "Content-Length", 3)))
        response:set_header("X-Status", tostring(pcall(response.set_status, response, 201)))
        response:set_header("X-Respond", tostring(pcall(session.respond, session, { status = 200 })))
      end
    ]], { plain = true })
    local headers = client.request(proxy.port).headers
    assert.same({ nil, "1", "a, b", "Thu, 01 Jan 1970 00:00:00 GMT", "false", "false", "false" },
      { headers["x-away"], headers["x-stays"], table.concat(headers:all "x-two", ", "), headers.date,
        headers["x-length"], headers["x-status"], headers["x-respond"] })
  end)

  it("adds its fields to each of many answers in one second, none of which keeps those of another", function()
    local proxy = start(origins.start "hello", [[
      local count = 0
      function policy.request_filter(session) return session:respond { status = 200 } end
      function policy.answer_filter(session, response)
        count = count + 1
        response:set_header("X-Count", count)
      end
    ]], { plain = true })
    local connection = client.connect(proxy.port)
    for i = 1, 5 do
      connection:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
      local headers = connection:read_response().headers
      assert.same({ tostring(i) }, headers:all "x-count")
      assert.equal(1, #headers:all "date")
    end
  end)
end)

describe("an answer_filter that fails", function()
  local function failing(act)
    return ([[
      function policy.request_filter(session)
        if session:path() == "/own" then
          return session:respond { status = 201, headers = { ["X-Kept"] = "own" }, body = "own" }
        end
      end
      function policy.answer_filter(session, response)
        response:set_header("X-Half", "done")
        response:remove_header "X-Kept"
        %s
      end
    ]]):format(act)
  end

  for what, act in pairs {
    ["raises"] = "error 'no luck'", ["raises a status"] = "error { status = 418 }",
    ["raises behind a wait"] = "perilune.sleep(0.01) error 'no luck'", ["gives a result"] = "return true",
    ["runs for too long"] = "while true do end",
  } do
    it("because it " .. what .. " leaves every answer as it was, and is in the log", function()
      local proxy = scene.start(origins.start(function(connection)
        while connection:read_request() do connection:respond { headers = { ["X-Kept"] = "peer" }, body = "hello" } end
      end), { hooks = "perilune.configure { hook_time = 0.1, jit = false }\n" .. failing(act) })
      for path, case in pairs { ["/own"] = { 201, "own", "own" }, ["/"] = { 200, "peer", "hello" } } do
        local from = #proxy:log() + 1
        local response = client.request({ port = proxy.port, path = path })
        assert.same({ case[1], case[2], case[3] }, { response.status, response.headers["x-kept"], response.body })
        assert.is_nil(response.headers["x-half"])
        proxy:wait_log("error worker 0: answer_filter failed: ", nil, from)
      end
    end)
  end

  it("on the answer to another failure does not fail that again", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter() error "first" end
      function policy.fail_to_proxy() error "second" end
      function policy.answer_filter() error "third" end
    ]])
    local response = client.request(proxy.port)
    assert.equal(500, response.status)
    proxy:wait_log "looked: 0 times; script; 500\n"
    assert.same({ 1, 1, 1 }, { proxy:count_log "failed: .*first", proxy:count_log "failed: .*second",
      proxy:count_log "failed: .*third" })
  end)
end)

describe("without answer_filter", function()
  it("session:respond is seen by no filter of responses", function()
    local proxy = start(origins.start "hello", [[
      function policy.request_filter(session) return session:respond { status = 200 } end
      function policy.response_filter(session, response) response:set_header("X-Filter", "ran") end
      policy.answer_filter = nil
    ]])
    assert.is_nil(client.request(proxy.port).headers["x-filter"])
    proxy:wait_log "looked: 0 times"
    scheduler.eventually(function() return proxy:count_log "looked" == 1 end, nil, "one line")
  end)
end)

describe("what sets fields for every response", function()
  it("finds the examples of CORS and request ids on error pages, too", function()
    for example, field in pairs { cors = "access-control-allow-origin", request_id = "x-request-id" } do
      local proxy = perilune.start { workers = 1, script = "examples/" .. example .. ".lua",
        env = { ORIGIN = origins.dead_address(), LISTEN = "127.0.0.1:0" } }
      local response = client.request { port = proxy.port, headers = { Origin = "https://app.example" } }
      assert.equal(502, response.status)
      assert.is_string(response.headers[field])
    end
  end)
end)

describe("a walk of test.policy", function()
  it("shows the final head to answer_filter: of a peer, of the policy, of a failure", function()
    local directory = process.directory()
    process.write_file(directory .. "/policy.lua", [[
      local perilune = require "perilune"
      local policy = { upstream_peer = function() return "127.0.0.1:1" end }
      function policy.request_filter(session)
        if session:path() == "/own" then return session:respond { status = 201 } end
      end
      function policy.answer_filter(session, response) response:set_header("X-Seen", response:status()) end
      perilune.listen("127.0.0.1:0", policy)
    ]])
    local file = process.write_file(directory .. "/walk_spec.lua", ([[
      local policy = require("perilune.test").policy "%s/policy.lua"
      describe("x", function() it("sees all", function()
        local own, peers = policy:request({ path = "/own" }), policy:request({}, { status = 200, headers = {} })
        local failed = policy:request({}, "connect_refused")
        assert.same({ "201", "200", "502" },
          { own.headers["x-seen"], peers.headers["x-seen"], failed.headers["x-seen"] })
      end) end)
    ]]):format(directory))
    local result = perilune.run("test", file)
    assert.equal(0, result.code, result.stdout .. result.stderr)
  end)
end)
