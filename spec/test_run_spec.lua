-- SPDX-License-Identifier: Apache-2.0
-- dist/test.sh, over specs made up here: what it counts, and that nothing which went wrong looks like a good run.
local lfs = require "lfs"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local UNITS = "echo '2 passed, 0 failed'"
local INSIDE = "echo 'ok 1 - inside'; echo 1..1"
local GOOD = "it('is good', function() end)"
local OUTLIVES = "os.execute('sleep 600 &')"
local LEAVES = "io.open(os.getenv 'TMPDIR' .. '/forgotten', 'w'):close()"

local function script(path, text)
  process.write_file(path, "#!/bin/sh\n" .. text .. "\n")
  assert(os.execute("chmod +x " .. path) == 0)
end

-- A project with the spec files given, by name; and with other programs than the real ones.
local function run(specs, options)
  options = options or {}
  local directory, here = process.directory(), lfs.currentdir()
  for _, name in ipairs { "spec", "spec/policy", "build" } do assert(lfs.mkdir(directory .. "/" .. name)) end
  for _, name in ipairs { "dist", "lua", "spec/support" } do
    assert(lfs.link(here .. "/" .. name, directory .. "/" .. name, true))
  end
  process.write_file(directory .. "/spec/policy/inside_spec.lua", "")
  for name, text in pairs(specs) do process.write_file(("%s/spec/%s_spec.lua"):format(directory, name), text) end
  script(directory .. "/build/units", options.units or UNITS)
  script(directory .. "/build/perilune", options.inside or INSIDE)
  local command = ("cd %s && exec dist/test.sh build '%s'"):format(directory, options.pattern or "")
  local env = { SPEC_NAMES = false, SPEC_GRACE = "0.2" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local result = process.run({ "sh", "-c", command }, { env = env, timeout = 60 })
  result.closing = result.stdout:match "([^\n]*)\n$"
  return result
end

local function assert_failed(count, told, result)
  assert.matches("%d+ passed, " .. count .. " failed", result.closing)
  assert.truthy(result.stdout:find(told, 1, true), result.stdout)
  assert.equal(1, result.code)
end

describe("a test run", function()
  it("adds up the units, the specs and those inside", function()
    local result = run { first = GOOD, second = GOOD .. GOOD }
    assert.equal("6 passed, 0 failed", result.closing, result.stdout)
    assert.matches("spec/first_spec.lua %. .*spec/second_spec.lua %.%. ", result.stdout)
    assert.equal(0, result.code)
  end)

  it("runs the files that a pattern names, or else the sentences that it matches", function()
    local specs = { first = GOOD, second = "it('is better', function() end)" .. GOOD }
    local nothing = { units = "echo '0 passed, 0 failed'", inside = "echo 1..0" }
    nothing.pattern = "second"
    assert.equal("2 passed, 0 failed", run(specs, nothing).closing)
    nothing.pattern = "better"
    assert.equal("1 passed, 0 failed", run(specs, nothing).closing)
    nothing.pattern = "none of these"
    local result = run(specs, nothing)
    assert.equal("0 passed, 0 failed", result.closing)
    assert.equal(1, result.code)
  end)

  it("counts what could not be run here, and says why, before the closing line", function()
    local later = "it('is for later', function() pending 'no browser is here' end)"
    local inside = "echo 'ok 1 - inside'; echo 'ok 2 - # SKIP not inside'; echo 1..2"
    local result = run({ first = GOOD .. later }, { inside = inside })
    assert.equal("4 passed, 0 failed", result.closing, result.stdout)
    assert.matches("\npending: is for later %(no browser is here%)\n", result.stdout)
    assert.matches("\npending: not inside\n", result.stdout)
    assert.matches("\n2 pending: not run here, [^\n]*\n4 passed, 0 failed\n$", result.stdout)
    assert.not_matches("pending", run({ first = GOOD }).stdout)
  end)

  it("fails when a spec does, and tells which", function()
    assert_failed(1, "FAILED is bad", run { first = GOOD .. "it('is bad', function() error 'deliberate' end)" })
  end)

  it("fails when a spec file cannot be loaded", function()
    assert_failed(1, "spec/first_spec.lua", run { first = "this is no Lua", second = GOOD })
  end)

  it("fails when a program ends before its end, however it ends", function()
    local ends = { ["0"] = "os.exit(0)", ["-6"] = "require('ffi').cdef 'void abort(void);' require('ffi').C.abort()" }
    for status, text in pairs(ends) do
      local told = ("FAILED spec/first_spec.lua\n  ended with status %s, before its end"):format(status)
      assert_failed(1, told, run { first = GOOD .. ("it('ends', function() %s end)"):format(text), second = GOOD })
    end
    assert_failed(1, "said before\n", run({ first = GOOD }, { units = "echo said before; kill -ABRT $$" }))
    assert_failed(1, "ended with status -6", run({ first = GOOD }, { inside = "echo 'ok 1 - a'; kill -ABRT $$" }))
  end)

  it("fails when a program says that all went well and ends with another status than 0", function()
    assert_failed(1, "FAILED units\n  ended with status 23", run({ first = GOOD }, { units = UNITS .. "; exit 23" }))
    assert_failed(1, "ended with status 23", run({ first = GOOD }, { inside = INSIDE .. "; exit 23" }))
  end)

  it("ends what takes too long", function()
    local result = run({ first = "it('hangs', function() while true do end end)" }, { env = { SPEC_SECONDS = "0.5" } })
    assert_failed(1, "did not end within 0.5 s", result)
  end)

  it("finds the processes and files that a spec file leaves behind, and ends and removes them", function()
    local result = run { first = ("it('outlives', function() %s end)"):format(OUTLIVES) }
    assert_failed(1, "left running: ", result)
    local pid = tonumber(result.stdout:match "left running: (%d+) sleep 600")
    scheduler.eventually(function() return not lfs.attributes("/proc/" .. pid) end)
    assert_failed(1, "left in TMPDIR: forgotten", run { first = ("it('leaves', function() %s end)"):format(LEAVES) })
  end)
end)
