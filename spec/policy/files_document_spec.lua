-- SPDX-License-Identifier: Apache-2.0
-- docs/finding_files.md and docs/testing.md: their files, as they are written there, in a folder of their own.
local process = require "perilune.test.process"
local sys = require "perilune.test.sys"
local test = require "perilune.test"

-- Writes the blocks of a guide whose first line is the name of a file, in a comment. Returns the folder.
local function unpacked(path)
  local folder, count = process.directory(), 0
  for block in process.read_file(path):gmatch "```%l+\n(.-)```" do
    local name = block:match "^%-%- ([%w_/]+%.lua)\n" or block:match "^# ([%w_/]+%.yaml)\n"
    if name then
      if name:find "/" then assert(os.execute("mkdir -p " .. folder .. "/" .. name:match "^(.*)/") == 0) end
      process.write_file(folder .. "/" .. name, (block:gsub("127%.0%.0%.1:8080", "127.0.0.1:0")))
      count = count + 1
    end
  end
  return folder, count
end

-- What a start says of that line instead of the one that stands in the policy.
local function fault(folder, line, instead)
  local path = folder .. "/site/policy.lua"
  local text = process.read_file(path)
  process.write_file(path, (text:gsub(line, instead, 1)))
  local _, why = pcall(test.harness, { policy = path })
  process.write_file(path, text)
  return tostring(why)
end

describe("docs/finding_files.md", function()
  it("has a policy that finds its files from another folder", function()
    local folder, count = unpacked "docs/finding_files.md"
    assert.equal(4, count)
    local h = test.harness { policy = folder .. "/site/policy.lua" }
    assert.body("ada, at most 10\n", h:request { path = "/a" })
    assert.body("nobody, at most 10\n", h:request { path = "/b" })
  end)

  it("shows what is said of names that are not there", function()
    local folder = unpacked "docs/finding_files.md"
    local page = process.read_file "docs/finding_files.md"
    for line, instead in pairs { ['"gateway"'] = '"gatway"', ['"perilune"'] = '"perilune.rate_limt"' } do
      local said = page:match("\n    site/policy%.lua:%d+: (module '" .. instead:match '"(.*)"' .. "'[^\n]+)")
      local why = fault(folder, line, instead)
      assert.is_truthy(why:find(assert(said, instead), 1, true), why)
    end
    assert.matches("hosts%.yml", fault(folder, "hosts%.yaml", "hosts.yml"))
  end)

  it("says where io.open looks, and what must be absolute", function()
    local folder = process.directory()
    process.write_file(folder .. "/beside.txt", "x")
    local policy = process.write_file(folder .. "/policy.lua", [[
      local perilune = require "perilune"
      local opened = io.open "beside.txt" ~= nil
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = tostring(opened) }
      end })
    ]])
    assert.body("false", test.harness({ policy = policy }):request {})
    local _, why = pcall(test.harness, { policy = [[
      require("perilune").cache("a", { size = "1M", path = "relative" })
    ]] })
    assert.matches('which begins with "/"', tostring(why), 1, true)
  end)
end)

describe("docs/testing.md", function()
  it("has a spec that passes", function()
    local folder, count = unpacked "docs/testing.md"
    assert.equal(2, count)
    local result = process.run({ "sh", "-c", "cd $1 && exec $2 test policy_spec.lua", "sh", folder, sys.own_binary() },
      { timeout = 60 })
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.matches("3 successes", result.stdout)
  end)

  it("says of what the bench does not simulate what the annotations say", function()
    local page, annotations = process.read_file "docs/testing.md", process.read_file "lua/perilune/types_test.lua"
    local part = annotations:match "It does not simulate the following.-\n(.-)%-%-%-@class"
    for _, word in ipairs { "TLS", "certificate", "response_trailer_filter", "hedg", "1xx", "perilune.tcp",
      "perilune.dns", "first_byte_timeout", "fetch", "workers", "reloads", "access log" } do
      assert.is_truthy(part:find(word, 1, true), word)
      assert.is_truthy(page:find(word, 1, true), word)
    end
  end)

  it("says what hooks see of it", function()
    local seen = {}
    local policy = test.policy { request_filter = function(session)
      seen.tls = session:tls() == nil
      seen.dns, seen.why = require("perilune.dns").addresses "localhost:80"
      seen.tcp = pcall(function() return require("perilune.tcp").connect "127.0.0.1:1" end)
      return session:respond { status = 200 }
    end }
    policy:request { scheme = "https" }
    assert.is_true(seen.tls)
    assert.is_nil(seen.dns)
    assert.is_string(seen.why)
    assert.is_false(seen.tcp)
  end)
end)
