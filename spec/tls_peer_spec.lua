-- SPDX-License-Identifier: Apache-2.0
-- TLS to the peers, beyond verification: client certificates, versions, resumption, and who shares connections.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

local function start(origin, peer, options)
  options = options or {}
  options.workers = 1
  local trusted = (', tls = true, sni = "one.example", ca = %q'):format(tls.authority().certificate)
  options.policy = policies.to(origin, { peer = trusted .. peer })
  return perilune.start(options)
end

local function identity(files) return (", certificate = %q, key = %q"):format(files.certificate, files.key) end

local function copy(from, to) process.write_file(to, process.read_file(from)) end

local function origin_that_asks()
  return origins.start("secret", { names = { "one.example" }, tls = { client_ca = tls.authority().certificate } })
end

describe("a TLS peer", function()
  it("is shown the client certificate that the policy names", function()
    local origin, files = origin_that_asks(), tls.certificate "proxy.example"
    assert.equal("secret", client.request(start(origin, identity(files)).port).body)
    assert.equal(files.name, origin.requests[1].client_name)
  end)

  it("is shown no certificate where the policy names none", function()
    local origin = origin_that_asks()
    assert.equal("secret", client.request(start(origin, "").port).body)
    assert.is_nil(origin.requests[1].client_name)
  end)

  it("is a failure of the policy where certificate and key do not fit, which names the file", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local files, other = tls.certificate "proxy.example", tls.certificate "other.example"
    local proxy = start(origin, identity { certificate = files.certificate, key = other.key })
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "key .*leaf%-DNS_other_example%.key: it does not belong to "
    proxy = start(origin, (", certificate = %q"):format(files.certificate))
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "certificate and key go together"
  end)

  it("is shown the new client certificate after a reload, and the old one where the new one is broken", function()
    local origin, directory = origin_that_asks(), process.directory()
    local first, second = tls.certificate "first.example", tls.certificate "second.example"
    local files = { certificate = directory .. "/c.pem", key = directory .. "/k.pem" }
    copy(first.certificate, files.certificate)
    copy(first.key, files.key)
    local proxy = start(origin, identity(files) .. ", idle_timeout = false")
    assert.equal(200, client.request(proxy.port).status)
    copy(second.certificate, files.certificate)
    proxy:signal "HUP"
    proxy:wait_log "TLS to peers: key .*k%.pem: it does not belong to [^\n]*; what was loaded before stays in use"
    assert.equal(200, client.request(proxy.port).status)
    copy(second.key, files.key)
    local from = #proxy:log() + 1
    proxy:signal "HUP"
    proxy:wait_log("generation 3", nil, from)
    assert.equal(200, client.request(proxy.port).status)
    local names = {}
    for i, request in ipairs(origin.requests) do names[i] = request.client_name end
    assert.same({ first.name, first.name, second.name }, names)
  end)

  it("that speaks no version as new as the policy wants gives 502", function()
    local origin = origins.start("secret", { names = { "one.example" }, tls = { newest = "TLSv1.2" } })
    assert.equal(200, client.request(start(origin, "").port).status)
    assert.equal("TLSv1.2", origin.requests[1].tls_version)
    local proxy = start(origin, ', min_version = "TLSv1.3"')
    assert.equal(502, client.request(proxy.port).status)
    local address = origin.address:gsub("%p", "%%%0")
    proxy:wait_log("peer " .. address .. ": TLS handshake with the peer failed: one%.example: .*version")
    assert.equal(4, proxy:count_log "warn .*TLS handshake") -- once for each attempt
  end)

  for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
    it("resumes its last session, with " .. version, function()
      local origin = origins.start("secret", { names = { "one.example" }, tls = { newest = version } })
      local proxy = start(origin, ", idle_timeout = false")
      for _ = 1, 3 do assert.equal(200, client.request(proxy.port).status) end
      local resumed = {}
      for i, request in ipairs(origin.requests) do
        assert.equal(version, request.tls_version)
        resumed[i] = request.resumed
      end
      assert.same({ false, true, true }, resumed)
    end)
  end

  it("is asked with a new session when it has forgotten the last one", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    local proxy = start(origin, ", idle_timeout = false")
    assert.equal(200, client.request(proxy.port).status)
    origin.context = tls.server_context(origin.files) -- with other ticket keys
    for _ = 1, 2 do assert.equal(200, client.request(proxy.port).status) end
    assert.same({ false, false, true },
      { origin.requests[1].resumed, origin.requests[2].resumed, origin.requests[3].resumed })
  end)

  it("is not verified less with an empty server name", function()
    local origin = origins.start("secret", { names = { "two.example" } })
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, {
      peer = (', tls = true, sni = "", ca = %q'):format(tls.authority().certificate) }) }
    assert.is_true(client.request(proxy.port).status >= 500)
    assert.equal(0, #origin.requests)
  end)
end)

-- What a second peer may differ in, beside the first: neither its connections nor its sessions are the first one's.
local first, second = tls.certificate "first.example", tls.certificate "second.example"
local same = ([[sni = "one.example", ca = "%s"]]):format(tls.authority().certificate)
local differences = {
  ["the server name"] = { same, 'sni = "two.example", ca = "' .. tls.authority().certificate .. '"' },
  ["verify_name"] = { same, same .. ', verify_name = "two.example"' },
  ["verify"] = { same .. ", verify = false", same },
  ["the authorities"] = { same, 'sni = "one.example", ca = "' .. first.ca .. '.copy"' },
  ["the client certificate"] = { same .. identity(first), same .. identity(second) },
  ["having a client certificate"] = { same .. identity(first), same },
  ["the oldest version"] = { same, same .. ', min_version = "TLSv1.3"' },
  ["the protocol that is offered"] = { same, same .. ', alpn = "none"' },
  ["the group"] = { same, same .. ', group = "other"' },
}

describe("spare connections and sessions", function()
  local function ask_both(one, other)
    local origin = origins.start("secret", { names = { "one.example", "two.example" }, tls = { client_ca = first.ca } })
    copy(first.ca, first.ca .. ".copy")
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local policy = {}
      local peers = { { address = "$ADDRESS", tls = true, $ONE }, { address = "$ADDRESS", tls = true, $OTHER } }
      function policy.upstream_peer(session) return peers[tonumber(session:get_header "peer")] end
      perilune.listen("127.0.0.1:0", policy)
    ]], { ADDRESS = origin.address, ONE = one, OTHER = other }) }
    local connections, resumed = {}, {}
    for i, peer in ipairs { "1", "2", "1", "2" } do
      assert.equal(200, client.request({ port = proxy.port, headers = { peer = peer } }).status)
      connections[i], resumed[i] = origin.requests[i].connection, origin.requests[i].resumed
    end
    return connections, resumed
  end

  it("are shared by peers that are equal in everything", function()
    assert.same({ 1, 1, 1, 1 }, (ask_both(same, same)))
  end)

  for what, pair in pairs(differences) do
    it("are not shared by peers that differ in " .. what, function()
      local connections, resumed = ask_both(pair[1], pair[2])
      assert.same({ 1, 2, 1, 2 }, connections)
      assert.same({ false, false, false, false }, resumed)
    end)
  end
end)
