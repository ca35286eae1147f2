-- SPDX-License-Identifier: Apache-2.0
-- gRPC: what its clients are told where no server answers them, and how long they are served.
local base64 = require "base64"
local client = require "client"
local grpc = require "perilune.test.grpc"
local metrics = require "metrics"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local LISTEN = "h2c = true"

local function start(hooks, origin)
  return scene.start(origin or { address = origins.dead_address() }, { listen = LISTEN, hooks = hooks })
end

local function connect(proxy) return client.connect { port = proxy.port, version = "2" } end
local function ask(proxy, options) return grpc.ask(connect(proxy), "/s.S/M", options) end

-- An origin that takes requests and says nothing; `ended` counts those whose connection ended.
local function silent()
  local origin
  origin = origins.start(function(at)
    at:read_request_head()
    at:receive_all()
    origin.ended = (origin.ended or 0) + 1
  end)
  return origin
end

describe("a failure of the proxy's own, told to a client of gRPC", function()
  it("is grpc-status in a head alone, HTTP 200 (PROTOCOL-HTTP2.md, Trailers-Only)", function()
    local result = ask(start())
    assert.same({ 200, 14, "502 Bad Gateway", true },
      { result.http_status, result.status, result.reason, result.is_trailers_only })
    assert.equal("application/grpc", result.headers.content_type)
    assert.is_nil(result.headers.content_length)
    assert.same({}, result.messages)
  end)

  it("stays what it is for other clients: of HTTP/1.1, and of other types", function()
    local proxy = start()
    local headers = { ["Content-Type"] = "application/grpc" }
    assert.equal(502, client.request({ port = proxy.port, method = "POST", headers = headers }).status)
    for _, kind in ipairs { "application/grpcx", "application/json" } do
      local response = connect(proxy):request { method = "POST", headers = { ["Content-Type"] = kind } }
      assert.same({ 502, "502 Bad Gateway\n" }, { response.status, response.body })
      assert.is_nil(response.headers.grpc_status)
    end
  end)

  it("is a frame of trailers in the body for gRPC-Web, over any version of HTTP (PROTOCOL-WEB.md)", function()
    local proxy = start()
    local trailers = "grpc-status: 14\r\ngrpc-message: 502 Bad Gateway\r\n"
    local frame = "\128\0\0\0" .. string.char(#trailers) .. trailers
    for _, version in ipairs { "1.1", "2" } do
      for _, kind in ipairs { "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text" } do
        local connection = client.connect { port = proxy.port, version = version == "2" and "2" or nil }
        local response = connection:request { method = "POST", body = "x",
          headers = { ["Content-Type"] = kind .. "; a=b" } }
        local is_text = kind:find "text"
        assert.same({ 200, kind }, { response.status, response.headers.content_type })
        assert.equal(is_text and base64.encode(frame) or frame, response.body)
        assert.equal(tostring(#response.body), response.headers.content_length)
      end
    end
  end)

  it("is grpc_status in an access log of JSON, and so is what a server says", function()
    local listen = LISTEN .. ', access_log = "stderr", access_log_format = "json"'
    local server = origins.start(grpc.server {
      ["/s.S/M"] = { message = "hello" },
      ["/s.S/Not"] = { status = 5, reason = "no such thing" },
    }, { http2 = true })
    local proxy = scene.start(server, { listen = listen, peer = ", http2 = true" })
    for path, status in pairs { ["/s.S/M"] = 0, ["/s.S/Not"] = 5, ["/s.S/Other"] = 12 } do
      grpc.ask(connect(proxy), path)
      proxy:wait_log(('"target":"%s"[^\n]*"status":200,"grpc_status":%d,'):format(path, status))
    end
    local dead = scene.start({ address = origins.dead_address() }, { listen = listen })
    ask(dead)
    dead:wait_log '"status":200,"grpc_status":14,'
    connect(dead):request { target = "/web", method = "POST", headers = { ["Content-Type"] = "application/grpc-web" } }
    dead:wait_log '"target":"/web"[^\n]*"status":200,"grpc_status":14,'
    connect(dead):request { target = "/plain" }
    dead:wait_log '"target":"/plain"[^\n]*"status":502,"bytes"'
  end)

  it("counts with the HTTP status that it stands for", function()
    local proxy = scene.start({ address = origins.dead_address() }, { listen = LISTEN,
      settings = { "--admin", "127.0.0.1:0" } })
    ask(proxy)
    scheduler.eventually(function()
      for key, count in pairs((metrics.read(proxy))) do
        if key:find('perilune_requests_total.*status="502"') then return count == 1 end
      end
    end)
  end)
end)

describe("an answer of the policy to a client of gRPC", function()
  local HOOKS = [[
    local answers = {
      ["/s.S/plain"] = { status = 403, body = "not you: 100% ä\n" },
      ["/s.S/html"] = { status = 403, body = "<p>no", headers = { ["Content-Type"] = "text/html" } },
      ["/s.S/long"] = { status = 403, body = ("x"):rep(2000) },
      ["/s.S/own"] = { status = 400, headers = { ["grpc-status"] = 8 } },
      ["/s.S/good"] = { status = 200, headers = { ["X-A"] = "b" } },
    }
    function policy.request_filter(session)
      if session:path() == "/s.S/raises" then error "no" end
      local status = tonumber(session:path():match "%d+$")
      return session:respond(answers[session:path()] or { status = status, headers = { ["X-Why"] = "kept" } })
    end
    function policy.answer_filter(session, response) response:set_header("X-Status", response:status()) end
  ]]

  it("is said by the table of gRPC (http-grpc-status-mapping.md)", function()
    local connection = connect(start(HOOKS))
    local table_of_grpc = { [400] = 13, [401] = 16, [403] = 7, [404] = 12, [429] = 14, [502] = 14, [503] = 14,
      [504] = 14, [500] = 2, [413] = 2 }
    for http_status, status in pairs(table_of_grpc) do
      local result = grpc.ask(connection, "/s.S/" .. http_status)
      assert.same({ 200, status, "kept", true },
        { result.http_status, result.status, result.headers.x_why, result.is_trailers_only }, http_status)
    end
    assert.equal(2, grpc.ask(connection, "/s.S/raises").status)
  end)

  it("has its text as grpc-message, where that is a short one, else its reason", function()
    local connection = connect(start(HOOKS))
    assert.equal("not you: 100% ä", grpc.ask(connection, "/s.S/plain").reason)
    assert.equal("Forbidden", grpc.ask(connection, "/s.S/html").reason)
    assert.equal("Forbidden", grpc.ask(connection, "/s.S/long").reason)
    assert.equal("application/grpc", grpc.ask(connection, "/s.S/html").headers.content_type)
  end)

  it("is shown to answer_filter as it goes out", function()
    assert.equal("200", grpc.ask(connect(start(HOOKS)), "/s.S/plain").headers.x_status)
  end)

  it("is left alone where it is none of error, or has a grpc-status of its own", function()
    local connection = connect(start(HOOKS))
    local result = grpc.ask(connection, "/s.S/own")
    assert.same({ 400, 8 }, { result.http_status, result.status })
    result = grpc.ask(connection, "/s.S/good")
    assert.same({ 200, "b" }, { result.http_status, result.headers.x_a })
    assert.is_nil(result.status)
  end)
end)

describe("grpc-timeout", function()
  it("bounds the wait for a server: DEADLINE_EXCEEDED, and nobody is asked any longer", function()
    local origin = silent()
    local result = ask(start(nil, origin), { deadline = "300m" })
    assert.same({ 4, "504 Gateway Timeout", true }, { result.status, result.reason, result.is_trailers_only })
    scheduler.eventually(function() return origin.ended == 1 end)
    assert.equal(1, #origin.requests)
  end)

  it("bounds the whole exchange: hooks that wait, and no further attempt is made", function()
    local proxy = start [[
      function policy.request_filter(session) perilune.sleep(60) end
      function policy.error_while_proxy(session, peer, error) error.retry = true end ]]
    local result = ask(proxy, { deadline = "200m" })
    assert.equal(4, result.status)
    proxy:wait_log "the time that the client gave it %(grpc%-timeout%) is over"
  end)

  -- Those of the failure path, too: the client is not left without an answer because a hook looks at a failure.
  for hook, is_there in pairs { fail_to_connect = false, error_while_proxy = true, fail_to_proxy = false } do
    it("is told its client where it is over while " .. hook .. " waits", function()
      local origin = is_there and origins.start(function(at) at:read_request_head() end) or nil
      local proxy = start(("function policy.%s() perilune.sleep(60) end"):format(hook), origin)
      local result = ask(proxy, { deadline = "300m" })
      assert.same({ 4, "504 Gateway Timeout", true }, { result.status, result.reason, result.is_trailers_only })
      assert.equal(4, ask(proxy, { deadline = "300m" }).status)
    end)
  end

  it("resets a stream whose response has begun, with CANCEL", function()
    local origin = origins.start(function(at)
      at:read_request_head()
      at:send "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
      at:receive_all()
    end)
    assert.equal("reset: CANCEL", ask(start(nil, origin), { deadline = "300m" }).failure)
  end)

  it("is nothing where it is malformed, is not over, or where the request is not gRPC", function()
    local origin = origins.start(function(at)
      while at:read_request() do at:respond { delay = 0.05, status = 200, headers = { ["grpc-status"] = "0" } } end
    end)
    local proxy = start(nil, origin)
    for _, value in ipairs { "1", "5x", "-1m", "000000001m", "60S", "99999999H" } do
      assert.equal(0, ask(proxy, { deadline = value }).status)
    end
    assert.equal(200, connect(proxy):request({ headers = { ["grpc-timeout"] = "1m" } }).status)
  end)
end)
