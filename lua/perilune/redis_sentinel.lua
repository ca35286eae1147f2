-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_sentinel: a client of the primary that Redis Sentinel knows by a name. Each worker asks a sentinel
-- when it needs the primary for the first time; again after a failure that another primary may end (the server is down
-- or silent, the connection was lost, it is a replica now); and every 10 seconds while the client is used. Only the
-- first calls wait for that.
--
-- A command that failed is not sent to the new primary: nobody knows whether the old one has done it.

local calls = require "perilune.redis_calls"
local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local own = require "perilune.redis_connection"
local route = require "perilune.redis_route"

local M = {}

local REFRESH = 10
local DOUBT = { down = true, timeout = true, closed = true, READONLY = true, MASTERDOWN = true, LOADING = true }
local NONE = setmetatable({}, { __mode = "k" })

local redis -- the module

local own_options = {
  master = { "string", options.required }, sentinels = { "list", options.required },
  sentinel_user = { "string" }, sentinel_password = { "string" },
}

--- ---------------------------------------------------------------------------------------------------------------
--- finding

local function take(state, address)
  if address == state.address then return end
  if state.address then
    core.log.info(("redis '%s': the primary is %s now, and was %s"):format(state.master, address, state.address))
  end
  state.address, state.client = address, redis.new(address, state.of_client)
end

-- The first sentinel that knows it; it is asked first the next time.
local function find(state)
  local why = "no sentinel answers"
  for i, at in ipairs(state.order) do
    local reply, fault, kind = state.sentinels[at]:call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", state.master)
    local address = type(reply) == "table" and #reply == 2 and route.address(reply[1], reply[2])
    if address then
      table.remove(state.order, i)
      table.insert(state.order, 1, at)
      take(state, address)
      return true
    end
    why = fault or reply == nil and not kind and ("sentinel %s does not know '%s'"):format(at, state.master)
      or ("sentinel %s gave no address"):format(at)
  end
  return nil, why
end

-- The client of the primary, with the time that is left; or nil, a sentence and a kind.
local function primary(self)
  local state = self.state
  if core.test_redis then return state.for_tests end
  local begun = core.now()
  if not state.client then
    local ok, why, kind = state.search:await(begun + self.timeout)
    if not ok then return nil, why, kind end
    return state.client:with_timeout(math.max(self.timeout - (core.now() - begun), 0.001))
  end
  state.search:refresh(REFRESH)
  if self.client_of ~= state.client then
    self.client_of, self.client = state.client, state.client:with_timeout(self.timeout)
  end
  return self.client
end

local function note(self, kind)
  if DOUBT[kind] then self.state.search:begin() end
end

--- ---------------------------------------------------------------------------------------------------------------
--- calls

local Sentinel = calls.class {}

local function looked_at(self, reply, why, kind)
  if not why then return reply end
  note(self, kind)
  return nil, why, kind
end

for _, name in ipairs { "call", "transaction", "eval" } do
  Sentinel[name] = function(self, ...)
    check.object("redis:" .. name, self, "state")
    local client, why, kind = primary(self)
    if not client then return nil, why, kind end
    return looked_at(self, client[name](client, ...))
  end
end

function Sentinel:pipeline(commands)
  check.object("redis:pipeline", self, "state")
  local client, failure, sort = primary(self)
  if not client then return nil, failure, sort end
  local replies, why, kind = client:pipeline(commands)
  if not replies then return looked_at(self, nil, why, kind) end
  for i = 1, #replies do
    if calls.is_error(replies[i]) then note(self, replies[i].code) end
  end
  return replies
end

function Sentinel:with_timeout(seconds)
  check.object("redis:with_timeout", self, "state")
  calls.check_timeout(seconds)
  return setmetatable({ state = self.state, settings = self.settings, timeout = seconds, client_of = NONE,
    client = NONE }, Sentinel)
end

--- As of redis.new's clients; and the primary's `address`.
function Sentinel:status()
  check.object("redis:status", self, "state")
  local state = self.state
  if not state.client then return { state = "idle", waiting = 0, down = false, why = state.search.why } end
  local status = state.client:status()
  status.address = state.address
  return status
end

function Sentinel:connect(given)
  check.object("redis:connect", self, "state")
  return own.connect(self.settings, given)
end

function Sentinel:subscribe(given)
  check.object("redis:subscribe", self, "state")
  return own.subscribe(self.settings, given)
end

function Sentinel:stream(key, given)
  check.object("redis:stream", self, "state")
  return own.stream(self.settings, check.string("redis:stream", 1, key), given)
end

--- ---------------------------------------------------------------------------------------------------------------
--- making

-- For connections of one's own, which ask each time that they are opened.
local function settings_of(state)
  local settings = { key = "sentinel:" .. state.master .. "@" .. table.concat(state.order, ",") }
  function settings.find()
    if state.client then state.search:begin() end
    local ok, why, kind = state.search:await(core.now() + 1)
    if not ok then return nil, why, kind end
    local current = state.client.settings
    settings.address, settings.options, settings.greeting = current.address, current.options, current.greeting
    return true
  end
  return settings
end

function M.new(module, given, valid)
  redis = module
  local read, of_client = route.read("redis.sentinel", given, own_options, valid)
  local of_sentinels = { timeout = 0.2, user = read.sentinel_user, password = read.sentinel_password }
  for _, name in ipairs { "connect_timeout", "tls", "sni", "verify", "verify_name", "ca", "family" } do
    of_sentinels[name] = of_client[name]
  end
  local sentinels, order = route.clients("redis.sentinel", "sentinels", read.sentinels, function(address)
    return redis.new(address, of_sentinels)
  end)
  local for_tests = redis.new("127.0.0.1:6379", of_client) -- also checks them
  local state = { master = read.master, sentinels = sentinels, order = order, of_client = of_client,
    for_tests = for_tests }
  state.search = route.search(("redis '%s'"):format(read.master), function() return find(state) end)
  return setmetatable({ state = state, settings = settings_of(state), timeout = read.timeout, client_of = NONE,
    client = NONE }, Sentinel)
end

return M
