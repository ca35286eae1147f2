-- SPDX-License-Identifier: Apache-2.0
-- docs/errors.md has every kind of error with its side and status, and advice; its policy does what it says.
local origins = require "perilune.test.origins"
local process = require "perilune.test.process"
local test = require "perilune.test"

local page = process.read_file "docs/errors.md"
local SECTIONS = { downstream = "The client's", upstream = "The peer's", internal = "This machine's, and the policy's" }

describe("docs/errors.md", function()
  it("has every kind, in the section of its side, with its status, and says what to do", function()
    local all, count = process.read_file("core/base/error.h"):gsub("%s*\\\n%s*", " "), 0
    for name, side, status in all:gmatch 'X%([%u_]+, "([%l_]+)", (%u+), (%d+), %u+, "' do
      if name ~= "none" then
        local part = (page .. "\n## "):match("\n## " .. SECTIONS[side:lower()] .. "\n(.-)\n## ")
        local said, happened, advice = part:match("\n| `" .. name .. "` | ([%d-]+) | ([^|]+) | ([^|]+) |")
        assert.equal(name .. " " .. (status == "0" and "-" or status), name .. " " .. tostring(said))
        assert.is_true(#happened > 15 and #advice > 10, name)
        count = count + 1
      end
    end
    assert.equal(count, select(2, page:gsub("\n| `[%l_]+` | [%d-]+ |", "")))
    assert.is_true(count > 50)
  end)

  it("names options and settings that there are", function()
    local known = process.read_file "lua/perilune/types.lua"
    for name in page:gmatch "`([%l]+_[%l_]+)`" do
      assert.is_truthy(known:find(name, 1, true) or name == "ip_local_port_range", name)
    end
  end)

  it("has a policy that tells clients what went wrong", function()
    local policy = page:match "```lua\n(.-)```"
    local origin = origins.start "hello"
    local h = test.harness { policy = policy:gsub("127%.0%.0%.1:8080", "127.0.0.1:0")
      :gsub("127%.0%.0%.1:8000", origin.address) }
    assert.body("hello", h:request {})
    local too_long = h:request { path = "/" .. ("x"):rep(9000) }
    assert.status(414, too_long)
    assert.field("Retry-After", nil, too_long)
    origin:stop()
    local response = h:request {}
    assert.status(503, response)
    assert.field("Retry-After", "5", response)
    assert.is_truthy(page:find("\n| `" .. response.headers.x_error .. "` | 502 |", 1, true))
  end)
end)
