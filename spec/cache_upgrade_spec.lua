-- SPDX-License-Identifier: Apache-2.0
-- The cache over a binary upgrade: the new process has what the old one had, and the old one goes on with its own.
local client = require "client"
local cleanup = require "cleanup"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

local command = running.command

-- A proxy with a cache, and what asks it. With a path the cache is in that file.
local function start(options)
  local count = 0
  local origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      count = count + 1
      connection:respond { headers = { ["Cache-Control"] = "max-age=600", Vary = "X-V" },
        body = (request.target .. " " .. count .. " "):rep(20000) }
    end
  end)
  local policy = ([[
    local perilune = require "perilune"
    local policy = { upstream_peer = function() return "%s" end }
    perilune.listen("127.0.0.1:0", policy, { cache = perilune.cache("pages", { size = "4M" %s }) })
  ]]):format(origin.address, options and options.path and (", path = %q"):format(options.path) or "")
  local proxy, pid_file, path = running.start { policy = policy }
  local function ask(target) return client.request { port = proxy.port, target = target } end
  return ask, pid_file, proxy, path
end

local function bodies(ask)
  return { ask("/a").body, ask("/b").body, ask("/c").body }
end

local function upgrade(pid_file, proxy)
  local result = command(pid_file, "upgrade")
  assert.equal(0, result.code, result.stderr)
  if proxy then scheduler.eventually(function() return proxy:exit_code() == 0 end) end
end

describe("a cache over an upgrade", function()
  it("is there in the new process, with its ages, and with what was purged before", function()
    local ask, pid_file, proxy = start()
    local before = bodies(ask)
    assert.equal(0, command(pid_file, "purge", "--url", "http://spec.example/b").code)
    upgrade(pid_file, proxy)
    local after = bodies(ask)
    assert.same({ before[1], before[3] }, { after[1], after[3] })
    assert.not_equal(before[2], after[2])
    upgrade(pid_file)
    assert.same(after, bodies(ask))
  end)

  it("has its file then: a purge by the new process holds over a restart", function()
    local file = process.directory() .. "/pages.cache"
    local ask, pid_file, proxy, path = start { path = file }
    local before = bodies(ask)
    upgrade(pid_file, proxy)
    assert.same(before, bodies(ask))
    assert.equal(0, command(pid_file, "purge", "--url", "http://spec.example/b").code)
    assert.equal(0, command(pid_file, "stop").code)
    local again = perilune.start { script = path, workers = 2 }
    ask = function(target) return client.request { port = again.port, target = target } end
    local after = bodies(ask)
    assert.same({ before[1], before[3] }, { after[1], after[3] })
    assert.not_equal(before[2], after[2])
    assert.is_nil(again:log():find("in memory only", 1, true))
    assert.is_nil(io.open(file .. ".new"))
  end)

  it("stays with the old process where the new one fails, and the file that it has lost is removed", function()
    local file = process.directory() .. "/pages.cache"
    local ask, pid_file, proxy, path = start { path = file }
    local before = bodies(ask)
    process.write_file(path, process.read_file(path) .. "\nerror 'not today'")
    assert.not_equal(0, command(pid_file, "upgrade").code)
    assert.same(before, bodies(ask))
    assert.is_nil(io.open(file))
    assert.matches("was replaced by a process that failed", proxy:log(), 1, true)
  end)
end)
