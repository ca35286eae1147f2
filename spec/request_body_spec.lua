-- SPDX-License-Identifier: Apache-2.0
-- session:read_body: the whole request body in a hook, before a peer is asked; it is sent all the same.
local client = require "client"
local origins = require "origins"
local scene = require "scene"

after_each(require("cleanup").run)

local function echo(connection)
  while true do
    local request = connection:read_request()
    if not request then return end
    connection:respond { body = request.body, headers = { ["X-Framing"] = request.framing } }
  end
end

local function start(origin, hooks)
  return scene.start(origin, { hooks = hooks })
end

local READ = [[
  function policy.request_filter(session, ctx)
    ctx.body = session:read_body()
    session:request():set_header("X-Bytes", #ctx.body)
  end
  function policy.response_filter(_, response, ctx) response:set_header("X-Body", #ctx.body) end
]]

describe("session:read_body", function()
  for _, hook in ipairs { "early_request_filter", "request_filter", "proxy_upstream_filter", "upstream_peer" } do
    it("gives the whole body in " .. hook .. ", and the peer gets it unchanged", function()
      local origin = origins.start(echo)
      local proxy = start(origin, ([[
        local before = policy.%s or function() end
        function policy.%s(session, ctx)
          ctx.body = session:read_body()
          assert(session:read_body() == ctx.body)
          return before(session, ctx)
        end
        function policy.response_filter(_, response, ctx) response:set_header("X-Body", ctx.body) end
      ]]):format(hook, hook))
      local connection = client.connect(proxy.port)
      for _, options in ipairs { {}, { chunked = true } } do
        local response = connection:request { method = "POST", body = "the body", chunked = options.chunked }
        assert.same({ "the body", "the body" }, { response.body, response.headers["x-body"] })
        assert.equal(options.chunked and "chunked" or "length", response.headers["x-framing"])
      end
    end)
  end

  it("waits for a body that comes slowly, while other requests are served", function()
    local proxy = start(origins.start(echo), READ)
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
    for _, piece in ipairs { "ab", "cd", "ef" } do
      connection:sleep(0.05)
      assert.equal("0", client.request(proxy.port).headers["x-body"])
      connection:send(piece)
    end
    assert.equal("abcdef", connection:read_response().body)
  end)

  it("gives \"\" for a request without a body", function()
    local proxy = start(origins.start(echo), READ)
    assert.equal("0", client.request(proxy.port).headers["x-body"])
  end)

  it("asks a client that expects it for the body, and the peer is not asked to", function()
    local origin = origins.start(echo)
    local proxy = start(origin, READ)
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    assert.equal(100, connection:read_response().status)
    connection:send "body"
    assert.equal("body", connection:read_response().body)
    assert.is_nil(origin.requests[1].headers.expect)
  end)

  it("answers 413 for more than a MiB, or the limit it is given", function()
    local proxy = start(origins.start(echo), [[
      function policy.request_filter(session) session:read_body(tonumber(session:query())) end
    ]])
    local function status(path, bytes, chunked)
      local body = ("x"):rep(bytes)
      return client.request({ port = proxy.port, method = "POST", path = path, body = body, chunked = chunked }).status
    end
    assert.equal(200, status("/", 1048576))
    assert.equal(413, status("/", 1048577))
    assert.equal(413, status("/", 1048577, true))
    assert.equal(200, status("/?10", 10))
    assert.equal(413, status("/?10", 11))
    assert.equal(413, status("/?10", 11, true))
  end)

  it("answers 400 when the client ends in mid-body, and for broken chunks", function()
    local proxy = start(origins.start(echo), READ)
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab"
    connection:half_close()
    assert.equal(400, connection:read_response().status)
    connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert.equal(400, connection:read_response().status)
  end)

  it("keeps the body for retries, also with a filter, which sees it once", function()
    for _, filter in ipairs { "", "function policy.request_body_filter(_, chunk) return chunk:lower() end" } do
      local origin = origins.start(function(connection, number)
        connection:read_request()
        if number > 2 then connection:respond { body = connection.request.body } end
      end)
      local proxy = start(origin, READ .. filter .. [[
        function policy.error_while_proxy(_, _, failure) failure.retry = true end
      ]])
      local body = ("0123456789"):rep(50000)
      local response = client.request { port = proxy.port, method = "PUT", body = body }
      assert.is_true(response.body == body)
      assert.equal(3, #origin.requests)
      proxy:stop()
    end
  end)

  it("gives the filter everything, in one piece", function()
    local proxy = start(origins.start(echo), READ .. [[
      function policy.request_body_filter(_, chunk, is_last)
        perilune.sleep(0)
        return is_last and chunk:reverse() or "not the last"
      end
    ]])
    local connection = client.connect(proxy.port)
    for _ = 1, 2 do assert.equal("cba", connection:request({ method = "POST", body = "abc" }).body) end
    assert.equal("", connection:request({ method = "POST", body = "" }).body)
  end)

  it("leaves the connection in order when the hook answers", function()
    local proxy = start(origins.start(echo), [[
      function policy.request_filter(session)
        return session:respond { status = 200, body = session:read_body():upper() }
      end
    ]])
    local connection = client.connect(proxy.port)
    for _ = 1, 3 do assert.equal("ABC", connection:request({ method = "POST", body = "abc" }).body) end
  end)

  it("is refused in later phases, and limits that make no sense are", function()
    local proxy = start(origins.start(echo), [[
      function policy.request_filter(session) if session:query() then session:read_body(-1) end end
      function policy.upstream_request_filter(session) session:read_body() end
    ]])
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "policy%.lua:%d+: session:read_body is not allowed in upstream_request_filter"
    assert.equal(500, client.request({ port = proxy.port, path = "/?x" }).status)
    proxy:wait_log "policy%.lua:%d+: session:read_body: the limit must be a number of bytes, 1 or more"
  end)

  it("ends with the exchange when the client goes away", function()
    local proxy = start(origins.start(echo), READ .. [[
      function policy.logging(_, failure) io.stderr:write("logged ", failure and failure:kind() or "none", "\n") end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab"
    connection:sleep(0.1)
    connection:reset()
    assert.equal("client_gone", proxy:wait_log "logged (%S+)")
  end)

  it("ends with the client that left before it was told to go on", function()
    local proxy = start(origins.start(echo), [[
      function policy.request_filter(session)
        perilune.log.info "waits"
        perilune.sleep(0.2)
        session:read_body()
      end
      function policy.logging(_, failure) io.stderr:write("logged ", failure and failure:kind() or "none", "\n") end
    ]])
    local connection = client.connect(proxy.port)
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    proxy:wait_log "waits"
    connection:reset()
    assert.equal("client_gone", proxy:wait_log "logged (%S+)")
  end)
end)

describe("session:set_body", function()
  it("sends another body, with its length, on all attempts", function()
    local origin = origins.start(function(connection, number)
      connection:read_request()
      if number > 1 then connection:respond { body = connection.request.body } end
    end)
    local proxy = start(origin, [[
      function policy.request_filter(session) session:set_body(session:read_body() .. " and more") end
      function policy.error_while_proxy(_, _, failure) failure.retry = true end
    ]])
    local response = client.request { port = proxy.port, method = "POST", body = "body", chunked = true }
    assert.equal("body and more", response.body)
    assert.equal("13", origin.requests[2].headers["content-length"])
  end)

  it("needs the body to be read before", function()
    local proxy = start(origins.start(echo), "function policy.request_filter(session) session:set_body 'x' end")
    assert.equal(500, client.request({ port = proxy.port, method = "POST", body = "abc" }).status)
    proxy:wait_log "session:set_body: read the body first"
  end)
end)
