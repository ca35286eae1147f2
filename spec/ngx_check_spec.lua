-- SPDX-License-Identifier: Apache-2.0
-- `perilune check` and libraries for perilune.ngx.
local cleanup = require "cleanup"
local perilune = require "perilune"
local process = require "process"

after_each(cleanup.run)

-- A policy that loads a library of that text, which lies beside it as resty/theirs.lua.
local function check(library, main)
  local directory = process.directory()
  os.execute("mkdir -p " .. directory .. "/resty")
  process.write_file(directory .. "/resty/theirs.lua", library)
  local policy = process.write_file(directory .. "/policy.lua", main or [[
    local perilune = require "perilune"
    require "perilune.ngx" {}
    require "resty.theirs"
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })
  ]])
  return perilune.run { args = { "check", policy }, timeout = 60 }
end

describe("perilune check", function()
  it("lists the names of ngx that a policy's libraries mention and that are not there, each with its line", function()
    local result = check [[
      local M = {}
      function M.capture() return ngx.location.capture("/x"), ngx.exec("/y") end
      function M.fine() return ngx.var.uri, ngx.re.match("a", "a"), ngx.header["X"], ngx.HTTP_OK, ngx.ctx.a end
      function M.filter() return ngx.arg[1] end
      -- ngx.exec is only spoken of here, and "ngx.exec" here
      function M.again() return ngx.location.capture("/y"), ngx.run_worker_thread and 1 end
      return M
    ]]
    assert.equal(0, result.code)
    local text = result.stdout .. result.stderr
    assert.matches("theirs.lua:2: ngx.location.capture is not in Perilune: use perilune.http", text)
    assert.matches("theirs.lua:2: ngx.exec is not in Perilune: route in request_filter", text)
    local _, count = text:gsub("is not in Perilune", "")
    assert.equal(2, count)
  end)

  it("says nothing of how libraries are written, and refuses options that perilune.ngx does not have", function()
    local result = check "local M = {} function M.f() return some_global.x end return M"
    assert.is_nil((result.stdout .. result.stderr):find "some_global")
    local elsewhere = process.directory()
    process.write_file(elsewhere .. "/theirs.lua", "local M = {} function M.f() their_global = 1 end "
      .. "function M:g(a, b) return self, a, b end return M")
    local main = [[
      local perilune = require "perilune"
      package.path = %q .. package.path
      %s
      local theirs = require "theirs"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() theirs.g {} return "127.0.0.1:1" end })
    ]]
    result = check("", main:format(elsewhere .. "/?.lua;", 'require "perilune.ngx" {}'))
    assert.is_nil((result.stdout .. result.stderr):find "warning")
    assert.equal(0, result.code)
    result = check("", main:format(elsewhere .. "/?.lua;", "")) -- a policy's own module
    assert.matches("theirs.lua:1: the global 'their_global'", result.stdout .. result.stderr)
    assert.matches("g is defined with a colon and called with a dot", result.stdout .. result.stderr)
    result = check("return {}", [[
      local perilune = require "perilune"
      require "perilune.ngx" { dict = { a = "1m" } }
    ]])
    assert.equal(2, result.code)
    assert.matches("policy.lua:2: perilune.ngx: unknown option 'dict'; valid are ca, cjson, dicts, vars",
      result.stdout .. result.stderr)
  end)

  it("says where to put a library that is not there, and what a misspelt module may be", function()
    for name, wanted in pairs { ["resty.other"] = "policy.lua:2: module 'resty.other' not found: copy lib/resty of the "
      .. "library beside the policy, or name its place in package.path",
      ["perilune.redsi"] = "policy.lua:2: module 'perilune.redsi' not found: did you mean perilune.redis?",
      ["resty.core.nothing"] = "policy.lua:2: module 'resty.core.nothing' is not in Perilune" } do
      local result = check("return {}", ("require 'perilune.ngx' {}\nrequire '%s'\n"):format(name))
      assert.equal(2, result.code)
      assert.is_truthy((result.stdout .. result.stderr):find(wanted, 1, true), result.stdout .. result.stderr)
    end
  end)
end)
