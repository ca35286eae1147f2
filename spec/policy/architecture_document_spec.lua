-- SPDX-License-Identifier: Apache-2.0
-- docs/architecture.md names folders and files that there are, and all folders of the program.
local process = require "perilune.test.process"

local text = process.read_file "docs/architecture.md"

local function is_there(path) return os.rename(path, path) ~= nil end

describe("docs/architecture.md", function()
  it("names folders and files that there are", function()
    local count = 0
    for path in text:gmatch "`(%l+/[%w_./]+)`" do
      if not path:find "*" then
        assert.is_true(is_there(path), path)
        count = count + 1
      end
    end
    assert.is_true(count >= 15)
  end)

  it("has all folders of the core", function()
    local listing = io.popen "ls -d core/*/"
    for folder in listing:read("*a"):gmatch "(core/%l+)/" do
      assert.is_truthy(text:find("`" .. folder .. "`", 1, true), folder)
    end
    listing:close()
  end)
end)
