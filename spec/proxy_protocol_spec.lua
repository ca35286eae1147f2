-- SPDX-License-Identifier: Apache-2.0
-- The PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2): who the client is, said by the proxy before us,
-- and by us to the peer.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scene = require "scene"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"
local LINE = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n"
local REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local ADDRESSES = "\192\0\2\7\198\51\100\1\18\103\0\80"
-- 192.0.2.7:4711 to 198.51.100.1:80, with a field (TLV) behind it that nobody knows.
local BINARY = SIGNATURE .. "\33\17\0\17" .. ADDRESSES .. "\238\0\2ab"
local BINARY_IN6 = SIGNATURE .. "\33\33\0\36" .. ("\32\1\13\184" .. ("\0"):rep(11) .. "\7"):rep(2) .. "\18\103\0\80"
local LOCAL = SIGNATURE .. "\32\0\0\0"

local hooks = [[function policy.request_filter(session)
  return session:respond { status = 200, body = session:client_address() }
end]]

local function start(mode, more)
  local options = { hooks = hooks, listen = ('proxy_protocol = "%s", %s'):format(mode, more or "") }
  return scene.start({ address = "127.0.0.1:1" }, options)
end

local function answer_to(proxy, bytes)
  local connection = client.connect(proxy.port)
  connection:send(bytes)
  local response, message = connection:read_response()
  return response and response.body or message
end

for _, mode in ipairs { "optional", "required" } do
  describe("a listener with proxy_protocol = " .. mode, function()
    for name, case in pairs {
      ["of version 1"] = { LINE, "192.0.2.7:4711" },
      ["of version 1 for IPv6"] = { "PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "[2001:db8::7]:4711" },
      ["of version 2"] = { BINARY, "192.0.2.7:4711" },
      ["of version 2 for IPv6"] = { BINARY_IN6, "[2001:db8::7]:4711" },
    } do
      it("takes the client's address from a header " .. name, function()
        local proxy = start(mode)
        assert.equal(case[2], answer_to(proxy, case[1] .. REQUEST))
      end)

      it("takes a header " .. name .. " byte by byte, and the request behind it", function()
        local connection = client.connect(start(mode).port)
        for i = 1, #case[1] do
          connection:send(case[1]:sub(i, i))
          if i % 8 == 0 then scheduler.sleep(0.001) end
        end
        connection:send(REQUEST)
        assert.equal(case[2], connection:read_response().body)
        assert.equal(case[2], connection:request().body)
      end)
    end

    it("keeps the connection's own address behind UNKNOWN and LOCAL", function()
      local proxy = start(mode)
      assert.matches("^127%.0%.0%.1:%d+$", answer_to(proxy, "PROXY UNKNOWN\r\n" .. REQUEST))
      assert.matches("^127%.0%.0%.1:%d+$", answer_to(proxy, LOCAL .. REQUEST))
    end)

    it("closes after a malformed header, and says whose it was", function()
      local proxy = start(mode)
      for _, bad in ipairs {
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", "PROXY TCP4 192.0.2.777 198.51.100.1 4711 80\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 4711 80\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 99999\r\n",
        "PROXY " .. ("x"):rep(200), "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\n",
        SIGNATURE .. "\49\17\0\12" .. ADDRESSES, SIGNATURE .. "\33\17\0\4\1\2\3\4",
      } do
        local connection = client.connect(proxy.port)
        connection:send(bad .. REQUEST)
        assert.equal("", (connection:receive_all(5)), bad)
      end
      proxy:wait_log "client 127%.0%.0%.1:%d+: PROXY header: malformed"
      assert.equal(5, proxy:count_log "PROXY header: malformed") -- and 3 that the throttle counts
      proxy:stop()
      assert.matches("info control: 3 more in [%d.]+ s: client [%d.:]+ PROXY header: malformed", proxy:log())
    end)

    it("does not wait longer than head_timeout for the rest of a header", function()
      local proxy = start(mode, "head_timeout = 0.2")
      for _, part in ipairs { LINE:sub(1, 10), BINARY:sub(1, 20) } do
        local connection = client.connect(proxy.port)
        connection:send(part)
        assert.same({ "", "closed" }, { connection:receive_all(20) }) -- 30 s without
      end
    end)

    it("takes TLS behind the header", function()
      local files = tls.certificate "proxy.example"
      local proxy = start(mode, ("certificate = %q, key = %q"):format(files.certificate, files.key))
      for _, header in ipairs { LINE, BINARY } do
        local connection = client.connect(proxy.port)
        for i = 1, #header do connection:send(header:sub(i, i)) end
        assert(connection:start_tls("proxy.example", files.ca))
        assert.equal("192.0.2.7:4711", connection:request().body)
      end
    end)
  end)
end

describe("a listener with proxy_protocol = required", function()
  it("closes where there is no header", function()
    local proxy = start "required"
    local connection = client.connect(proxy.port)
    connection:send(REQUEST)
    assert.equal("", (connection:receive_all(5)))
    proxy:wait_log "client 127%.0%.0%.1:%d+: PROXY header: missing"
  end)
end)

describe("a listener with proxy_protocol = optional", function()
  it("takes requests without a header, even if they begin like one and come in pieces", function()
    local proxy = start "optional"
    for _, method in ipairs { "GET", "POST", "PROPFIND", "PROXIED" } do
      for cut = 1, #method do
        local connection = client.connect(proxy.port)
        local bytes = method .. " / HTTP/1.1\r\nHost: a\r\n\r\n"
        connection:send(bytes:sub(1, cut))
        scheduler.sleep(0.002)
        connection:send(bytes:sub(cut + 1))
        assert.matches("^127%.0%.0%.1:%d+$", connection:read_response().body)
      end
    end
  end)

  it("takes TLS without a header", function()
    local files = tls.certificate "proxy.example"
    local proxy = start("optional", ("certificate = %q, key = %q"):format(files.certificate, files.key))
    local response = client.request { port = proxy.port, tls = { name = "proxy.example", ca = files.ca } }
    assert.matches("^127%.0%.0%.1:%d+$", response.body)
  end)
end)

describe("a listener with proxy_protocol = off", function()
  it("takes a header for a malformed request", function()
    local proxy = start "off"
    assert.equal("400 Bad Request\n", answer_to(proxy, LINE .. REQUEST))
  end)
end)

describe("the address of a PROXY header", function()
  it("goes to the origin in X-Forwarded-For", function()
    local origin = origins.start "hello"
    local proxy = perilune.start {
      workers = 1, policy = policies.to(origin, { listen = 'proxy_protocol = "required"' }),
    }
    assert.equal("hello", answer_to(proxy, LINE .. REQUEST))
    assert.equal("192.0.2.7", origin.requests[1].headers.x_forwarded_for)
  end)
end)

describe("a peer with proxy_protocol", function()
  -- Reads `first` bytes and takes what follows for HTTP.
  local function start_peer(version, options)
    local got = {}
    local origin = origins.start(function(connection)
      if version == 1 then
        got[#got + 1] = connection:read_until "\r\n"
      else
        got[#got + 1] = connection:receive_some(28)
      end
      if options and options.names then assert(connection:accept_tls(tls.server_context(options.files))) end
      while connection:read_request() do connection:respond { body = "hello" } end
    end)
    local peer = (", proxy_protocol = %d %s"):format(version, options and options.peer or "")
    local listen = options and options.listen or ""
    local proxy = scene.start(origin, { peer = peer, listen = listen })
    return proxy, got, origin
  end

  it("= 1 is told the client in a line", function()
    local proxy, got = start_peer(1)
    assert.equal("hello", client.request(proxy.port).body)
    assert.matches("^PROXY TCP4 127%.0%.0%.1 127%.0%.0%.1 %d+ " .. proxy.port .. "\r\n$", got[1])
  end)

  it("= 2 is told the client in bytes", function()
    local proxy, got = start_peer(2)
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal(SIGNATURE .. "\33\17\0\12\127\0\0\1\127\0\0\1", got[1]:sub(1, 24))
    assert.equal(proxy.port, got[1]:byte(27) * 256 + got[1]:byte(28))
  end)

  it("is told of each client on a connection of its own", function()
    local proxy, got, origin = start_peer(1)
    local connection = client.connect(proxy.port)
    for _ = 1, 2 do assert.equal("hello", connection:request().body) end
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal(3, origin.accepted)
    assert.equal(got[1], got[2])
    assert.not_equal(got[1], got[3])
  end)

  it("is told the client that a PROXY header named", function()
    local proxy, got = start_peer(1, { listen = 'proxy_protocol = "required"' })
    assert.equal("hello", answer_to(proxy, BINARY .. REQUEST))
    assert.matches("^PROXY TCP4 192%.0%.2%.7 %S+ 4711 %d+\r\n$", got[1])
  end)

  it("is told before TLS begins", function()
    local files = tls.certificate "origin.example"
    local peer = (', tls = true, sni = "origin.example", ca = %q'):format(files.ca)
    local proxy, got = start_peer(2, { names = true, files = files, peer = peer })
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal(SIGNATURE, got[1]:sub(1, 12))
  end)
end)

-- Version 2 of any command, family and transport.
local function binary(command, family, body)
  return SIGNATURE .. string.char(command, family, math.floor(#body / 256), #body % 256) .. body
end
local function paths(source) return source .. ("\0"):rep(108 - #source) .. "/to" .. ("\0"):rep(105) end
local EVIL = "x\r\nX-Admin: yes\r\nX-User: root"

describe("A client that a PROXY header does not name by an IP address", function()
  local FIELDS = [[function policy.request_filter(session)
    return session:respond { status = 200, body = session:client_address() .. " " .. session:client_ip() }
  end]]
  for name, case in pairs {
    ["a path"] = { binary(33, 49, paths "/run/client"), "unknown" },
    ["a path with line ends"] = { binary(33, 49, paths(EVIL)), "unknown" },
    ["an abstract name"] = { binary(33, 49, paths "\0abc\r\n"), "unknown" },
    ["no path"] = { binary(33, 49, paths ""), "unknown" },
    ["datagrams of paths"] = { binary(33, 50, paths "/run/client"), "127.0.0.1" },
    ["datagrams of IPv4"] = { binary(33, 18, ADDRESSES), "127.0.0.1" },
    ["no family"] = { binary(33, 0, ""), "127.0.0.1" },
    ["LOCAL with a path"] = { binary(32, 49, paths(EVIL)), "127.0.0.1" },
  } do
    it("(" .. name .. ") is never told by what the header has instead", function()
      local proxy = perilune.start {
        workers = 1,
        policy = policies.to({ address = "127.0.0.1:1" }, { hooks = FIELDS, listen = 'proxy_protocol = "required"' }),
      }
      local address, ip = answer_to(proxy, case[1] .. REQUEST):match "^(%S+) (%S+)$"
      assert.equal(case[2], ip)
      assert.matches(case[2] == "unknown" and "^unknown$" or "^127%.0%.0%.1:%d+$", address)
    end)
  end

  it("is unknown to the origin and to the logs, and writes no field and no request (RFC 7239 6.3)", function()
    local origin, directory = origins.start "hello", process.directory()
    local proxy = perilune.start {
      workers = 1, policy = policies.to(origin, {
        listen = ('proxy_protocol = "required", access_log = %q'):format(directory .. "/log"),
      }),
    }
    local smuggled = "x\r\nContent-Length: 0\r\n\r\nGET /deny HTTP/1.1\r\nHost: evil\r\nX: "
    for i, path in ipairs { EVIL, smuggled } do
      assert.equal("hello", answer_to(proxy, binary(33, 49, paths(path))
        .. "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=a\r\nConnection: close\r\n\r\n"))
      local seen = origin.requests[i].headers
      assert.equal("unknown", seen.x_forwarded_for)
      assert.equal("for=unknown;proto=http", seen.forwarded)
      assert.is_nil(seen.x_admin)
    end
    assert.equal(2, #origin.requests)
    scheduler.eventually(function() return select(2, process.read_file(directory .. "/log"):gsub("\n", "")) == 2 end)
    for line in process.read_file(directory .. "/log"):gmatch "[^\n]+" do assert.matches("^unknown %- %- %[", line) end
    assert.is_nil(proxy:stderr():find("X-Admin", 1, true))
  end)

  it("is passed on to a peer as nobody's, not as ourselves", function()
    local got = {}
    local origin = origins.start(function(connection)
      got[1] = connection:receive_some(16)
      while connection:read_request() do connection:respond { body = "hello" } end
    end)
    local proxy = perilune.start {
      workers = 1,
      policy = policies.to(origin, { peer = ", proxy_protocol = 2", listen = 'proxy_protocol = "required"' }),
    }
    assert.equal("hello", answer_to(proxy, binary(33, 49, paths "/run/client") .. REQUEST))
    assert.equal(SIGNATURE .. "\33\0\0\0", got[1])
  end)
end)

describe("access_control", function()
  local GUARD = [[local guard = require("perilune.access_control").new { $RULES }
  function policy.request_filter(session) return guard(session) or session:respond { status = 200 } end]]
  local function start_guarded(rules, listen, address)
    local guarded = GUARD:gsub("%$RULES", rules)
    local policy = policies.to({ address = "127.0.0.1:1" }, { hooks = guarded, listen = listen })
    return perilune.start { workers = 1, policy = (policy:gsub("127%.0%.0%.1:0", address or "127.0.0.1:0")) }
  end
  local function status(proxy, bytes, unix)
    local connection = client.connect(unix and { unix = unix } or proxy.port)
    connection:send(bytes)
    return connection:read_response().status
  end

  it("lets in no path, whatever it looks like", function()
    for _, rules in ipairs { 'allow = { "10.0.0.0/8" }', 'deny = { "10.0.0.0/8" }' } do
      local proxy = start_guarded(rules, 'proxy_protocol = "required"')
      for _, path in ipairs { "", "/run/x", "10.0.0.1", "unix:" } do
        assert.equal(403, status(proxy, binary(33, 49, paths(path)) .. REQUEST), path)
      end
    end
  end)

  it("lets in clients of our own unix socket, unless a PROXY header speaks for another", function()
    local path = process.directory() .. "/socket"
    local proxy = start_guarded('allow = { "10.0.0.0/8" }', 'proxy_protocol = "optional"', "unix:" .. path)
    assert.equal(200, status(proxy, REQUEST, path))
    assert.equal(200, status(proxy, LOCAL .. REQUEST, path))
    assert.equal(200, status(proxy, "PROXY TCP4 10.0.0.7 10.0.0.1 4711 80\r\n" .. REQUEST, path))
    for _, header in ipairs { LINE, "PROXY UNKNOWN\r\n", binary(33, 0, ""), binary(33, 49, paths "unix:") } do
      assert.equal(403, status(proxy, header .. REQUEST, path))
    end
  end)

  it("takes nothing for an address that only looks like one", function()
    local rules = [[deny = { "192.0.2.0/24" }, address = function(s) return s:get_header "X-Claim" end]]
    local proxy = start_guarded(rules, "")
    local function claim(text)
      return status(proxy, "GET / HTTP/1.1\r\nHost: a\r\n" .. text .. "\r\n\r\n")
    end
    assert.equal(200, claim "X-Claim: 10.0.0.1")
    for _, value in ipairs { "X-Claim: unix:", "X-Claim: unix:/x", "X-Claim: unknown", "X-Claim: 10.0.0.1, 10.0.0.2",
      "X-Claim: 10.0.0.1:x", "X-Claim: [::1]x", "X-Claim:", "X: 1", "X-Claim: 192.0.2.1" } do
      assert.equal(403, claim(value), value)
    end
  end)
end)

describe("proxy_protocol_from", function()
  it("refuses a header of any other sender where one is required, and says so", function()
    local proxy = start("required", 'proxy_protocol_from = { "10.0.0.0/8", "::1" }')
    local connection = client.connect(proxy.port)
    connection:send(LINE .. REQUEST)
    assert.equal("", (connection:receive_all(5)))
    proxy:wait_log "client 127%.0%.0%.1:%d+: PROXY header: the sender is not in proxy_protocol_from"
  end)

  it("takes another sender for one without a header where that is optional", function()
    local proxy = start("optional", 'proxy_protocol_from = { "10.0.0.0/8" }')
    assert.matches("^127%.0%.0%.1:%d+$", answer_to(proxy, REQUEST))
    for _, header in ipairs { LINE, BINARY } do
      assert.equal("400 Bad Request\n", answer_to(proxy, header .. REQUEST))
    end
  end)

  it("believes who is in it", function()
    for _, mode in ipairs { "optional", "required" } do
      assert.equal("192.0.2.7:4711", answer_to(start(mode, 'proxy_protocol_from = { "127.0.0.0/8" }'), LINE .. REQUEST))
    end
  end)

  it("must be networks, and of use", function()
    local HEAD = 'local p = require "perilune"; local h = { request_filter = function() end }\n'
    for options, message in pairs {
      ['proxy_protocol = "required", proxy_protocol_from = { "10.0.0.1/8" }'] =
        "option 'proxy_protocol_from': '10.0.0.1/8': bits are set behind the prefix",
      ['proxy_protocol = "required", proxy_protocol_from = { 7 }'] =
        "option 'proxy_protocol_from': 'number': not an IP",
      ['proxy_protocol_from = { "10.0.0.0/8" }'] = "proxy_protocol_from is for proxy_protocol = ",
      ['forwarded_from = { "10.0.0.0/8" }'] = "forwarded_from is for forwarded = ",
    } do
      local script = process.write_file(process.directory() .. "/policy.lua",
        HEAD .. ('p.listen("127.0.0.1:0", h, { %s })'):format(options))
      local result = perilune.run("check", script)
      assert.not_equal(0, result.code)
      assert.is_truthy(result.stderr:find("policy.lua:2: perilune.listen: " .. message, 1, true), result.stderr)
    end
  end)
end)
