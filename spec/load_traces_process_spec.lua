-- SPDX-License-Identifier: Apache-2.0
-- A policy that is refused has used nothing of the process: descriptors, threads, files, what status and metrics know.
-- spec/load_traces_spec.lua has what workers share, spec/load_traces_services_spec.lua caches and traces.
local client = require "client"
local lfs = require "lfs"
local metrics = require "metrics"
local origins = require "origins"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local running = require "running"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { "$APP", name = "app" }
  local discovery = require "perilune.discovery"
  discovery.file(set, "$FOLDER/list")
  require("perilune.health_check").tcp(set, { interval = 60 })
  local store = require("perilune.redis").new("$REDIS")
  local pages = perilune.cache("pages", { size = "1M" })
  perilune.dict("dict", { size = 65536 })
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    return session:respond { status = 200, body = tostring(store:call("PING")) }
  end }, { cache = pages })
  $MORE
]]

-- It begins all that a policy can begin, and is refused in the end.
local OTHER = [[
  local other = require("perilune.redis").new("$OTHER")
  perilune.cache("other", { size = "1M", path = "$FOLDER/other" })
  local function new_set(name) return require("perilune.hash").new { "127.0.0.1:2", name = name } end
  discovery.etcd(new_set "etcd", "/app/", { endpoints = "http://$OTHER" })
  discovery.consul(new_set "consul", "app", { address = "http://$OTHER" })
  discovery.file(new_set "file", "$FOLDER/list")
  discovery.dns(new_set "dns", "app.test:80")
  require("perilune.health_check").http(new_set "checked", { interval = 0.01 })
  perilune.tracing { endpoint = "http://$OTHER" }
  perilune.every(0.01, function() other:call("INCR", "every") end)
  perilune.after(0.01, function() other:call("INCR", "after") end)
  perilune.spawn(function() other:call("INCR", "spawned") end)
  perilune.metrics.counter "app_other_total"
  perilune.rate("other", { interval = 1 })
  perilune.counter "other"
  require("perilune.cluster_purge").start(pages, { store = other })
  local hooks = { upstream_peer = function() return "$OTHER" end }
  perilune.listen("127.0.0.1:0", hooks, { access_log = "$FOLDER/access.log", acme = { domains = { "spec.example" },
    http = false, directory = "https://$OTHER/directory", storage = "$FOLDER/acme" } })
  perilune.listen("unix:$FOLDER/socket", hooks)
  error "not today"
]]

local function files_in(folder)
  local names = {}
  for name in lfs.dir(folder) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What descriptors lead to, without the numbers of sockets and pipes.
local function descriptors(pid)
  local kinds = {}
  for name in lfs.dir("/proc/" .. pid .. "/fd") do
    local target = lfs.symlinkattributes("/proc/" .. pid .. "/fd/" .. name, "target")
    if target then kinds[#kinds + 1] = (target:gsub("%[%d+%]$", "")) end
  end
  table.sort(kinds)
  return kinds
end

-- The names and texts of a document; numbers go on, and the list of reloads grows.
local function shape(value)
  if type(value) == "number" then return 0 end
  if type(value) ~= "table" then return value end
  local made = {}
  for key, one in pairs(value) do
    if key ~= "history_of_reloads" then made[key] = shape(one) end
  end
  return made
end

local function state(proxy, folder)
  local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
  local names = {}
  for line in page:gmatch "[^\n]+" do names[#names + 1] = line:match "^# TYPE (%S+)" or line:match "^%a[^ ]*{[^}]*}" end
  return {
    descriptors = descriptors(proxy.pid), files = files_in(folder), metrics = names,
    status = shape(metrics.status(proxy)),
    threads = process.read_file("/proc/" .. proxy.pid .. "/status"):match "Threads:%s*(%d+)",
  }
end

-- Where two states differ, as lines: where, what was there, what is there.
local function differences(before, now, where, found)
  where, found = where or "state", found or {}
  if type(before) ~= "table" or type(now) ~= "table" then
    if before ~= now then found[#found + 1] = ("%s: %s, now %s"):format(where, tostring(before), tostring(now)) end
    return found
  end
  local keys = {}
  for key in pairs(before) do keys[key] = true end
  for key in pairs(now) do keys[key] = true end
  for key in pairs(keys) do differences(before[key], now[key], where .. "." .. key, found) end
  table.sort(found)
  return found
end

-- A Redis, and how many connections are open to it.
local function start_redis()
  local redis, open = redis_server.scripted(function(connection) connection:send "+OK\r\n" end), 0
  local serve = redis.handler
  function redis.handler(...)
    open = open + 1
    serve(...)
    open = open - 1
  end
  return redis, function() return open end
end

-- What a good reload leaves behind that serves, once that does not change any more: threads start when they are needed,
-- and the connection to Redis is that of the generation in force.
local function settled(proxy, pid_file, folder, ask, connections)
  assert.equal(0, running.command(pid_file, "reload").code)
  ask()
  local last, equal = nil, 0
  scheduler.eventually(function()
    if connections() ~= 1 then return false end
    local now = state(proxy, folder)
    equal = last and #differences(last, now) == 0 and equal + 1 or 0
    last = now
    return equal == 10
  end)
  return last
end

describe("A policy that is refused", function()
  it("leaves descriptors, threads, files, status and metrics as they were, and has asked nobody", function()
    local folder, real, connections = process.directory(), start_redis()
    local other = origins.start "never"
    local app = origins.start "app"
    process.write_file(folder .. "/list", app.address .. "\n")
    local words = { APP = app.address, FOLDER = folder, REDIS = real.address, OTHER = other.address,
      MORE = "" }
    local proxy, pid_file, path = running.start { policy = policies.fill(POLICY, words), workers = 1,
      words = { "--admin", "127.0.0.1:0" } }
    local function ask() assert.equal(200, client.request(proxy.port).status) end
    for _ = 1, 4 do ask() end
    local before = settled(proxy, pid_file, folder, ask, connections)
    words.MORE = policies.fill(OTHER, words)
    process.write_file(path, policies.fill(POLICY, words))
    for _ = 1, 3 do
      local result = running.command(pid_file, "reload")
      assert.equal(2, result.code)
      running.has(result.stderr, "not today")
    end
    ask()
    local found
    pcall(scheduler.eventually, function()
      found = differences(before, state(proxy, folder))
      return #found == 0
    end, 5)
    assert.same({}, found)
    assert.equal(0, other.accepted)
  end)
end)
