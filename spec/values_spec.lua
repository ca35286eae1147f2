-- SPDX-License-Identifier: Apache-2.0
-- Values come out as they went in: wherever a number of the policy's becomes text, and through JSON.
local client = require "client"
local cjson = require "cjson"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local ID = "1234567890123456"

describe("A whole number of 16 digits", function()
  it("is the same in every place where it becomes text", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { body = connection.request.body } end
    end)
    local log = process.directory() .. "/access.log"
    local proxy = perilune.start { workers = 1, settings = { "--admin", "127.0.0.1:0" }, policy = policies.fill([[
local perilune = require "perilune"
local ID = 1234567890123456
local seen = perilune.metrics.counter("seen_total", { labels = { "id" } })
local size = perilune.metrics.gauge("size")
local policy = {}
function policy.request_filter(session, ctx)
  local dict = perilune.dict "values"
  dict:set(ID, ID)
  dict:set(ID + 1, "another")
  ctx.kept = dict:get "1234567890123456"
  seen:add(1, ID)
  size:set(ID)
  session:set_log_field("id", ID)
  session:set_log_field("third", 1 / 3)
  perilune.log.info("number", ID, { id = ID, [ID] = "key" })
  session:request():set_header("X-Id", ID)
  session:request():add_header("X-Ids", { ID, 0.1, -ID, 9007199254740992, 0.1 + 0.2 })
  if session:path() == "/redirect" then
    return session:respond { status = 302, headers = { Location = "/?" .. perilune.url.build_query { id = ID },
      ["X-Id"] = ID, ["Set-Cookie"] = perilune.cookie.build("id", ID, { max_age = 4000000000 }) } }
  end
  local response = assert(perilune.http.post("http://$ADDRESS/echo", { "n=", ID }, { headers = { ["X-Sub"] = ID } }))
  ctx.echo = response.body
end
function policy.upstream_peer() return "$ADDRESS" end
function policy.response_filter(session, response, ctx)
  response:set_header("X-Id", ID)
  response:set_header("X-Kept", ctx.kept)
  response:set_header("X-Echo", ctx.echo)
end
perilune.listen("127.0.0.1:0", policy, { access_log = "$LOG", access_log_format = "json" })
]], { ADDRESS = origin.address, LOG = log }) }
    local response = client.request(proxy.port)
    assert.same({ ID, ID, "n=" .. ID }, { response.headers.x_id, response.headers.x_kept, response.headers.x_echo })
    assert.equal(ID, origin.requests[1].headers.x_sub)
    local sent = origin.requests[2].headers
    assert.equal(ID, sent.x_id)
    assert.same({ ID, "0.1", "-" .. ID, "9007199254740992", "0.30000000000000004" }, sent:all "x-ids")
    response = client.request { port = proxy.port, path = "/redirect" }
    assert.same({ "/?id=" .. ID, ID, "id=" .. ID .. "; Max-Age=4000000000" },
      { response.headers.location, response.headers.x_id, response.headers.set_cookie })
    local text = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
    assert.is_truthy(text:find('seen_total{id="' .. ID .. '"} 2', 1, true))
    assert.is_truthy(text:find("\nsize " .. ID .. "\n", 1, true))
    scheduler.eventually(function() return process.read_file(log):find "\n" end)
    local line = process.read_file(log):match "[^\n]+"
    assert.is_truthy(line:find('"id":' .. ID .. ',"third":0.3333333333333333', 1, true), line)
    assert.equal(1 / 3, cjson.decode(line).third)
    proxy:wait_log("number " .. ID .. " " .. ID .. "=key id=" .. ID)
  end)

  it("that is none raises where it would go into a head", function()
    local proxy = perilune.start { workers = 1, policy = policies.to(origins.start "hello", { hooks = [[
      function policy.request_filter(session)
        local function refuses(call, ...)
          local ok, why = pcall(call, ...)
          assert(not ok and why:find("not finite", 1, true), why)
        end
        for _, number in ipairs { 1 / 0, -1 / 0 } do
          refuses(session.respond, session, { status = 200, headers = { X = number } })
          refuses(perilune.http.get, "http://127.0.0.1:1/", { headers = { X = number } })
          refuses(perilune.url.build_query, { a = number })
          local request = session:request()
          refuses(request.set_header, request, "X", number)
          refuses(request.add_header, request, "X", { 1, number })
        end
        assert(not session:get_header "X")
      end]] }) }
    assert.equal("hello", client.request(proxy.port).body)
  end)
end)

describe("A body of JSON", function()
  it("that is decoded and encoded again has the same values", function()
    local proxy = perilune.start { workers = 1, policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = perilune.json.encode(perilune.json.decode(session:read_body())) }
      end })
    ]] }
    for _, text in ipairs {
      "[]", "{}", "[[],{},[[]]]", '{"a":[]}', "null", "[null]", "[null,null,null]", "true", "false", '""', "0", "-0",
      "-7", ID, "9007199254740991", "9007199254740992", "-9007199254740992", "0.1", "0.30000000000000004", "1e+300",
      "1.5e-07", "[1,2,3]", '"\\u0000\\n\\\"\\\\/"', '"\195\164\240\159\140\153"', '"\255\254"',
      '{"a":{"b":[{"c":[]}]}}', ("["):rep(100) .. ("]"):rep(100),
    } do
      assert.equal(text, client.request { port = proxy.port, method = "POST", body = text }.body)
    end
  end)
end)

describe("A JSON array of the policy's own", function()
  it("is [] where it is empty, as a table of json.array or as json.empty_array", function()
    local proxy = perilune.start { workers = 1, policy = [[
      local perilune = require "perilune"
      local json = perilune.json
      local values = {
        {}, json.array(), json.array {}, json.array { 1, "b" }, json.empty_array, json.null,
        { list = json.empty_array }, { json.empty_array, json.array() }, { json.array { n = 1 } },
      }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local text, why = json.encode(values[tonumber(session:path():sub(2))])
        return session:respond { status = 200, body = text or why }
      end })
    ]] }
    for i, wanted in ipairs {
      "{}", "[]", "[]", '[1,"b"]', "[]", "null", '{"list":[]}', "[[],[]]", "an array with a key that is no position",
    } do
      assert.equal(wanted, client.request { port = proxy.port, path = "/" .. i }.body)
    end
  end)
end)

describe("A second or an invalid Host", function()
  local function start(hook, code)
    local hooks = ("function policy.%s(session, request)\n%s\n%s end"):format(hook,
      "request = request.set_header and request or session:request()", code)
    return scene.start(origins.start "hello", { hooks = hooks })
  end

  it("is refused at the policy's line, in every hook that changes a request", function()
    for _, hook in ipairs { "request_filter", "upstream_request_filter" } do
      for _, code in ipairs {
        [[request:add_header("Host", "b")]], [[request:add_header("HOST", { "b" })]],
        [[request:set_header("Host", { "a", "b" })]], [[request:set_header("host", {})]],
        [[request:set_header("Host", "")]], [[request:set_header("Host", "a b")]],
        [[request:set_header("Host", "a/b")]],
        [[request:set_header("Host", "a, b")]], [[request:set_header("Host", "user@a")]],
        [[request:set_header("Host", "a:99999")]], [[request:set_header("Host", { "a b" })]],
        [[request:set_header("Content-Length", 7)]], [[request:add_header("Transfer-Encoding", "chunked")]],
      } do
        local proxy = start(hook, code)
        assert.equal(500, client.request(proxy.port).status, code)
        proxy:wait_log("error [^\n]*policy.lua:%d+: ")
        proxy:stop()
      end
    end
  end)

  it("can be avoided: set_header replaces it, and what was removed is written anew", function()
    local origin = origins.start "hello"
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { hooks = [[
      function policy.upstream_request_filter(session, request)
        if session:path() == "/set" then request:set_header("Host", "b.example:81") end
        if session:path() == "/array" then request:set_header("Host", { "[::1]" }) end
        if session:path() == "/anew" then request:remove_header "Host" request:add_header("Host", "c") end
        if session:path() == "/removed" then request:remove_header "Host" end
      end]] }) }
    for path, host in pairs { set = "b.example:81", array = "[::1]", anew = "c", removed = "a.example" } do
      assert.equal("hello", client.request { port = proxy.port, path = "/" .. path, host = "a.example" }.body)
      assert.same({ host }, origin.requests[#origin.requests].headers:all "host")
    end
  end)

  it("cannot be sent by perilune.http, nor by rules", function()
    local proxy = perilune.start { workers = 1, policy = policies.to(origins.start "hello", { hooks = [[
      local header_rules = require "perilune.header_rules"
      for _, rules in ipairs {
        { add = { Host = "b" } }, { set = { host = "a b" } }, { set = { ["Content-Length"] = 1 } },
        { set = { ["X Y"] = "1" } }, { default = { X = "a\nb" } }, { set = { X = { "a", "b\r" } } },
      } do
        local ok, why = pcall(header_rules.new, { request = rules })
        assert(not ok and why:find("header_rules.new: request", 1, true), why)
      end
      local fine = { request = { set = { Host = "b", X = 1234567890123456 } }, response = { add = { A = "1" } } }
      assert(pcall(header_rules.new, fine))
      function policy.request_filter(session)
        local function refuses(headers)
          local ok, why = pcall(perilune.http.get, "http://127.0.0.1:1/", { headers = headers })
          assert(not ok and why:find("Host", 1, true), why)
        end
        refuses { Host = "a b" }
        refuses { Host = { "a", "b" } }
        refuses { Host = "a", host = "b" }
      end]] }) }
    assert.equal("hello", client.request(proxy.port).body)
  end)
end)
