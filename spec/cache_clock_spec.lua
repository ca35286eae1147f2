-- SPDX-License-Identifier: Apache-2.0
-- How old is what another process has stored, where the wall clock was set meanwhile? spec/wall_clock_dates_spec.lua
-- has the same of one process.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local stepped = require "stepped"

after_each(require("cleanup").run)

local HOUR = stepped.HOUR

local function start(more)
  local origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local age = request.target == "/short" and 1 or 600
      connection:respond { headers = { ["Cache-Control"] = "max-age=" .. age }, body = "stored" }
    end
  end)
  local env, step = stepped.new()
  local proxy, pid_file, path = running.start { release = true, env = env, policy = policies.fill([[
    local perilune = require "perilune"
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return "$ADDRESS" end },
      { cache = perilune.cache("pages", { size = "4M", status_header = true $MORE }) })
  ]], { ADDRESS = origin.address, MORE = more or "" }) }
  local self = { env = env, step = step, pid_file = pid_file, path = path, port = proxy.port }
  function self.ask(target) return client.request { port = self.port, target = target, timeout = 60 } end
  for _, target in ipairs { "/long", "/short" } do
    assert.matches("fwd=uri%-miss", self.ask(target).headers.cache_status)
  end
  return self
end

local function is_hit(response) return response.headers.cache_status:find "hit" ~= nil end

local function require_true_ages(self)
  local long = self.ask "/long"
  assert.is_true(is_hit(long), long.headers.cache_status)
  assert.is_true(tonumber(long.headers.age) < 300, long.headers.age)
  scheduler.eventually(function() return not is_hit(self.ask "/short") end, nil, "/short, no longer fresh")
end

describe("what another process has stored", function()
  for way, seconds in pairs { back = -HOUR, forth = HOUR } do
    it("in memory is as old as it is, where the wall clock goes an hour " .. way, function()
      local self = start()
      assert.equal(0, running.command(self.pid_file, "upgrade").code)
      self.step(seconds)
      require_true_ages(self)
    end)
  end

  local function restart(seconds)
    local self = start(", path = '" .. process.directory() .. "/pages.cache'")
    assert.equal(0, running.command(self.pid_file, "stop").code)
    self.step(seconds)
    self.port = perilune.start({ script = self.path, workers = 2, release = true, env = self.env }).port
    return self
  end

  it("in a file does not become fresh again, where the wall clock goes an hour back", function()
    require_true_ages(restart(-HOUR))
  end)

  it("in a file is taken for older while the wall clock is an hour ahead, and no longer", function()
    local self = restart(HOUR)
    self.step(0)
    require_true_ages(self)
    self = restart(HOUR)
    assert.is_false(is_hit(self.ask "/long"))
  end)
end)
