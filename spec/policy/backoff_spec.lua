-- SPDX-License-Identifier: Apache-2.0
-- How long our modules wait before they try again, and which numbers of others they believe.
local backoff = require "perilune.backoff"
local core = require "perilune.core"
local date = require "perilune.date"
local said = require "perilune.said"

describe("the pause after failures", function()
  it("doubles with each, up to the longest, and is spread over the upper half", function()
    for failures, longest in ipairs { 1, 2, 4, 8, 10, 10 } do
      local least, most = math.huge, 0
      for _ = 1, 1000 do
        local pause = backoff.after(failures, 1, 10)
        least, most = math.min(least, pause), math.max(most, pause)
      end
      assert.is_true(least >= longest / 2 and most <= longest, ("%g to %g"):format(least, most))
      assert.is_true(most - least > longest / 4)
    end
    assert.is_true(backoff.after(5000, 1, 10) <= 10)
  end)

  it("is what Retry-After asks for, a number or a date, within bounds", function()
    local function asked(text) return backoff.asked({ ["retry-after"] = text }, 100) end
    assert.same({ 0, 7, 100 }, { asked "0", asked "7", asked(("9"):rep(400)) })
    local soon = asked(date.http(core.time() + 50))
    assert.is_true(soon > 40 and soon <= 50, soon)
    assert.same({ 0, 100 }, { asked "Sun, 06 Nov 1994 08:49:37 GMT", asked(date.http(core.time() + 5000)) })
    for _, text in ipairs { "", "-1", "1.5", "0x10", "nan", "inf", "1e3", " 7", "soon" } do
      assert.is_nil(asked(text))
    end
    assert.is_nil(backoff.asked({}, 100))
  end)
end)

describe("a number that somebody else has written", function()
  local nonsense = { "", "nan", "inf", "-1", "0x10", "1e3", " 1", "1 ", "9007199254740994", ("9"):rep(400), -1, 0 / 0,
    math.huge, 2 ^ 53 + 2, true, {} }

  it("is whole, and not more than 2^53, or is none", function()
    assert.same({ 0, 17, 17, 2 ^ 53 }, { said.whole(0), said.whole "17", said.whole "017", said.whole(2 ^ 53) })
    for _, value in ipairs(nonsense) do assert.is_nil(said.whole(value)) end
    assert.same({}, { said.whole(nil), said.whole(1.5), said.whole "1.5", said.whole "1." })
  end)

  it("of seconds may have a fraction", function()
    assert.same({ 0, 1.5, 1.5, 17 }, { said.seconds(0), said.seconds(1.5), said.seconds "1.5", said.seconds "17" })
    for _, value in ipairs(nonsense) do assert.is_nil(said.seconds(value)) end
  end)
end)
