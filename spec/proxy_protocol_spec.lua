-- SPDX-License-Identifier: Apache-2.0
-- The PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2): who the client is, said by the proxy before us,
-- and by us to the peer.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
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
  return perilune.start { workers = 1, policy = policies.to({ address = "127.0.0.1:1" }, options) }
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
      assert.equal(8, proxy:count_log "PROXY header: malformed")
    end)

    it("does not wait longer than head_timeout for the rest of a header", function()
      local proxy = start(mode, "head_timeout = 0.2")
      for _, part in ipairs { LINE:sub(1, 10), BINARY:sub(1, 20) } do
        local connection = client.connect(proxy.port)
        connection:send(part)
        assert.equal("", (connection:receive_all(5)))
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
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { peer = peer, listen = listen }) }
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
