-- SPDX-License-Identifier: Apache-2.0
-- Each example does what its first lines say.
local perilune = require "perilune"
local test = require "perilune.test"

local function load(name) return test.policy("examples/" .. name .. ".lua") end

describe("the example", function()
  it("access_control lets only known networks in", function()
    local policy = load "access_control"
    assert.equal(200, policy:request({ client = "127.0.0.1:1" }).status)
    assert.equal(403, policy:request({ client = "127.6.6.6:1" }).status)
    assert.equal(403, policy:request({ client = "192.0.2.1:1" }).status)
  end)

  it("basic_auth asks for a password and tells the peer who it is", function()
    local policy = load "basic_auth"
    assert.equal(401, policy:request().status)
    local x = policy:exchange { headers = { Authorization = "Basic " .. perilune.base64.encode "ada:lovelace" } }
    assert.equal(200, x:walk().status)
    assert.same({ "ada" }, { x:upstream_request().headers.x_user, x:upstream_request().headers.authorization })
  end)

  it("token_auth wants a token, and another scope for writing", function()
    local policy = load "token_auth"
    local token_auth = require "perilune.token_auth"
    local function with(scope, method)
      local token = token_auth.sign({ aud = "api", sub = "ada", scope = scope }, "change me")
      return policy:exchange { method = method, headers = { Authorization = "Bearer " .. token } }
    end
    assert.equal(401, policy:request().status)
    assert.equal(403, with("read", "POST"):walk().status)
    assert.equal(200, with("write", "POST"):walk().status)
    local x = with("read", "GET")
    assert.equal(200, x:walk().status)
    assert.equal("ada", x:upstream_request().headers.x_subject)
  end)

  it("canary keeps a client where its cookie says", function()
    local policy = load "canary"
    local x = policy:exchange { headers = { Cookie = "canary=1" } }
    x:walk()
    assert.equal("127.0.0.1:8001", x:peer().address)
    assert.truthy(policy:request().headers.set_cookie:find "^canary=[01]; ")
  end)

  it("routing chooses by the path", function()
    local policy = load "routing"
    assert.equal("fine\n", policy:request({ target = "/health" }).body)
    local x = policy:exchange { target = "/users/7" }
    x:walk()
    assert.same({ "127.0.0.1:8001", "7" }, { x:peer().address, x:upstream_request().headers.x_user_id })
    x = policy:exchange { target = "/static/a.png?v=1" }
    x:walk()
    assert.same({ "127.0.0.1:8002", "/a.png?v=1" }, { x:peer().address, x:upstream_request().target })
    x = policy:exchange { target = "/" }
    x:walk()
    assert.equal("127.0.0.1:8000", x:peer().address)
  end)

  it("header_rules sets and removes fields", function()
    local x = load("header_rules"):exchange { client = "10.0.0.1:1", headers = { ["X-Debug"] = "1" } }
    local headers = x:walk({ headers = { Server = "s", ["Cache-Control"] = "private" } }).headers
    assert.same({ "nosniff", "DENY", "private" }, { headers.x_content_type_options, headers.x_frame_options,
      headers.cache_control })
    assert.is_nil(headers.server)
    assert.is_nil(x:upstream_request().headers.x_debug)
    assert.equal("10.0.0.1", x:upstream_request().headers.x_real_ip)
  end)

  it("maintenance is switched on its second address", function()
    local policy = load "maintenance"
    assert.equal(200, policy:request().status)
    assert.equal("on\n", policy:request({ method = "POST", target = "/on?seconds=600" }, nil, 2).body)
    assert.equal(503, policy:request().status)
    assert.equal(200, policy:request({ client = "10.0.0.1:1" }).status)
    assert.equal("off\n", policy:request({ method = "POST", target = "/off" }, nil, 2).body)
    assert.equal(200, policy:request().status)
  end)

  it("access_log writes a line of JSON", function()
    local write, lines = io.stdout.write, {}
    local access_log = require "perilune.access_log"
    stub(access_log, "new", function(options)
      access_log.new:revert()
      options.write = function(line) lines[#lines + 1] = line end
      return access_log.new(options)
    end)
    load("access_log"):request({ headers = { ["X-Tenant"] = "t" } }, { status = 201 })
    assert.equal(write, io.stdout.write)
    local entry = perilune.json.decode(lines[1])
    assert.same({ 201, "t" }, { entry.status, entry.tenant })
  end)

  it("cors lets one origin ask", function()
    local policy = load "cors"
    local headers = policy:request({ headers = { Origin = "https://app.example" } }).headers
    assert.equal("https://app.example", headers.access_control_allow_origin)
    assert.equal(204, policy:request({ method = "OPTIONS", headers = { Origin = "https://app.example",
      ["Access-Control-Request-Method"] = "POST" } }).status)
  end)

  it("server_sent_events passes on what is posted, and what was missed", function()
    local policy = load "server_sent_events"
    local function post(text) return policy:request { method = "POST", target = "/publish", body = text } end
    assert.equal("1\n", post("before").body)
    local x = policy:exchange { path = "/events" }
    x:request_filter()
    test.clock:settle()
    assert.equal(": welcome\n\n", x:stream().body)
    assert.equal(202, post("two\nlines").status)
    test.clock:advance(1)
    assert.equal(": welcome\n\nid: 2\ndata: two\ndata: lines\n\n", x:stream().body)
    test.clock:advance(16)
    assert.matches(": still here\n\n$", x:stream().body)
    x:leave()
    assert.is_true(x:stream().ended)
    local again = policy:request { path = "/events", headers = { ["Last-Event-ID"] = "1" }, leaves_after = 1 }
    assert.equal(": welcome\n\nid: 2\ndata: two\ndata: lines\n\n", again.body)
  end)

  it("request_id names each request in the log", function()
    local id = load("request_id"):request().headers.x_request_id
    assert.truthy(test.log.find("id=" .. id .. " status=200"))
  end)

  it("concurrency refuses the fifth request of a client at a time, and shuts out who fails too often", function()
    local policy = load "concurrency"
    local open = {}
    for i = 1, 4 do
      open[i] = policy:exchange()
      assert.is_false(open[i]:request_filter().answered)
    end
    assert.equal(429, policy:request().status)
    open[1]:finish()
    assert.equal(200, policy:request().status)
    for _ = 1, 10 do policy:request({}, { status = 401 }) end
    assert.equal(403, policy:request().status)
    assert.equal(200, policy:request({ client = "10.0.0.1:1" }).status)
    test.clock:advance(3601)
    assert.equal(200, policy:request().status)
  end)
end)

describe("the example body_replace", function()
  it("replaces the inner address in pages", function()
    local page = { "<a href=http://inside.exam", "ple/x><a href=http://inside.example:8000/y>" }
    local response = load("body_replace"):request({}, { headers = { ["Content-Type"] = "text/html" }, body = page })
    assert.equal("<a href=https://www.example/x><a href=https://www.example/y>", response.body)
  end)
end)

describe("the example redis", function()
  local function ask(answers, path)
    test.redis(answers)
    local x = load("redis"):exchange { path = path or "/", headers = { Cookie = "session=7" } }
    return x:walk().status, x:upstream_request()
  end

  it("tells the peer who is logged in, and lets guests in where the store is down", function()
    local status, request = ask { ["GET session:7"] = "Ann" }
    assert.same({ 200, "Ann" }, { status, request.headers.x_user })
    status, request = ask { ["*"] = { failure = "down" } }
    assert.same({ 200, "guest" }, { status, request.headers.x_user })
  end)

  it("refuses the sixth login within a minute", function()
    local answers = { ["GET *"] = "Ann", ["EVAL *"] = 5 }
    assert.equal(200, (ask(answers, "/login")))
    answers["EVAL *"] = 6
    assert.equal(429, (ask(answers, "/login")))
    assert.equal(200, (ask(answers, "/other")))
  end)
end)

describe("each example", function()
  local lfs = require "lfs"
  local proxy = require "perilune.test.proxy"

  for file in lfs.dir "examples" do
    if file:find "%.lua$" and file ~= "demo.lua" then -- which has a spec of its own, and makes certificates
      it(file .. " is a valid policy, within 80 lines, that says what it is for", function()
        local result = proxy.run("check", "examples/" .. file)
        assert.equal("", result.stderr)
        assert.equal(0, result.code)
        local text = io.open("examples/" .. file):read "*a"
        assert.truthy(text:find "^%-%- SPDX%-License%-Identifier: Apache%-2%.0\n%-%- %u")
        assert.is_true(select(2, text:gsub("\n", "\n")) <= 80)
      end)
    end
  end
end)
