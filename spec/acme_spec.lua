-- SPDX-License-Identifier: Apache-2.0
-- HTTPS by itself, against a real ACME server (pebble): first certificates, challenges, storage, two proxies, failures.
local client = require "client"
local machine = require "machine"
local pebble = require "pebble"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local it = pebble.it(it, pending)

-- A proxy whose listener at ADDRESS:5001 has the option `acme` with these lines.
local function start(server, options)
  options = options or {}
  local at = options.at or server.at
  options.storage = options.storage or process.directory()
  local proxy = perilune.start { workers = options.workers or 2, env = options.env, policy = policies.fill([[
    local perilune = require "perilune"
    local policy = {}
    function policy.request_filter(session)
      return session:respond { status = 200, body = session:tls() and session:tls().server_name or "plain" }
    end
    $BEFORE
    perilune.listen("$AT:5001", policy, { acme = { directory = "$DIRECTORY", ca = "$CA", storage = $STORAGE,
      http = "$AT:5002", $MORE } })
  ]], { AT = at, DIRECTORY = server.directory, CA = server.ca, BEFORE = options.before or "",
    STORAGE = options.storage:find "^store" and options.storage or ("%q"):format(options.storage),
    MORE = options.more or 'domains = { "a.example" }' }) }
  proxy.at, proxy.storage = at, options.storage
  return proxy
end

-- The names of the certificate that the proxy shows for a name; nil: none.
local function shown(proxy, name)
  local result = process.run({ "sh", "-c", ([[
    timeout 20 openssl s_client -connect %s:5001 -servername %s </dev/null 2>/dev/null |
      openssl x509 -noout -ext subjectAltName -serial 2>/dev/null]]):format(proxy.at, name) })
  return result.stdout:match "DNS:[^\n]*", result.stdout:match "serial=(%x+)"
end

local function ask(proxy, path, host)
  local connection = client.connect { ip = proxy.at, port = 5002 }
  local response = assert(connection:request { target = path, host = host or "a.example" })
  connection:close()
  return response
end

-- How often the proxy has a new certificate, by its log.
local function orders(proxy) return proxy:count_log "a new certificate, valid until" end

describe("a listener with acme", function()
  it("has its first certificate within 5 s, redirects plain requests, and finds it again after a restart", function()
    local server = pebble.start()
    local proxy = start(server)
    assert.equal("DNS:a.example", (shown(proxy, "a.example")))
    local line = proxy:wait_log "acme: a.example: a new certificate, valid until [%d:TZ-]+, after ([%d.]+) s"
    assert.is_true(tonumber(line) < 5)
    local answer = ask(proxy, "/x?y=1")
    assert.equal(301, answer.status)
    assert.equal("https://a.example:5001/x?y=1", answer.headers.location)
    assert.equal(301, ask(proxy, "/.well-known/acme-challenge/nothing").status)
    local _, serial = shown(proxy, "unknown.example")
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    assert.equal(serial, select(2, shown(proxy, "a.example")))
    proxy:stop()
    server.program:kill()
    local again = start(server, { storage = proxy.storage })
    assert.equal(serial, select(2, shown(again, "a.example")))
    assert.equal(0, orders(again))
  end)

  it("proves names by TLS alone, and by DNS, with bad nonces, to a server that wants a known account", function()
    local secret = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    local server = pebble.start { env = { PEBBLE_WFE_NONCEREJECT = "40" },
      config = { externalAccountBindingRequired = true, externalAccountMACKeys = { ["kid-1"] = secret } } }
    local proxy = start(server, {
      before = ([[
        local function dns(action, name, value)
          local what = action == "add" and "set-txt" or "clear-txt"
          local answer, why = perilune.http.post(%q .. "/" .. what,
            perilune.json.encode { host = name .. ".", value = value })
          return answer and answer.status == 200, why
        end
      ]]):format(server.names),
      more = [[http = false, dns = dns, dns_wait = 0, domains = { "a.example", { "b.example", "*.b.example" } },
        eab = { kid = "kid-1", hmac = "]] .. secret .. '" }' })
    assert.equal("DNS:a.example", (shown(proxy, "a.example")))
    assert.matches("DNS:*.b.example", shown(proxy, "x.b.example") or "", 1, true)
    assert.equal(2, orders(proxy))
  end)

  for what, store in pairs { ["a directory"] = false, Redis = redis_server } do
    it("is one of several that share " .. what .. ": one orders, any of them proves, all serve", function()
      if store and not store.program then return pending "redis-server: make deps" end
      local second = machine.random_host()
      local server = pebble.start { at = second }
      local options = { storage = process.directory() }
      if store then
        options.storage = "store"
        options.before = ('local store = require("perilune.redis").new(%q)'):format(store.start().address)
      end
      options.at, options.more = second, 'domains = { "b.example" }'
      local two = start(server, options)
      local _, serial = shown(two, "b.example")
      options.at = machine.random_host()
      options.more = 'domains = { "a.example", "b.example" }' .. (store and ", challenges = { 'tls-alpn-01' }" or "")
      local one = start(server, options)
      assert.equal("DNS:a.example", (shown(one, "a.example"))) -- the authority has asked `two`
      assert.equal(serial, select(2, shown(one, "b.example")))
      assert.equal(1, orders(one))
      assert.equal(1, orders(two))
    end)
  end

  it("goes on where another one was killed while it ordered", function()
    local server = pebble.start()
    local one = start(server, { at = machine.random_host(), more = [[domains = { "a.example" },
      challenges = { "dns-01" }, dns = function() perilune.log.info "it orders" perilune.sleep(600) end]] })
    one:wait_log "it orders"
    local two = start(server, { storage = one.storage })
    one:signal "KILL"
    one:ended()
    assert.equal("DNS:a.example", (shown(two, "a.example") or shown(two, "a.example")))
    assert.equal(1, orders(two))
  end)

  it("gives certificates on demand to names that are allowed, and orders each once", function()
    local server = pebble.start()
    local proxy = start(server, { more = 'allowed = function(name) return name:find "%.good%.example$" ~= nil end' })
    local all = {}
    for i = 1, 4 do
      scheduler.spawn(function() all[i] = shown(proxy, i < 4 and "a.good.example" or "b.good.example") end)
    end
    scheduler.eventually(function() return all[1] and all[2] and all[3] and all[4] end, nil, "four answers")
    assert.same({ "DNS:a.good.example", "DNS:a.good.example", "DNS:a.good.example", "DNS:b.good.example" }, all)
    assert.equal(2, orders(proxy))
    assert.is_nil((shown(proxy, "bad.example")))
    assert.equal(2, orders(proxy))
  end)

  it("is what perilune proxy --domain makes", function()
    local server, state = pebble.start(), process.directory()
    local origin = require("origins").start "hello"
    local proxy = perilune.start { env = { SSL_CERT_FILE = server.ca, STATE_DIRECTORY = state }, args = { "proxy",
      "--domain", "a.example", "--acme-directory", server.directory, "--listen", server.at .. ":5001", "--listen",
      "http://" .. server.at .. ":5002", "--to", origin.address } }
    proxy.at = server.at
    assert.equal("DNS:a.example", (shown(proxy, "a.example")))
    assert.equal("https://a.example:5001/", ask(proxy, "/").headers.location)
    assert.equal(0, process.run({ "sh", "-c", "ls " .. state .. "/acme/*/certificates/a.example.pem" }).code)
  end)

  it("waits for an authority that takes its time to look, and refuses what it finds", function()
    local server = pebble.start { env = { PEBBLE_VA_NOSLEEP = "0", PEBBLE_VA_SLEEPTIME = "4",
      PEBBLE_VA_ALWAYS_VALID = "0" } }
    local proxy = start(server)
    proxy:wait_log "acme: a%.example: a new certificate, valid until"
    assert.equal("DNS:a.example", (shown(proxy, "a.example")))
    proxy:stop()

    -- Nobody answers where the authority looks.
    local away = pebble.start { env = { PEBBLE_VA_ALWAYS_VALID = "0" }, at = machine.random_host() }
    proxy = start(away, { at = away.host })
    proxy:wait_log "acme: a%.example: a%.example could not be proved: .*; it is tried again in %d+ s"
    assert.is_nil((shown(proxy, "a.example")))
  end)

  it("says why there is none, and keeps no other listener from serving", function()
    local ca = require("tls").authority().certificate
    local server = { at = machine.random_host(), directory = "https://127.0.0.1:9/dir", ca = ca }
    local folder = process.directory()
    process.write_file(folder .. "/file", "")
    local proxy = start(server, { before = 'perilune.listen("127.0.0.1:0", policy)', storage = folder })
    proxy:wait_log "acme: a%.example: .*; there is no certificate; it is tried again in %d+ s"
    assert.equal("plain", client.connect(proxy.port):request {}.body)
    assert.is_nil((shown(proxy, "a.example")))
    proxy = start(server, { storage = folder .. "/file/x", at = machine.random_host() })
    proxy:wait_log "file/x.*: Not a directory"
  end)
end)
