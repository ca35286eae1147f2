-- SPDX-License-Identifier: Apache-2.0
-- redis_fleet: several real Redis servers that know each other: a cluster, or a primary with a replica and a sentinel.
-- Each listens on a loopback address of its own, chosen at random, so that nobody else has its ports.
local cleanup = require "cleanup"
local machine = require "machine"
local process = require "process"
local redis_server = require "redis_server"
local scheduler = require "scheduler"

local M = {}

local PORT = 7000

-- As redis_server.start, on TCP.
local function start(words, host)
  local directory = process.directory()
  local command = { redis_server.program }
  for _, word in ipairs(words) do command[#command + 1] = word end
  for _, word in ipairs { "--port", PORT, "--bind", host, "--bind-source-addr", host, "--dir", directory, "--daemonize",
    "no", "--protected-mode", "no" } do
    command[#command + 1] = tostring(word)
  end
  local server = process.start(command, { directory = directory })
  server.host, server.port, server.address = host, PORT, ("%s:%d"):format(host, PORT)
  server.ask = redis_server.ask
  cleanup.add(2, function()
    server:signal "CONT"
    server:signal "TERM"
    if not pcall(server.wait, server, 10) then server:kill() end
  end)
  scheduler.eventually(function()
    if server:exit_code() then error("redis ended: " .. server:stdout(), 0) end
    local ok, text = pcall(server.ask, server, { "PING" })
    return ok and text:find "PONG"
  end, nil, "redis that answers")
  return server
end

local PLAIN = { "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0" }

local function plain(...)
  local words = { unpack(PLAIN) }
  for i = 1, select("#", ...) do words[#words + 1] = (select(i, ...)) end
  return start(words, machine.random_host())
end

--- A cluster of so many servers, each with its part of the slots.
function M.cluster(count)
  local servers = {}
  for i = 1, count do
    servers[i] = plain("--cluster-enabled", "yes", "--cluster-node-timeout", "20000")
  end
  for i, server in ipairs(servers) do
    local first, last = math.floor(16384 * (i - 1) / count), math.floor(16384 * i / count) - 1
    server:ask { "CLUSTER", "ADDSLOTSRANGE", first, last }
    if i > 1 then server:ask { "CLUSTER", "MEET", servers[1].host, PORT } end
    server.first, server.last = first, last
    server.id = server:ask({ "CLUSTER", "MYID" }):match "%x+\r\n$":sub(1, 40)
  end
  for _, server in ipairs(servers) do
    scheduler.eventually(function()
      local info = server:ask { "CLUSTER", "INFO" }
      return info:find "cluster_state:ok" and info:find("cluster_known_nodes:" .. count, 1, true)
    end, nil, "a cluster that is whole")
  end
  return servers
end

--- A primary, its replica, and a sentinel that knows them as "main".
function M.watched()
  local primary = plain()
  local replica = plain("--replicaof", primary.host, tostring(PORT))
  scheduler.eventually(function() return replica:ask({ "INFO", "replication" }):find "master_link_status:up" end)
  local directory = process.directory()
  local config = process.write_file(directory .. "/sentinel.conf", table.concat({
    ("sentinel monitor main %s %d 1"):format(primary.host, PORT), "sentinel down-after-milliseconds main 60000",
    "sentinel failover-timeout main 60000", "" }, "\n"))
  local sentinel = start({ config, "--sentinel" }, machine.random_host())
  scheduler.eventually(function()
    return sentinel:ask({ "SENTINEL", "REPLICAS", "main" }):find(replica.host, 1, true)
  end, nil, "a sentinel that knows the replica")
  return primary, replica, sentinel
end

return M
