-- SPDX-License-Identifier: Apache-2.0
-- Faults of a policy. Those of its text and its options end the start with one clear line and exit code 2, and
-- nothing is half started; those that show in a hook end the request, and the worker serves on.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local sys = require "sys"

after_each(require("cleanup").run)

local function lines(text) return select(2, text:gsub("[^\n]+", "")) end

-- Both `run` and `check` refuse the policy with one line that has all the patterns.
local function is_refused(policy, ...)
  local script = process.write_file(process.directory() .. "/policy.lua", policy)
  for _, command in ipairs { "run", "check" } do
    local result = perilune.run(command, script)
    assert.equal(2, result.code, command .. ": " .. result.stderr)
    for _, pattern in ipairs { "policy%.lua", ... } do assert.matches(pattern, result.stderr) end
    assert.equal(1, lines(result.stderr), command .. ": " .. result.stderr)
    assert.not_matches("listening", result.stderr)
  end
end

describe("a policy is refused with exit code 2 and one line", function()
  it("for a syntax error, with file and line", function()
    is_refused("local a = 1\nlocal b = = 2\n", "policy%.lua:2:")
  end)

  it("for an error when it is run, with file and line", function()
    is_refused("local a\na.b = 1\n", "policy%.lua:2:", "nil")
  end)

  it("for a hook that is no function, by its name", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() end, request_filter = "yes" })
    ]], "policy%.lua:2:", "request_filter", "function")
  end)

  it("for a hook that does not exist, by its name", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() end, request_filtr = function() end })
    ]], "policy%.lua:2:", "request_filtr")
  end)

  it("without upstream_peer, which is required", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", {})
    ]], "policy%.lua:2:", "upstream_peer")
  end)

  it("for an unknown option of listen, by its name", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() end }, { keepalive_tiemout = 3 })
    ]], "policy%.lua:2:", "keepalive_tiemout")
  end)

  it("for an option of the wrong kind, by its name", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() end }, { keepalive_timeout = "long" })
    ]], "policy%.lua:2:", "keepalive_timeout")
  end)

  it("for an unknown option of a default script, by its name", function()
    is_refused([[
      require("perilune.rate_limit").new { header = "appid", max = 1, intervall = 1 }
    ]], "policy%.lua:1:", "intervall")
  end)

  it("for an address that is none", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:99999", { upstream_peer = function() end })
    ]], "policy%.lua:2:", "127%.0%.0%.1:99999")
  end)

  it("for a certificate that does not exist, by its file", function()
    is_refused([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() end },
        { certificate = "missing.pem", key = "missing.key" })
    ]], "missing%.pem")
  end)

  it("for a module that does not exist", function()
    is_refused("local a = require 'perilune.no_such_thing'\n", "policy%.lua:1:", "perilune%.no_such_thing")
  end)

  it("for an error that says neither file nor line, with both", function()
    is_refused("error { code = 1 }\n", "table")
    is_refused("error('no such luck', 0)\n", "policy%.lua:1: no such luck")
  end)

  it("for trusted authorities of a health check that do not exist, by their file", function()
    is_refused([[
      local set = require("perilune.round_robin").new { "127.0.0.1:1" }
      require("perilune.health_check").tls(set, { ca = "missing.pem" })
    ]], "policy%.lua:2:", "'ca'", "missing%.pem")
  end)

  it("for a limit by a field that can have no such name", function()
    is_refused([[
      require("perilune.rate_limit").new { header = "app id", max = 1 }
    ]], "policy%.lua:1:", "'header'", "app id")
  end)

  it("when it listens on nothing", function()
    is_refused("local a = 1\n", "listen")
  end)
end)

describe("a port in use", function()
  it("ends the start with exit code 2 and a line that names the address; no other listener serves", function()
    local fd = sys.listen("127.0.0.1", 0)
    local address = "127.0.0.1:" .. sys.port(fd)
    local result = perilune.run {
      policy = policies.fill([[
        local perilune = require "perilune"
        local policy = { upstream_peer = function() end }
        perilune.listen("127.0.0.1:0", policy)
        perilune.listen("$ADDRESS", policy)
      ]], { ADDRESS = address }),
    }
    sys.close(fd)
    assert.equal(2, result.code)
    assert.matches((address:gsub("%p", "%%%0")), result.stderr)
    assert.matches("in use", result.stderr)
    assert.not_matches(" ready", result.stderr)
  end)
end)

describe("a hook that raises", function()
  local function raising(hook)
    return policies.to(origins.start "hello", {
      hooks = ("function policy.%s(session)\n  error('deliberate fault of ' .. '%s')\nend"):format(hook, hook),
    })
  end

  for _, hook in ipairs {
    "early_request_filter", "request_filter", "proxy_upstream_filter", "upstream_peer", "connected_to_upstream",
    "upstream_request_filter", "upstream_response_filter", "response_filter",
  } do
    it("in " .. hook .. " gives 500 with a traceback in the log, and the worker serves on", function()
      local proxy = perilune.start { workers = 1, policy = raising(hook) }
      local connection = client.connect(proxy.port)
      assert.equal(500, connection:request().status)
      proxy:wait_log("error [^\n]*deliberate fault of " .. hook .. ".-stack traceback.-policy%.lua:%d+")
      assert.equal(500, client.request(proxy.port).status)
      assert.is_nil(proxy:exit_code())
    end)
  end

  it("behind an answer gives 500 all the same", function()
    local proxy = perilune.start { workers = 1, policy = policies.to({ address = origins.dead_address() }, { hooks = [[
      function policy.request_filter(session)
        session:respond { status = 200, body = "fine" }
        if session:path() == "/wait" then perilune.sleep(0.01) end
        error(session:path() == "/status" and { status = 403 } or "deliberate")
      end
    ]] }) }
    assert.equal(500, client.request(proxy.port).status)
    assert.equal(500, client.request({ port = proxy.port, path = "/wait" }).status)
    assert.equal(403, client.request({ port = proxy.port, path = "/status" }).status)
  end)

  it("in logging changes nothing for the client", function()
    local proxy = perilune.start { workers = 1, policy = raising "logging" }
    assert.equal("hello", client.request(proxy.port).body)
    assert.equal("hello", client.request(proxy.port).body)
    proxy:wait_log "deliberate fault of logging"
  end)

  it("with a value that is no text is reported all the same", function()
    local policy = policies.to(origins.start "hello", { hooks = "function policy.request_filter() error {} end" })
    local proxy = perilune.start { workers = 1, policy = policy }
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "request_filter failed"
  end)
end)

describe("upstream_peer", function()
  for name, result in pairs {
    ["nothing"] = "", ["a number"] = "return 7", ["a boolean"] = "return true", ["an empty table"] = "return {}",
    ["an address that is none"] = "return { address = 'nowhere' }",
    ["an unknown field"] = "return { address = '127.0.0.1:1', sin = 'a' }",
    ["a field of the wrong kind"] = "return { address = '127.0.0.1:1', tls = 'yes' }",
  } do
    it("that gives " .. name .. " ends in 500, and a line says what was expected", function()
      local proxy = perilune.start {
        workers = 1, policy = ([[
          local perilune = require "perilune"
          perilune.listen("127.0.0.1:0", { upstream_peer = function() %s end })
        ]]):format(result),
      }
      assert.equal(500, client.request(proxy.port).status)
      local line = proxy:wait_log "(error [^\n]*upstream_peer[^\n]*)"
      assert.matches("policy%.lua", line)
      local expected = name == "an unknown field" and "'sin'" or name == "a field of the wrong kind" and "'tls'"
      assert.matches(expected or "address", line)
    end)
  end
end)
