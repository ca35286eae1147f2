-- SPDX-License-Identifier: Apache-2.0
-- Slips of the pen in specs: each raises at the line of the spec, and says what would be right.
local test = require "perilune.test"

local function answering()
  return test.policy { request_filter = function(session) return session:respond { status = 200 } end }
end

-- What is wrong, and how that is told.
local SLIPS = {
  ["swapped arguments"] = { function(p) assert.status(p:request(), 200) end,
    "argument 1 must be a number, got a table value: it is written assert.status(200, response)" },
  ["a missing argument"] = { function() assert.status(200) end, "argument 2 must be a response, got nothing" },
  ["no response"] = { function() assert.body("x", nil, "timeout") end, "argument 2 must be a response" },
  ["an origin that is none"] = { function() assert.requests(1, {}) end, "must be an origin of the harness" },
  ["a wrong field of what was received"] = { function()
    assert.is_not.received({ taget = "/" }, { requests = {} })
  end, "unknown field 'taget': did you mean 'target'?" },
  ["a dot with the clock"] = { function() test.clock.advance(3) end,
    "called with a colon: test.clock:advance(3)" },
  ["a text for the clock"] = { function() test.clock:advance "3" end, "got a string value" },
  ["a colon with the log"] = { function() return test.log:find "x" end, "it is called with a dot" },
  ["a name of the module"] = { function() return test.polcy "x" end, "test has no 'polcy': did you mean 'policy'?" },
  ["a hook"] = { function(p) p:exchange():request_fliter() end,
    "there is no hook 'request_fliter': did you mean 'request_filter'?" },
  ["a dot with a hook"] = { function(p) p:exchange().request_filter() end, "call it with a colon" },
  ["a hook that is not simulated"] = { function(p) p:exchange():certificate() end, "does not simulate certificate" },
  ["a dot with a policy"] = { function(p) p.request {} end, "call it with a colon, policy:request(...)" },
  ["a method of a policy"] = { function(p) return p:requst() end, "policy has no 'requst': did you mean 'request'?" },
  ["a field of a request"] = { function(p) p:request { taget = "/x" } end,
    "the request: unknown field 'taget': did you mean 'target'?" },
  ["a value of a request"] = { function(p) p:request { headers = "x" } end,
    "headers must be a table, got a string value" },
  ["a path in a table"] = { function() test.policy { "p.lua" } end, "expected the path of a policy, or hooks" },
  ["a hook of a table"] = { function() test.policy { request_fiter = print } end,
    "test.policy: there is no hook 'request_fiter': did you mean request_filter?" },
  ["an option of a table"] = { function() test.policy({ request_filter = print }, { head_timout = 1 }) end,
    "test.policy: unknown option 'head_timout' (did you mean head_timeout?)" },
  ["a header in one text"] = { function(p) p:request { headers = { "X: a" } } end, "'X: a' is no field: write { [" },
  ["an answer for each attempt"] = { function(p) p:exchange():walk({ error = "connect_refused" }, "fine") end,
    "x:walk takes one argument: for several attempts, a function(peer, try) that returns the answer of each" },
  ["two arguments for a hook"] = { function(p) p:exchange():request_filter({}, {}) end, "takes one argument" },
  ["a request that is none"] = { function(p) p:request "/x" end, "the request: expected a table with body" },
}

describe("a slip in a spec of the bench", function()
  for name, slip in pairs(SLIPS) do
    it("is told at its line: " .. name, function()
      local policy = answering()
      local ok, message = pcall(slip[1], policy)
      assert.is_false(ok)
      assert.matches("^[^:]*slips_spec%.lua:%d+: ", message)
      assert.truthy(message:find(slip[2], 1, true), message)
    end)
  end
end)

describe("a slip in a spec of the harness", function()
  it("is told at its line", function()
    local h = test.harness {
      policy = 'require("perilune").listen("127.0.0.1:1", { request_filter = function(s)'
        .. ' return s:respond { status = 200, body = s:target() } end })',
    }
    local slips = {
      ["tls must be a table, got a boolean value"] = function() h:request { tls = true } end,
      ["unknown field 'nme': did you mean 'name'?"] = function() h:request { tls = { nme = "a" } } end,
      ["h:request: unknown field 'pth': did you mean 'path'?"] = function() h:request { pth = "/x" } end,
      ["h has no 'get'; valid are"] = function() h:get "/" end,
      ["call it with a colon, h:request(...)"] = function() h.request { path = "/" } end,
      ["the policy has no listener 2: it has 1"] = function() h:request { listener = 2 } end,
      ["unknown field 'polcy': did you mean 'policy'?"] = function() test.harness { polcy = "x" } end,
      ["h.origins has no 'api'"] = function() return h.origins.api end,
    }
    for told, slip in pairs(slips) do
      local ok, message = pcall(slip)
      assert.is_false(ok)
      assert.matches("^[^:]*slips_spec%.lua:%d+: ", message)
      assert.truthy(message:find(told, 1, true), message)
    end
    assert.body("/a", h:request { target = "/a" })
    assert.body("/b", h:request { path = "/b" })
    assert.body("/c", h:connect():request { target = "/c" })
    assert.body("/d", test.policy(h.script):request { path = "/d" })
  end)
end)
