-- SPDX-License-Identifier: Apache-2.0
-- TLS with clients: which certificate they get, sessions that are resumed, client certificates, OCSP, and bad files.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local tls = require "tls"

after_each(require("cleanup").run)

local ca = tls.authority().certificate

local HOOKS = [[
  function policy.request_filter(session)
    local facts = session:tls() or {}
    local client = facts.client or {}
    return session:respond { status = 200, body = table.concat({ facts.version or "plain", facts.server_name or "none",
      client.subject or "nobody", client.serial or "", client.fingerprint or "" }, " ") }
  end
]]

local function pair_of(files) return ("{ certificate = %q, key = %q }"):format(files.certificate, files.key) end

local function list_of(...)
  local items = {}
  for i, files in ipairs { ... } do items[i] = pair_of(files) end
  return ("certificates = { %s }"):format(table.concat(items, ", "))
end

local function policy_of(listen, hooks)
  return policies.fill(policies.one_peer,
    { ADDRESS = "127.0.0.1:1", OPTIONS = "", HOOKS = hooks or HOOKS, LISTEN = listen })
end

local function start(listen, options)
  options = options or {}
  options.policy = policy_of(listen, options.hooks)
  options.workers = options.workers or 1
  return perilune.start(options)
end

-- What a client that asks for `name` is shown: the certificate's common name and its kind.
local function shown(proxy, name, options)
  options = options or {}
  local connection = client.connect { port = proxy.port, tls = { name = name, signatures = options.signatures,
    newest = options.newest } }
  local common_name, kind = connection.tls:certificate()
  connection:close()
  return common_name, kind
end

local function copy(from, to) process.write_file(to, process.read_file(from)) end

describe("the certificate of a listener", function()
  local a, b = tls.certificate("a.example", "also-a.example"), tls.certificate "b.example"
  local wild = tls.certificate "*.wild.example"

  it("is chosen by the client's server name", function()
    local proxy = start(list_of(a, b, wild))
    assert.equal(a.name, shown(proxy, "a.example"))
    assert.equal(a.name, shown(proxy, "also-a.example"))
    assert.equal(b.name, shown(proxy, "b.example"))
    assert.equal(b.name, shown(proxy, "B.Example"))
  end)

  it("is a wildcard's where no other has the name, for one label", function()
    local exact = tls.certificate "exact.wild.example"
    local proxy = start(list_of(a, wild, exact))
    assert.equal(wild.name, shown(proxy, "any.wild.example"))
    assert.equal(exact.name, shown(proxy, "exact.wild.example"))
    assert.equal(a.name, shown(proxy, "two.labels.wild.example"))
    assert.equal(a.name, shown(proxy, "wild.example"))
  end)

  it("is the first one for clients that name no server, or another", function()
    local proxy = start(list_of(b, a))
    assert.equal(b.name, shown(proxy, nil))
    assert.equal(b.name, shown(proxy, "other.example"))
    proxy = start(("certificate = %q, key = %q, "):format(a.certificate, a.key) .. list_of(b))
    assert.equal(a.name, shown(proxy, nil))
    assert.equal(b.name, shown(proxy, "b.example"))
  end)

  it("is of the kind that the client can do", function()
    local rsa = tls.certificate_of({ kind = "rsa" }, "a.example", "also-a.example")
    local other = tls.certificate_of({ kind = "rsa" }, "b.example")
    local proxy = start(list_of(a, rsa, b, other))
    for name, pair in pairs { ["a.example"] = { a, rsa }, ["b.example"] = { b, other } } do
      for _, newest in ipairs { "TLSv1.2", "TLSv1.3" } do
        assert.same({ pair[1].name, "ec" }, { shown(proxy, name, { newest = newest }) })
        assert.same({ pair[2].name, "rsa" },
          { shown(proxy, name, { newest = newest, signatures = "RSA-PSS+SHA256:RSA+SHA256" }) })
      end
    end
  end)

  it("is the new one after a reload, when its file has changed", function()
    local directory = process.directory()
    local files = { certificate = directory .. "/c.pem", key = directory .. "/k.pem" }
    copy(a.certificate, files.certificate)
    copy(a.key, files.key)
    local proxy = start(list_of(files))
    assert.equal(a.name, shown(proxy, "a.example"))
    copy(b.certificate, files.certificate)
    proxy:signal "HUP"
    proxy:wait_log "reload: .*policy%.lua:%d+: key .*k%.pem: it does not belong to [^\n]*; generation 1 stays"
    assert.equal(a.name, shown(proxy, "a.example"))
    copy(b.key, files.key)
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    assert.equal(b.name, shown(proxy, "a.example"))
  end)
end)

describe("a listener with bad files", function()
  local good, other = tls.certificate "a.example", tls.certificate "b.example"
  local directory = process.directory()
  local text = process.read_file(good.certificate)
  process.write_file(directory .. "/half.pem", text:sub(1, #text / 2))
  process.write_file(directory .. "/half-chain.pem", text .. process.read_file(other.certificate):sub(1, 200))
  process.write_file(directory .. "/empty.pem", "")
  process.write_file(directory .. "/large.pem", ("#"):rep(4 * 1024 * 1024 + 1))
  local cases = {
    ["an expired certificate"] = {
      tls.certificate_of({ expired = true }, "a.example"),
      "certificate .*expired.*%.pem: it has expired, on %d+%-%d%d%-%d%d",
    },
    ["a key of another certificate"] = {
      { certificate = good.certificate, key = other.key }, "key .*b_example%.key: it does not belong to ",
    },
    ["half a certificate"] = {
      { certificate = directory .. "/half.pem", key = good.key }, "certificate .*/half%.pem: bad end line",
    },
    ["half a chain"] = {
      { certificate = directory .. "/half-chain.pem", key = good.key }, "certificate .*/half%-chain%.pem: bad end line",
    },
    ["an empty certificate"] = {
      { certificate = directory .. "/empty.pem", key = good.key }, "certificate .*/empty%.pem: no start line",
    },
    ["an empty key"] = {
      { certificate = good.certificate, key = directory .. "/empty.pem" }, "key .*/empty%.pem: ",
    },
    ["a missing file"] = {
      { certificate = directory .. "/none.pem", key = good.key }, "none%.pem: No such file",
    },
    ["a file that is too large for a certificate"] = {
      { certificate = directory .. "/large.pem", key = good.key }, "certificate .*/large%.pem: it is larger than 4 MiB",
    },
    ["a directory"] = { { certificate = directory, key = good.key }, "certificate .*: it is a directory" },
    ["a key where a certificate belongs"] = {
      { certificate = good.key, key = good.key }, "certificate .*a_example%.key: no start line",
    },
  }
  for what, case in pairs(cases) do
    it("does not start with " .. what .. ", and says so in one line with file and place", function()
      local result = perilune.run { policy = policy_of(list_of(case[1])) }
      assert.equal(2, result.code)
      assert.truthy(result.stderr:match("policy%.lua:%d+: .*" .. case[2]), result.stderr)
      local checked = perilune.run { args = { "check", process.write_file(process.directory() .. "/policy.lua",
        policy_of(list_of(case[1]))) } }
      assert.equal(2, checked.code)
    end)
  end

  it("found at a reload goes on with what it has, and the log says why each time", function()
    local files = { certificate = directory .. "/now.pem", key = directory .. "/now.key" }
    local expired = cases["an expired certificate"][1]
    copy(good.certificate, files.certificate)
    copy(good.key, files.key)
    local proxy, from = start(list_of(files)), 1
    local function reload_with(certificate, key, message)
      process.write_file(files.certificate, certificate)
      process.write_file(files.key, key)
      proxy:signal "HUP"
      proxy:wait_log("reload: .*policy%.lua:%d+: " .. message .. ".*; generation 1 stays", nil, from)
      from = #proxy:log() + 1
      assert.equal(good.name, shown(proxy, "a.example"))
    end
    local key = process.read_file(good.key)
    reload_with(text:sub(1, #text / 2), key, "certificate .*/now%.pem: bad end line")
    reload_with(process.read_file(expired.certificate), process.read_file(expired.key),
      "certificate .*/now%.pem: it has expired")
    reload_with("", key, "certificate .*/now%.pem: no start line")
    reload_with(text, key:sub(1, #key / 2), "key .*/now%.key: ")
    reload_with(text, process.read_file(other.key), "key .*/now%.key: it does not belong to ")
    os.remove(files.key)
    proxy:signal "HUP"
    proxy:wait_log("now%.key: No such file .*; generation 1 stays", nil, from)
    assert.equal(good.name, shown(proxy, "a.example"))
  end)

  it("does not start with options that contradict each other", function()
    for listen, message in pairs {
      ["client_verify = 'required'"] = "are for TLS",
      [list_of(good) .. ", client_verify = 'required'"] = "client_verify and client_ca go together",
      [list_of(good) .. (", client_ca = %q"):format(ca)] = "client_verify and client_ca go together",
      [list_of(good) .. (", client_verify = 'optional', client_ca = %q"):format(good.key)] = "client CA file .*key: ",
      [("certificate = %q"):format(good.certificate)] = "certificate and key go together",
      [("certificates = { { certificate = %q } }"):format(good.certificate)] = "certificate and key go together",
      ["certificates = { 'a.pem' }"] = "must be an array of",
      ["certificates = { { cert = 'a.pem' } }"] = "unknown option 'cert' %(did you mean certificate%?%); valid",
    } do
      local result = perilune.run { policy = policy_of(listen) }
      assert.equal(2, result.code)
      assert.truthy(result.stderr:match(message), listen .. "\n" .. result.stderr)
    end
  end)
end)

describe("a client's session", function()
  local files = tls.certificate "a.example"

  local function ask(proxy, options)
    options.name, options.ca = options.name or "a.example", options.ca or ca
    local connection = client.connect { port = proxy.port, tls = options }
    local response = assert(connection:request {})
    local resumed, ticket = connection.tls:is_resumed(), connection.tls:ticket()
    connection:close()
    return resumed, ticket, response.body
  end

  for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
    it("is resumed by every worker, and after reloads, with " .. version, function()
      local proxy = start(list_of(files), { workers = 3 })
      local resumed, ticket = ask(proxy, { newest = version })
      assert.is_false(resumed)
      for _ = 1, 12 do
        resumed = ask(proxy, { newest = version, ticket = ticket })
        assert.is_true(resumed)
      end
      for generation = 2, 3 do
        proxy:signal "HUP"
        proxy:wait_log("generation " .. generation)
        resumed = ask(proxy, { newest = version, ticket = ticket })
        assert.is_true(resumed)
      end
    end)
  end

  it("is resumed by the process that takes over in an upgrade", function()
    local pid_file = process.directory() .. "/pid"
    local script = process.write_file(process.directory() .. "/policy.lua", policy_of(list_of(files)))
    local proxy = perilune.start { args = { "run", "--workers", "2", "--pid-file", pid_file, script } }
    local function command(name) return perilune.run { args = { name, "--pid-file", pid_file }, timeout = 60 }.code end
    local _, ticket = ask(proxy, {})
    assert.equal(0, command "upgrade")
    proxy:ended()
    local resumed = ask(proxy, { ticket = ticket })
    assert.equal(0, command "stop")
    assert.is_true(resumed)
  end)

  it("is a new one where the client's certificate is looked at otherwise", function()
    local own = tls.certificate "client.example"
    local listen = 'perilune.listen("127.0.0.1:0", policy, { ' .. list_of(files) .. ", %s})\n"
    local verify = ("client_ca = %q, client_verify = "):format(ca)
    local proxy = perilune.start { workers = 1, policy = "local perilune = require 'perilune'\nlocal policy = {}\n" ..
      HOOKS .. listen:format "" .. listen:format(verify .. "'optional'") .. listen:format(verify .. "'required'") }
    local tickets = {}
    for i, port in ipairs(proxy.ports) do
      local resumed, ticket, body = ask({ port = port }, { files = own })
      assert.is_false(resumed)
      assert.equal(i > 1, body:match "CN=" ~= nil)
      tickets[i] = ticket
    end
    for i, port in ipairs(proxy.ports) do
      for k, ticket in pairs(tickets) do
        local resumed, _, body = ask({ port = port }, { files = own, ticket = ticket })
        assert.equal(i == k, resumed)
        assert.equal(i > 1, body:match "CN=" ~= nil) -- who the client is survives with the session
      end
    end
  end)
end)

describe("client certificates", function()
  local files, own = tls.certificate "a.example", tls.certificate "client.example"
  local stranger
  local function verify(how) return list_of(files) .. (", client_ca = %q, client_verify = %q"):format(ca, how) end

  local function ask(proxy, with, version)
    local connection = client.connect { port = proxy.port, tls = { name = "a.example", ca = ca, files = with,
      newest = version } }
    local response, message = connection:request {}
    connection:close()
    return response and response.body, message
  end

  setup(function()
    local directory = process.directory()
    stranger = { certificate = directory .. "/s.pem", key = directory .. "/s.key" }
    assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " ..
      "-subj /CN=x -keyout %s -out %s 2>/dev/null"):format(stranger.key, stranger.certificate)))
  end)

  it("are told to the policy", function()
    local proxy = start(verify "optional")
    local body = ask(proxy, own)
    local pipe = io.popen("openssl x509 -noout -serial -fingerprint -sha256 -in " .. own.certificate)
    local facts = pipe:read "*a"
    pipe:close()
    local serial = facts:match "serial=(%x+)"
    local fingerprint = facts:match("Fingerprint=([%x:]+)"):gsub(":", ""):lower()
    assert.equal(("TLSv1.3 a.example CN=%s %s %s"):format(own.name, serial, fingerprint), body)
  end)

  it("are not needed when they are optional, but must be good where there is one", function()
    local proxy = start(verify "optional")
    assert.truthy(ask(proxy, nil):match "nobody")
    assert.is_nil((ask(proxy, stranger)))
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, a%.example: certificate verify failed: "
    assert.equal(1, proxy:count_log "TLS handshake")
  end)

  for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
    it("are needed when they are required, with " .. version, function()
      local proxy = start(verify "required")
      assert.truthy(ask(proxy, own, version):match "CN=")
      local ok, body = pcall(ask, proxy, nil, version) -- with TLSv1.3 the client's handshake ends before it is refused
      if version == "TLSv1.2" then assert.is_false(ok) else assert.same({ true }, { ok, body }) end
      proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, a%.example: peer did not return a certificate"
      assert.equal(1, proxy:count_log "TLS handshake")
    end)
  end

  it("are not asked for otherwise", function()
    assert.truthy(ask(start(list_of(files)), own):match "nobody")
  end)
end)

describe("a TLS listener", function()
  local files = tls.certificate "a.example"

  it("speaks no version older than it may", function()
    local proxy = start(list_of(files) .. ', min_version = "TLSv1.3"')
    assert.equal(files.name, shown(proxy, "a.example"))
    assert.is_false((pcall(shown, proxy, "a.example", { newest = "TLSv1.2" })))
    proxy:wait_log "TLS handshake, a?.*: unsupported protocol"
  end)

  it("chooses http/1.1", function()
    local proxy = start(list_of(files))
    local connection = client.connect { port = proxy.port, tls = { name = "a.example", ca = ca, alpn = "http/1.1" } }
    assert.equal("http/1.1", connection.tls:alpn())
  end)

  it("logs a handshake that takes too long, once", function()
    local proxy = start(list_of(files) .. ", handshake_timeout = 0.2")
    local connection = client.connect { port = proxy.port }
    require("scene").sooner_than(10, function() assert.is_true(connection:is_closed()) end)
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, no server name: it took too long"
    assert.equal(1, proxy:count_log "TLS handshake")
  end)

  it("logs a client that speaks no TLS, once", function()
    local proxy = start(list_of(files))
    local connection = client.connect { port = proxy.port }
    connection:send "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    assert.equal(400, assert(connection:read_response()).status)
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, no server name: http request"
    assert.equal(1, proxy:count_log "TLS handshake")
  end)
end)

describe("an OCSP response in a file", function()
  local files, other = tls.certificate "a.example", tls.certificate "b.example"
  local directory, authority = process.directory(), tls.authority()

  -- The responder's answer for a certificate, good for some days.
  local function respond(to, name, days)
    local pipe = io.popen("openssl x509 -noout -serial -in " .. to.certificate)
    local serial = pipe:read("*a"):match "serial=(%x+)"
    pipe:close()
    local index, response = directory .. "/index.txt", directory .. "/" .. name
    process.write_file(index, ("V\t491231235959Z\t\t%s\tunknown\t/CN=x\n"):format(serial))
    assert(0 == os.execute(("openssl ocsp -index %s -CA %s -rsigner %s -rkey %s -issuer %s -cert %s -ndays %d " ..
      "-noverify -respout %s >/dev/null 2>&1"):format(index, authority.certificate, authority.certificate,
      authority.key, authority.certificate, to.certificate, days, response)))
    return response
  end

  local function with(response)
    return ("certificate = %q, key = %q, ocsp = %q, "):format(files.certificate, files.key, response) .. list_of(other)
  end

  local function stapled(proxy, name)
    local connection = client.connect { port = proxy.port, tls = { name = name, ca = ca } }
    return connection.tls:status()
  end

  it("is stapled to its certificate only", function()
    local response = respond(files, "good.der", 1)
    local proxy = start(with(response))
    assert.is_true(process.read_file(response) == stapled(proxy, "a.example"))
    assert.is_nil(stapled(proxy, "b.example"))
  end)

  it("is an error of the policy when it is another certificate's, or none", function()
    local result = perilune.run { policy = policy_of(with(respond(other, "other.der", 1))) }
    assert.equal(2, result.code)
    assert.truthy(result.stderr:match "policy%.lua:%d+: OCSP response .*/other%.der: it is for another certificate")
    process.write_file(directory .. "/none.der", "this is none")
    result = perilune.run { policy = policy_of(with(directory .. "/none.der")) }
    assert.equal(2, result.code)
    assert.truthy(result.stderr:match "policy%.lua:%d+: OCSP response .*/none%.der: ")
  end)
end)
