-- SPDX-License-Identifier: Apache-2.0
-- What a session knows of the client's connection, its attempts and its times; and the table of the connection.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

-- Answers with what an expression gives.
local function asking(expression, options)
  return perilune.start { workers = 1, policy = ([[
    local perilune = require "perilune"
    perilune.listen("127.0.0.1:0", { request_filter = function(session)
      return session:respond { status = 200, body = tostring(%s) }
    end }%s)
  ]]):format(expression, options or "") }
end

describe("a session", function()
  it("knows both ends of the client's connection", function()
    local proxy = asking "session:client_ip() .. ' ' .. session:server_address()"
    assert.equal("127.0.0.1 127.0.0.1:" .. proxy.port, client.request(proxy.port).body)
  end)

  it("knows the client's TLS, and that there is none", function()
    assert.equal("nil", client.request(asking("session:tls()").port).body)
    local files = tls.certificate "front.example"
    local options = (", { certificate = %q, key = %q }"):format(files.certificate, files.key)
    local proxy = asking("session:tls().version .. ' ' .. session:tls().server_name .. ' ' .. session:tls().cipher",
      options)
    local body = client.request { port = proxy.port, tls = { name = "front.example", ca = files.ca } }.body
    assert.truthy(body:find "^TLSv1.3 front.example TLS_")
  end)

  it("counts the requests of the connection", function()
    local proxy = asking "session:connection_requests()"
    local connection = client.connect(proxy.port)
    for i = 1, 3 do assert.equal(tostring(i), connection:request().body) end
  end)
end)

describe("the attempts of an exchange", function()
  it("are told with what failed last and how many may follow", function()
    local origin = origins.start "hello"
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local policy = {}
      function policy.upstream_peer(session)
        perilune.log.info(("attempt %d, %d left, last %s"):format(session:attempts(), session:retries_left(),
          tostring(session:last_failure())))
        return { address = session:attempts() == 1 and "$DEAD" or "$ADDRESS" }
      end
      function policy.logging(session)
        perilune.log.info("in the end " .. tostring(session:last_failure()))
      end
      perilune.listen("127.0.0.1:0", policy)
    ]], { DEAD = origins.dead_address(), ADDRESS = origin.address }) }
    assert.equal(200, client.request(proxy.port).status)
    proxy:wait_log "attempt 1, 3 left, last nil"
    proxy:wait_log "attempt 2, 2 left, last connect_refused"
    proxy:wait_log "in the end connect_refused"
  end)

  it("are timed, and sizes counted", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:sleep(0.05)
      connection:respond { body = "hello" }
    end)
    local proxy = scene.start(origin, { hooks = [[
      function policy.logging(session)
        local t = session:timings()
        perilune.log.info(("%s %s %s %s %d"):format(t.connect < 0.05, t.first_byte >= 0.05,
          t.total >= t.first_byte, t.response < 0.05, session:request_bytes()))
      end
    ]] })
    client.request { port = proxy.port, method = "POST", body = "1234567" }
    proxy:wait_log "true true true true 7"
  end)

  it("know the TLS of the peer while they last", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = scene.start(origin, {
      peer = (", tls = true, sni = 'one.example', ca = %q"):format(tls.authority().certificate),
      hooks = [[
        function policy.upstream_request_filter(session, request)
          request:set_header("X-TLS", session:upstream_tls().version)
        end
        function policy.request_filter(session) assert(session:upstream_tls() == nil) end
        function policy.logging(session) assert(session:upstream_tls() == nil) end
      ]],
    })
    assert.equal("secret", client.request(proxy.port).body)
    assert.equal("TLSv1.3", origin.requests[1].headers.x_tls)
    assert.equal(0, proxy:count_log "failed")
  end)
end)

describe("the table of a connection", function()
  local COUNT = [[
    function policy.request_filter(session)
      local own = session:connection_ctx()
      own.count = (own.count or 0) + 1
      if session:path() == "/origin" then return end
      return session:respond { status = 200, body = tostring(own.count) }
    end
    function policy.logging(session)
      perilune.log.info("logged " .. tostring(session:connection_ctx().count))
    end
  ]]

  it("is one for all its exchanges, and another for each connection", function()
    local proxy = scene.start(origins.start "hello", { hooks = COUNT })
    local first, second = client.connect(proxy.port), client.connect(proxy.port)
    assert.equal("1", first:request().body)
    assert.equal("2", first:request().body)
    assert.equal("1", second:request().body)
    assert.equal("3", first:request().body)
    first:close()
    assert.equal("2", second:request().body)
  end)

  it("is there for logging when the client has gone", function()
    local proxy = perilune.start { workers = 1, policy = policies.to(origins.start(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" .. ("x"):rep(500000))
      connection:sleep(60)
    end), { hooks = COUNT }) }
    local connection = client.connect(proxy.port)
    for _ = 1, 4 do connection:request() end
    connection:send_request { path = "/origin" }
    connection:read_until "\r\n\r\n"
    connection:reset()
    proxy:wait_log "logged 5"
  end)

  it("begins anew after a reload, and the old one goes", function()
    local proxy = scene.start(origins.start "hello", { hooks = COUNT })
    local connection = client.connect(proxy.port)
    assert.equal("1", connection:request().body)
    assert.equal("2", connection:request().body)
    proxy:signal "HUP"
    scheduler.eventually(function() return connection:request().body == "1" end, nil, "the new policy's table")
    assert.equal("2", connection:request().body)
  end)

  it("is dropped with its connection", function()
    local proxy = perilune.start { workers = 1, policy = policies.to(origins.start "hello", { hooks = [[
      local gone = 0
      function policy.request_filter(session)
        local own = session:connection_ctx()
        if session:path() == "/gone" then
          collectgarbage() collectgarbage()
          return session:respond { status = 200, body = tostring(gone) }
        end
        own.proxy = newproxy(true)
        getmetatable(own.proxy).__gc = function() gone = gone + 1 end
        return session:respond { status = 200 }
      end
    ]] }) }
    for _ = 1, 20 do client.request { port = proxy.port, path = "/hold" } end
    scheduler.eventually(function() return client.request { port = proxy.port, path = "/gone" }.body == "20" end)
  end)
end)
