-- SPDX-License-Identifier: Apache-2.0
-- `perilune proxy`: TLS to peers and to clients, health checks, several addresses, and the script that does the same.
local client = require "client"
local lfs = require "lfs"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local sys = require "sys"
local tls = require "tls"

after_each(require("cleanup").run)

local function start(...)
  return perilune.start { args = { "proxy", "--workers", "1", "--listen", "127.0.0.1:0", ... } }
end

-- A client that speaks TLS to that name.
local function by(name) return { name = name, ca = tls.authority().certificate } end

local function script_of(...)
  local result = perilune.run("proxy", "--print-config", ...)
  assert.equal(0, result.code, result.stderr)
  return result.stdout
end

-- An origin whose /health is as `state.fine` says.
local function checked_origin(name, options)
  local state = { fine = true, checks = 0 }
  local origin = origins.start(function(connection)
    while connection:read_request() do
      local is_check = connection.request.target == "/health"
      if is_check then state.checks = state.checks + 1 end
      connection:respond { status = is_check and not state.fine and 503 or 200, body = name }
    end
  end, options)
  origin.state = state
  return origin
end

local function answers(proxy, count)
  local found = {}
  for _ = 1, count do
    local response = client.request(proxy.port)
    local name = response.status == 200 and response.body or tostring(response.status)
    found[name] = (found[name] or 0) + 1
  end
  return found
end

describe("perilune proxy, with peers by TLS", function()
  it("verifies their certificates by --ca, for the name of the address, which it sends", function()
    local origin = origins.start("secret", { names = { "localhost" } })
    local proxy = start("--to", "https://localhost:" .. origin.port, "--ca", tls.authority().certificate)
    assert.equal("secret", client.request(proxy.port).body)
    assert.equal("localhost", origin.requests[1].sni)
  end)

  it("answers 502 where the certificate is of another name, or signed by somebody else", function()
    local origin = origins.start("secret", { names = { "other.example" } })
    local proxy = start("--to", "https://localhost:" .. origin.port, "--ca", tls.authority().certificate)
    assert.equal(502, client.request(proxy.port).status)
    assert.equal(0, #origin.requests)
    local distrusting = start("--to", "https://localhost:" .. origins.start("x", { names = { "localhost" } }).port)
    assert.equal(502, client.request(distrusting.port).status)
  end)

  it("takes any certificate with --insecure-skip-verify", function()
    local origin = origins.start("secret", { names = { "other.example" } })
    local proxy = start("--to", "https://127.0.0.1:" .. origin.port .. "/", "--insecure-skip-verify")
    assert.equal("secret", client.request(proxy.port).body)
  end)

  it("refuses to start with a --ca that holds no certificate, and names it", function()
    local file = process.write_file(process.directory() .. "/ca.pem", "rubbish")
    local result = perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", "https://localhost:1", "--ca", file)
    assert.equal(2, result.code)
    assert.matches("%-%-ca: .*ca%.pem", result.stderr)
  end)
end)

describe("perilune proxy, by TLS to clients", function()
  local function files() return tls.certificate "localhost" end

  it("shows the certificate of --tls-cert", function()
    local origin, own = origins.start "secret", files()
    local proxy = start("--to", origin.address, "--tls-cert", own.certificate, "--tls-key", own.key)
    local response = client.request { port = proxy.port, tls = by "localhost" }
    assert.equal("secret", response.body)
  end)

  it("listens in the clear where an address says http://, and by TLS where it says https:// or nothing", function()
    local origin, own = origins.start "secret", files()
    local proxy = perilune.start { args = { "proxy", "--workers=1", "--listen=http://127.0.0.1:0",
      "--listen=https://127.0.0.1:0", "--listen=127.0.0.1:0", "--to=" .. origin.address,
      "--tls-cert=" .. own.certificate, "--tls-key=" .. own.key } }
    assert.equal("secret", client.request(proxy.ports[1]).body)
    for i = 2, 3 do
      local response = client.request { port = proxy.ports[i], tls = by "localhost" }
      assert.equal("secret", response.body)
    end
  end)

  it("takes a certificate that was renewed with --watch", function()
    local own, other, directory = files(), tls.certificate("localhost", "other.example"), process.directory()
    local function copy(from)
      for _, name in ipairs { "certificate", "key" } do
        process.write_file(directory .. "/" .. name, process.read_file(from[name]))
      end
    end
    copy(own)
    local proxy = start("--to", origins.start("x").address, "--watch", "--tls-cert", directory .. "/certificate",
      "--tls-key", directory .. "/key")
    copy(other)
    proxy:wait_log "generation 2"
    local response = client.request { port = proxy.port, tls = by "other.example" }
    assert.equal(200, response.status)
  end)
end)

describe("perilune proxy --health", function()
  it("leaves out a peer whose answer is not 200, until it is again", function()
    local good, bad = checked_origin "good", checked_origin "bad"
    bad.state.fine = false
    local proxy = start("--to", good.address, "--to", bad.address, "--health", "/health")
    proxy:wait_log(bad.address:gsub("%p", "%%%0") .. " is unhealthy: it answered 503")
    assert.same({ good = 6 }, answers(proxy, 6))
    bad.state.fine = true
    proxy:wait_log(bad.address:gsub("%p", "%%%0") .. " is healthy")
    assert.same({ good = 3, bad = 3 }, answers(proxy, 6))
  end)

  it("checks by TLS where the peers are by TLS, and goes on to after a reload", function()
    local origin = checked_origin("secret", { names = { "localhost" } })
    local proxy = start("--to", "https://localhost:" .. origin.port, "--health=/health",
      "--ca", tls.authority().certificate)
    scheduler.eventually(function() return origin.state.checks > 0 end)
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    origin.state.fine = false
    proxy:wait_log "is unhealthy: it answered 503"
    assert.equal(503, client.request(proxy.port).status)
  end)

  it("is not asked for: then nobody is asked, and a peer that fails is left out all the same", function()
    local good, dead = checked_origin "good", origins.dead_address()
    local proxy = start("--to", dead .. "," .. good.address)
    assert.same({ good = 20 }, answers(proxy, 20))
    assert.equal(0, good.state.checks)
  end)
end)

describe("perilune proxy, told addresses", function()
  it("balances over all that --to names, in lists and one after another", function()
    local a, b, c = origins.start "a", origins.start "b", origins.start "c"
    local proxy = start("--to", a.address .. ", " .. b.address, "--to=http://" .. c.address)
    assert.same({ a = 2, b = 2, c = 2 }, answers(proxy, 6))
  end)

  it("means this machine by a port alone, with a colon or without", function()
    local origin = origins.start "here"
    for _, address in ipairs { tostring(origin.port), ":" .. origin.port, "http://localhost:" .. origin.port } do
      assert.equal("here", client.request(start("--to", address).port).body)
    end
  end)

  it("listens on 127.0.0.1 for localhost", function()
    local origin = origins.start "here"
    local proxy = perilune.start { listen = "localhost:0", to = { origin.address } }
    proxy:wait_log "listening on 127%.0%.0%.1:%d+"
    assert.equal("here", client.request(proxy.port).body)
  end)

  it("gives peers their own name in Host with --change-host, without the scheme's port", function()
    local origin = origins.start "here"
    local proxy = start("--to", "localhost:" .. origin.port, "--change-host")
    client.request { port = proxy.port, host = "my.example" }
    assert.same({ "localhost:" .. origin.port }, origin.requests[1].headers:all "host")
    assert.matches('gsub%(":443%$"', script_of("--listen", ":80", "--to", "https://a.example", "--change-host"))
  end)
end)

describe("perilune proxy, with HTTP/2", function()
  it("speaks it to peers of h2c:// and h2://, and to clients of h2c://", function()
    local plain, secure = origins.start("plain", { http2 = true }), origins.start("secure", { names = { "localhost" },
      http2 = true })
    local proxy = perilune.start { args = { "proxy", "--workers", "1", "--listen", "h2c://127.0.0.1:0", "--to",
      "h2c://" .. plain.address } }
    assert.equal("plain", client.connect({ port = proxy.port, version = "2" }):request().body)
    assert.equal("plain", client.request(proxy.port).body)
    proxy = start("--to", "h2://localhost:" .. secure.port, "--ca", tls.authority().certificate)
    assert.equal("secure", client.request(proxy.port).body)
    assert.equal("2", secure.requests[1].version)
  end)

  it("has it in the script that it prints", function()
    local script = script_of("--listen", "h2c://:80", "--to", "h2c://a.example")
    assert.matches("http2 = true }", script, 1, true)
    assert.matches("{ h2c = true }", script, 1, true)
    assert.matches("a.example:80", script, 1, true)
    assert.matches('alpn = "h2"', script_of("--listen", ":80", "--to", "h2://a.example"), 1, true)
  end)
end)

describe("perilune proxy --cache", function()
  it("keeps responses, as the script does that it prints", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:respond { body = "kept", headers = { ["Cache-Control"] = "max-age=60" } }
      end
    end)
    local words = { "--to", origin.address, "--cache", "8M" }
    local proxy = start(unpack(words))
    for _ = 1, 3 do assert.equal("kept", client.request(proxy.port).body) end
    assert.equal(1, #origin.requests)
    local policy = script_of("--listen", "127.0.0.1:0", unpack(words))
    assert.matches('perilune.cache%("proxy", { size = 8388608 }%)', policy)
    local other = perilune.start { workers = 1, policy = policy }
    for _ = 1, 3 do assert.equal("kept", client.request(other.port).body) end
    assert.equal(2, #origin.requests)
  end)

  it("says what a size is", function()
    for _, size in ipairs { "1k", "much", "-5M" } do
      local result = perilune.run("proxy", "--listen", ":0", "--to", "1", "--cache=" .. size)
      assert.equal(2, result.code)
      assert.matches("%-%-cache wants a number of bytes such as 256M", result.stderr)
    end
  end)
end)

describe("perilune proxy --print-config", function()
  it("prints a script that serves as the proxy does, and opens nothing", function()
    local origin, own, fd = checked_origin("secret", { names = { "localhost" } }), tls.certificate "localhost",
      sys.listen("127.0.0.1", 0)
    local script = script_of("--listen", "127.0.0.1:" .. sys.port(fd), "--to", "https://localhost:" .. origin.port,
      "--ca", tls.authority().certificate, "--health", "/health", "--change-host", "--workers=1",
      "--tls-cert", own.certificate, "--tls-key", own.key, "--grace", "5")
    sys.close(fd)
    local file = process.write_file(process.directory() .. "/saved.lua", script)
    assert.equal("", perilune.run("check", file).stderr)
    assert.matches("grace%s+5%s+policy", perilune.run("run", "--print-config", file).stdout)
    local proxy = perilune.start { script = file }
    local response = client.request { port = proxy.port, tls = by "localhost", host = "my.example" }
    assert.equal("secret", response.body)
    assert.same({ "localhost:" .. origin.port }, origin.requests[#origin.requests].headers:all "host")
    origin.state.fine = false
    proxy:wait_log "is unhealthy: it answered 503"
  end)

  it("names files so that the script can lie anywhere, and quotes what Lua would read", function()
    local own = tls.certificate "localhost"
    local odd = process.directory() .. '/a "b"\\c.pem'
    process.write_file(odd, process.read_file(own.certificate))
    local up = lfs.currentdir():gsub("[^/]+", ".."):sub(2) -- relative, to the root
    local script = script_of("--listen", ":0", "--to", "a.example:80", "--tls-cert", up .. odd, "--tls-key", own.key)
    local file = process.write_file(process.directory() .. "/saved.lua", script)
    assert.equal("", perilune.run("check", file).stderr)
    assert.truthy(script:find('certificate = "' .. lfs.currentdir() .. "/..", 1, true), script)
  end)

  it("shows no script of what could not be served", function()
    local result = perilune.run("proxy", "--print-config", "--listen", ":0", "--to", "1", "--tls-cert", "Makefile",
      "--tls-key", "Makefile")
    assert.equal(2, result.code)
    assert.equal("", result.stdout)
    assert.matches("Makefile", result.stderr)
  end)
end)
