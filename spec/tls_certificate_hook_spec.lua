-- SPDX-License-Identifier: Apache-2.0
-- The certificate hook: certificates that the policy knows, by name, asked for in the middle of a handshake.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local a, b, own = tls.certificate "a.example", tls.certificate "b.example", tls.certificate "own.example"

local function start(hook, listen, options)
  options = options or {}
  options.workers = options.workers or 1
  options.policy = policies.fill([[
    local perilune = require "perilune"
    local policy = {}
    local A, AK, B, BK = "$A_FILE", "$A_KEY", "$B_FILE", "$B_KEY"
    local function read(path)
      local file = assert(io.open(path))
      local text = file:read "*a"
      file:close()
      return text
    end
    local asked = perilune.counter "asked"
    function policy.certificate(hello, ctx)
      asked:add(1)
      $HOOK
    end
    function policy.request_filter(session)
      return session:respond { status = 200, body = ("%d %s"):format(asked:get(), session:tls().server_name or "none") }
    end
    perilune.listen("127.0.0.1:0", policy, { $LISTEN })
  ]], { A_FILE = a.certificate, A_KEY = a.key, B_FILE = b.certificate, B_KEY = b.key, HOOK = hook,
    LISTEN = listen or "" })
  return perilune.start(options)
end

local FIFO = process.directory() .. "/fifo"
assert(os.execute(("mkfifo '%s'"):format(FIFO)) == 0)

-- Code for a hook that waits until the spec makes the file which is returned as well.
local function waits()
  local path = process.directory() .. "/go"
  return ("perilune.log.info 'it has begun' repeat perilune.sleep(0.01) until io.open(%q) "):format(path), path
end

local with_own = ("certificate = %q, key = %q"):format(own.certificate, own.key)

-- The common name of the certificate that a client is shown, and how often the hook was asked so far.
local function ask(proxy, name, options)
  options = options or {}
  options.name = name
  local connection = client.connect { port = proxy.port, tls = options }
  local shown = connection.tls:certificate()
  local body = assert(connection:request {}).body
  local ticket, resumed = connection.tls:ticket(), connection.tls:is_resumed()
  connection:close()
  return shown, tonumber(body:match "^%d+"), ticket, resumed
end

local function is_refused(proxy, name, options)
  options = options or {}
  options.name = name
  return not pcall(client.connect, { port = proxy.port, tls = options })
end

describe("the certificate hook", function()
  local by_name = 'if hello.server_name == "a.example" then return A, AK end return B, BK'

  for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
    it("gives the certificate for a name, with " .. version, function()
      local proxy = start(by_name)
      assert.equal(a.name, (ask(proxy, "a.example", { newest = version })))
      assert.equal(b.name, (ask(proxy, "b.example", { newest = version })))
      assert.equal(b.name, (ask(proxy, nil, { newest = version })))
    end)
  end

  it("may give PEM text", function()
    assert.equal(a.name, (ask(start "return read(A), read(AK)", "a.example")))
  end)

  it("may wait, while other handshakes go on", function()
    local wait, go = waits()
    local proxy, slow = start('if hello.server_name == "a.example" then ' .. wait .. " end " .. by_name), nil
    scheduler.spawn(function() slow = ask(proxy, "a.example") end)
    assert.equal(b.name, (ask(proxy, "b.example")))
    assert.is_nil(slow)
    process.write_file(go, "")
    scheduler.eventually(function() return slow == a.name end, 40, "the slow handshake")
  end)

  it("is asked once for a name, by all workers together, while its answer is kept", function()
    local proxy = start(by_name, nil, { workers = 3 })
    for _ = 1, 6 do assert.equal(1, (select(2, ask(proxy, "a.example")))) end
    assert.equal(1, (select(2, ask(proxy, "A.example"))))
    assert.equal(2, (select(2, ask(proxy, "b.example"))))
  end)

  it("is asked again when its answer was for a time that is over, or for once", function()
    local proxy = start 'if hello.server_name == "a.example" then return A, AK, 1 end return B, BK, 0'
    assert.equal(1, (select(2, ask(proxy, "a.example"))))
    scheduler.sleep(2.1)
    assert.equal(2, (select(2, ask(proxy, "a.example"))))
    assert.equal(3, (select(2, ask(proxy, "b.example"))))
    assert.equal(4, (select(2, ask(proxy, "b.example"))))
  end)

  it("is asked again after a reload", function()
    local proxy = start(by_name)
    assert.equal(1, (select(2, ask(proxy, "a.example"))))
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    assert.equal(2, (select(2, ask(proxy, "a.example"))))
  end)

  it("leaves it to the listener's own certificates by giving none", function()
    local hook = 'if hello.server_name == "a.example" then return A, AK end'
    local proxy = start(hook, with_own)
    assert.equal(a.name, (ask(proxy, "a.example")))
    assert.equal(own.name, (ask(proxy, "own.example")))
    proxy = start(hook)
    assert.is_true(is_refused(proxy, "other.example"))
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, other%.example: there is no certificate"
  end)

  it("refuses a name with false, also to clients that resume another's session", function()
    local proxy = start('if hello.server_name == "a.example" then return A, AK end return false', with_own)
    local _, _, ticket = ask(proxy, "a.example")
    assert.is_true(is_refused(proxy, "b.example"))
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, b%.example: the policy has refused it"
    assert.equal(1, proxy:count_log "TLS handshake")
    assert.is_true((select(4, ask(proxy, "a.example", { ticket = ticket }))))
    assert.is_true(is_refused(proxy, "b.example", { ticket = ticket }))
  end)

  it("is not asked for a session that is resumed", function()
    local proxy = start "return A, AK, 0"
    local _, count, ticket = ask(proxy, "a.example")
    assert.equal(1, count)
    local _, again, _, resumed = ask(proxy, "a.example", { ticket = ticket })
    assert.is_true(resumed)
    assert.equal(1, again)
  end)

  for what, case in pairs {
    ["raises"] = { 'error "no luck"', "certificate failed: .*no luck" },
    ["gives something else"] = { "return 1", "%(certificate%): expected a certificate and its key" },
    ["gives files that do not fit"] =
      { "return A, BK", "%(certificate%): key .*b_example%.key: it does not belong to " },
    ["gives a file that is not there"] = { 'return "no.pem", AK', "%(certificate%): certificate .*no%.pem: No such" },
    ["gives what would be read without an end"] = {
      'return "/dev/zero", AK', "%(certificate%): certificate /dev/zero: it is no regular file",
    },
    ["gives a FIFO that nobody writes to"] = {
      ("return %q, AK"):format(FIFO), "%(certificate%): certificate .*/fifo: it is no regular file",
    },
    ["gives text that is none"] = { 'return "-----BEGIN CERTIFICATE-----", AK', "certificate %(PEM text%): " },
  } do
    it("that " .. what .. " refuses the handshake, and the log says why", function()
      local proxy = start(case[1], with_own)
      assert.is_true(is_refused(proxy, "a.example"))
      proxy:wait_log(case[2])
      proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, a%.example: the policy has refused it"
    end)
  end

  it("that waits too long ends with the handshake's time", function()
    local proxy = start("perilune.sleep(60) return A, AK", "handshake_timeout = 0.3")
    assert.is_true(is_refused(proxy, "a.example"))
    proxy:wait_log "client 127%.0%.0%.1:%d+: TLS handshake, a%.example: it took too long"
    assert.equal(1, proxy:count_log "TLS handshake")
  end)

  it("goes on behind a reload that comes while it waits, and one that takes it away", function()
    local wait, go = waits()
    local proxy, shown = start(wait .. "return A, AK", with_own), nil
    scheduler.spawn(function()
      local connection = client.connect { port = proxy.port, tls = { name = "a.example" } }
      shown = connection.tls:certificate()
    end)
    proxy:wait_log "(it has begun)"
    local script = proxy:log():match "ready: %d+ workers?, (%S+)"
    process.write_file(script, (process.read_file(script):gsub("policy%.certificate", "_G.unused")))
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    process.write_file(go, "")
    scheduler.eventually(function() return shown == a.name end, 40, "the handshake that waited")
    assert.equal(own.name, (ask(proxy, "a.example")))
  end)

  it("is forgotten with its connections when the proxy stops", function()
    local proxy = start(waits() .. "return A, AK")
    local connection = client.connect { port = proxy.port }
    scheduler.spawn(function() connection:start_tls "a.example" end)
    proxy:wait_log "(it has begun)"
    proxy:stop()
  end)
end)
