-- SPDX-License-Identifier: Apache-2.0
-- docs/signin.md: each of its examples is a policy that loads.
local process = require "perilune.test.process"
local test = require "perilune.test"

local HEAD = 'local perilune = require "perilune"\n'
local TAIL = '\nperilune.listen("127.0.0.1:0", policy or { request_filter = function() end })\n'
local USERS = "ada:$2y$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K\n"

local function examples()
  local list = {}
  for text in process.read_file("docs/signin.md"):gmatch "```lua\n(.-)```" do
    list[#list + 1] = (text:gsub('os.getenv "COOKIE_SECRET"', '("x"):rep(32)'))
  end
  return list
end

describe("docs/signin.md", function()
  it("has examples that load", function()
    local count = 0
    for _, text in ipairs(examples()) do
      local directory = process.directory()
      process.write_file(directory .. "/users.htpasswd", USERS)
      test.policy(process.write_file(directory .. "/policy.lua", HEAD .. text .. TAIL))
      count = count + 1
    end
    assert.is_true(count >= 5)
  end)
end)
