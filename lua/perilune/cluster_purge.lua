-- SPDX-License-Identifier: Apache-2.0
-- perilune.cluster_purge: what is purged from a cache on one proxy is purged on all. Purges are entries of a stream in
-- Redis; each proxy adds its own (by a policy, or by `perilune purge`), and follows those of the others.
--
-- The data flow. A purge is done here at once, and put into the cache's outbox (core/shared/purge_outbox.h). The
-- control worker adds it to the stream, again and again until Redis has it: a purge that is done twice does no harm.
-- The same worker reads the stream from a position on, and does what others have added.
--
-- A proxy that was away goes on from its position. If the stream no longer has what came next (it was trimmed, or
-- Redis has lost it), or no position is known, nobody can say what was missed: then everything is purged softly, that
-- is, asked for again where it is used. A cache in memory that begins empty has nothing to lose by that. For a cache
-- in a file, the position is in a file beside it.

local backoff = require "perilune.backoff"
local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"
local seldom = require "perilune.seldom"

local cluster_purge = {}

local TICK = 0.1
local BLOCK = 1                    -- seconds of one wait at Redis, after which the end of the policy is seen
local BATCH = 500                  -- entries of one read
local PAUSE_FIRST, PAUSE_MOST = 1, 10
local SAVE_EVERY = 1               -- seconds between two writes of the position
local HANDOVER, LAST_TIME = 0.2, 2 -- of a policy that ends: for the next one to take over; for what waits

local valid = {
  store = { "store", options.required },
  stream = { "string" },            -- its key
  keep = { "positive", 100000 },    -- entries, about
  position = { "string" },          -- the file for it
}

local metrics

local function declare_metrics()
  metrics = metrics or {
    purges = core.metric("perilune_cluster_purges_total", "counter",
      "Purges that proxies share: sent, received, malformed; gap: everything, as it is unknown what was missed.",
      { "cache", "result" }, {}),
    down = core.metric("perilune_cluster_purge_down", "gauge", "1: purges of other proxies cannot be followed.",
      { "cache" }, {}),
  }
end

local function count(self, result, n) metrics.purges:add(n or 1, self.name, result) end

--- ---------------------------------------------------------------------------------------------------------------
--- troubles

local function say(self, level, text) core.log[level](("cluster_purge: %s: %s"):format(self.name, text)) end

-- Of reading, or of sending: once, until it works again.
local function failed(self, doing, why)
  if not self.fault[doing] then
    say(self, "warn", ("%s: %s; it is tried again"):format(doing, why))
  end
  self.fault[doing] = why
end

local function works(self, doing)
  if self.fault[doing] then say(self, "info", doing .. ": it works again") end
  self.fault[doing] = nil
end

--- ---------------------------------------------------------------------------------------------------------------
--- sending

local function commands_of(self, notes)
  local commands = {}
  for i, note in ipairs(notes) do
    commands[i] = { "XADD", self.key, "MAXLEN", "~", self.keep, "*", "node", self.node, "kind", note[1],
      "what", note[2], "soft", note[3] and "1" or "0" }
  end
  return commands
end

-- How many of the replies are fine; and why not all are.
local function fine_of(replies, redis)
  for i, reply in ipairs(replies) do
    if redis.is_error(reply) then return i - 1, reply.error end
  end
  return #replies
end

-- Sends what waits. True: there was nothing, or it has gone.
local function send(self)
  local notes, has_lost = core.purges_waiting(self.cache)
  self.has_lost = self.has_lost or has_lost
  if #notes == 0 and not self.has_lost then return true end
  local all = #notes
  if self.has_lost then notes[#notes + 1] = { "all", "", true } end
  local replies, why = self.store:pipeline(commands_of(self, notes))
  local sent = 0
  if replies then sent, why = fine_of(replies, self.redis) end
  core.purges_settle(self.cache, math.min(sent, all))
  if sent > all then self.has_lost = false end
  count(self, "sent", sent)
  if sent < #notes then return nil, why end
  return true
end

local function send_when_due(self)
  if core.now() < self.send_at or not core.purges_is_newest(self.cache, self.reader) then return end
  local ok, why = send(self)
  if ok then
    self.tries = 0
    return works(self, "sending")
  end
  self.tries = self.tries + 1
  self.send_at = core.now() + backoff.after(self.tries, PAUSE_FIRST, PAUSE_MOST)
  failed(self, "sending", why)
end

-- The policy ends. If no other takes over, what waits gets a last chance.
local function send_last(self)
  core.sleep(HANDOVER)
  local deadline = core.now() + LAST_TIME
  while self.reader and core.purges_is_newest(self.cache, self.reader) do
    local ok, why = send(self)
    if ok or core.now() > deadline then
      local dropped = core.purges_leave(self.cache, self.reader)
      if dropped > 0 then say(self, "warn", ("%d purges were not sent before the end: %s"):format(dropped, why)) end
      return
    end
    core.sleep(HANDOVER)
  end
end

--- ---------------------------------------------------------------------------------------------------------------
--- the position

local function save(self, at_once)
  if not self.file or self.saved == self.position then return end
  if not at_once and core.now() < self.save_at then return end
  self.save_at = core.now() + SAVE_EVERY
  local ok, why = core.replace_file(self.file, self.position .. "\n")
  if ok then
    self.saved = self.position
    return works(self, "keeping the position")
  end
  failed(self, "keeping the position", why)
end

local function go_to(self, position)
  self.position = position
  core.purges_position(self.cache, position)
end

-- What is known from the last policy, or the last process; "": nothing.
local function find_position(self)
  local position = core.purges_position(self.cache)
  if position == "" and self.file then
    position = (core.read_file(self.file) or ""):match "^(%d+%-%d+)\n$" or ""
    self.saved = position
  end
  return position
end

local function split(id)
  local ms, number = tostring(id):match "^(%d+)%-(%d+)$"
  return tonumber(ms), tonumber(number)
end

local function is_before(a, b)
  local ms, number = split(a)
  local other_ms, other_number = split(b)
  return ms < other_ms or (ms == other_ms and number < other_number)
end

-- Why nobody can say what has come behind the position; nil: the stream has it. `first` and `newest` are ids, nil in an
-- empty stream.
local function gap_of(self, first, newest)
  if self.position == "" then return "it begins" end
  if self.position == "0-0" then return nil end
  if not newest or is_before(newest, self.position) then return "the stream was lost" end
  if is_before(self.position, first) then return "the stream was trimmed meanwhile" end
end

--- ---------------------------------------------------------------------------------------------------------------
--- reading

local function purge_all(self) core.purges_obey(self.cache, "all", "", true) end

-- What makes no sense may be of a later version.
local function malformed(self, why)
  purge_all(self)
  count(self, "malformed")
  seldom.warn(self, "cluster_purge: %s: an entry of %s makes no sense: %s; everything is purged softly", self.name,
    self.key, tostring(why))
end

local function obey(self, flat)
  local said = {}
  for i = 1, type(flat) == "table" and #flat or 0, 2 do said[flat[i]] = flat[i + 1] end
  if said.node == self.node then return end
  if type(said.kind) ~= "string" or type(said.what) ~= "string" then return malformed(self, "it has no kind") end
  local ok, done, why = pcall(core.purges_obey, self.cache, said.kind, said.what, said.soft == "1")
  if not ok or not done then return malformed(self, ok and why or done) end
  count(self, "received")
end

-- The id of the entry at one end of the stream; nil: it is empty. Or false and why it is not known.
local function end_of(self, connection, command, from, to)
  local reply, why = connection:call(command, self.key, from, to, "COUNT", 1)
  if type(reply) ~= "table" then return false, why or "a malformed reply" end
  local id = reply[1] and reply[1][1]
  if id ~= nil and not split(id) then return false, "a malformed reply" end
  return id
end

-- Takes up where it was. True; or nil and why not.
local function catch_up(self, connection)
  self.position = find_position(self)
  local first, failure = end_of(self, connection, "XRANGE", "-", "+")
  if first == false then return nil, failure end
  local newest, why = end_of(self, connection, "XREVRANGE", "+", "-")
  if newest == false then return nil, why end
  local gap = gap_of(self, first, newest)
  if not gap then return true end
  if self.position ~= "" then
    say(self, "warn", gap .. ": everything is purged softly, as nobody knows what was missed")
    count(self, "gap")
  end
  purge_all(self)
  go_to(self, newest or "0-0")
  return true
end

-- The list of entries of a reply to XREAD: of RESP2 a list of pairs, of RESP3 a map.
local function entries_of(self, reply)
  if type(reply) ~= "table" then return {} end
  local list = reply[self.key] or type(reply[1]) == "table" and reply[1][2]
  return type(list) == "table" and list or {}
end

-- One wait. True; or nil and why it failed.
local function read(self, connection)
  local reply, why = connection:call("XREAD", "COUNT", BATCH, "BLOCK", BLOCK * 1000, "STREAMS", self.key, self.position)
  if why then return nil, why end
  for _, item in ipairs(entries_of(self, reply)) do
    if type(item) ~= "table" or not split(item[1]) then return nil, "a malformed reply" end
    obey(self, item[2])
    go_to(self, item[1])
  end
  save(self)
  return true
end

-- Follows the stream as long as that works: gives why it no longer does, and the kind of the error if no connection
-- could be made.
local function follow(self)
  local connection, why, kind = self.store:connect { timeout = BLOCK + 4 }
  if not connection then return why, kind end
  local ok, failure = catch_up(self, connection)
  while ok and not core.is_retired() do
    metrics.down:set(0, self.name)
    works(self, "reading")
    self.read_tries = 0
    ok, failure = read(self, connection)
  end
  connection:close()
  return failure
end

local function sleep(seconds)
  local deadline = core.now() + seconds
  while core.now() < deadline and not core.is_retired() do core.sleep(math.min(TICK, seconds)) end
end

-- How long to wait behind a failure. A lack of this machine counts as none, and may be over any moment.
local function pause_after(self, kind)
  if backoff.is_ours(kind) then return backoff.spread(PAUSE_FIRST) end
  self.read_tries = self.read_tries + 1
  return backoff.after(self.read_tries, PAUSE_FIRST, PAUSE_MOST)
end

local function follow_always(self)
  while not core.is_retired() do
    local why, kind = follow(self)
    if not core.is_retired() then
      metrics.down:set(1, self.name)
      failed(self, "reading", why)
      sleep(pause_after(self, kind))
    end
  end
  if self.position then save(self, true) end
end

--- ---------------------------------------------------------------------------------------------------------------

--- Shares the purges of a cache with all proxies that say the same. Options: store, stream, keep, position.
function cluster_purge.start(cache, given)
  local ok, name, path = pcall(core.purges_about, cache)
  if not ok then check.raise "cluster_purge.start: expected a cache, as of perilune.cache, as its first argument" end
  local wanted = options.read("cluster_purge.start", given, valid)
  local fault = options.fault_of_store(wanted.store)
  if fault then check.raise("cluster_purge.start: " .. fault) end
  declare_metrics()
  local file = wanted.position and core.kept_path(wanted.position) or path and path .. ".position"
  local self = { cache = cache, name = name, key = wanted.stream or "perilune:purges:" .. name, keep = wanted.keep,
    store = wanted.store:with_timeout(2), redis = require "perilune.redis", file = file, save_at = 0,
    fault = {}, send_at = 0, tries = 0, read_tries = 0 }
  core.after(0, function()
    self.node = core.encode_hex(core.random_bytes(8))
    self.reader = core.purges_enter(cache)
    core.every(TICK, function() send_when_due(self) end)
    follow_always(self)
  end)
  core.on_retire(function() send_last(self) end)
end

options.declare(cluster_purge.start, "cluster_purge.start", 2, valid)

return cluster_purge
