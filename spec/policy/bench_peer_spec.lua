-- SPDX-License-Identifier: Apache-2.0
-- What the bench does in a peer's place: its answers and errors, what backends are told of them, and retries.
local round_robin = require "perilune.round_robin"
local test = require "perilune.test"

local A, B = "127.0.0.1:1", "127.0.0.1:2"

local sets = 0

-- A policy whose peers are from a set, which is a new one.
local function with_set(options, list, hooks, retries)
  local set
  hooks = hooks or {}
  function hooks.upstream_peer() return { address = set:select(), first_byte_timeout = 1 } end
  local policy = test.policy(hooks, { max_retries = retries or 3 })
  sets = sets + 1
  list.name = "set" .. sets
  set = round_robin.new(options(list))
  return policy, set
end

local function failing_after(count, eject)
  return function(list)
    list.passive = { failures = count, eject = eject, eject_share = 1 }
    return list
  end
end

describe("passive checks on the bench", function()
  it("take out a backend after its failures in a row, and let it back in after their time", function()
    local policy, set = with_set(failing_after(3, 10), { A }, nil, 0)
    for i = 1, 3 do
      assert.is_true(set:is_fit(A), "before failure " .. i)
      policy:request({}, "connect_refused")
    end
    assert.is_false(set:is_fit(A))
    assert.equal("no_backend", policy:request({}, { status = 200 }).failure)
    test.clock:advance(10)
    assert.is_true(set:is_fit(A))
    assert.equal(200, policy:request({}, { status = 200 }).status)
  end)

  it("count what comes behind the connection, and answers of 500 and more", function()
    for _, answer in ipairs { { status = 500 }, { reset = true }, { error = "read_timeout" }, { delay = 2 } } do
      local policy, set = with_set(failing_after(2, 10), { A })
      for _ = 1, 2 do policy:request({ method = "POST" }, answer) end
      assert.is_false(set:is_fit(A))
    end
  end)

  it("begin anew with a good answer, and do not count what is not the backend's fault", function()
    local fails = false
    local policy, set = with_set(failing_after(2, 10), { A }, {
      response_filter = function() if fails then error "deliberate" end end,
    }, 0)
    for _ = 1, 3 do
      policy:request({}, "connect_refused")
      policy:request({}, { status = 404 })
    end
    fails = true
    for _ = 1, 3 do assert.equal(500, policy:request({}, { status = 200 }).status) end
    assert.is_true(set:is_fit(A))
  end)

  it("hear of hooks that are called one by one", function()
    local policy, set = with_set(failing_after(2, 10), { A })
    local x = policy:exchange()
    for _ = 1, 2 do
      x:upstream_peer()
      x:fail_to_connect "connect_timeout"
    end
    assert.is_false(set:is_fit(A))
  end)

  it("leave nothing counted as under way", function()
    local policy, set = with_set(function(list) return list end, { A })
    for _, answer in ipairs { "connect_refused", { status = 200 }, { reset = true } } do policy:request({}, answer) end
    policy:exchange():upstream_peer()
    assert.equal(1, set:in_flight(A))
    test.reset()
    assert.equal(0, set:in_flight(A))
  end)
end)

describe("retries on the bench", function()
  it("ask another backend after an error of connecting, and are as many as the policy allows", function()
    local tried = {}
    local policy = with_set(function(list) return list end, { A, B })
    local response = policy:request({}, function(peer, try)
      tried[try] = peer.address
      return try == 1 and "connect_refused" or { status = 201 }
    end)
    table.sort(tried)
    assert.same({ { A, B }, 201, 2 }, { tried, response.status, response.tries })
    assert.same({ 502, 4 }, (function(r) return { r.status, r.tries } end)(policy:request({}, "connect_refused")))
  end)

  it("do not repeat what a peer may have acted on", function()
    local policy = test.policy { upstream_peer = function() return A end }
    for _, method in ipairs { "POST", "GET" } do
      local response = policy:request({ method = method }, { reset = true })
      assert.same({ 502, 1, "upstream_closed" }, { response.status, response.tries, response.failure })
    end
  end)

  it("go on to another backend where the set says so, and fall back to the answer that there was", function()
    local function retrying(list)
      list.retry_on = { 503 }
      return list
    end
    local policy = with_set(retrying, { A, B })
    local function second(answer)
      return policy:request({}, function(_, try) return try == 1 and { status = 503, body = "first" } or answer end)
    end
    local response = second { status = 200, body = "second" }
    assert.same({ 200, "second", 2 }, { response.status, response.body, response.tries })
    response = second "connect_refused"
    assert.same({ 503, "first" }, { response.status, response.body })
  end)

  it("because of a status are error_while_proxy's to forbid", function()
    local kinds = {}
    local function retrying(list)
      list.retry_on = { 503 }
      return list
    end
    local policy = with_set(retrying, { A, B }, {
      error_while_proxy = function(session, _, failure)
        kinds[#kinds + 1] = failure:kind() .. " " .. failure:status()
        failure.retry = session:method() == "GET"
      end,
    })
    local function ask(method)
      local response = policy:request({ method = method },
        function(_, try) return { status = try == 1 and 503 or 200, body = tostring(try) } end)
      return { response.status, response.body, response.tries, response.failure }
    end
    assert.same({ 200, "2", 2 }, ask "GET")
    assert.same({ 503, "1", 1 }, ask "DELETE")
    assert.same({ "answered_error 503", "answered_error 503" }, kinds)
  end)

  it("are the hooks' to decide, where they are safe", function()
    local failures = {}
    local policy = test.policy {
      upstream_peer = function() return A end,
      error_while_proxy = function(_, _, failure)
        failures[#failures + 1] = failure:kind()
        failure.retry = #failures < 2
      end,
    }
    assert.same({ 504, 2 }, (function(r) return { r.status, r.tries } end)(policy:request({}, { delay = 61 })))
    assert.same({ "first_byte_timeout", "first_byte_timeout" }, failures)
  end)
end)

describe("an answer on the bench", function()
  local policy
  before_each(function()
    policy = test.policy { upstream_peer = function() return { address = A, first_byte_timeout = 1 } end,
      response_body_filter = function(_, piece) return "<" .. piece .. ">" end }
  end)

  it("is a text, or a table with body or pieces: the same words as in the harness", function()
    assert.equal("<hello>", policy:request({}, "hello").body)
    assert.equal("<hello>", policy:request({}, { body = "hello" }).body)
    assert.equal("<hel><lo>", policy:request({}, { pieces = { "hel", "lo" } }).body)
    assert.equal("<hel><lo>", policy:request({}, { body = { "hel", "lo" } }).body)
  end)

  it("takes its time, on the clock of the test; too long for the peer's timeout fails", function()
    local before = test.clock:now()
    assert.equal(200, policy:request({}, { delay = 0.5 }).status)
    assert.equal(0.5, test.clock:now() - before)
    local response = policy:request({}, { delay = 2 })
    assert.same({ 504, "first_byte_timeout" }, { response.status, response.failure })
    assert.equal(1.5, test.clock:now() - before)
  end)

  it("is refused, with the right words, where it makes no sense", function()
    local cases = {
      { { pices = {} }, "unknown field 'pices'; valid are body, chunked, delay, error, headers, no_length, pieces" },
      { "conect_refused", "did you mean 'connect_refused'%? A body is written { body = \"conect_refused\" }" },
      { { error = "refused" }, "there is no error 'refused'; valid are bad_request, .*connect_refused, .*stopping" },
      { { body = "a", pieces = { "b" } }, "body and pieces are two words for the same" },
      { { body = 7 }, "body must be a text or a list of pieces, got a number value" },
      { { pieces = { "a", 7 } }, "piece 2 of the body is a number value" },
      { { status = "200" }, "status must be a number, got a string value" },
      { { status = 20 }, "status must be a whole number from 100 to 999" },
      { { reset = true, status = 200 }, "reset = true means that there is no answer, so there is no status" },
      { { delay = -1 }, "delay must be a number of seconds" },
      { 200, "an answer is a text or a table with body, .*; got a number value" },
    }
    for _, case in ipairs(cases) do
      local ok, message = pcall(function() policy:request({}, case[1]) end)
      assert.is_false(ok)
      assert.matches(case[2], message)
      assert.matches("bench_peer_spec.lua:%d+: the peer's answer: ", message)
    end
  end)

  it("to one hook alone is a response; its errors have names that exist", function()
    local x = policy:exchange()
    local ok, message = pcall(function() x:response_filter { reset = true } end)
    assert.is_false(ok)
    assert.matches("bench_peer_spec.lua:%d+: .*error, reset and delay are for x:walk%(%)", message)
    ok, message = pcall(function() x:fail_to_connect "refused" end)
    assert.is_false(ok)
    assert.matches("bench_peer_spec.lua:%d+: there is no error 'refused'; valid are", message)
  end)
end)

describe("perilune.http on the bench", function()
  local http = require "perilune.http"

  -- What a hook gets of a request, as a list.
  local function ask(body)
    local got
    test.policy({ request_filter = function(session)
      got = { body() }
      return session:respond { status = 204 }
    end }):request()
    return unpack(got, 1, 4)
  end

  it("gets what the test has scripted, and the test sees what was asked", function()
    local answer = { status = 403, headers = { ["X-Why"] = "no" }, body = "go" }
    local calls = test.http { ["http://10.0.0.1:8001/may"] = answer }
    local response = ask(function()
      return http.post("http://10.0.0.1:8001/may?who=me", "me", { headers = { ["X-Key"] = "k" } })
    end)
    assert.same({ 403, "no", "go" }, { response.status, response.headers["x-why"], response.body })
    assert.received({ method = "POST", target = "/may?who=me", body = "me", headers = { ["X-Key"] = "k" } }, calls)
    assert.requests(1, calls)
  end)

  it("gets the answer of the URL that fits best; of later calls first", function()
    test.http { ["http://a.example/*"] = "below", ["http://a.example/x"] = "exact", ["*"] = "any",
      ["http://a.example/deep/*"] = function(request) return { body = request.method .. " " .. request.target } end }
    local function body(url) return ask(function() return http.get(url) end).body end
    assert.same({ "exact", "below", "GET /deep/1", "any" }, { body "http://a.example/x", body "http://a.example/y",
      body "http://a.example/deep/1", body "https://b.example" })
    test.http { ["http://a.example/x"] = "later" }
    assert.same({ "later", "below" }, { body "http://a.example/x", body "http://a.example/y" })
  end)

  it("waits for a delay on the clock of the test, up to its own timeout", function()
    test.http { ["http://a.example/*"] = { delay = 0.4, body = "late" } }
    local before = test.clock:now()
    assert.equal("late", ask(function() return http.get "http://a.example/" end).body)
    assert.equal(400, math.floor((test.clock:now() - before) * 1000 + 0.5))
    local response, why = ask(function() return http.get("http://a.example/", { timeout = 0.1 }) end)
    assert.is_nil(response)
    assert.equal("a.example: timeout", why)
  end)

  it("fails as servers do: refused, reset", function()
    test.http { ["http://a.example/"] = "connect_refused", ["http://b.example/"] = { reset = true } }
    local response, why, kind = ask(function() return http.get "http://a.example/" end)
    assert.same({ nil, "a.example: the peer refused the connection", "connect_refused" }, { response, why, kind })
    response, why = ask(function() return http.get "http://b.example/" end)
    assert.same({ nil, "b.example: closed" }, { response, why })
  end)

  it("reads a streamed body piece by piece", function()
    test.http { ["*"] = { pieces = { "one", "", "two" } } }
    local pieces = {}
    ask(function()
      local response = http.get("http://a.example/", { stream = true })
      for piece in response.read, response do pieces[#pieces + 1] = piece end
    end)
    assert.same({ "one", "two" }, pieces)
  end)

  it("times out where the test has no answer, and the log says which", function()
    local before = test.clock:now()
    local response, why, kind = ask(function() return http.get("http://a.example/x", { timeout = 3 }) end)
    assert.same({ nil, "a.example: connecting to the peer took too long", "connect_timeout" }, { response, why, kind })
    assert.equal(3, test.clock:now() - before)
    assert.logged("no answer for GET http://a.example/x %(see test.http%): it times out", test.log)
  end)

  it("has answers for one test only", function()
    test.http { ["*"] = "any" }
    test.reset()
    assert.is_nil((ask(function() return http.get "http://a.example/" end)))
  end)

  it("is what active checks ask", function()
    local set
    local policy = test.policy { upstream_peer = function() return set:select() end }
    test.http { ["http://127.0.0.1:1/*"] = { status = 503 }, ["http://127.0.0.1:2/*"] = "fine" }
    set = round_robin.new { A, B, name = "checked" }
    require("perilune.health_check").http(set, { path = "/up", interval = 1 })
    test.clock:advance(10)
    assert.same({ false, true }, { set:is_fit(A), set:is_fit(B) })
    assert.equal(B, policy:exchange():upstream_peer().peer.address)
  end)

  it("refuses what is no URL or no answer", function()
    for pattern, given in pairs { ["no URL: write http://host:port/path"] = { ["a.example/x"] = "x" },
      ["the answer to http://a/: unknown field 'stat'"] = { ["http://a/"] = { stat = 1 } },
      ["expected a table of answers by URL, or a function"] = "x" } do
      local ok, message = pcall(test.http, given)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
  end)
end)
