-- SPDX-License-Identifier: Apache-2.0
-- TLS with clients and peers that err or lie: requests in the clear, messages that are cut, names that are none.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local sys = require "perilune.test.sys"
local tls = require "tls"

after_each(require("cleanup").run)

local files, ca = tls.certificate "a.example", tls.authority().certificate

local function start_listener(options)
  return perilune.start { workers = 1, policy = policies.fill(policies.one_peer, {
    ADDRESS = "127.0.0.1:1", OPTIONS = "",
    HOOKS = "function policy.request_filter(session) return session:respond { status = 200, body = 'fine' } end",
    LISTEN = ("certificate = %q, key = %q"):format(files.certificate, files.key) .. (options or ""),
  }) }
end

local function is_served(proxy)
  local connection = client.connect { port = proxy.port, tls = { name = "a.example", ca = ca } }
  return connection:request().body == "fine"
end

describe("a TLS listener", function()
  for _, request in ipairs { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" .. ("x"):rep(100000) } do
    it("answers 400 to " .. request:match "^%u+" .. " in the clear, and logs it once", function()
      local proxy = start_listener()
      local connection = client.connect { port = proxy.port }
      connection:send(request)
      local response = assert(connection:read_response())
      assert.equal(400, response.status)
      assert.truthy(response.body:match "https://")
      connection:close()
      proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, no server name: http"
      assert.equal(1, proxy:count_log "TLS handshake")
      assert.is_true(is_served(proxy))
    end)
  end

  it("tells by an alert that it speaks no protocol of the client's", function()
    local proxy = start_listener()
    local ok, message = pcall(client.connect, { port = proxy.port, tls = { name = "a.example", alpn = "spdy/3" } })
    assert.is_false(ok)
    assert.truthy(tostring(message):match "no application protocol", message)
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, a%.example: no application protocol"
  end)

  it("logs a name with control characters in one line", function()
    local proxy = start_listener ', handshake_timeout = 1'
    pcall(client.connect, { port = proxy.port, tls = { name = "a\n2026 forged", alpn = "spdy/3" } })
    proxy:wait_log "TLS handshake, a[^\n]*2026 forged: no application protocol"
    assert.equal(0, proxy:count_log "^2026 forged")
    assert.is_true(is_served(proxy))
  end)

  it("outlives garbage before, in and behind a handshake", function()
    local proxy = start_listener()
    for _, garbage in ipairs { ("\0"):rep(20000), "\22\3\1\255\255" .. ("\1"):rep(70000), "\22\3\1\0\5\1\0\0\1\0",
      "\21\3\1\0\2\2\40", "\23\3\3\64\1" .. ("x"):rep(16385), "\128\46\1\0\2" } do
      local connection = client.connect { port = proxy.port }
      connection:send(garbage)
      connection:half_close()
      assert.is_true(select(2, connection:receive_all(10)) ~= "timeout")
    end
    local connection = client.connect { port = proxy.port, tls = { name = "a.example", ca = ca } }
    assert.equal("fine", connection:request().body)
    connection.tls = nil
    connection:send(("\23\3\3\0\32" .. ("x"):rep(32)):rep(3))
    assert.is_true(select(2, connection:receive_all(10)) ~= "timeout")
    assert.is_true(is_served(proxy))
  end)
end)

describe("a response of a TLS peer that ends with its connection", function()
  -- The client's view: what it got of a response without a length, and how that ended.
  local function relay(end_connection)
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { no_length = true, headers = { Connection = "close" }, body = ("x"):rep(100) }
      end_connection(connection)
    end, { names = { "one.example" } })
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, {
      peer = (', tls = true, sni = "one.example", ca = %q'):format(ca) }) }
    local response, message = client.request { port = proxy.port }
    return response, message, proxy
  end

  it("is whole when it ends with close_notify", function()
    local response = assert(relay(function(connection) connection:half_close() end))
    assert.equal(("x"):rep(100), response.body)
    assert.is_nil(response.failure)
  end)

  for how, end_connection in pairs {
    ["FIN"] = function(connection) sys.half_close(connection.fd) connection.tls = nil end,
    ["a reset"] = function(connection) connection:reset() end,
  } do
    it("never looks whole when it ends with " .. how .. " instead of close_notify", function()
      local response, message, proxy = relay(end_connection)
      assert.is_true(response == nil and message ~= nil or response.status >= 500 or response.failure ~= nil)
      if how == "FIN" then proxy:wait_log "mid%-response: the connection ended without close_notify" end
    end)
  end
end)

describe("a TLS peer", function()
  it("whose certificate has expired is not asked, and the log says so", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local expired = tls.certificate_of({ expired = true }, "one.example")
    origin.context = tls.server_context(expired)
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, {
      peer = (', tls = true, sni = "one.example", ca = %q'):format(expired.certificate) }) }
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(0, #origin.requests)
    proxy:wait_log "one%.example: certificate verify failed: certificate has expired"
  end)
end)
