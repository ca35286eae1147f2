-- SPDX-License-Identifier: Apache-2.0
-- What waits on the test bench: moments between two milliseconds, and files of a disk.
local process = require "perilune.test.process"
local test = require "perilune.test"

after_each(require("perilune.test.cleanup").run)

local function policy(text, ...)
  local directory = process.directory()
  local body = "local perilune = require 'perilune' local policy = {} function policy.request_filter(session) " ..
    "%s end perilune.listen('127.0.0.1:0', policy)"
  return test.policy(process.write_file(directory .. "/policy.lua", body:format(text:format(...)))), directory
end

describe("the test bench", function()
  it("reads files that the kernel does not have at hand, and lists folders", function()
    local directory = process.directory()
    process.write_file(directory .. "/new.css", "body {}") -- and whether there is a new.css.gz nobody has asked so far
    local tested = policy("return perilune.files { root = %q, listing = true }(session)", directory)
    assert.equal("body {}", tested:request({ path = "/new.css" }).body)
    assert.equal(404, tested:request({ path = "/other.css" }).status)
    assert.matches("new%.css", tested:request({ path = "/" }).body)
  end)

  it("ends a wait whose moment lies between two milliseconds", function()
    for _, passed in ipairs { 0, 0.1, 1.1, 1000.7 } do
      test.clock:advance(passed)
      for _, timeout in ipairs { 0.0014, 0.1, 0.7, 1.1 } do
        local tested = policy([[
          local task = perilune.spawn(function() perilune.sleep(100) end)
          local result, why = perilune.wait(task, { timeout = %s })
          return session:respond { status = 200, body = tostring(result) .. why }
        ]], timeout)
        assert.equal("niltimeout", tested:request({}).body)
      end
    end
  end)
end)
