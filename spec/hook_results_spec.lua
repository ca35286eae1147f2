-- SPDX-License-Identifier: Apache-2.0
-- What hooks return: one idiom for all of them. An answer ends the walk, nothing lets it go on, and what makes no sense
-- is an error that names the hook.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"

after_each(require("cleanup").run)

-- One policy for all cases: the request says which hook is to do what.
local POLICY = [[
local perilune = require "perilune"
local policy, code = {}, {
  answer = function(s)
    return s:respond { status = 299, body = "answer of " .. s:phase(), headers = { ["X-Of"] = s:phase() } }
  end,
  waiting = function(s)
    perilune.sleep(0.001)
    return s:respond { status = 299, body = "answer of " .. s:phase() }
  end,
  forgets = function(s) s:respond { status = 299, body = "answer of " .. s:phase() } end,
  ["nil"] = function() return nil end,
  ["false"] = function() return false end,
  ["false, why"] = function() return false, "why" end,
  ["true"] = function() return true end,
  number = function() return 7 end,
  string = function() return "x" end,
  table = function() return {} end,
  ["function"] = function() return print end,
  raises = function(s) s:respond { status = 299 } error "deliberate" end,
}
local function act(hook, session)
  perilune.log.info("in " .. hook)
  if session:get_header "X-Hook" ~= hook then return true end
  local deed = session:get_header "X-Do"
  if tonumber(deed) then return false, tonumber(deed) end
  return false, code[deed](session)
end
for _, hook in ipairs { "early_request_filter", "request_filter", "proxy_upstream_filter", "connected_to_upstream",
  "upstream_request_filter", "upstream_response_filter", "response_filter", "fail_to_connect", "error_while_proxy",
  "fail_to_proxy", "logging", "response_trailer_filter" } do
  policy[hook] = function(session, ...)
    local is_other, result = act(hook, session)
    if not is_other then return result end
  end
end
function policy.upstream_peer(session)
  local is_other, result = act("upstream_peer", session)
  if not is_other then return result end
  local to = session:get_header "X-To"
  return to == "dead" and "$DEAD" or to == "silent" and "$SILENT" or "$ADDRESS"
end
perilune.listen("127.0.0.1:0", policy, { max_retries = 0 })
]]

local proxy
local function start()
  local origin = origins.start(function(connection)
    while connection:read_request() do
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    end
  end)
  local silent = origins.start(function(connection) connection:read_request() end)
  proxy = perilune.start { workers = 1, policy = policies.fill(POLICY, {
    ADDRESS = origin.address, SILENT = silent.address, DEAD = origins.dead_address(),
  }) }
end

local function ask(hook, deed, to)
  local headers = { ["X-Hook"] = hook, ["X-Do"] = deed, ["X-To"] = to or "origin" }
  return client.request { port = proxy.port, headers = headers }
end

local WALK = { "early_request_filter", "request_filter", "proxy_upstream_filter", "upstream_peer",
  "connected_to_upstream", "upstream_request_filter", "upstream_response_filter", "response_filter" }
-- hook, where the peer is to be, what comes without a decision
local ALL = {
  { "fail_to_connect", "dead", 502 }, { "error_while_proxy", "silent", 502 }, { "fail_to_proxy", "dead", 502 },
}
for i = #WALK, 1, -1 do table.insert(ALL, 1, { WALK[i], "origin", 200 }) end

describe("return session:respond {...}", function()
  for _, case in ipairs(ALL) do
    local hook = case[1]
    it("in " .. hook .. " ends the walk with that answer, also behind a wait and where 'return' is missing", function()
      start()
      for _, deed in ipairs { "answer", "waiting", "forgets" } do
        local before = #proxy:stderr()
        local response = ask(hook, deed, case[2])
        assert.same({ 299, "answer of " .. hook }, { response.status, response.body }, deed)
        proxy:wait_log "in logging"
        local walked = proxy:stderr():sub(before + 1)
        local behind = walked:match("in " .. hook .. "\n(.*)")
        assert.is_truthy(behind, walked)
        for other in behind:gmatch "in ([%w_]+)" do assert.equal("logging", other) end
        assert.is_nil(walked:find " error ")
      end
    end)
  end
end)

describe("a hook that returns", function()
  for _, case in ipairs(ALL) do
    local hook, to, usual = case[1], case[2], case[3]
    it("nothing or false lets the walk go on, in " .. hook, function()
      start()
      assert.equal(hook == "upstream_peer" and 500 or usual, ask(hook, "nil", to).status)
      local refuses = hook == "proxy_upstream_filter" and 502 or hook == "upstream_peer" and 500
      assert.equal(refuses or usual, ask(hook, "false", to).status)
      assert.equal(refuses or usual, ask(hook, "false, why", to).status)
    end)

    it("what makes no sense gets 500 and a line that names the hook, in " .. hook, function()
      start()
      for _, deed in ipairs { "true", "number", "string", "table", "function", "raises" } do
        local fine = hook == "proxy_upstream_filter" and deed == "true"
        assert.equal(fine and 200 or 500, ask(hook, deed, to).status, deed)
        if not fine then proxy:wait_log(" error worker 0: [^\n]*" .. hook .. "[^\n]+") end
      end
      assert.equal(299, ask(hook, "answer", to).status)
    end)
  end

  it("a number in fail_to_proxy answers with that status, where it is one of failures", function()
    start()
    for deed, status in pairs { ["418"] = 418, ["599"] = 599, ["200"] = 500, ["600"] = 500, ["0"] = 500 } do
      assert.equal(status, ask("fail_to_proxy", deed, "dead").status, deed)
    end
    proxy:wait_log " error worker 0: fail_to_proxy failed: [^\n]*expected a status from 400 to 599"
  end)

  it("what makes no sense in logging is told the log, and changes nothing for the client", function()
    start()
    for _, deed in ipairs { "true", "number", "string" } do
      assert.equal(200, ask("logging", deed).status)
      proxy:wait_log "error worker 0: logging failed: [^\n]*expected nothing as its result"
    end
    assert.equal(200, ask("logging", "false").status)
  end)

  it("something in response_trailer_filter cuts the response, for nothing can be answered any more", function()
    start()
    assert.equal("hello", ask("response_trailer_filter", "false").body)
    assert.is_false(pcall(function() assert(ask("response_trailer_filter", "number").body == "hello") end))
    proxy:wait_log("error worker 0: response_trailer_filter failed: [^\n]*"
      .. "expected a string, [^\n]* or nothing as its result, got number")
  end)
end)

describe("an error in what a hook returns", function()
  it("names its line, though Lua keeps none of a call in this place", function()
    local path = require("process").write_file(require("process").directory() .. "/policy.lua", [[
      local policy = {}
      function policy.request_filter(session)
        if session:path() == "/call" then session:respond { status = 99 } end
        if session:path() == "/address" then error("127.0.0.1:80: refused", 0) end
        return session:respond { status = 99 }
      end
      function policy.upstream_peer() end
      require("perilune").listen("127.0.0.1:0", policy)
    ]])
    local one = perilune.start { args = { "run", path } }
    local failed = "request_filter failed: [^\n]*policy%.lua:"
    assert.equal(500, client.request(one.port).status)
    one:wait_log(failed .. "5: session:respond: status must be a number from 200 to 599")
    assert.equal(500, client.request({ port = one.port, path = "/address" }).status)
    one:wait_log(failed .. "4: 127.0.0.1:80: refused")
    assert.equal(500, client.request({ port = one.port, path = "/call" }).status)
    one:wait_log "request_filter failed: [^\n]*policy%.lua:3: session:respond: status"
  end)
end)

describe("fail_to_proxy that fails itself", function()
  it("still closes the connection of a client whose request was malformed", function()
    local hooks = "function policy.fail_to_proxy() return {} end"
    local failing = scene.start({ address = "127.0.0.1:1" }, { hooks = hooks })
    local connection = client.connect(failing.port)
    connection:send "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    local response = connection:read_response()
    assert.same({ 500, "close" }, { response.status, response.headers.connection })
    assert.equal("", (connection:receive_all(5)))
  end)
end)
