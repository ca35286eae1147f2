-- SPDX-License-Identifier: Apache-2.0
-- A policy that asks others before each request, an auth service over pooled TLS and a counter that speaks lines as
-- Redis does, under load: no error, few connections, no leak.
local client = require "client"
local http1 = require "http1"
local load = require "load"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local tls = require "tls"

after_each(require("cleanup").run)

local REQUESTS = 5000

-- Answers by token, over TLS; another proxy, since a scripted origin would take its time.
local AUTH = [[
  local perilune = require "perilune"
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      local known = session:get_header "X-Token" == "good"
      return session:respond { status = known and 200 or 403, body = '{"user":"anna"}' }
    end,
  }, { certificate = "$CERTIFICATE", key = "$KEY" })
]]

local POLICY = [[
  local perilune = require "perilune"
  local http = require "perilune.http"
  local tcp = require "perilune.tcp"

  local function ask_auth(token)
    return assert(http.get("https://auth.example/check", {
      address = "127.0.0.1:$AUTH_PORT", ca = "$CA", headers = { ["X-Token"] = token or "good" },
    }))
  end

  local function count(key)
    local socket = assert(tcp.connect("$COUNTER"))
    assert(socket:send { "INCR ", key, "\r\n" })
    local number = assert(socket:receive "line")
    socket:keep()
    return tonumber(number:match "^:(%d+)$")
  end

  local policy = {}
  function policy.request_filter(session, ctx)
    local asked = perilune.spawn(ask_auth, session:get_header "X-Token")
    local auth, number = perilune.wait(asked, perilune.spawn(count, "a"))
    if auth.status ~= 200 then return session:respond { status = auth.status } end
    ctx.number, ctx.user = number, auth.body:match '"user":"(%a+)"'
  end
  function policy.upstream_peer() return "$ORIGIN" end
  function policy.response_filter(_, response, ctx) response:set_header("X-User", ctx.user .. ctx.number) end
  perilune.listen("127.0.0.1:0", policy)
]]

local function counter()
  local counts = {}
  return origins.start(function(connection)
    while true do
      local line = connection:read_until "\r\n"
      local key = line and line:match "^INCR (%w+)"
      if not key then return end
      counts[key] = (counts[key] or 0) + 1
      connection:send(":" .. counts[key] .. "\r\n")
    end
  end)
end

describe("a policy that asks an auth service over TLS and a line protocol", function()
  it("does so for 5,000 requests without an error, on pooled connections", function()
    local served = 0
    local origin = origins.start(function(connection)
      local answer = http1.write("HTTP/1.1 200 OK", {}, "hello")
      while connection:read_until "\r\n\r\n" do
        served = served + 1
        connection:send(answer)
      end
    end)
    local files = tls.certificate "auth.example"
    local auth = perilune.start {
      workers = 1, policy = policies.fill(AUTH, { CERTIFICATE = files.certificate, KEY = files.key }),
    }
    local counts = counter()
    local proxy = perilune.start {
      workers = 4, policy = policies.fill(POLICY, {
        AUTH_PORT = auth.port, CA = files.ca, COUNTER = counts.address, ORIGIN = origin.address,
      }),
    }
    assert.equal("anna1", client.request(proxy.port).headers["x-user"])
    assert.equal(403, client.request({ port = proxy.port, headers = { ["X-Token"] = "bad" } }).status)
    local result = load.until_(function() return served >= REQUESTS end, proxy.port)
    assert.same({ 0, 0 }, { result.errors, result.statuses }, result.told)
    assert.is_true(counts.accepted <= 4 * 64, counts.accepted .. " connections to the counter")
    counts:stop()
    origin:stop()
    auth:stop()
  end)
end)
