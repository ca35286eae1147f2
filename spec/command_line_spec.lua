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

describe("perilune", function()
  it("prints its version", function()
    local result = perilune.run "version"
    assert.equal(0, result.code)
    assert.matches("^perilune %d+%.%d+", result.stdout)
  end)

  it("prints help that names every command", function()
    local result = perilune.run "help"
    assert.equal(0, result.code)
    for _, command in ipairs { "perilune run", "perilune proxy", "perilune check", "version", "help" } do
      assert.matches(command, result.stdout)
    end
  end)

  it("prints help when it is asked for behind a command, too", function()
    for _, option in ipairs { "--help", "-h" } do
      local result = perilune.run("run", option)
      assert.equal(0, result.code)
      assert.matches("perilune check", result.stdout)
    end
  end)

  it("takes a word with a single dash for an option, not for a script", function()
    is_misuse(perilune.run("run", "-w", "policy.lua"), "unknown option %-w")
  end)

  it("says where the value of an option belongs", function()
    is_misuse(perilune.run("run", "--workers=2", "policy.lua"), "the word behind it", "%-%-workers=2")
  end)

  it("says what is wrong with a command that it does not know", function()
    is_misuse(perilune.run "rnu", "rnu")
  end)

  it("without a command says where to read on, and fails", function()
    is_misuse(perilune.run(), "command", "perilune help")
  end)

  it("names an option that it does not know", function()
    is_misuse(perilune.run("run", "--wrokers", "2", "x.lua"), "%-%-wrokers")
    is_misuse(perilune.run("proxy", "--listne", ":0"), "%-%-listne")
  end)

  it("names a number of workers that is none", function()
    for _, number in ipairs { "0", "-1", "two", "99999" } do
      is_misuse(perilune.run("run", "--workers", number, "x.lua"), "workers", (number:gsub("%-", "%%-")))
    end
  end)

  it("names a script that does not exist", function()
    is_misuse(perilune.run("run", "no_such_policy.lua"), "no_such_policy%.lua")
    is_misuse(perilune.run("check", "no_such_policy.lua"), "no_such_policy%.lua")
  end)

  it("run and check need a script", function()
    is_misuse(perilune.run "run", "SCRIPT")
    is_misuse(perilune.run "check", "SCRIPT")
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
    assert.matches((address:gsub("%p", "%%%0")), result.stderr)
  end)
end)
