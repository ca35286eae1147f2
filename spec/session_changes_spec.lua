-- SPDX-License-Identifier: Apache-2.0
-- What a policy can change or read of an exchange beside fields: the method, what it is told of an Upgrade, the access
-- log's own texts, and whether a backend has failed.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scene = require "scene"

after_each(require("cleanup").run)

local function echo()
  return origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      connection:respond { headers = { ["X-Method"] = request.method }, body = request.method .. " " .. request.body }
    end
  end)
end

describe("set_method", function()
  local function start(hooks) return scene.start(echo(), { hooks = hooks }) end

  it("changes what the peer is sent, of a session and of its request", function()
    for _, object in ipairs { "session", "session:request()" } do
      local proxy = start(([[
        function policy.request_filter(session)
          %s:set_method "PATCH"
          assert(session:method() == "PATCH")
        end
      ]]):format(object))
      assert.equal("PATCH text", client.request({ port = proxy.port, method = "POST", body = "text" }).body)
    end
  end)

  it("refuses what would move the end of a message, what is no method, and a peer's request", function()
    local proxy = start [[
      local function why(...) return (select(2, pcall(...))):gsub("^.-:%d+: ", "") end
      function policy.request_filter(session)
        local set = session.set_method
        perilune.log.info("refused: " .. table.concat({ why(set, session, "HEAD"), why(set, session, "CONNECT"),
          why(set, session, "A B"), why(set, session, ""), why(set, session) }, "; "))
      end
      function policy.upstream_request_filter(session, request)
        perilune.log.info("later: " .. why(session.set_method, session, "PUT"))
      end
    ]]
    assert.equal("GET", client.request(proxy.port).headers["x-method"])
    local text = proxy:wait_log "refused: ([^\n]*)"
    assert.matches("a GET cannot become a HEAD: neither HEAD nor CONNECT nor TRACE", text)
    assert.matches("a GET cannot become a CONNECT", text)
    assert.matches("'A B' is no method", text)
    proxy:wait_log "later: set_method is not allowed in upstream_request_filter"
    assert.equal(200, client.request({ port = proxy.port, method = "HEAD" }).status)
    proxy:wait_log "refused: [^\n]*a HEAD cannot become a HEAD"
  end)

  -- Where the origin ends its first connection at the second request: what the client gets, and how many came in all.
  local function reused_as(method)
    local origin = origins.start(function(connection, number)
      connection:read_request()
      connection:respond { body = "hello" }
      if number == 1 then connection:read_request() end
    end)
    local proxy = scene.start(origin, { hooks = [[
      function policy.request_filter(session)
        local method = session:get_header "method"
        if method then session:set_method(method) end
      end
    ]] })
    assert.equal(200, client.request(proxy.port).status)
    local sent = method == "POST" and "PUT" or "POST"
    local response = client.request({ port = proxy.port, method = sent, body = "text", headers = { Method = method } })
    return response.status, #origin.requests
  end

  it("decides whether a request may be sent twice, as the new method has it", function()
    assert.same({ 502, 2 }, { reused_as "POST" })
    assert.same({ 200, 3 }, { reused_as "PUT" })
  end)
end)

describe("an Upgrade", function()
  it("can be read, with its Connection, though both are no longer among the fields", function()
    local proxy = scene.start(echo(), { hooks = [[
      function policy.request_filter(session)
        local function show(message)
          return tostring(message:get_header "upgrade") .. "/" .. tostring(message:get_header "Connection") .. "/"
            .. table.concat(message:get_headers "Upgrade", ",")
        end
        return session:respond { status = 200, body = show(session) .. " " .. show(session:request()) }
      end
    ]] })
    local function read(headers) return client.request({ port = proxy.port, headers = headers }).body end
    assert.equal("websocket/upgrade/websocket websocket/upgrade/websocket",
      read { Connection = "Upgrade", Upgrade = "websocket" })
    assert.equal("nil/nil/ nil/nil/", read {})
    assert.equal("nil/close/ nil/close/", read { Connection = "close" })
    assert.equal("nil/nil/ nil/nil/", read { Upgrade = "websocket" })
  end)
end)

describe("the access log", function()
  local function lines_of(format, hooks)
    local directory = process.directory()
    local proxy = scene.start(echo(), { hooks = hooks,
      listen = ('access_log = "%s/log", access_log_format = "%s"'):format(directory, format) })
    local headers = { Referer = "http://here/", ["User-Agent"] = "me" }
    client.request({ port = proxy.port, path = "/secret?token=1", headers = headers })
    proxy:stop()
    return process.read_file(directory .. "/log")
  end

  local REDACT = [[
    function policy.logging(session)
      session:set_log_field("target", "/***\"")
      session:set_log_field("referer", nil)
      session:set_log_field("user_agent", 5)
      session:set_log_field("client", "nobody")
    end
  ]]

  it("has what the policy puts in the place of its own texts, as JSON", function()
    local line = lines_of("json", REDACT)
    assert.matches('"target":"/%*%*%*\\""', line)
    assert.matches('"user_agent":5', line)
    assert.matches('"client":"nobody"', line)
    assert.not_matches("referer", line)
    assert.not_matches("secret", line)
    assert.equal(1, select(2, line:gsub('"target"', "")))
    assert.matches('^{"time":"%d+%-%d+%-%d+T%d+:%d+:%d+Z"', line)
  end)

  local REWRITE = [[
    function policy.request_filter(session)
      session:set_method "PUT"
      session:request():set_target "/first"
      session:request():set_target "/second"
    end
  ]]

  it("has what the client has asked beside what the policy has made of it, as JSON", function()
    local line = lines_of("json", REWRITE)
    local rewritten = '"target":"/second","client_method":"GET","client_target":"/secret?token=1","protocol"'
    assert.truthy(line:find('"method":"PUT"', 1, true), line)
    assert.truthy(line:find(rewritten, 1, true), line)
  end)

  it("says nothing of what the client has asked where that was not changed", function()
    for _, hooks in ipairs { "", [[
      function policy.request_filter(session)
        local asked = session:request():target()
        session:request():set_target "/other"
        session:request():set_target(asked)
      end
      function policy.upstream_request_filter(_, request) request:set_target "/for/the/peer" end
    ]] } do
      local line = lines_of("json", hooks)
      assert.matches('"target":"/secret%?token=1"', line)
      assert.not_matches("client_", line)
    end
  end)

  it("does not betray by what the client has asked what the policy hides of the target", function()
    assert.not_matches("secret", lines_of("json", REWRITE .. REDACT))
    local line = lines_of("json", REWRITE .. [[
      function policy.logging(session)
        session:set_log_field("target", "/***")
        session:set_log_field("client_target", "/hidden")
      end
    ]])
    assert.matches('"client_target":"/hidden"', line)
    assert.not_matches("secret", line)
  end)

  it("has it in a combined line, too", function()
    local line = lines_of("combined", REDACT)
    assert.matches('^nobody %- %- %[.*%] "GET /%*%*%*\\" HTTP/1%.1" 200 %d+ "%-" "5"\n$', line)
  end)

  it("refuses to replace what the proxy itself has counted", function()
    local proxy = scene.start(echo(), { hooks = [[
      function policy.logging(session)
        perilune.log.info("told: " .. select(2, pcall(session.set_log_field, session, "status", 200)))
      end
    ]] })
    client.request(proxy.port)
    proxy:wait_log "told: [^\n]*set_log_field%('status'%): the line has that of itself[^\n]*can be replaced"
  end)
end)

describe("a backend's failure", function()
  local function start(hook)
    local bad = origins.start(function(connection)
      while connection:read_request() do connection:respond { status = 503, body = "broken" } end
    end)
    return perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { "$BAD", retry_on = false,
        passive = { failures = 2, eject_share = 1 }, panic = 0.01 }
      local policy = { upstream_peer = function() return set:select() end }
      $HOOK
      function policy.logging() perilune.log.info("fit: " .. tostring(set:is_fit "$BAD")) end
      perilune.listen("127.0.0.1:0", policy)
    ]], { BAD = bad.address, HOOK = hook }) }
  end

  local function fit_after(proxy, count)
    for _ = 1, count do client.request(proxy.port) end
    local from = #proxy:log() + 1
    local response = client.request(proxy.port)
    return proxy:wait_log("fit: (%a+)", nil, from), response
  end

  it("is counted where a hook raises because of its 503, and the client gets the status that was raised", function()
    local proxy = start "function policy.upstream_response_filter() error { status = 502 } end"
    assert.equal(502, client.request(proxy.port).status)
    assert.equal("false", (fit_after(proxy, 2)))
  end)

  it("is what session:report_failure says, though it has answered", function()
    local hook = [[
      function policy.upstream_response_filter(session, response)
        response:set_status(200)
        assert(session:report_failure() == true)
      end
    ]]
    assert.equal("false", (fit_after(start(hook), 2)))
  end)

  it("is what set:report_failure says of any of its backends", function()
    local proxy = start [[
      function policy.request_filter(session)
        if session:get_header "nobody" then set:report_failure "127.0.0.1:1" end
        set:report_failure(1)
        set:report_failure(set:addresses()[1])
        assert(session:report_failure() == false)
        return session:respond { status = 200 }
      end
    ]]
    assert.equal(500, client.request({ port = proxy.port, headers = { Nobody = "1" } }).status)
    proxy:wait_log "fit: true"
    local fit, response = fit_after(proxy, 0)
    assert.same({ "false", 200 }, { fit, response.status })
  end)
end)

describe("a limit's key", function()
  it("is made with the ctx that the limit was called with", function()
    local proxy = scene.start(echo(), { hooks = [[
      local function key(_, ctx) return ctx.user end
      local limit = require("perilune.rate_limit").new { max = 1, interval = 60, key = key }
      function policy.request_filter(session, ctx)
        ctx.user = session:get_header "user"
        return limit(session, ctx)
      end
    ]] })
    local function ask(user) return client.request({ port = proxy.port, headers = { User = user } }).status end
    assert.same({ 200, 429, 200, 200, 200 }, { ask "a", ask "a", ask "b", ask(), ask() })
  end)
end)

describe("JSON", function()
  it("has a slash as it is", function()
    local proxy = scene.start(echo(), { hooks = [[
      function policy.request_filter(session)
        return session:respond { status = 200, body = perilune.json.encode { "a/b" } }
      end
    ]] })
    assert.equal('["a/b"]', client.request(proxy.port).body)
  end)
end)

describe("dofile and loadfile", function()
  it("find files beside the script, whatever the working directory; what they read is watched", function()
    local directory = process.directory()
    process.write_file(directory .. "/sides.lua", "return 'first'")
    local script = process.write_file(directory .. "/policy.lua", [[
      local side = dofile "sides.lua"
      assert(loadfile "sides.lua")
      local policy = {}
      function policy.request_filter(session) return session:respond { status = 200, body = side } end
      require("perilune").listen("127.0.0.1:0", policy)
    ]])
    local proxy = perilune.start { args = { "run", "--workers", "1", "--watch", script } }
    assert.equal("first", client.request(proxy.port).body)
    process.write_file(directory .. "/sides.lua", "return 'second'")
    proxy:wait_log "changed: [^\n]*sides%.lua"
    proxy:wait_log "generation 2"
    assert.equal("second", client.request(proxy.port).body)
  end)
end)
