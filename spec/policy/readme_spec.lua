-- SPDX-License-Identifier: Apache-2.0
-- The tour of README does what it says, as it is written there.
local test = require "perilune.test"
local process = require "perilune.test.process"
local proxy = require "perilune.test.proxy"

local readme = process.read_file "README.md"
local tour = readme:match "\n## Write a policy, test it, reload it\n(.-)\n## "

local function block(number)
  local blocks = {}
  for text in tour:gmatch "```lua\n(.-)```" do blocks[#blocks + 1] = text end
  return assert(blocks[number])
end

describe("README's tour", function()
  it("has a test that passes, with both of its kinds", function()
    local directory = process.directory()
    process.write_file(directory .. "/hello.lua", block(1))
    process.write_file(directory .. "/hello_spec.lua", block(2))
    local result = proxy.run { args = { "test", "-C", directory, "-o", "TAP", "hello_spec.lua" } }
    assert.equal("", result.stderr)
    assert.truthy(result.stdout:find "ok 1 %- hello refuses")
    assert.truthy(result.stdout:find "ok 2 %- hello passes")
    assert.equal(0, result.code)
  end)

  it("has a test that finds mistakes", function()
    local directory = process.directory()
    process.write_file(directory .. "/hello.lua", (block(1):gsub("403", "404"):gsub("perilune\"%)", "somebody\")")))
    process.write_file(directory .. "/hello_spec.lua", block(2))
    local result = proxy.run { args = { "test", "-C", directory, "-o", "TAP", "hello_spec.lua" } }
    assert.truthy(result.stdout:find("Wanted status 403.\n# Found: 404 Not Found", 1, true))
    local found = 'Wanted the field X-Served-By: "perilune".\n# Found: X-Served-By: "somebody"'
    assert.truthy(result.stdout:find(found, 1, true))
    assert.equal(1, result.code)
  end)

  it("has a policy that can be checked", function()
    local path = process.write_file(process.directory() .. "/hello.lua", block(1))
    assert.equal(0, proxy.run("check", path).code)
    assert.truthy(tour:find("test.clock:advance", 1, true) and test.clock.advance)
  end)
end)

describe("README", function()
  it("names every command that there is", function()
    local listed = assert(readme:match "## The command line\n\n```\n(.-)```")
    local help, count = proxy.run("help").stdout, 0
    for name in help:gmatch "\n  perilune ([%l-]+)" do
      count = count + 1
      assert.truthy((" " .. listed):find("perilune " .. name, 1, true) or listed:find("| " .. name, 1, true), name)
    end
    assert.is_true(count >= 20, help)
  end)
end)
