-- SPDX-License-Identifier: Apache-2.0
-- Bundles that are no good: under load the policy in force serves on, without an answer that is wrong, and the log, the
-- status and the metrics say what is the matter.
local bundled = require "bundled"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)
before_each(bundled.use_address)

local make, folder_of = bundled.make, bundled.folder_of

-- Requests on three connections, until stop() is called: how many there were, and what was answered but "good".
local function load()
  local asked, others, running, is_over = 0, {}, 0, false
  for _ = 1, 3 do
    running = running + 1
    scheduler.spawn(function()
      while not is_over do
        local ok, said = pcall(bundled.says)
        asked = asked + 1
        if not ok or said ~= "good" then others[#others + 1] = tostring(said) end
      end
      running = running - 1
    end)
  end
  return function()
    is_over = true
    scheduler.eventually(function() return running == 0 end)
    return asked, others
  end
end

local function forged()
  local key, file = process.directory() .. "/other", process.directory() .. "/bundle"
  bundled.sh("openssl genpkey -algorithm ed25519 -out " .. key)
  assert.equal(0, perilune.run("bundle", folder_of "evil", "--key", key, "-o", file, "--version", "9").code)
  return process.read_file(file)
end

local function metric_of(proxy, name)
  local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
  return tonumber(page:match("\nperilune_bundle_" .. name .. " (%S+)\n"))
end

local function look(proxy, why, log, metrics)
  scheduler.eventually(function()
    local state = bundled.state_of(proxy)
    return (state.last_failure .. " " .. state.refusal):find(why, 1, true)
  end, 30, why)
  proxy:wait_log(log)
  for name, wanted in pairs(metrics) do
    scheduler.eventually(function() return metric_of(proxy, name) == wanted end, nil, name)
  end
  local said = perilune.run("status", "--pid", tostring(proxy.pid)).stdout
  assert.is_truthy(said:find(why, 1, true), said)
end

local DOWN = { running_version = 5, wanted_version = 5, refused = 0, down = 1 }
local REFUSED = { running_version = 5, wanted_version = 6, refused = 1, down = 0 }

-- What the source gives, what is said of it, in the log, and in the metrics.
local CASES = {
  ["with a wrong signature"] = { forged, "its signature is by none of the keys",
    "bundle: http://[^ ]+: its signature is by none of the keys[^\n]*; version 5 serves on", DOWN },
  ["of an older version"] = { function() return make(folder_of "older", 4) end, "version 4 is older than 5",
    "bundle: http://[^ ]+: version 4 is older than 5[^\n]*; version 5 serves on", DOWN },
  ["that is broken"] = { function() return make(folder_of "newer", 6):sub(1, -5) end, "it is cut off",
    "bundle: http://[^ ]+: it is cut off[^\n]*; version 5 serves on", DOWN },
  ["that fails as a canary"] = {
    function() return make(folder_of("good", "error 'deliberate'"), 6, "--canary", "50%", "--for", "60s") end,
    "more script errors", "version 6 is refused; version 5 serves on", REFUSED, has_errors = true },
}

describe("under load, a bundle", function()
  for name, case in pairs(CASES) do
    it(name .. " leaves the policy in force, and log, status and metrics say why", function()
      local origin = bundled.source(make(folder_of "good", 5))
      local proxy = bundled.start(origin, process.directory() .. "/state")
      bundled.wait_says "good"
      local stop = load()
      origin.bundle = case[1]()
      look(proxy, case[2], case[3], case[4])
      local asked, others = stop()
      assert.is_true(asked > 50, asked)
      -- A canary's own requests fail, until it is given up.
      if case.has_errors then assert.is_true(#others < asked / 2) else assert.same({}, others) end
      for _ = 1, 5 do assert.equal("good", bundled.says()) end
    end)
  end

  it("whose source is away at the start is the last good one, and log, status and metrics say why", function()
    local origin, folder = bundled.source(make(folder_of "good", 5)), process.directory() .. "/state"
    local proxy = bundled.start(origin, folder)
    bundled.wait_says "good"
    proxy:stop()
    origin.bundle = nil
    proxy = bundled.start(origin, folder)
    local stop = load()
    look(proxy, "it answered 503", "bundle: http://[^ ]+: it answered 503; version 5 serves on",
      { running_version = 5, refused = 0, down = 1 })
    local asked, others = stop()
    assert.is_true(asked > 0)
    assert.same({}, others)
  end)
end)
