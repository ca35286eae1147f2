-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis: a client for Redis and Valkey. All hooks and jobs of a worker share one connection to a server, on
-- which many commands can wait for replies (see lua/api/redis.h, also for what happens if the server does not
-- answer). Separate connections are made by redis:connect, subscribe and stream (lua/perilune/redis_connection.lua).
-- redis.sentinel and redis.cluster (files of their own) find out which servers to use, and have a client for each.

local calls = require "perilune.redis_calls"
local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local rules = require "perilune.redis_rules"

---@type perilune.redis
local redis = {
  --- null within a list or a map; the same as json.null.
  null = core.json_null,
}

local Client = calls.class {}
Client.__newindex = function(_, name)
  check.raise(("perilune.redis.client keeps no fields, such as '%s': keep your own data in a table, or in the ctx of "
    .. "the request; options belong into redis.new(address, { ... })"):format(tostring(name)))
end

local valid = {
  user = { "string" }, password = { "string" }, database = { "count", 0 }, protocol = { "positive", 2 },
  timeout = { "seconds", 0.05 }, connect_timeout = { "seconds", 0.2 },
  failures = { "positive", 5 }, retry = { "seconds", 0.25 }, retry_most = { "seconds", 1.5 },
  queue = { "positive", 1024 }, queue_bytes = { "positive", 4 * 1048576 }, reply_bytes = { "positive", 8 * 1048576 },
  tls = { "boolean" }, sni = { "string" }, verify = { "boolean" }, verify_name = { "string" }, ca = { "string" },
  family = { "family" },
}
-- What lua/api/redis.c reads of them.
local of_link = {
  "timeout", "connect_timeout", "failures", "retry", "retry_most", "queue", "queue_bytes", "reply_bytes", "tls", "sni",
  "verify", "verify_name", "ca", "family",
}

--- ---------------------------------------------------------------------------------------------------------------
--- the link

-- What is sent first on each connection, as commands.
local function greeting_of(given)
  local greeting = {}
  if given.protocol == 3 then
    local hello = { "HELLO", 3 }
    if given.password then
      for _, word in ipairs { "AUTH", given.user or "default", given.password } do hello[#hello + 1] = word end
    end
    greeting[1] = hello
  elseif given.password then
    greeting[1] = given.user and { "AUTH", given.user, given.password } or { "AUTH", given.password }
  end
  if given.database > 0 then greeting[#greeting + 1] = { "SELECT", given.database } end
  greeting[#greeting + 1] = { "PING" }
  return greeting
end

local metrics

local function declare_metrics()
  if metrics then return end
  local bounds = { 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5 }
  metrics = {
    core.metric("perilune_redis_commands_total", "counter",
      "Commands to Redis, or units of several, by what became of them.", { "server", "result" }, {}),
    core.metric("perilune_redis_seconds", "histogram", "Time from a command to its reply.", { "server" }, bounds),
    core.metric("perilune_redis_down", "gauge", "Workers for which the server is down: commands fail at once.",
      { "server" }, {}),
    core.metric("perilune_redis_connects_total", "counter", "Connections to the server that came about.", { "server" },
      {}),
  }
end

-- Links by what tells connections apart, of this worker; one that nobody holds any more ends.
local links = setmetatable({}, { __mode = "v" })

local function key_of(address, given)
  local parts = { address, core.redis_encode(greeting_of(given)) }
  for _, name in ipairs(of_link) do parts[#parts + 1] = tostring(given[name]) end
  return table.concat(parts, "\0")
end

-- Made when something is first asked: while a policy loads there is no loop to connect on.
local function open(settings)
  local link = links[settings.key]
  if not link then
    local wrong
    local greeting = core.redis_encode(settings.greeting)
    link, wrong = core.redis_open(settings.address, settings.of_link, greeting, #settings.greeting, unpack(metrics))
    if not link then check.raise("redis.new: " .. wrong) end
    links[settings.key] = link
  end
  settings.link = link
  return link
end

-- Options that are no option each, but do not go together.
local function fault_of(given)
  if given.user and not given.password then return "option 'user' wants option 'password', too" end
  if given.protocol ~= 2 and given.protocol ~= 3 then return "option 'protocol' must be 2 or 3" end
  if given.retry_most < given.retry then return "option 'retry_most' must not be less than option 'retry'" end
end

--- A client of the server at "host:port", "name:port" or "unix:/path"; lua/perilune/types_redis.lua has the options. It
--- connects when it is first used. Misuse raises.
function redis.new(address, given, ...)
  if address == redis then check.raise 'redis.new is called with a dot, not with a colon: redis.new("host:6379")' end
  if type(address) ~= "string" then
    check.raise(('redis.new: argument 1, the address, is a %s value: write redis.new("host:6379", { ... })'):format(
      type(address)))
  end
  check.no_more("redis.new", "options are one table, the second argument", ...)
  local read = options.read("redis.new", given, valid)
  local settings = { address = address, options = read, of_link = {} }
  for _, name in ipairs(of_link) do settings.of_link[name] = read[name] end
  local wrong = fault_of(read) or core.redis_check(address, settings.of_link)
  if wrong then error("redis.new: " .. wrong, 2) end
  settings.greeting = greeting_of(read)
  settings.key = key_of(address, read)
  declare_metrics()
  return setmetatable({ settings = settings, timeout = read.timeout }, Client)
end

--- Is it an error of the server within a list of replies? Its text is in `error`, its first word in `code`.
redis.is_error = calls.is_error

--- ---------------------------------------------------------------------------------------------------------------
--- calls

local function check_client(call, self)
  if getmetatable(self) == Client then return self.settings end
  check.raise(("%s is a method: it is called with a colon"):format(call))
end

local function check_commands(call, commands)
  check.table(call, 1, commands)
  for i = 1, #commands do
    local command = commands[i]
    if type(command) == "table" and type(command[1]) == "string" then calls.check_command(call, i, command) end
  end
end

-- The replies of a unit of commands, in order; or nil, a sentence and what kind of failure it is.
local function batch(self, commands, timeout)
  local settings = self.settings
  if core.test_redis then return core.test_redis(settings.address, commands, timeout) end
  return core.redis_batch(settings.link or open(settings), timeout, commands)
end

-- For clients that consist of several (redis_cluster): what is sent is not looked at.
Client.__batch = batch

--- One command. Gives its reply, nil where that is null; or nil, a sentence and the code: the server's ("WRONGTYPE"),
--- or "timeout", "down", "busy", "closed" or "too long".
function Client:call(name, ...)
  local settings = check_client("redis:call", self)
  local why = rules.refusal(name, ...)
  if why then check.raise("redis:call: " .. why) end
  if core.test_redis then
    local replies, failure, kind = core.test_redis(settings.address, { { name, ... } }, self.timeout)
    if not replies then return nil, failure, kind end
    return calls.single(replies[1])
  end
  return core.redis_call(settings.link or open(settings), self.timeout, name, ...)
end

--- Several commands, sent at once, with the time of one: a list of their replies, with redis.null and errors
--- (redis.is_error) in it. Others' commands may come between them.
function Client:pipeline(commands)
  check_client("redis:pipeline", self)
  check_commands("redis:pipeline", commands)
  return batch(self, commands, self.timeout)
end

--- The same as one transaction (MULTI, EXEC): all are done or none, and nothing comes between them. Nil and the reason
--- where none was done.
function Client:transaction(commands)
  check_client("redis:transaction", self)
  check_commands("redis:transaction", commands)
  if core.test_redis then return batch(self, commands, self.timeout) end
  local replies, why, kind = batch(self, calls.unit(commands), self.timeout)
  if not replies then return nil, why, kind end
  return calls.outcome(replies)
end

local function ask(self, command, begun)
  local replies, why, kind = batch(self, { command }, math.max(self.timeout - (core.now() - begun), 0.001))
  if not replies then return nil, why, kind end
  return replies[1]
end

--- A script that the server runs, with its keys and arguments.
function Client:eval(script, keys, arguments)
  check_client("redis:eval", self)
  return calls.eval(ask, self, script, keys, arguments)
end

--- The same client on the same connection with another time for each call, in seconds: for work that may take longer.
function Client:with_timeout(seconds)
  check_client("redis:with_timeout", self)
  calls.check_timeout(seconds)
  return setmetatable({ settings = self.settings, timeout = seconds }, Client)
end

--- How this worker's connection is: { state = "idle" (the next call connects), "connecting", "connected" or "paused"
--- (it is tried again soon), waiting = commands, down = boolean, why = the last failure }.
function Client:status()
  local settings = check_client("redis:status", self)
  if not settings.link then return { state = "idle", waiting = 0, down = false } end
  local state, waiting, why, down = core.redis_status(settings.link)
  return { state = state, waiting = waiting, down = down, why = why ~= "" and why or nil }
end

--- ---------------------------------------------------------------------------------------------------------------
--- connections of one's own

local function own() return require "perilune.redis_connection" end

--- A connection of one's own: for WATCH, blocking commands, SUBSCRIBE by hand.
function Client:connect(given)
  return own().connect(check_client("redis:connect", self), given)
end

--- What is published on channels and patterns.
function Client:subscribe(given)
  return own().subscribe(check_client("redis:subscribe", self), given)
end

--- The entries of a stream, from its end or from an id on.
function Client:stream(key, given)
  return own().stream(check_client("redis:stream", self), check.string("redis:stream", 1, key), given)
end

--- ---------------------------------------------------------------------------------------------------------------
--- several servers

--- A client of the primary that sentinels know by a name; types_redis.lua has the options.
function redis.sentinel(given)
  local client = require("perilune.redis_sentinel").new(redis, given, valid)
  return client
end

--- A client of a Redis Cluster.
function redis.cluster(given)
  local client = require("perilune.redis_cluster").new(redis, given, valid)
  return client
end

options.declare(redis.new, "redis.new", 2, valid)

return redis
