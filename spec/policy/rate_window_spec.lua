-- SPDX-License-Identifier: Apache-2.0
-- Sliding windows on the bench's clock: what passes at the edges of their parts.
local perilune = require "perilune"
local test = require "perilune.test"

describe("rate_limit in a sliding window", function()
  -- How many of `count` requests pass now.
  local function passing(policy, count)
    local passed = 0
    for _ = 1, count do
      if policy:request().status == 200 then passed = passed + 1 end
    end
    return passed
  end

  it("has no edge at which twice as many pass, wherever in a window they begin", function()
    for _, into in ipairs { 0, 0.3, 0.7, 0.95 } do
      local options = { by = "path", max = 10, interval = 1, name = "edge" .. into }
      local limit = require("perilune.rate_limit").sliding(options)
      local policy = test.policy { request_filter = function(session)
        return limit(session) or session:respond { status = 200 }
      end }
      test.clock:advance(1 - perilune.now() % 1 + into)
      assert.equal(10, passing(policy, 20))
      local within = 0
      for _ = 1, 9 do -- the rest of a second since the first of them
        test.clock:advance(0.1)
        within = within + passing(policy, 20)
      end
      assert.is_true(within < 10, ("%d more from %g s into the window on"):format(within, into))
    end
  end)
end)
