-- SPDX-License-Identifier: Apache-2.0
-- perilune.test: the module for specs of policies, in `perilune test`. It can call hooks with a request that is a
-- table, without sockets and in virtual time (test.policy), or run the proxy itself between scripted origins and
-- clients (test.harness).

local core = require "perilune.core"

if not core.test_open then error("perilune.test is for specs: run them with `perilune test SPEC`", 2) end

local exchange = require "perilune.test.exchange"
local files = require "perilune.test.files"
local http = require "perilune.test.http"
local misuse = require "perilune.test.misuse"
local redis = require "perilune.test.redis"
local scope = require "perilune.test.scope"

---@type perilune.test
local test = {
  clock = require "perilune.test.clock",
  log = require "perilune.test.log",
  http = http.script,
  redis = redis.script,
}

local Policy = {}

--- An exchange with the hooks of the policy's listener number `listener` (1): see perilune.test.exchange.
function Policy:exchange(request, listener)
  if not self.addresses[listener or 1] then
    misuse.raise(("the policy has no listener %s: it has %d"):format(tostring(listener), #self.addresses))
  end
  return exchange.open(listener or 1, request)
end

--- The answer to one request, walked whole: policy:request(request, origin).
function Policy:request(request, origin, listener)
  local x = self:exchange(request, listener)
  local response = x:walk(origin)
  x:finish()
  return response
end

Policy.__index = misuse.methods(Policy, "policy")

local loaded_in_test = false

-- perilune.listen and background work are as in the main chunk of a policy: the work begins once all of it has run, and
-- goes on as the clock is advanced.
local function load_with(run)
  core.test_fresh()
  core.test_loading(true)
  local ok, message = xpcall(run, function(message) return message end)
  core.test_loading(false)
  if not ok then
    core.test_end_background()
    error(message, 0)
  end
  loaded_in_test = scope.inside
  core.test_begin()
  local policy = setmetatable({ addresses = {} }, Policy)
  for i = 1, core.test_listeners() do policy.addresses[i] = core.test_address(i) end
  return policy
end

--- Loads a policy: the path of a script, in the folder of the spec or the working directory, or a table of hooks. It
--- replaces the one loaded before: its background work ends, and shared state is empty again.
---@param source string|table
---@param options? table for a table of hooks: the options of perilune.listen
function test.policy(source, options)
  if type(source) == "table" then
    if source[1] ~= nil then
      misuse.raise 'test.policy: expected the path of a policy, or hooks: "p.lua", or { request_filter = function ... }'
    end
    local ok, policy = pcall(load_with, function() core.listen("127.0.0.1:0", source, options) end)
    if ok then return policy end
    misuse.raise("test.policy: " .. tostring(policy):gsub("^.-:%d+: perilune%.listen: ", ""))
  end
  if type(source) ~= "string" then
    misuse.raise("test.policy: expected the path of a policy, or a table of hooks; got a " .. type(source) .. " value")
  end
  local path, why = files.find(source)
  if not path then misuse.raise("test.policy: " .. why) end
  local chunk, message = loadfile(path)
  if not chunk then misuse.raise(message) end
  files.enter_policy(path)
  return load_with(chunk)
end

--- The proxy itself between scripted origins and clients: see perilune.test.harness.
function test.harness(options) return require("perilune.test.harness").start(options) end

--- Certificate, key and authority for these names, made once for a spec file: tables of paths.
function test.certificate(...) return require("perilune.test.tls").certificate(...) end

--- The requests of a file of `perilune record`: see perilune.test.recording.
function test.recording(path) return require("perilune.test.recording").read(path) end

--- An address on which nobody listens.
function test.dead_address() return require("perilune.test.origins").dead_address() end

--- Ends what a test has left open. The runner does it after each test.
function test.reset()
  exchange.finish_all()
  if loaded_in_test then core.test_end_background() end
  loaded_in_test = false
  http.reset()
  redis.reset()
  test.log.clear()
  scope.end_test()
end

return misuse.guard(test, "test")
