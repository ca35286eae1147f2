-- SPDX-License-Identifier: Apache-2.0
-- Many requests: no error, no leak.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local load = require "load"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local REQUESTS = 50000

describe("50,000 requests over 64 connections", function()
  it("give no error and leave no descriptor behind", function()
    local count = 0
    local origin = origins.start(function(connection)
      local answer = http1.write("HTTP/1.1 200 OK", {}, "hello")
      while connection:read_until "\r\n\r\n" do -- bare, because it is the proxy that is measured
        count = count + 1
        connection:send(answer)
      end
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 2 }
    client.request(proxy.port)
    local before = proxy:open_files()
    local result = load.until_(function() return count >= REQUESTS end, proxy.port)
    assert.same({ 0, 0 }, { result.errors, result.statuses }, result.told)
    -- What the pool keeps is given back when the origin ends it.
    origin:stop()
    scheduler.eventually(function() return proxy:open_files() <= before end, 40, "return of all descriptors")
    proxy:stop()
  end)
end)
