-- SPDX-License-Identifier: Apache-2.0
-- docs/operations.md shows a policy and the line that it logs: run as it stands, the policy logs such a line.
local cjson = require "cjson"
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local text = process.read_file "docs/operations.md"

local function keys(line)
  local list = {}
  for name in pairs(cjson.decode(line)) do list[#list + 1] = name end
  table.sort(list)
  return list
end

describe("docs/operations.md", function()
  it("shows a log of JSON with the id of the request, in the line that its policy writes", function()
    local policy, shown = text:match "```lua\n(.-access_log.-)```.-```json\n(.-)```"
    local directory = process.directory()
    local asked
    local origin = origins.start(function(connection)
      asked = connection:read_request()
      connection:respond { status = 200, body = "ok" }
    end)
    local script = process.write_file(directory .. "/policy.lua", policy)
    local proxy = perilune.start { args = { "run", "--workers", "1", script },
      env = { ORIGIN = origin.address, LISTEN = "127.0.0.1:0" } }
    local headers = { ["User-Agent"] = "spec" }
    local response = client.request { port = proxy.port, host = "a.example", path = "/a?b=1", headers = headers }
    local line = scheduler.eventually(function()
      local file = io.open(directory .. "/access.log")
      local all = file and file:read "*a" or ""
      if file then file:close() end
      return all:match "[^\n]+"
    end)
    local id = cjson.decode(line).request_id
    assert.equal(32, #id)
    assert.equal(id, response.headers["x-request-id"])
    assert.equal(id, asked.headers["x-request-id"])
    assert.same(keys(shown), keys(line))
  end)
end)
