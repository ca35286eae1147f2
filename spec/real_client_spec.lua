-- SPDX-License-Identifier: Apache-2.0
-- trusted_proxies: whose word is taken for who the client is. The walk itself has units (spec/c/http/hops_spec.c).

local client = require "perilune.test.client"
local origins = require "perilune.test.origins"
local perilune = require "spec.support.perilune"
local policies = require "spec.support.policies"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

local ANSWER = [[function policy.request_filter(session)
  return session:respond { status = 200, body = session:client_ip() .. " " .. session:client_address() }
end]]

local function start(listen, hooks, origin)
  return perilune.start {
    workers = 1,
    policy = policies.to(origin or { address = "127.0.0.1:1" }, { hooks = hooks, listen = listen }),
  }
end

local function ask(proxy, fields, before)
  local connection = client.connect(proxy.port)
  connection:send((before or "") .. "GET / HTTP/1.1\r\nHost: a\r\n" .. fields .. "Connection: close\r\n\r\n")
  local response = connection:read_response()
  connection:close()
  return response.body, response
end

local OURS = '"127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"'
local TRUSTED = "trusted_proxies = { " .. OURS .. " }"
local function xff(value) return "X-Forwarded-For: " .. value .. "\r\n" end

describe("trusted_proxies", function()
  local proxy
  lazy_setup(function() proxy = start(TRUSTED, ANSWER) end)

  for name, case in pairs {
    ["one proxy"] = { xff "192.0.2.1", "192.0.2.1 192.0.2.1" },
    ["two proxies, and what the client had put in front"] =
      { xff "1.1.1.1, 192.0.2.1, 10.0.0.5", "192.0.2.1 192.0.2.1" },
    ["a port"] = { xff "192.0.2.1:4711", "192.0.2.1 192.0.2.1:4711" },
    ["IPv6"] = { xff "1.1.1.1, 2001:DB9::0:1, [2001:db8::7]:80", "2001:db9::1 [2001:db9::1]" },
    ["IPv4 written as IPv6"] = { xff "::ffff:192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1 192.0.2.1" },
    ["several fields"] = { xff "1.1.1.1" .. xff "192.0.2.1" .. xff "10.0.0.1, 10.0.0.2", "192.0.2.1 192.0.2.1" },
    ["nothing but proxies"] = { xff "10.0.0.1, 10.0.0.2", "10.0.0.1 10.0.0.1" },
    ["Forwarded"] = { 'Forwarded: for=1.1.1.1, for="192.0.2.1:80";proto=https, for=10.0.0.1\r\n',
      "192.0.2.1 192.0.2.1:80" },
    ["Forwarded with an open quote in front"] = { 'Forwarded: for="1.1.1.1, for=192.0.2.1\r\n', "192.0.2.1 192.0.2.1" },
    ["both fields"] = { "Forwarded: for=1.1.1.1\r\n" .. xff "192.0.2.1", "192.0.2.1 192.0.2.1" },
    ["nonsense behind a proxy that is known"] = { xff "1.1.1.1, garbage, 10.0.0.5", "10.0.0.5 10.0.0.5" },
    ["unknown behind a proxy that is known"] = { xff "1.1.1.1, unknown, 10.0.0.5", "10.0.0.5 10.0.0.5" },
  } do
    it("finds the client behind them: " .. name, function() assert.equal(case[2], (ask(proxy, case[1]))) end)
  end

  for name, fields in pairs {
    ["no field"] = "", ["an empty one"] = xff "", ["nonsense"] = xff "1.1.1.1, <script>",
    ["unknown"] = xff "1.1.1.1, unknown",
    ["a hidden name"] = "Forwarded: for=1.1.1.1, for=_x\r\n", ["a long text"] = xff(("1"):rep(4000)),
    ["another field"] = "X-Real-IP: 1.1.1.1\r\nTrue-Client-IP: 1.1.1.1\r\n",
    ["a name with an underscore"] = "X_Forwarded_For: 1.1.1.1\r\n",
  } do
    it("takes the proxy itself where it names no client: " .. name, function()
      assert.matches("^127%.0%.0%.1 127%.0%.0%.1:%d+$", (ask(proxy, fields)))
    end)
  end

  it("says which proxy writes what is no address", function()
    ask(proxy, xff "oops\1")
    proxy:wait_log "trusted proxy 127%.0%.0%.1: X%-Forwarded%-For has '[^']+', which is no address: it is not believed"
  end)
end)

describe("Who is not in trusted_proxies", function()
  it("is the client, whatever it says", function()
    local proxy = start('trusted_proxies = { "10.0.0.0/8" }', ANSWER)
    for _, fields in ipairs { xff "1.1.1.1", xff "10.0.0.1", "Forwarded: for=1.1.1.1\r\n" } do
      assert.matches("^127%.0%.0%.1 127%.0%.0%.1:%d+$", (ask(proxy, fields)))
    end
  end)

  it("is refused where a PROXY header is required, and not believed where it is optional", function()
    local required = start('proxy_protocol = "required", trusted_proxies = { "10.0.0.0/8" }', ANSWER)
    local connection = client.connect(required.port)
    connection:send "PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal("", (connection:receive_all(20)))
    required:wait_log "PROXY header: the sender is not in trusted_proxies"
    local optional = start('proxy_protocol = "optional", trusted_proxies = { "10.0.0.0/8" }', ANSWER)
    assert.equal(400, select(2, ask(optional, "", "PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n")).status)
    assert.matches("^127%.0%.0%.1 127%.0%.0%.1:%d+$", (ask(optional, xff "192.0.2.7")))
  end)
end)

describe("trusted_proxies with proxy_protocol", function()
  it("looks at who the PROXY header names: a client is not believed, another proxy is", function()
    local proxy = start('proxy_protocol = "required", ' .. TRUSTED, ANSWER)
    local function from(address) return "PROXY TCP4 " .. address .. " 10.0.0.1 4711 80\r\n" end
    assert.equal("192.0.2.7 192.0.2.7:4711", (ask(proxy, xff "1.1.1.1", from "192.0.2.7")))
    assert.equal("192.0.2.9 192.0.2.9", (ask(proxy, xff "1.1.1.1, 192.0.2.9", from "10.0.0.9")))
  end)
end)

describe("trusted_field", function()
  it("says which field the proxies write; the other one is the client's own", function()
    local proxy = start('trusted_field = "forwarded", ' .. TRUSTED, ANSWER)
    assert.equal("192.0.2.1 192.0.2.1", (ask(proxy, xff "1.1.1.1" .. "Forwarded: for=192.0.2.1\r\n")))
    assert.matches("^127", (ask(proxy, xff "1.1.1.1")))
    proxy = start('trusted_field = "x-forwarded-for", ' .. TRUSTED, ANSWER)
    assert.matches("^127", (ask(proxy, "Forwarded: for=1.1.1.1\r\n")))
  end)
end)

describe("The real client", function()
  it("is who the origin, the access log and the error log are told of", function()
    local origin, directory = origins.start "hello", process.directory()
    local proxy = start(TRUSTED .. (", access_log = %q"):format(directory .. "/log"),
      "function policy.response_filter() error 'oops' end", origin)
    ask(proxy, xff "1.1.1.1, 192.0.2.1:99" .. "Forwarded: for=1.1.1.1\r\n")
    assert.equal("192.0.2.1", origin.requests[1].headers.x_forwarded_for)
    assert.equal("for=192.0.2.1;proto=http", origin.requests[1].headers.forwarded)
    proxy:wait_log "client 192%.0%.2%.1:99"
    scheduler.eventually(function() return process.read_file(directory .. "/log"):find "\n" end)
    assert.matches("^192%.0%.2%.1 ", process.read_file(directory .. "/log"))
  end)

  it("comes with its proxies, and nothing that it said itself, where these are appended", function()
    local origin = origins.start "hello"
    local proxy = start('forwarded = "append", ' .. TRUSTED, nil, origin)
    ask(proxy, xff "1.1.1.1" .. xff "2.2.2.2, 192.0.2.1, 10.0.0.1" .. "Forwarded: for=1.1.1.1, for=192.0.2.1\r\n"
      .. "X-Forwarded-Proto: https\r\n")
    local seen = origin.requests[1].headers
    assert.equal("192.0.2.1, 10.0.0.1, 127.0.0.1", seen.x_forwarded_for)
    assert.equal("for=192.0.2.1, for=127.0.0.1;proto=http", seen.forwarded)
    assert.equal("https", seen.x_forwarded_proto)
    ask(proxy, xff "garbage")
    assert.equal("127.0.0.1", origin.requests[2].headers.x_forwarded_for)
  end)

  it("is replaced where a client appends that is no proxy of ours", function()
    local origin = origins.start "hello"
    local proxy = start('forwarded = "append", trusted_proxies = { "10.0.0.0/8" }', nil, origin)
    ask(proxy, xff "1.1.1.1" .. "X-Forwarded-Proto: https\r\n")
    assert.equal("127.0.0.1", origin.requests[1].headers.x_forwarded_for)
    assert.equal("http", origin.requests[1].headers.x_forwarded_proto)
  end)

  it("is who a peer's PROXY header names", function()
    local got = {}
    local origin = origins.start(function(connection)
      got[#got + 1] = connection:receive_some(256):match "^[^\r]*"
      connection:close()
    end)
    for text, header in pairs {
      ["192.0.2.1:99"] = "^PROXY TCP4 192%.0%.2%.1 127%.0%.0%.1 99 %d+$",
      ["192.0.2.1"] = "^PROXY TCP4 192%.0%.2%.1 127%.0%.0%.1 0 %d+$",
      ["2001:db9::1"] = "^PROXY TCP6 2001:db9::1 ::ffff:127%.0%.0%.1 0 %d+$",
    } do
      got = {}
      local policy = policies.to(origin, { peer = ", proxy_protocol = 1", listen = TRUSTED })
      local proxy = perilune.start { workers = 1, policy = policy }
      ask(proxy, xff(text))
      assert.matches(header, got[1])
    end
  end)

  it("has limits and lists of its own: rate_limit, access_control", function()
    local proxy = start(TRUSTED, [[
      local limit = require("perilune.rate_limit").new { by = "address", max = 1, interval = 3600 }
      local guard = require("perilune.access_control").new { deny = { "203.0.113.0/24" } }
      function policy.request_filter(session)
        return guard(session) or limit(session) or session:respond { status = 200 }
      end]])
    local function status(address) return select(2, ask(proxy, xff("1.1.1.1, " .. address))).status end
    assert.equal(200, status "192.0.2.1")
    assert.equal(200, status "192.0.2.2")
    assert.equal(429, status "192.0.2.1")
    assert.equal(403, status "203.0.113.9")
  end)

  it("is not counted by its proxy's connections, of which there may be many", function()
    local function third_is_served(listen)
      local proxy = start("max_connections_per_client = 2" .. listen, ANSWER)
      local connections = {}
      for i = 1, 2 do
        connections[i] = client.connect(proxy.port)
        connections[i]:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        connections[i]:read_response()
      end
      local third = client.connect(proxy.port)
      third:send "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
      return third:receive_all(20) ~= ""
    end
    assert.is_false(third_is_served "")
    assert.is_true(third_is_served(", " .. TRUSTED))
  end)

  it("is known behind `perilune proxy` with --trusted-proxies, too, and in the script that it prints", function()
    local origin = origins.start "hello"
    local words = { "--listen", "127.0.0.1:0", "--to", origin.address, "--trusted-proxies", "10.0.0.0/8,127.0.0.1" }
    local proxy = perilune.start { args = { "proxy", unpack(words) } }
    ask(proxy, xff "1.1.1.1, 192.0.2.1")
    assert.equal("192.0.2.1", origin.requests[1].headers.x_forwarded_for)
    words[#words + 1] = "--print-config"
    local script = perilune.run("proxy", unpack(words)).stdout
    assert.is_truthy(script:find('{ trusted_proxies = { "10.0.0.0/8", "127.0.0.1" } }', 1, true))
    local bad = perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", "1", "--trusted-proxies", "10.0.0.1/8")
    assert.equal(2, bad.code)
    assert.is_truthy(bad.stderr:find('--trusted-proxies "10.0.0.1/8": bits are set behind the prefix', 1, true))
  end)
end)

describe("The options", function()
  it("must be networks, and of use", function()
    for options, message in pairs {
      ['trusted_proxies = { "10.0.0.1/8" }'] = "option 'trusted_proxies': '10.0.0.1/8': bits are set behind the prefix",
      ['trusted_proxies = "10.0.0.0/8"'] = "option 'trusted_proxies' must be a table",
      ['trusted_field = "forwarded"'] = "trusted_field is for trusted_proxies",
      ['trusted_proxies = {}, trusted_field = "x"'] = "option 'trusted_field'",
    } do
      local script = process.write_file(process.directory() .. "/policy.lua",
        'local p = require "perilune"; local h = { request_filter = function() end }\n'
        .. ('p.listen("127.0.0.1:0", h, { %s })'):format(options))
      local result = perilune.run("check", script)
      assert.not_equal(0, result.code)
      assert.is_truthy(result.stderr:find("policy.lua:2: perilune.listen: " .. message, 1, true), result.stderr)
    end
  end)
end)
