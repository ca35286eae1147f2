-- SPDX-License-Identifier: Apache-2.0
-- A policy that is refused, or was on trial, changes nothing of the services that the policy in force uses: caches and
-- their files, and the collector of traces. spec/load_traces_spec.lua has what workers share.
local client = require "client"
local origins = require "origins"
local otlp = require "otlp"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
  local perilune = require "perilune"
  perilune.tracing { endpoint = "$COLLECTOR", interval = 0.1, ratio = 1 }
  local pages = perilune.cache("pages", { size = "$SIZE", path = "$FOLDER/pages" })
  $MORE
  perilune.listen("127.0.0.1:0", { upstream_peer = function() return "$ORIGIN" end }, { cache = pages })
]]
local OTHER = [[
  pages:purge_all() pages:purge "http://spec.example/a"
  perilune.cache("other", { size = "1M", path = "$FOLDER/other" })
]]

local function scene()
  local self = { folder = process.directory(), collector = otlp.start(), other = otlp.start() }
  self.origin = origins.start(function(connection)
    while connection:read_request() do
      connection:respond { headers = { ["Cache-Control"] = "max-age=600" }, body = "page " .. #self.origin.requests }
    end
  end)
  function self.text(words)
    local usual = { COLLECTOR = self.collector.url, SIZE = "1M", FOLDER = self.folder, MORE = "",
      ORIGIN = self.origin.address }
    for name, value in pairs(words or {}) do usual[name] = value end
    usual.MORE = policies.fill(usual.MORE, usual)
    return policies.fill(POLICY, usual)
  end
  self.proxy, self.pid_file, self.path = running.start { policy = self.text(), workers = 2 }
  function self.ask(path) return client.request { port = self.proxy.port, path = path or "/a" } end
  assert.equal("page 1", self.ask().body)
  return self
end

-- The cache has what it had, its spans go where they went, and there is nothing that the other one has made.
local function is_untouched(s)
  local before = #s.collector:all()
  assert.equal("page 1", s.ask().body)
  scheduler.eventually(function() return #s.collector:all() > before end)
  assert.equal(0, #s.other.origin.requests)
  assert.is_nil(io.open(s.folder .. "/other"))
  s.proxy:kill()
  s.proxy:ended()
  s.proxy = running.start { policy = s.text() }
  assert.equal("page 1", s.ask().body)
end

describe("A policy that is refused", function()
  it("leaves caches, their files and the collector of traces as they were", function()
    local s = scene()
    for _, size in ipairs { "1M", "2M" } do
      process.write_file(s.path, s.text { COLLECTOR = s.other.url, SIZE = size, MORE = OTHER .. "error 'not today'" })
      assert.equal(2, running.command(s.pid_file, "reload").code)
    end
    is_untouched(s)
  end)
end)

describe("A trial that is rolled back", function()
  it("leaves caches, their files and the collector of traces as they were", function()
    local s = scene()
    process.write_file(s.path, s.text { MORE = OTHER })
    local tried
    scheduler.all({
      function() tried = running.command(s.pid_file, "reload", "--canary=50%", "--for", "10m") end,
      function()
        scheduler.eventually(function()
          s.ask()
          return s.proxy:log():find "canary: 50"
        end)
        assert.is_truthy(process.read_file(s.folder .. "/other"))
        assert.equal(0, running.command(s.pid_file, "reload", "--abort").code)
      end,
    }, 60)
    assert.equal(1, tried.code)
    is_untouched(s)
  end)
end)

describe("A policy that never comes into force", function()
  it("leaves no file of a cache when it is the first one", function()
    local folder = process.directory()
    local path = process.write_file(folder .. "/policy.lua", policies.fill([[
      local perilune = require "perilune"
      perilune.cache("pages", { size = "1M", path = "$FOLDER/pages" })
      error "not today"
    ]], { FOLDER = folder }))
    local result = require("perilune").run("run", path)
    assert.not_equal(0, result.code)
    assert.matches("not today", result.stderr)
    assert.is_nil(io.open(folder .. "/pages"))
  end)
end)
