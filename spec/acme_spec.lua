-- SPDX-License-Identifier: Apache-2.0
-- HTTPS by itself, against a real ACME server (pebble): first certificates, challenges, storage, two proxies, failures.
local client = require "client"
local pebble = require "pebble"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
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
    echo | timeout 20 openssl s_client -connect %s:5001 -servername %s 2>/dev/null |
      openssl x509 -noout -ext subjectAltName -serial 2>/dev/null]]):format(proxy.at, name) })
  return result.stdout:match "DNS:[^\n]*", result.stdout:match "serial=(%x+)"
end

local function ask(proxy, path, host)
  local connection = client.connect { ip = proxy.at, port = 5002 }
  local response = assert(connection:request { target = path, host = host or "a.example" })
  connection:close()
  return response
end

describe("a listener with acme", function()
  it("has its first certificate within 5 s, and redirects plain requests to https", function()
    local server = pebble.start()
    local begun = scheduler.now()
    local proxy = start(server)
    assert.equal("DNS:a.example", (shown(proxy, "a.example")))
    print("first certificate", scheduler.now() - begun)
    proxy:wait_log "acme: a.example: a new certificate, valid until"
    local answer = ask(proxy, "/x?y=1")
    assert.equal(301, answer.status)
    assert.equal("https://a.example:5001/x?y=1", answer.headers.location)
    assert.equal(301, ask(proxy, "/.well-known/acme-challenge/nothing").status)
  end)
end)
