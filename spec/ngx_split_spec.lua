-- SPDX-License-Identifier: Apache-2.0
-- require "ngx.re".split, as libraries for OpenResty know it.
local libraries = require "nginx_libraries"

describe("ngx.re.split", function()
  local ask = libraries.cases_of(setup, teardown, function() return [[
    local split = require("ngx.re").split
    local function shown(...) return #assert(split(...)) .. ":" .. table.concat(assert(split(...)), "/") end
    function cases.plain()
      return shown("a,b,c", ","), shown("abcd", ","), shown("a,b;c", ",|;", "jo"), shown(1234512345, "23", "jo")
    end
    function cases.edges()
      return shown(",a,b,", ","), shown("one\n", [=[\n]=], "jo"), shown("a,,", ","), shown("", ",")
    end
    function cases.groups()
      return shown("a,b,c", "(,)"), shown("a,b", "(;)|,"), shown("a,b,c,d", "(,)", nil, nil, 3)
    end
    function cases.most()
      return shown("a,b,c,d", ",", nil, nil, 2), shown("a,b", ",", nil, nil, 0), shown("a,b", ",", "", nil, 1)
    end
    function cases.empty()
      return shown("12345", ""), shown("abcd", "|", nil, nil, 2), shown("abcd", "()"), shown("ab\ncd\nef", "^", "m"),
        shown("12345", "", "jo", { pos = 2 }, 2)
    end
    function cases.places()
      local into = { 1, 2, 3, 4, 5 }
      return shown("a,b,c,d,e", ",", nil, { pos = 5 }), shown("a,b", ",", nil, { pos = 10 }),
        split("a,b", ",", nil, nil, nil, into) == into and #into, (select(2, split("a", "(")))
    end
  ]] end)

  it("cuts at each match, and leaves out nothing behind the last", function()
    assert.equal("3:a/b/c|1:abcd|3:a/b/c|3:1/451/45", ask "plain")
    assert.equal("3:/a/b|1:one|2:a/|0:", ask "edges")
  end)

  it("gives the first group of a separator that took part, and counts pieces alone", function()
    assert.equal("5:a/,/b/,/c|2:a/b|5:a/,/b/,/c,d", ask "groups")
    assert.equal("2:a/b,c,d|2:a/b|1:a,b", ask "most")
  end)

  it("cuts between characters where nothing matches", function()
    assert.equal("5:1/2/3/4/5|2:a/bcd|7:a//b//c//d|3:ab\n/cd\n/ef|2:2/345", ask "empty")
  end)

  it("begins where ctx says, and fills the table that it is given", function()
    assert.matches("^3:c/d/e|0:|2|", (ask "places"))
  end)
end)
