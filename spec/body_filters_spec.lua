-- SPDX-License-Identifier: Apache-2.0
-- The body hooks: each piece of a body passes them, may be changed, dropped, held back, and they may wait.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"

after_each(require("cleanup").run)

local function start(origin, hooks, listen) return scene.start(origin, { hooks = hooks, listen = listen }) end

local UPPER = "function policy.%s(_, chunk) return chunk:upper() end"
local BODIES = { length = {}, chunked = { chunked = true } }

describe("request_body_filter", function()
  for framing, options in pairs(BODIES) do
    it("changes a body that came with framing " .. framing .. ", which the peer gets chunked", function()
      local origin = origins.start(scene.echo_bodies)
      local proxy = start(origin, UPPER:format "request_body_filter")
      local connection = client.connect(proxy.port)
      for _ = 1, 2 do
        local response = connection:request { method = "POST", body = "a body", chunked = options.chunked }
        assert.equal("A BODY", response.body)
      end
      assert.equal("chunked", origin.requests[1].framing)
      assert.is_nil(origin.requests[1].headers["content-length"])
    end)
  end

  it("is told the pieces in order, the last one marked, and the ctx", function()
    local origin = origins.start(scene.echo_bodies)
    local proxy = start(origin, [[
      function policy.request_filter(_, ctx) ctx.pieces = {} end
      function policy.request_body_filter(session, chunk, is_last, ctx)
        table.insert(ctx.pieces, chunk .. (is_last and "." or ","))
        return chunk
      end
      function policy.logging(_, _, ctx) io.stderr:write("pieces: ", table.concat(ctx.pieces), "\n") end
    ]], "await_body = false")
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    for _, piece in ipairs { "one", "two", "six" } do
      connection:sleep(0.1)
      connection:send(piece)
    end
    assert.equal("onetwosix", connection:read_response().body)
    assert.equal("one,two,six.", proxy:wait_log "pieces: (%S+)\n")
  end)

  it("sees the end of a chunked body that comes alone as an empty last piece", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk, is_last) return is_last and "<" .. chunk .. ">" or chunk end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    connection:sleep(0.1)
    connection:send "0\r\n\r\n"
    assert.equal("abc<>", connection:read_response().body)
  end)

  it("may fill an empty body, and is not called where there is none", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk) return chunk .. "filled" end
    ]])
    local connection = client.connect(proxy.port)
    assert.equal("filled", connection:request({ method = "POST", body = "" }).body)
    assert.equal("", connection:request().body)
  end)

  it("drops what it returns nothing for, and sends arrays in order", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk)
        if chunk == "drop" then return end
        if chunk == "many" then return { "m", "", "a", "ny" } end
        if chunk == "none" then return {} end
        return chunk
      end
    ]])
    local connection = client.connect(proxy.port)
    local function sent(body) return connection:request({ method = "POST", body = body }).body end
    assert.same({ "", "many", "", "keep" }, { sent "drop", sent "many", sent "none", sent "keep" })
  end)

  it("counts only its first result, so that gsub may be returned", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk) return chunk:gsub("a", "b") end
    ]])
    assert.equal("bbb", client.request({ port = proxy.port, method = "POST", body = "aba" }).body)
  end)

  it("may hold everything back and give the whole at the end", function()
    local origin = origins.start(scene.echo_bodies)
    local proxy = start(origin, [[
      function policy.request_body_filter(_, chunk, is_last, ctx)
        ctx.parts = ctx.parts or {}
        table.insert(ctx.parts, chunk)
        if is_last then return table.concat(ctx.parts):reverse() end
      end
    ]])
    local body = ("0123456789"):rep(100000)
    local response = client.request { port = proxy.port, method = "POST", body = body, timeout = 60 }
    assert.is_true(response.body == body:reverse())
  end)

  it("may wait, and what follows waits in the client", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk)
        perilune.sleep(0.05)
        return chunk:upper()
      end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab"
    connection:sleep(0.02)
    connection:send "cd"
    connection:sleep(0.1)
    connection:send "ef"
    assert.equal("ABCDEF", connection:read_response().body)
  end)

  it("sees each byte once: a retry sends again what it gave", function()
    local origin = origins.start(function(connection, number)
      connection:read_request()
      if number > 1 then connection:respond { body = connection.request.body } end
    end)
    local proxy = start(origin, [[
      local calls = 0
      function policy.request_body_filter(_, chunk)
        calls = calls + 1
        return chunk .. calls
      end
      function policy.error_while_proxy(_, _, failure) failure.retry = true end
    ]])
    assert.equal("body1", client.request({ port = proxy.port, method = "PUT", body = "body" }).body)
    assert.equal("body1", origin.requests[1].body)
  end)

  it("that raises ends the exchange: the status of the error, else 500", function()
    local proxy = start(origins.start(scene.echo_bodies), [[
      function policy.request_body_filter(_, chunk)
        if chunk == "bad" then error { status = 422 } end
        perilune.sleep(0)
        error "deliberate"
      end
    ]])
    assert.equal(422, client.request({ port = proxy.port, method = "POST", body = "bad" }).status)
    assert.equal(500, client.request({ port = proxy.port, method = "POST", body = "other" }).status)
    proxy:wait_log "request_body_filter failed: [^\n]*deliberate.-stack traceback"
  end)

  it("that returns something else fails, and the log says what was expected", function()
    for _, result in ipairs { "7", "true", "{ 'a', 7 }" } do
      local proxy = start(origins.start(scene.echo_bodies),
        "function policy.request_body_filter() return " .. result .. " end")
      assert.equal(500, client.request({ port = proxy.port, method = "POST", body = "x" }).status)
      proxy:wait_log "policy%.lua:%d+ %(request_body_filter%): expected a string, an array of strings or nothing"
      proxy:stop()
    end
  end)

  it("that waits ends with its exchange when the peer answers and closes", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:sleep(0.2)
      connection:respond { status = 413, body = "no", headers = { Connection = "close" } }
    end)
    local proxy = start(origin, [[
      function policy.request_body_filter(_, chunk)
        if chunk == "second" then perilune.sleep(60) end
        return chunk
      end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst"
    connection:sleep(0.1)
    connection:send "second"
    local response = connection:read_response()
    assert.same({ 413, "no" }, { response.status, response.body })
  end)

  it("may run while hooks of the response run, each in its own phase", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      connection:read_request_body()
      connection:send(http1.chunk(connection.request.body) .. http1.chunk "")
    end)
    local proxy = start(origin, [[
      function policy.request_body_filter(session, chunk)
        perilune.sleep(0.1)
        return chunk .. session:phase()
      end
      function policy.response_filter(session, response)
        perilune.sleep(0.2)
        response:set_header("X-Phase", session:phase())
      end
    ]])
    local response = client.request { port = proxy.port, method = "POST", body = "a " }
    assert.same({ "a request_body_filter", "response_filter" }, { response.body, response.headers["x-phase"] })
  end)
end)

describe("response_body_filter", function()
  local function upper(origin) return start(origin, UPPER:format "response_body_filter") end

  it("changes a body of known length, which becomes chunked without a Content-Length", function()
    local proxy = upper(origins.start "hello")
    local connection = client.connect(proxy.port)
    for _ = 1, 2 do
      local response = connection:request()
      assert.same({ "HELLO", "chunked" }, { response.body, response.framing })
      assert.is_nil(response.headers["content-length"])
    end
  end)

  it("changes chunked bodies, and those that end with the connection", function()
    for _, kind in ipairs { "chunked", "no_length" } do
      local proxy = upper(origins.start(function(connection)
        connection:read_request()
        connection:respond { body = "hello", [kind] = true }
      end))
      local response = client.request(proxy.port)
      assert.same({ "HELLO", "chunked" }, { response.body, response.framing })
      proxy:stop()
    end
  end)

  it("makes a body for HTTP/1.0 end with the connection", function()
    local response = client.request { port = upper(origins.start "hello").port, version = "1.0" }
    assert.same({ "HELLO", "close" }, { response.body, response.framing })
  end)

  it("leaves responses without a body alone, but for the length that HEAD would state", function()
    local statuses = { 200, 204, 304 }
    local proxy = upper(origins.start(function(connection)
      for _, status in ipairs(statuses) do
        connection:read_request()
        connection:respond { status = status, body = "twelve bytes" }
      end
    end))
    local connection = client.connect(proxy.port)
    local head = connection:request { method = "HEAD" }
    assert.equal(200, head.status)
    assert.is_nil(head.headers["content-length"])
    assert.equal(204, connection:request().status)
    assert.equal(304, connection:request().status)
    assert.equal("", connection.buffer)
  end)

  it("gets what upstream_response_body_filter gave", function()
    local proxy = start(origins.start "hello", [[
      function policy.upstream_response_body_filter(session, chunk, is_last)
        return chunk .. (is_last and "|" .. session:phase() or "")
      end
      function policy.response_body_filter(session, chunk, is_last)
        return chunk .. (is_last and "|" .. session:phase() or "")
      end
    ]])
    assert.equal("hello|upstream_response_body_filter|response_body_filter", client.request(proxy.port).body)
  end)

  it("is not asked for a piece that upstream_response_body_filter dropped, but for the last", function()
    local proxy = start(origins.start("hello"), [[
      function policy.upstream_response_body_filter() end
      function policy.response_body_filter(_, chunk, is_last) return "<" .. chunk .. tostring(is_last) .. ">" end
    ]])
    assert.equal("<true>", client.request(proxy.port).body)
  end)

  it("may wait, also in both filters, for a body of any size, in bounded memory", function()
    local body = ("0123456789abcdef"):rep(65536) -- 1 MB
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body * 20 .. "\r\n\r\n")
      for _ = 1, 20 do connection:send(body) end
    end)
    local proxy = perilune.start { workers = 1, release = true, policy = policies.to(origin, { hooks = [[
      function policy.upstream_response_body_filter(_, chunk) perilune.sleep(0) return chunk end
      function policy.response_body_filter(_, chunk) perilune.sleep(0) return chunk:upper() end
    ]] }) }
    local response = client.request { port = proxy.port, timeout = 60 }
    assert.is_true(response.body == body:upper():rep(20))
    assert.is_true(proxy:rss() < 60 * 1024 * 1024, ("%.1f MB"):format(proxy:rss() / 1048576))
  end)

  it("that raises before anything was sent gives 500, later it cuts the response", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"
        connection:sleep(0.1)
        connection:send "later"
      end
    end)
    local proxy = start(origin, [[
      function policy.response_body_filter(session, chunk)
        if chunk == session:query() then
          perilune.sleep(0)
          error "deliberate"
        end
        return chunk
      end
    ]])
    assert.equal(500, client.request({ port = proxy.port, path = "/?first" }).status)
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/?later" }
    local response = connection:read_response()
    assert.is_truthy(response == nil or response.failure)
    assert.is_nil(proxy:exit_code())
  end)

  it("that waits is abandoned when the client goes away", function()
    local proxy = start(origins.start "hello", [[
      function policy.response_body_filter(_, chunk)
        io.stderr:write "waiting\n"
        perilune.sleep(60)
        return chunk
      end
      function policy.logging(_, failure) io.stderr:write("logged ", failure and failure:kind() or "none", "\n") end
    ]])
    local connection = client.connect(proxy.port)
    connection:send_request {}
    proxy:wait_log "(waiting)"
    connection:reset()
    assert.equal("client_gone", proxy:wait_log "logged (%S+)")
  end)

  it("does not see the answers of the policy itself", function()
    local proxy = start(origins.start "hello", UPPER:format "response_body_filter" .. [[
      function policy.request_filter(session) return session:respond { status = 200, body = "mine" } end
    ]])
    assert.equal("mine", client.request(proxy.port).body)
  end)

  for what, code in pairs { raises = "error 'deliberate'", waits = "perilune.sleep(600)" } do
    it("that " .. what .. " at the very end leaves no response that looks whole, not even on HTTP/1.0", function()
      local origin = origins.start(function(connection)
        connection:read_request()
        connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst"
        connection:sleep(0.1)
        connection:send " last"
        connection:is_closed()
      end)
      local proxy = start(origin, ([[
        function policy.response_body_filter(_, chunk, is_last)
          if is_last then perilune.log.info "at the end" %s end
          return chunk
        end]]):format(code))
      local connection = client.connect(proxy.port)
      connection:send "GET / HTTP/1.0\r\n\r\n"
      proxy:wait_log "at the end"
      if what == "waits" then proxy:signal "INT" end
      local response, message = connection:read_response()
      assert.equal("reset", response and response.failure or message)
    end)
  end

  it("cannot answer: the error names the phase", function()
    local proxy = start(origins.start "hello", [[
      function policy.response_body_filter(session) session:respond { status = 200 } end
    ]])
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "session:respond is not allowed in response_body_filter"
  end)
end)
