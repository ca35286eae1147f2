-- SPDX-License-Identifier: Apache-2.0
-- The command line: what it prints, where to, and with which exit code.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local sys = require "sys"

after_each(require("cleanup").run)

local function is_misuse(result, ...)
  assert.equal(2, result.code, result.stderr)
  assert.equal("", result.stdout)
  for _, pattern in ipairs { ... } do assert.matches(pattern, result.stderr) end
end

local COMMANDS = { "run", "proxy", "check", "test", "reload", "upgrade", "status", "backend", "ps", "trace", "purge",
  "stop", "version", "help" }

describe("perilune", function()
  it("prints its version", function()
    local result = perilune.run "version"
    assert.equal(0, result.code)
    assert.matches("^perilune %d+%.%d+", result.stdout)
  end)

  it("prints its version for -v, -V and --version, too", function()
    for _, word in ipairs { "-v", "-V", "--version" } do
      assert.same(perilune.run "version", perilune.run(word))
    end
  end)

  it("prints help that names every command in a line, and fits a screen of 32 lines", function()
    local result = perilune.run "help"
    assert.equal(0, result.code)
    for _, command in ipairs(COMMANDS) do assert.matches("\n  perilune " .. command, result.stdout) end
    assert.is_true(select(2, result.stdout:gsub("\n", "")) < 32)
    for _, word in ipairs { "-h", "--help" } do assert.same(result, perilune.run(word)) end
  end)

  it("prints all of a command for help COMMAND, COMMAND --help and COMMAND -h", function()
    for _, command in ipairs(COMMANDS) do
      local result = perilune.run("help", command)
      assert.equal(0, result.code)
      assert.matches("^perilune " .. command .. ": ", result.stdout)
      if command ~= "test" and command ~= "help" then -- which has busted's
        for _, word in ipairs { "--help", "-h" } do assert.same(result, perilune.run(command, word)) end
      end
    end
    assert.matches("%-%-health PATH", perilune.run("help", "proxy").stdout)
    assert.matches("%-%-pid%-file FILE", perilune.run("run", "x.lua", "--help").stdout)
    assert.not_matches("%-%-workers", perilune.run("help", "stop").stdout)
  end)

  it("takes the value of an option behind = as well, and false for one that is on or off", function()
    local script = process.write_file(process.directory() .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.configure { watch = true }
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })
    ]])
    local result = perilune.run("run", "--print-config", "--workers=3", "--error-log=a=b", "--watch=false", script)
    assert.equal(0, result.code, result.stderr)
    assert.matches("workers +3 +command line", result.stdout)
    assert.matches("error_log +a=b +command line", result.stdout)
    assert.matches("watch +false +command line", result.stdout)
  end)

  it("takes what stands behind -- for no option", function()
    is_misuse(perilune.run("check", "--", "--no-such.lua"), "%-%-no%-such%.lua")
    is_misuse(perilune.run("run", "--", "a.lua", "b.lua"), "b%.lua")
  end)

  it("names a script that does not exist", function()
    is_misuse(perilune.run("run", "no_such_policy.lua"), "no_such_policy%.lua")
    is_misuse(perilune.run("check", "no_such_policy.lua"), "no_such_policy%.lua")
  end)
end)

describe("perilune check", function()
  it("accepts a good policy and opens nothing", function()
    local fd = sys.listen("127.0.0.1", 0) -- were it opened, it would be in use
    local script = process.write_file(process.directory() .. "/policy.lua", policies.fill([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:$PORT", { upstream_peer = function() return { address = "127.0.0.1:1" } end })
    ]], { PORT = sys.port(fd) }))
    local result = perilune.run("check", script)
    sys.close(fd)
    assert.equal(0, result.code, result.stderr)
    assert.not_matches("listening", result.stderr)
  end)
end)

describe("perilune proxy", function()
  it("forwards to its peers in turn, without a script", function()
    local a, b = origins.start "a", origins.start "b"
    local proxy = perilune.start { to = { a.address, b.address } }
    local bodies = {}
    for i = 1, 4 do bodies[i] = client.request(proxy.port).body end
    assert.not_equal(bodies[1], bodies[2])
    assert.same({ bodies[1], bodies[2] }, { bodies[3], bodies[4] })
  end)

  it("forwards Host as the client sent it", function()
    local origin = origins.start "a"
    local proxy = perilune.start { to = { origin.address } }
    client.request { port = proxy.port, host = "my.example:8080" }
    assert.same({ "my.example:8080" }, origin.requests[1].headers:all "host")
  end)

  it("needs both of its options, and addresses in them", function()
    is_misuse(perilune.run("proxy", "--to", "127.0.0.1:1"), "%-%-listen")
    is_misuse(perilune.run("proxy", "--listen", "127.0.0.1:0"), "%-%-to")
    is_misuse(perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:99999"), "127%.0%.0%.1:99999")
    is_misuse(perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1"), "127%.0%.0%.1")
    is_misuse(perilune.run("proxy", "--listen", "nowhere", "--to", "127.0.0.1:1"), "nowhere")
    is_misuse(perilune.run("proxy", "--listen", "127.0.0.1:0", "--to", ""), "%-%-to")
  end)

  it("says which address is in use", function()
    local fd = sys.listen("127.0.0.1", 0)
    local address = "127.0.0.1:" .. sys.port(fd)
    local result = perilune.run("proxy", "--listen", address, "--to", "127.0.0.1:1")
    sys.close(fd)
    assert.equal(2, result.code)
    assert.matches((address:gsub("%p", "%%%0")) .. ": Address already in use %('ss %-ltnp' shows who", result.stderr)
  end)

  it("says which address of its own is in the way", function()
    local fd = sys.listen("127.0.0.1", 0)
    local port = sys.port(fd)
    sys.close(fd)
    local every, one = ":" .. port, "127.0.0.1:" .. port
    for _, pair in ipairs { { every, one }, { one, every } } do
      local result = perilune.run("proxy", "--listen", pair[1], "--listen", pair[2], "--to", "127.0.0.1:1")
      assert.equal(2, result.code)
      assert.truthy(result.stderr:find(("cannot listen on %s: this process listens on that port already, by %s")
        :format(pair[2], pair[1]), 1, true), result.stderr)
    end
  end)
end)
