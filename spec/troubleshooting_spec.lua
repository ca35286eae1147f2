-- SPDX-License-Identifier: Apache-2.0
-- docs/troubleshooting.md: each of its commands finds the cause of its outage, and prints what the document shows.
local blocked = require "blocked"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

-- The sections by their number: { title, command, lines }.
local function sections()
  local list = {}
  for part in process.read_file("docs/troubleshooting.md"):gsub("\n## ", "\1"):gmatch "\1([^\1]+)" do
    local number, title, text = part:match "^(%d+)%. ([^\n]+)\n(.*)"
    local command, shown = text:match "```\n%$ perilune ([^\n]+)\n(.-)```"
    local section = { title = title, command = command, lines = {} }
    for line in (shown or ""):gmatch "[^\n]+" do section.lines[#section.lines + 1] = line end
    list[tonumber(number)] = section
  end
  return list
end

local SECTIONS = sections()

-- A line of the document as a pattern: numbers may be others, spaces more; files have folders before them.
local function pattern_of(line)
  local pattern = line:gsub("^ +", "")
  pattern = pattern:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  pattern = pattern:gsub("127%%%.0%%%.0%%%.1:%d+", "@"):gsub("%d[%d%%%.]*", "[%%d%%.]+"):gsub(" +", " +")
  pattern = pattern:gsub("@", "127%%.0%%.0%%.1:%%d+"):gsub("edge", "%%S*edge"):gsub("user %+?%S+:", "user +%%S+:")
  return (pattern:gsub("file %+pid$", "file +%%S+"))
end

local function policy(hooks, options)
  return ([[
local perilune = require "perilune"
local set = require("perilune.round_robin").new { name = "app", retry_on = false, "%s" }
local policy = {}
%s
function policy.upstream_peer() return set:select() end
perilune.listen("127.0.0.1:0", policy, { %s })]]):format(options.peer, hooks or "", options.listen or "")
end

local function refuser()
  local fd = assert(sys.reserve "127.0.0.1")
  cleanup.add(2, function() sys.close(fd) end)
  return "127.0.0.1:" .. sys.port(fd)
end

-- A proxy whose policy is "edge.lua".
local function start(text, workers)
  local directory = process.directory()
  local scene = { path = process.write_file(directory .. "/edge.lua", text), pid_file = directory .. "/pid" }
  local env = { GO = directory .. "/go" }
  scene.proxy = perilune.start { args = { "run", "--workers", tostring(workers or 1), "--pid-file", scene.pid_file,
    "--admin", "127.0.0.1:0", scene.path }, env = env }
  function scene.proxy.go() process.write_file(env.GO, "") end
  cleanup.add(1, scene.proxy.go)
  function scene.ask(path, more)
    local options = { port = scene.proxy.port, path = path }
    for name, value in pairs(more or {}) do options[name] = value end
    return client.request(options)
  end
  return scene
end

local function words_of(scene, command)
  local words = {}
  for word in command:gmatch "%S+" do words[#words + 1] = word end
  if words[1] ~= "ps" then
    words[#words + 1] = "--pid-file"
    words[#words + 1] = scene.pid_file
  end
  return words
end

-- Runs the command of a section; `ask` makes the requests that a trace looks at, meanwhile.
local function prints(number, scene, ask)
  local section, result = SECTIONS[number], nil
  local begun = metrics.status(scene.proxy).live_traces.begun
  scheduler.spawn(function() result = perilune.run { args = words_of(scene, section.command), timeout = 60 } end)
  if ask then
    scheduler.eventually(function() return metrics.status(scene.proxy).live_traces.begun > begun end)
    ask()
  end
  scheduler.eventually(function() return result end)
  assert.equal(0, result.code, result.stderr)
  for _, line in ipairs(section.lines) do
    assert.truthy(result.stdout:find(pattern_of(line)), line .. "\nis not in:\n" .. result.stdout)
  end
end

local function slow_origin(seconds)
  return origins.start(function(connection)
    while connection:read_request() do
      scheduler.sleep(seconds)
      connection:respond { body = "slow" }
    end
  end)
end

-- The outage of each section.
local outages = {
  function()
    local scene = start(policy("", { peer = refuser() }))
    prints(1, scene, function() scene.ask "/" end)
  end,
  function()
    local origin = origins.start "a"
    local scene = start(policy("", { peer = origin.address }))
    assert.equal(0, perilune.run("backend", "drain", "app", origin.address, "--pid-file", scene.pid_file).code)
    assert.equal(503, scene.ask("/").status)
    prints(2, scene)
  end,
  function()
    local scene = start(policy("", { peer = slow_origin(0.2).address }))
    prints(3, scene, function() scene.ask "/" end)
  end,
  function()
    local scene = start(policy("function policy.request_filter() perilune.sleep(0.2) end",
      { peer = origins.start("a").address }))
    prints(4, scene, function() scene.ask "/" end)
  end,
  function()
    local scene = start(policy("function policy.request_filter() error 'so' end", { peer = "127.0.0.1:1" }))
    prints(5, scene, function() scene.ask "/" end)
    scene.proxy:wait_log "edge%.lua:%d+: so"
  end,
  function()
    local scene = start(policy("function policy.request_filter(session) " .. blocked.BLOCK:gsub("\n", " ") .. " end",
      { peer = "127.0.0.1:1" }), 2)
    blocked.ask(scene.proxy)
    blocked.await_helper(scene.proxy)
    prints(6, scene)
    scene.proxy.go()
  end,
  function()
    local text = policy("", { peer = "127.0.0.1:1" })
    local scene = start(text)
    process.write_file(scene.path, "local = 1\n" .. text)
    assert.equal(2, perilune.run("reload", "--pid-file", scene.pid_file).code)
    prints(7, scene)
  end,
  function() prints(8, start(policy("", { peer = "127.0.0.1:1" }), 2)) end,
  function()
    local scene = start(policy("", { peer = "127.0.0.1:1" }))
    prints(9, scene, function()
      assert.equal(431, scene.ask("/", { headers = { ["X-Long"] = ("x"):rep(70000) } }).status)
    end)
  end,
  function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:respond { body = "a", headers = { ["Cache-Control"] = "no-store" } }
      end
    end)
    local scene = start(policy("", { peer = origin.address, listen = "cache = perilune.cache('c', { size = '1M' })" }))
    prints(10, scene, function() scene.ask "/page" end)
  end,
}

describe("The document of outages", function()
  it("has one for each of these, and no other", function() assert.equal(#outages, #SECTIONS) end)

  for number, outage in ipairs(outages) do
    it(("finds the cause of %d: %s"):format(number, SECTIONS[number] and SECTIONS[number].title or "?"), outage)
  end
end)
