-- SPDX-License-Identifier: Apache-2.0
-- An option that is a duration is a number of seconds or a text, in every function of the API that has one, as on the
-- command line. A new option is a line here.
local perilune = require "perilune"

after_each(require("cleanup").run)

-- Calls of a main chunk, with VALUE for the duration.
local CALLS = {
  "perilune.configure { grace = VALUE }",
  "perilune.configure { hook_time = VALUE }",
  "perilune.configure { load_time = VALUE }",
  "perilune.listen('127.0.0.1:0', hooks, { head_timeout = VALUE })",
  "perilune.listen('127.0.0.1:0', hooks, { keepalive_timeout = VALUE })",
  "perilune.rate('r', { interval = VALUE })",
  "require('perilune.round_robin').new { 'a:1', slow_start = VALUE }",
  "require('perilune.round_robin').new { 'a:1', passive = { eject = VALUE } }",
  "require('perilune.health_check').http(require('perilune.round_robin').new { 'a:1' }, { interval = VALUE })",
  "require('perilune.rate_limit').new { by = 'path', max = 1, interval = VALUE }",
  "require('perilune.rate_limit').sliding { by = 'path', max = 1, interval = VALUE }",
  "require('perilune.cors').new { origins = {}, max_age = VALUE }",
  "require('perilune.canary').new { percent = 1, max_age = VALUE }",
  "require('perilune.maintenance').new { retry_after = VALUE }",
  "require('perilune.token_auth').new { secret = 'x', leeway = VALUE }",
  "require('perilune.mirror').new { to = 'http://a:1', timeout = VALUE }",
  "require('perilune.redis').new('a:1', { timeout = VALUE })",
  "perilune.after(VALUE, print)",
  "perilune.every(VALUE, print)",
  "require('perilune.maintenance').new({}):turn(true, VALUE)",
  "perilune.cache('c', { size = '1M', lock_wait = VALUE })",
  "perilune.cache('c', { size = '1M', ttl = VALUE })",
  "perilune.cache('c', { size = '1M', uncacheable_ttl = VALUE })",
  "perilune.cookie.build('a', 'b', { max_age = VALUE })",
}
local GOOD = { "2", "'2'", "'2s'", "'1m'", "'2000ms'" }
local BAD = { "'2 s'", "'soon'", "'-1s'", "-1", "'2d'", "true", "0/0" }

local HEAD = [[
local perilune = require "perilune"
local hooks = { request_filter = function(session) return session:respond { status = 200 } end }
perilune.listen("127.0.0.1:0", hooks)
local faults = {}
local function try(call, is_good)
  local ok, why = pcall(assert(loadstring("local perilune, hooks = ...; " .. call)), perilune, hooks)
  local is_told = type(why) == "string" and (why:find("500ms", 1, true) or why:find("30s", 1, true))
  if ok ~= is_good or not ok and not is_told then faults[#faults + 1] = call .. ": " .. tostring(why) end
end
]]

it("an option that is a duration is a number of seconds, or a text, and what else is told what it can be", function()
  local lines = { HEAD }
  for _, call in ipairs(CALLS) do
    for is_good, values in pairs { [true] = GOOD, [false] = BAD } do
      for _, value in ipairs(values) do
        lines[#lines + 1] = ("try(%q, %s)\n"):format(call:gsub("VALUE", value), tostring(is_good))
      end
    end
  end
  local policy = table.concat(lines) .. 'if faults[1] then error(table.concat(faults, "; "), 0) end\n'
  local result = perilune.run { args = { "check", (require("process").write_file(
    require("process").directory() .. "/p.lua", policy)) } }
  assert.equal(0, result.code, result.stderr)
end)
