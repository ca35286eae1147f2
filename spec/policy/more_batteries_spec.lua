-- SPDX-License-Identifier: Apache-2.0
-- Batteries that libraries from elsewhere ask for: patterns from outside, marked arrays, dictionaries as queues.
local perilune = require "perilune"

describe("perilune.regex for patterns that come from outside", function()
  local regex = require "perilune.regex"

  it("says what is wrong instead of raising", function()
    local none, why = regex.compile "(a"
    assert.is_nil(none)
    assert.matches("missing closing parenthesis.* at character %d", why)
    assert.is_true(regex.compile("^A", "i"):test "abc")
  end)

  it("tells the groups and their names, and gives false for one that took no part", function()
    local pattern = regex.new [[(?<year>\d{4})(-(?<month>\d\d))?(x)?]]
    local count, names = pattern:groups()
    assert.same({ 4, { [1] = "year", [3] = "month" } }, { count, names })
    local into = { old = true }
    local captures, from, to = pattern:captures("in 2026", 1, into)
    assert.same({ { old = true, [0] = "2026", "2026", false, false, false, year = "2026", month = false }, 4, 7 },
      { captures, from, to })
    assert.is_true(captures == into)
    assert.is_nil(pattern:captures "none")
    assert.same({ 9, 10 }, { pattern:find("in 2026-11", 1, 3) })
    assert.same({ nil }, { pattern:find("in 2026", 1, 3) })
    assert.same({ nil }, { pattern:find("in 2026", 1, 9) })
  end)

  it("takes equal names, the longest match, and JavaScript's ways", function()
    local twice = regex.new("(?<n>a)|(?<n>b)", "D")
    assert.equal("b", twice:captures("b").n)
    assert.equal("a", twice:captures("a").n)
    assert.same({ 1, 3 }, { regex.new("a|ab|abc", "d"):find "abcd" })
    assert.same({ [0] = "abc" }, (regex.new("(a)|ab|abc", "d"):captures "abcd"))
    assert.is_true(regex.new([[^\u0041$]], "J"):test "A")
  end)
end)

describe("arrays of perilune.json", function()
  it("have a metatable that a policy can give to its own", function()
    local json = require "perilune.json"
    assert.equal("[]", json.encode(setmetatable({}, json.array_mt)))
    assert.equal(json.array_mt, getmetatable(json.decode "[]"))
    assert.equal(json.array_mt, getmetatable(json.array()))
  end)
end)

describe("perilune.dict for more than values", function()
  it("replaces, expires, keeps flags and stale values", function()
    local dict = perilune.dict("batteries", { size = 65536 })
    assert.same({ nil, "no such key" }, { dict:replace("k", 1) })
    assert.same({ true }, { dict:set("k", "v", nil, { flags = 7 }) })
    assert.same({ "v", 7 }, { dict:get "k" })
    assert.same({ true }, { dict:replace("k", "w", 10) })
    assert.same({ true }, { dict:expire("k", 20) })
    assert.same({ "w", false }, { dict:get_stale "k" })
    dict:expire_all()
    assert.is_nil(dict:get "k")
    assert.same({ "w", true }, { dict:get_stale "k" })
    assert.equal(1, dict:flush_expired())
    assert.same({ nil, "no such key" }, { dict:expire "k" })
    assert.has_error(function() dict:set("k", 1, nil, { spares = true }) end)
  end)

  it("keeps lists", function()
    local dict = perilune.dict("lists", { size = 65536 })
    assert.same({ 1, 2, 3 }, { dict:push_back("q", "b"), dict:push_back("q", 3), dict:push_front("q", "a") })
    assert.same({ nil, "value is a list" }, { dict:get "q" })
    assert.same({ 3, "a", 3, "b" }, { dict:length "q", dict:pop_front "q", dict:pop_back "q", dict:pop_back "q" })
    assert.same({ nil }, { dict:pop_back "q" })
    assert.equal(0, dict:length "q")
    dict:set("n", 1)
    assert.same({ nil, "value not a list" }, { dict:push_back("n", 1) })
  end)
end)
