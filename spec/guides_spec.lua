-- SPDX-License-Identifier: Apache-2.0
-- docs/getting_started.md does what it says: its blocks are run in their order, in an empty folder. docs/index.md names
-- every guide.

local perilune = require "spec.support.perilune"
local process = require "perilune.test.process"
local origins = require "perilune.test.origins"

describe("docs/getting_started.md", function()
  it("works by copy and paste", function()
    local text, directory = process.read_file "docs/getting_started.md", process.directory()
    local origin = origins.start "from the origin"
    local listen = origins.free_address()
    local lua, shell = {}, {}
    for language, block in text:gmatch "```(%l+)\n(.-)```" do
      block = block:gsub("127%.0%.0%.1:8000", origin.address):gsub("127%.0%.0%.1:8080", listen)
      if language == "lua" then lua[#lua + 1] = block else shell[#shell + 1] = block end
    end
    assert.equal(2, #lua)
    local binary = process.run({ "realpath", perilune.binary }).stdout:gsub("\n", "")
    -- What the reader does between two blocks: saves a file, and waits until the proxy that was started is there.
    local script = { "set -e", ("cd %q; mkdir here; cd here; ln -s %q perilune; export PATH=$PWD:$PATH")
        :format(directory, binary),
      ("ready() { for i in $(seq 300); do curl -so /dev/null http://%s/ && return; sleep 0.1; done; false; }")
        :format(listen) }
    local function add(line) script[#script + 1] = line end
    local function steps(block)
      for line in block:gmatch "[^\n]+" do
        if not line:find "^python3" then
          line = line:gsub("^(perilune st%a+)$", "%1 --pid $!")
          add(line)
          if line:find "&$" then add "ready" end
        end
      end
    end
    steps(shell[1])
    steps(shell[2])
    process.write_file(directory .. "/mine.lua", lua[1])
    process.write_file(directory .. "/policy_spec.lua", lua[2])
    add "cp ../mine.lua policy.lua; cp ../policy_spec.lua ."
    for i = 3, #shell do steps(shell[i]) end
    local result = process.run({ "bash", "-c", table.concat(script, "\n") }, { directory = directory, timeout = 240 })
    assert.equal(0, result.code, result.stdout .. result.stderr)
    for _, words in ipairs { "from the origin", "hello from the policy", "X-Proxy: perilune", "policy.lua: fine" } do
      assert.is_truthy(result.stdout:find(words, 1, true), words .. ":\n" .. result.stdout .. result.stderr)
    end
  end)
end)

describe("docs/index.md", function()
  it("names every guide", function()
    local index = process.read_file "docs/index.md"
    for path in process.run({ "ls", "docs" }).stdout:gmatch "%S+%.md" do
      assert.is_truthy(path == "index.md" or index:find("](" .. path .. ")", 1, true), path)
    end
  end)
end)
