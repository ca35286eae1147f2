-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_cluster: a client of a Redis Cluster. A worker has one connection to each server that it uses.
--
-- The map of slots is asked of any server that is known when it is first needed; again when a server redirects, is down
-- or silent, or says that the cluster is down; and every minute while the client is used. Only the first call waits for
-- it. If what comes is no map, or no server answers, the last map stays.
--
-- MOVED and ASK say that a command was not done, and where it belongs: it is sent there, at most 5 times and within the
-- call's time. TRYAGAIN says that its keys are on the way to another server: it is sent again after a moment. Other
-- failures are the caller's: nothing is sent twice whose first sending may have been done.

local calls = require "perilune.redis_calls"
local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local own = require "perilune.redis_connection"
local route = require "perilune.redis_route"
local rules = require "perilune.redis_rules"
local slots = require "perilune.redis_slots"

local M = {}

local REFRESH, HOPS, TRY_AGAIN = 60, 5, 0.01
local ASK_TIMEOUT, SERVERS_ASKED = 0.25, 5
local DOUBT = { down = true, timeout = true, closed = true, CLUSTERDOWN = true, READONLY = true, MASTERDOWN = true,
  LOADING = true }

local redis -- the module

--- ---------------------------------------------------------------------------------------------------------------
--- servers and slots

local function client_of(state, address)
  local client = state.clients[address]
  if client then return client end
  client = redis.new(address, state.of_client)
  state.clients[address] = client
  return client
end

-- Those that have slots, and then those that the policy names.
local function candidates(state)
  local list, listed = {}, {}
  for address in pairs(state.servers) do
    list[#list + 1], listed[address] = address, true
  end
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
  for i, address in ipairs(state.seeds) do
    if not listed[address] then table.insert(list, math.min(2 * i, #list + 1), address) end
  end
  return list
end

local function host_of(address) return address:match "^%[(.*)%]:%d+$" or address:match "^(.*):%d+$" end

-- Connections to servers that have no slots any more end.
local function take_map(state, map, servers)
  state.map, state.servers = map, servers
  for address in pairs(state.clients) do
    if not servers[address] and not state.is_seed[address] then state.clients[address] = nil end
  end
end

local function find(state)
  local why = "no server answers"
  for i, address in ipairs(candidates(state)) do
    if i > SERVERS_ASKED then break end
    local reply, fault = client_of(state, address):with_timeout(ASK_TIMEOUT):call("CLUSTER", "SLOTS")
    local map, servers = nil, fault or "CLUSTER SLOTS gave null"
    if reply ~= nil then map, servers = slots.read(reply, host_of(address)) end
    if map then
      take_map(state, map, servers)
      return true
    end
    why = ("%s: %s"):format(address, servers)
  end
  return nil, why
end

-- The address for a slot; nil, a sentence and a kind.
local function address_for(self, slot, deadline)
  local state = self.state
  if core.test_redis then return state.seeds[1] end
  local ok, why, kind = state.search:await(deadline)
  if not ok then return nil, why, kind end
  state.search:refresh(REFRESH)
  if not slot then return next(state.servers) end
  local address = state.map[slot]
  if address then return address end
  state.search:begin()
  return nil, ("redis cluster: no server has slot %d"):format(slot), "down"
end

--- ---------------------------------------------------------------------------------------------------------------
--- one command, or a unit of several, at the right server

-- "MOVED 3999 127.0.0.1:6381": the address. Without a host it is the same one.
local function target_of(text, asked)
  local host, port = text:match "^%u+ %d+ (.*):(%d+)$"
  if not host then return nil end
  host = host:match "^%[(.*)%]$" or host
  return route.address(host ~= "" and host or host_of(asked), port)
end

-- What is to be done about an error: an address to go to, and whether by ASKING; nil: it is the caller's.
local function redirected(self, fault, slot, address)
  local state = self.state
  if fault.code == "MOVED" then
    local target = target_of(fault.error, address)
    if target and slot then state.map[slot], state.servers[target] = target, true end
    state.search:begin()
    return target
  end
  if fault.code == "ASK" then return target_of(fault.error, address), true end
  if fault.code == "TRYAGAIN" then
    core.sleep(TRY_AGAIN)
    return address
  end
  if DOUBT[fault.code] then state.search:begin() end
end

-- The error of a unit that matters for where it goes: none of it was done then.
local function redirection(replies)
  for i = 1, #replies do
    local reply = replies[i]
    if calls.is_error(reply) and (reply.code == "MOVED" or reply.code == "ASK" or reply.code == "TRYAGAIN"
      or DOUBT[reply.code]) then
      return reply
    end
  end
end

local function send(self, address, commands, seconds)
  local replies, why, kind = client_of(self.state, address):__batch(commands, seconds)
  if not replies and DOUBT[kind] then self.state.search:begin() end
  return replies, why, kind
end

-- `unit` is a list of commands, done together or not at all: one, or MULTI ... EXEC. Its replies.
local function run(self, unit, slot, deadline)
  local address, failure, sort = address_for(self, slot, deadline)
  if not address then return nil, failure, sort end
  local asking, replies = false, nil
  for _ = 0, HOPS do
    local left = deadline - core.now()
    if left <= 0 then return nil, ("redis %s: no reply in time"):format(address), "timeout" end
    local why, kind
    replies, why, kind = send(self, address, asking and { { "ASKING" }, unpack(unit) } or unit, left)
    if not replies then return nil, why, kind end
    if asking then table.remove(replies, 1) end
    local fault = redirection(replies)
    if not fault then return replies end
    local target, by_asking = redirected(self, fault, slot, address)
    if not target then return replies end
    address, asking = target, by_asking
  end
  return replies
end

local function deadline_of(self) return core.now() + self.timeout end

local function one(self, command, deadline)
  local replies, why, kind = run(self, { command }, slots.of_command(command), deadline)
  if not replies then return nil, why, kind end
  return replies[1]
end

--- ---------------------------------------------------------------------------------------------------------------
--- methods

local Cluster = calls.class {}

function Cluster:call(name, ...)
  check.object("redis:call", self, "state")
  local refusal = rules.refusal(name, ...)
  if refusal then check.raise("redis:call: " .. refusal) end
  local reply, why, kind = one(self, { name, ... }, deadline_of(self))
  if why then return nil, why, kind end
  return calls.single(reply)
end

local function ask(self, command, begun) return one(self, command, begun + self.timeout) end

function Cluster:eval(script, keys, arguments)
  check.object("redis:eval", self, "state")
  return calls.eval(ask, self, script, keys, arguments)
end

local function check_commands(call, commands)
  check.table(call, 1, commands)
  for i, command in ipairs(commands) do
    if type(command) ~= "table" or command[1] == nil then
      check.raise(('%s: command %d is none: expected a list, such as { "GET", key }'):format(call, i))
    end
    calls.check_command(call, i, command)
  end
end

-- The places of commands by the server that they go to; nil, a sentence and a kind where there is no map.
local function by_server(self, commands, deadline)
  local groups, order = {}, {}
  for i, command in ipairs(commands) do
    local address, why, kind = address_for(self, slots.of_command(command), deadline)
    if not address then return nil, why, kind end
    local group = groups[address] or { address = address, places = {}, commands = {} }
    if not groups[address] then
      groups[address], order[#order + 1] = group, group
    end
    group.places[#group.places + 1], group.commands[#group.commands + 1] = i, command
  end
  return order
end

-- What stands in the place of a reply that did not come.
local function no_reply(why, kind)
  return setmetatable({ error = why, code = kind, is_failure = true }, core.redis_error)
end

-- What a server gave to its part; where it gave nothing, an error for each.
local function fill(self, group, replies, seconds)
  local got, why, kind = send(self, group.address, group.commands, seconds)
  for i, place in ipairs(group.places) do
    replies[place] = got and got[i] or no_reply(why, kind)
  end
end

-- All servers at the same time.
local function ask_all(self, groups, deadline)
  local replies, tasks = {}, {}
  local left = math.max(deadline - core.now(), 0.001)
  for i = 2, #groups do
    tasks[#tasks + 1] = core.spawn(function() fill(self, groups[i], replies, left) end)
  end
  if groups[1] then fill(self, groups[1], replies, left) end
  while #tasks > 0 and core.spawned_running(tasks) > 0 do core.spawned_await(tasks) end
  return replies
end

--- As of redis.new's clients. Commands go to their servers at the same time; a server that does not answer leaves
--- errors with the codes "timeout", "down" and so on at its places. If none answers: nil, a sentence and a kind.
function Cluster:pipeline(commands)
  check.object("redis:pipeline", self, "state")
  check_commands("redis:pipeline", commands)
  local deadline = deadline_of(self)
  local groups, failure, sort = by_server(self, commands, deadline)
  if not groups then return nil, failure, sort end
  local replies, any = ask_all(self, groups, deadline), false
  for i = 1, #commands do
    local reply = replies[i]
    if calls.is_error(reply) and not reply.is_failure and redirection { reply } then
      local again, why, kind = run(self, { commands[i] }, slots.of_command(commands[i]), deadline)
      reply = again and again[1] or no_reply(why, kind)
      replies[i] = reply
    end
    any = any or not (calls.is_error(reply) and reply.is_failure)
  end
  if not any and replies[1] then return nil, replies[1].error, replies[1].code end
  return replies
end

local function common_slot(commands)
  local slot
  for i, command in ipairs(commands) do
    local other = slots.of_command(command)
    if slot and other and other ~= slot then
      check.raise(("redis:transaction: command %d is of another slot: give its keys the same part in braces, as in "
        .. "'{user:7}:cart'"):format(i))
    end
    slot = slot or other
  end
  return slot
end

--- As of redis.new's clients; all keys must be of one slot.
function Cluster:transaction(commands)
  check.object("redis:transaction", self, "state")
  check_commands("redis:transaction", commands)
  local slot = common_slot(commands)
  if core.test_redis then return client_of(self.state, self.state.seeds[1]):transaction(commands) end
  local replies, why, kind = run(self, calls.unit(commands), slot, deadline_of(self))
  if not replies then return nil, why, kind end
  return calls.outcome(replies)
end

function Cluster:with_timeout(seconds)
  check.object("redis:with_timeout", self, "state")
  calls.check_timeout(seconds)
  return setmetatable({ state = self.state, settings = self.settings, timeout = seconds }, Cluster)
end

--- { state, waiting, down, why } of all its servers together, and `servers` with the same of each by its address.
function Cluster:status()
  check.object("redis:status", self, "state")
  local state = self.state
  local all = { state = state.search.found_at and "connected" or "idle", waiting = 0, down = false,
    why = state.search.why, servers = {} }
  for address in pairs(state.servers) do
    local status = client_of(state, address):status()
    all.servers[address] = status
    all.waiting, all.down = all.waiting + status.waiting, all.down or status.down
  end
  return all
end

--- ---------------------------------------------------------------------------------------------------------------
--- connections of one's own: to the server of a key, or any; found anew each time that one is opened

local function settings_for(self, slot)
  local settings = {}
  function settings.find()
    self.state.search:refresh(1)
    local address, why, kind = address_for(self, slot, core.now() + 1)
    if not address then return nil, why, kind end
    local current = client_of(self.state, address).settings
    settings.address, settings.options, settings.greeting = current.address, current.options, current.greeting
    return true
  end
  return settings
end

--- Options as of redis.new's clients, and `key`: whose server it is.
function Cluster:connect(given)
  check.object("redis:connect", self, "state")
  local read = options.read("redis:connect", given, { timeout = { "seconds", 5 }, key = { "string" } })
  return own.connect(settings_for(self, read.key and slots.of_key(read.key)), { timeout = read.timeout })
end

function Cluster:subscribe(given)
  check.object("redis:subscribe", self, "state")
  return own.subscribe(settings_for(self, nil), given)
end

function Cluster:stream(key, given)
  check.object("redis:stream", self, "state")
  return own.stream(settings_for(self, slots.of_key(check.string("redis:stream", 1, key))), key, given)
end

--- ---------------------------------------------------------------------------------------------------------------
--- making

local own_options = { nodes = { "list", options.required } }

function M.new(module, given, valid)
  redis = module
  local read, of_client = route.read("redis.cluster", given, own_options, valid)
  if read.database ~= 0 then error("redis.cluster: a cluster has one database only: leave out 'database'", 3) end
  local clients, seeds = route.clients("redis.cluster", "nodes", read.nodes, function(address)
    return redis.new(address, of_client)
  end)
  local state = { clients = clients, seeds = seeds, is_seed = {}, servers = {}, map = {}, of_client = of_client }
  for _, address in ipairs(seeds) do state.is_seed[address] = true end
  state.search = route.search(("redis cluster of %s"):format(seeds[1]), function() return find(state) end)
  return setmetatable({ state = state, settings = { key = "cluster:" .. table.concat(seeds, ",") },
    timeout = read.timeout }, Cluster)
end

return M
