-- SPDX-License-Identifier: Apache-2.0
-- acme_manager: keeps the certificates of one authority current. It runs in the control worker, looks at each
-- certificate when that is due, and at the storage every POLL seconds, so that it finds what another proxy has
-- ordered.
--
-- Who owns what. An entry is one certificate with its names. What is in force is in the listeners' store (core.live);
-- what lasts is in the storage: "certificates/ID.pem" the chain with its key in one text, so that no reader sees one
-- without the other; "states/ID.json" failures and when to try again, so that a restart does not forget to wait.
--
-- The hard problem is to order neither twice nor too often. To order, a proxy takes the lock of the certificate, and
-- then looks at the storage again. After a failure it waits, twice as long each time, or as long as the authority
-- says. A new certificate that is due at once counts as a failure: a clock is wrong then, and the next order waits
-- for a day, so that nobody's limit is used up.

local acme_client = require "perilune.acme_client"
local backoff = require "perilune.backoff"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local date = require "perilune.date"
local json = require "perilune.json"
local said = require "perilune.said"

local acme_manager = {}

local TICK = 0.25
local POLL = 30                      -- seconds between looks at the storage
local LOOK_BUSY = 1                  -- seconds until it is looked at again while somebody else orders
local TOGETHER = 4                   -- orders at the same time
local PAUSE, PAUSE_MOST = 60, 86400  -- after the first failure, after many
local PAUSE_OURS = 5                 -- where this machine lacks something
local SPREAD = 0.25                  -- of a pause: so much more or less
local RENEW_AFTER = 2 / 3            -- of a certificate's time
local ARI_RETRY = 3600
local ARI_FIRST, ARI_FIRST_MOST = 0.1, 21600 -- how old a certificate is at least when the authority's window counts
local ARI_LAST = 0.95                -- how old at most, whatever the window is
local CLOCK_OFF = 300                -- seconds that clocks may differ before it is said

local function say(level, format, ...) core.log[level]("acme: " .. format:format(...)) end

--- ---------------------------------------------------------------------------------------------------------------
--- what is in force

local function publish(self, entry, pem, facts)
  for _, name in ipairs(entry.names) do
    local ok, why = self.live:set(name, pem)
    if not ok then return nil, why end
  end
  if entry.is_first then self.live:set("", pem) end
  entry.pem, entry.facts = pem, facts
  self.known_until:set(facts.not_after, entry.id)
  return true
end

-- When it is to be renewed, by its lifetime or by what the authority has said. A window that is always over would make
-- it be ordered again and again, and one behind its end would let it expire: so both are bounded.
local function renewal_of(entry)
  local from, life = entry.facts.not_before, entry.facts.not_after - entry.facts.not_before
  if not entry.ari then return from + life * RENEW_AFTER end
  local first = from + math.min(life * ARI_FIRST, ARI_FIRST_MOST)
  return math.min(math.max(entry.ari.chosen, first), from + life * ARI_LAST)
end

local function is_due(entry) return not entry.facts or core.time() >= renewal_of(entry) end

-- Takes what the storage has, if it is new and good. False and why: the storage cannot be read.
local function load(self, entry)
  local pem, why = self.storage:read("certificates/" .. entry.id .. ".pem")
  if why then return false, why end
  if not pem or pem == entry.pem or pem == entry.refused then return true end
  local facts, fault = core.certificate_facts(pem)
  local ok = false
  if facts then ok, fault = publish(self, entry, pem, facts) end
  if ok then
    entry.ari, entry.ari_at = nil, 0
    say("info", "%s: a certificate that is valid until %s is in force", entry.id, date.iso8601(facts.not_after))
  else
    entry.refused = pem
    say("warn", "%s: the stored certificate cannot be used: %s", entry.id, fault)
  end
  return true
end

--- ---------------------------------------------------------------------------------------------------------------
--- failures

-- A time that is later than any pause was written while a clock was wrong, here or at another proxy. Then a proxy
-- waits for the longest pause, once: `has_waited` says that it has.
local function read_state(self, entry, has_waited)
  local text = self.storage:read("states/" .. entry.id .. ".json")
  local state = text and json.decode(text)
  if type(state) ~= "table" then return end
  local retry_at, now = said.seconds(state.retry_at) or 0, core.time()
  entry.failures = said.whole(state.failures) or 0
  if retry_at <= now + PAUSE_MOST * (1 + SPREAD) then
    entry.retry_at = retry_at
  elseif not has_waited then
    entry.retry_at = now + PAUSE_MOST
  end
end

-- A wall clock that has gone back, by any step, makes nobody wait for longer than the longest pause.
local function is_waiting(entry)
  entry.retry_at = math.min(entry.retry_at, core.time() + PAUSE_MOST)
  return core.time() < entry.retry_at
end

local function write_state(self, entry)
  self.storage:write("states/" .. entry.id .. ".json",
    json.encode { failures = entry.failures, retry_at = entry.retry_at, why = entry.why })
end

-- Twice as long each time, a quarter more or less, so that proxies do not come together.
local function pause_after(failures, asked)
  local pause = math.min(PAUSE * 2 ^ (failures - 1), PAUSE_MOST)
  return math.max(pause * (1 - SPREAD + 2 * SPREAD * math.random()), asked or 0)
end

-- Nobody was asked, so nothing is counted.
local function wait_for_room(entry, fault)
  local why = tostring(fault)
  entry.retry_at = core.time() + backoff.spread(PAUSE_OURS)
  if entry.why ~= why then say("error", "%s: %s; it is tried again in a moment", entry.id, why) end
  entry.why = why
end

local function fail(self, entry, fault)
  if fault.is_ours then return wait_for_room(entry, fault) end
  local kept = entry.facts and "the old certificate serves until " .. date.iso8601(entry.facts.not_after)
    or "there is no certificate"
  entry.failures = entry.failures + 1
  local pause = pause_after(entry.failures, fault.retry_after)
  entry.retry_at, entry.why = core.time() + pause, tostring(fault)
  say("error", "%s: %s; %s; it is tried again in %d s", entry.id, entry.why, kept, pause)
  self.failed:set(entry.id, true, math.min(pause, 3600))
  self.orders:add(1, "failed")
  write_state(self, entry)
end

-- Says once that the authority's clock shows another time: then nothing here can be right.
local function look_at_clock(self, client)
  local off = client.server_time and core.time() - client.server_time
  if not off or math.abs(off) < CLOCK_OFF or self.said_clock then return end
  self.said_clock = true
  say("warn", "the clock of this machine is %d s %s that of %s: set it right, or certificates are renewed at wrong "
    .. "times", math.abs(off), off > 0 and "ahead of" or "behind", client.directory)
end

--- ---------------------------------------------------------------------------------------------------------------
--- ordering

-- The key of the account, made by the one that has its lock.
local function account_key(self)
  local pem, why = self.storage:read "account.pem"
  if why then return nil, why end
  if not pem then
    local lock
    lock, why = self.storage:lock "account"
    if not lock then return nil, why == "busy" and "another proxy makes the account" or why end
    pem = self.storage:read "account.pem"
    local ok = true
    if not pem then
      pem = crypto.new_key("P-256"):private_pem()
      ok, why = self.storage:write("account.pem", pem)
    end
    lock:unlock()
    if not ok then return nil, why end
  end
  local key
  key, why = crypto.key(pem)
  return key, not key and "the stored key of the account cannot be used: " .. why or nil
end

local function client_of(self)
  if self.client then return self.client end
  local key, why = account_key(self)
  if not key then return nil, acme_client.fault(why, { retry_after = 0 }) end
  self.client = acme_client.new(self.options.directory, { key = key, email = self.options.email,
    eab = self.options.eab, ca = self.options.ca, timeout = self.options.timeout })
  return self.client
end

local function take(self, entry, made)
  local pem = made.chain:gsub("\n*$", "\n") .. made.key
  local facts = core.certificate_facts(pem)
  if not facts then return nil, acme_client.fault "the certificate cannot be read" end
  local ok, why = self.storage:write("certificates/" .. entry.id .. ".pem", pem)
  if not ok then say("error", "%s: the certificate cannot be kept: %s", entry.id, why) end
  ok, why = publish(self, entry, pem, facts)
  entry.ari, entry.ari_at = nil, 0
  if not ok then return nil, acme_client.fault(why) end
  if is_due(entry) then
    local text = "the new certificate is valid from %s to %s, and here it is %s: one of the clocks is wrong"
    return nil, acme_client.fault(text:format(date.iso8601(facts.not_before), date.iso8601(facts.not_after),
      date.iso8601(core.time())), { retry_after = PAUSE_MOST })
  end
  return facts
end

-- With the lock of the certificate.
local function order(self, entry)
  local client, fault = client_of(self)
  if not client then return nil, fault end
  local started = core.now()
  local replaces = entry.facts and acme_client.name_of(entry.facts)
  local solver = self.new_solver(entry)
  local ok, made, why = pcall(client.obtain, client, entry.names, solver.prove, replaces)
  solver.finish()
  look_at_clock(self, client)
  if not ok then return nil, acme_client.fault(made) end
  if not made then return nil, why end
  local facts
  facts, fault = take(self, entry, made)
  if not facts then return nil, fault end
  say("info", "%s: a new certificate, valid until %s, after %.1f s", entry.id, date.iso8601(facts.not_after),
    core.now() - started)
  return true
end

local function order_locked(self, entry)
  local ok, why = load(self, entry)
  if not ok then return nil, acme_client.fault(why) end
  read_state(self, entry, true)
  if is_waiting(entry) or not is_due(entry) then return true end
  local fault
  ok, fault = order(self, entry)
  if ok then
    entry.failures, entry.retry_at, entry.why = 0, 0, nil
    self.failed:delete(entry.id)
    self.orders:add(1, "done")
    write_state(self, entry)
  end
  return ok, fault
end

-- Asks the authority for the window, chooses a time in it, and asks again when it says so.
local function ask_renewal(self, entry)
  if not entry.facts or core.now() < entry.ari_at then return end
  entry.ari_at = core.now() + ARI_RETRY
  local name, client = acme_client.name_of(entry.facts), client_of(self)
  if not name or not client then return end
  local window = client:renewal(name)
  if not window then return end
  entry.ari_at = core.now() + math.max(window.again, 60)
  local old = entry.ari
  if old and old.from == window.from and old.to == window.to then return end
  entry.ari = { from = window.from, to = window.to,
    chosen = window.from + (window.to - window.from) * math.random() }
  say("debug", "%s: the authority wants it renewed between %s and %s", entry.id, date.iso8601(window.from),
    date.iso8601(window.to))
end

--- ---------------------------------------------------------------------------------------------------------------
--- when

-- One look at an entry: how many seconds until the next one.
local function look(self, entry)
  local ok, why = load(self, entry)
  if not ok then
    if entry.storage_fault ~= why then say("error", "%s", why) end
    entry.storage_fault = why
    return POLL
  end
  entry.storage_fault = nil
  ask_renewal(self, entry)
  if is_waiting(entry) or not is_due(entry) then return POLL end
  local lock
  lock, why = self.storage:lock(entry.id)
  if not lock then
    if why ~= "busy" then fail(self, entry, acme_client.fault(why)) end
    return LOOK_BUSY
  end
  local fine, done, fault = pcall(order_locked, self, entry)
  if not fine then done, fault = nil, acme_client.fault(done) end
  if not done then fail(self, entry, fault) end
  lock:unlock()
  return POLL
end

-- The next look, no later than when something is due.
local function plan(entry, pause)
  local now, wall = core.now(), core.time()
  if entry.retry_at > wall then pause = math.min(pause, entry.retry_at - wall) end
  if entry.facts and renewal_of(entry) > wall then pause = math.min(pause, renewal_of(entry) - wall) end
  entry.look_at = now + math.max(pause, TICK)
end

local function work(self, entry)
  entry.is_busy = true
  self.busy = self.busy + 1
  core.spawn(function()
    local ok, pause = pcall(look, self, entry)
    if not ok then say("error", "%s: %s", entry.id, tostring(pause)) end
    plan(entry, ok and pause or POLL)
    entry.is_busy = false
    self.busy = self.busy - 1
  end)
end

local function take_wanted(self)
  if not self.options.allowed then return end
  for _, name in ipairs(self.wanted:keys(TOGETHER * 4)) do
    self.wanted:delete(name)
    if not self.by_id[name] then acme_manager.add(self, { name }, true) end
  end
end

local function tick(self)
  if core.is_retired() then return end
  take_wanted(self)
  local now = core.now()
  for _, entry in ipairs(self.entries) do
    if self.busy >= TOGETHER then return end
    if not entry.is_busy and now >= entry.look_at then work(self, entry) end
  end
end

--- Keeps a certificate for these names from now on.
function acme_manager.add(self, names, is_on_demand)
  if #self.entries >= self.options.most then
    say("error", "%s: there are %d certificates already, the most of option 'most'", names[1], #self.entries)
    return
  end
  local entry = { id = names[1], names = names, is_first = self.first == nil and not is_on_demand, failures = 0,
    retry_at = 0, look_at = 0, ari_at = 0, is_busy = false }
  if entry.is_first then self.first = entry end
  self.entries[#self.entries + 1] = entry
  self.by_id[entry.id] = entry
  return entry
end

--- Takes what a storage that does not wait has, so that listeners begin with it.
function acme_manager.load(self)
  if self.storage.waits then return end
  for _, entry in ipairs(self.entries) do
    local ok, why = load(self, entry)
    if not ok then say("error", "%s", why) end
    read_state(self, entry)
  end
end

--- Begins; in the control worker.
function acme_manager.start(self) core.every(TICK, function() tick(self) end, { immediately = true }) end

--- What there is: { name, names, not_after, renew_at, failures, why } of each certificate.
function acme_manager.status(self)
  local all = {}
  for position, entry in ipairs(self.entries) do
    all[position] = { name = entry.id, names = entry.names, not_after = entry.facts and entry.facts.not_after,
      renew_at = entry.facts and renewal_of(entry), failures = entry.failures, why = entry.why }
  end
  return all
end

return acme_manager
