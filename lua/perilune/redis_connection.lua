-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_connection: connections to Redis for one task: for WATCH and commands that block; for messages; for
-- streams. Subscriptions and streams reconnect by themselves: receive and read report once that something may have
-- been missed, or that they continue from the last entry; the next call connects again, after a growing pause.

local backoff = require "perilune.backoff"
local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local tcp = require "perilune.tcp"

local own = {}

local SLICE = 1        -- seconds of one wait: between them it is seen that the policy is no longer in force
local PING_AFTER = 15  -- seconds of silence after which a server is asked whether it is there
local RETRY, RETRY_MOST = 0.1, 5

local connect_options = { "tls", "sni", "verify", "verify_name", "ca", "family" }

--- ---------------------------------------------------------------------------------------------------------------
--- a connection

local Connection = { __name = "perilune.redis.connection" }
Connection.__index = Connection

local function fail(self, why, kind)
  self:close()
  return nil, why, kind
end

--- Sends a command, and waits for nothing. True; or nil, a sentence and the kind of failure.
function Connection:send(...)
  if not self.socket then return nil, "closed", "closed" end
  local ok, why = self.socket:send(core.redis_encode { { ... } })
  if not ok then return fail(self, why, why == "timeout" and why or "closed") end
  return true
end

--- The next reply or message. As redis:call; after "timeout" it can be asked again, any other failure but an error of
--- the server closes it.
function Connection:receive(seconds)
  if not self.socket then return nil, "closed", "closed" end
  self.socket:set_timeouts(self.timeout, seconds or self.timeout)
  local reply, why, kind = core.redis_receive(self.socket, self.reply_bytes)
  if kind == "closed" or kind == "malformed" or kind == "too long" then return fail(self, why, kind) end
  return reply, why, kind
end

--- A command and its reply. Without a reply in time the connection is closed: what comes next would be taken for
--- another's.
function Connection:call(...)
  local ok, failure, sort = self:send(...)
  if not ok then return nil, failure, sort end
  local reply, why, kind = self:receive()
  if kind == "timeout" then return fail(self, why, kind) end
  return reply, why, kind
end

--- Harmless when it is closed already.
function Connection:close()
  if self.socket then self.socket:close() end
  self.socket = nil
end

local function greet(self, settings)
  local ok, why = self.socket:send(core.redis_encode(settings.greeting))
  if not ok then return nil, why, "closed" end
  for _ = 1, #settings.greeting do
    local reply, failure, kind = self:receive(settings.options.connect_timeout)
    if reply == nil then return nil, failure or "malformed", kind or "malformed" end
  end
  return true
end

local function open(settings, timeout)
  if settings.find then -- which server it is now
    local ok, failure, sort = settings.find()
    if not ok then return nil, failure, sort end
  end
  local wanted = { timeout = settings.options.connect_timeout, fresh = true }
  for _, name in ipairs(connect_options) do wanted[name] = settings.options[name] end
  local socket, why, kind = tcp.connect(settings.address, wanted)
  if not socket then return nil, ("redis %s: %s"):format(settings.address, why), kind end
  local self = setmetatable({ socket = socket, timeout = timeout, reply_bytes = settings.options.reply_bytes },
    Connection)
  local ok, failure, sort = greet(self, settings)
  if ok then return self end
  self:close()
  return nil, ("redis %s: %s"):format(settings.address, failure), sort
end

--- A connection that nobody else uses. Option: timeout, of each call, 5 seconds; what blocks wants more than it blocks.
function own.connect(settings, given)
  local read = options.read("redis:connect", given, { timeout = { "seconds", 5 } })
  return open(settings, read.timeout)
end

--- ---------------------------------------------------------------------------------------------------------------
--- what subscriptions and streams have in common: a connection that is made again, and a time until which to wait

-- A connection that is prepared, by `begin`; or nil, a sentence and a kind, after a pause that was due.
local function connected(self, deadline)
  if self.connection then return true end
  local pause = math.max((self.retry_at or 0) - core.now(), 0)
  if deadline and core.now() + pause >= deadline then
    core.sleep(math.max(deadline - core.now(), 0))
    return nil, "timeout", "timeout"
  end
  core.sleep(pause)
  self.pause = math.min((self.pause or RETRY / 2) * 2, RETRY_MOST)
  self.retry_at = core.now() + backoff.spread(self.pause)
  local connection, why, kind = open(self.settings, 5)
  if not connection then
    if backoff.is_ours(kind) then self.pause, self.retry_at = nil, core.now() + RETRY end
    return nil, why, kind
  end
  self.connection = connection
  local ok, failure, sort = self:begin()
  if ok then return true end
  self:close()
  return nil, failure, sort
end

-- The seconds of the next wait; or nil, a sentence and a kind: nothing more is to be waited for. Without a deadline the
-- end of the policy ends it.
local function next_wait(deadline)
  if deadline then
    local left = deadline - core.now()
    if left <= 0 then return nil, "timeout", "timeout" end
    return math.max(math.min(left, SLICE), 0.001)
  end
  if core.is_retired() then return nil, "the policy is no longer in force", "retired" end
  return SLICE
end

-- Asks by try(self, seconds) until it gives something, or nil, a sentence and a kind. While it gives nothing at all, it
-- is asked again.
local function await(self, call, seconds, try)
  local deadline = seconds ~= nil and core.now() + check.number(call, 1, seconds) or nil
  local ok, why, kind = connected(self, deadline)
  if not ok then return nil, why, kind end
  while true do
    local wait, ended, sort = next_wait(deadline)
    if not wait then return nil, ended, sort end
    local given, failure, code = try(self, wait)
    if given or failure then return given, failure, code end
  end
end

local function close(self)
  if self.connection then self.connection:close() end
  self.connection = nil
end

--- ---------------------------------------------------------------------------------------------------------------
--- subscriptions

local Subscription = { __name = "perilune.redis.subscription", close = close }
Subscription.__index = Subscription

function Subscription:begin()
  self.heard, self.asked = core.now(), false
  if #self.channels > 0 then
    local ok, why, kind = self.connection:send("SUBSCRIBE", unpack(self.channels))
    if not ok then return nil, why, kind end
  end
  if #self.patterns == 0 then return true end
  return self.connection:send("PSUBSCRIBE", unpack(self.patterns))
end

-- A message out of what the server has sent; nil: it is none, but says that the subscription holds.
local function message_of(self, reply)
  if type(reply) ~= "table" then return nil end
  if reply[1] == "subscribe" or reply[1] == "psubscribe" then self.pause = nil end
  if reply[1] == "message" then return { channel = reply[2], payload = reply[3] } end
  if reply[1] == "pmessage" then return { pattern = reply[2], channel = reply[3], payload = reply[4] } end
end

-- Nothing came for a while: true, where that is as it may be.
local function is_alive(self)
  local silent = core.now() - self.heard
  if silent < PING_AFTER then return true end
  if self.asked then return silent < PING_AFTER + 5 end
  self.asked = true
  return self.connection:send "PING" == true
end

local function lost(self, why, kind)
  self:close()
  return nil, why, kind
end

local function next_message(self, seconds)
  local reply, why, kind = self.connection:receive(seconds)
  if kind == "timeout" then
    if is_alive(self) then return nil end
    return lost(self, "the server is silent", "closed")
  end
  if reply == nil then return lost(self, why or "malformed", kind or "malformed") end
  self.heard, self.asked = core.now(), false
  return message_of(self, reply)
end

--- The next message: { channel, payload, pattern }; or nil, a sentence and a word: "timeout"; "retired" (without
--- `seconds`, when the policy is no longer in force); else the connection was lost, messages may have been missed, and
--- the next call connects again.
function Subscription:receive(seconds)
  return await(self, "subscription:receive", seconds, next_message)
end

local function check_names(what, names)
  for _, name in ipairs(names) do
    if type(name) ~= "string" then
      check.raise(("redis:subscribe: %s are strings, got a %s value"):format(what, type(name)))
    end
  end
  return names
end

--- Channels and patterns, { channels = { ... }, patterns = { ... } }, or a list of channels. It connects when it is
--- first asked.
function own.subscribe(settings, given)
  check.table("redis:subscribe", 1, given)
  if given[1] ~= nil then given = { channels = given } end
  local read = options.read("redis:subscribe", given, { channels = { "list", {} }, patterns = { "list", {} } })
  if #read.channels + #read.patterns == 0 then check.raise "redis:subscribe: expected a channel or a pattern" end
  return setmetatable({ settings = settings, channels = check_names("channels", read.channels),
    patterns = check_names("patterns", read.patterns) }, Subscription)
end

--- ---------------------------------------------------------------------------------------------------------------
--- streams

local Stream = { __name = "perilune.redis.stream", close = close }
Stream.__index = Stream

-- A server may say anything: it is a table, or an empty one.
local function table_of(value) return type(value) == "table" and value or {} end

-- { id, fields }; nil: it is no entry.
local function entry_of(item)
  local pair = table_of(item)
  if type(pair[1]) ~= "string" then return nil end
  local entry, flat = { id = pair[1], fields = {} }, table_of(pair[2]) -- null: it was deleted
  for i = 1, #flat - 1, 2 do
    if type(flat[i]) == "string" then entry.fields[flat[i]] = flat[i + 1] end
  end
  return entry
end

-- "$" means new entries: from now on, and not from each read on, which would lose entries in between.
function Stream:begin()
  if self.last ~= "$" then return true end
  local entries, why, kind = self.connection:call("XREVRANGE", self.key, "+", "-", "COUNT", 1)
  if why then return nil, why, kind end
  local newest = entry_of(table_of(entries)[1])
  self.last = newest and newest.id or "0-0"
  return true
end

-- The entries of a reply to XREAD: of RESP2 a list of pairs, of RESP3 a map. nil: it is neither.
local function entries_of(self, reply)
  local all = table_of(reply)
  local items = all[self.key] or table_of(all[1])[2] or {}
  if type(reply) ~= "table" or type(items) ~= "table" then return nil end
  local entries = {}
  for i = 1, #items do
    entries[i] = entry_of(items[i])
    if not entries[i] then return nil end
  end
  if #entries > 0 then self.last = entries[#entries].id end
  return entries
end

local function next_entries(self, seconds)
  local block = math.max(math.floor(seconds * 1000), 1)
  local reply, why, kind = self.connection:call("XREAD", "COUNT", self.count, "BLOCK", block, "STREAMS", self.key,
    self.last)
  if why then return lost(self, why, kind) end
  local entries = reply == nil and {} or entries_of(self, reply)
  if not entries then return lost(self, "malformed: what came is no entries of a stream", "malformed") end
  self.pause = nil
  return #entries > 0 and entries or nil
end

--- What has been added since the last call: a list of { id, fields }, when there is something; or nil, a sentence and
--- "timeout", "retired" or what went wrong: then the next call connects again and goes on from the last entry.
function Stream:read(seconds)
  return await(self, "stream:read", seconds, next_entries)
end

--- Options: from, an id, behind which it begins ("0": all; "$", which is the default: what is added from the first read
--- on); count, entries of one read (100).
function own.stream(settings, key, given)
  local read = options.read("redis:stream", given, { from = { "string", "$" }, count = { "positive", 100 } })
  return setmetatable({ settings = settings, key = key, last = read.from, count = read.count }, Stream)
end

return own
