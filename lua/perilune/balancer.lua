-- SPDX-License-Identifier: Apache-2.0
-- perilune.balancer: what all sets of backends have in common, for any algorithm. A module in scripts/ is one line:
-- its name and its algorithm.
--
-- Words. tier: backends that are preferred to those of the next tier; a priority has two, one for the set's own zone.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

local balancer = {}

local PRIORITIES = 15

local set_options = {
  name = { "string" },            -- finds the set again after a reload, whatever its place among others
  zone = { "string" },            -- backends of this zone are preferred
  slow_start = { "seconds" },     -- the share of a backend that came back grows for so long
  panic = { "share" },            -- with a smaller share of fit backends, the unfit are used too
  max_in_flight = { "positive" }, -- requests under way at a backend
  max_pending = { "positive" },   -- of these, without a connection so far
  passive = { "any" },            -- a table of passive_options; false: never
  retry_on = { "any" },           -- statuses, and "failure": another backend is asked where that is safe; false: never
  retry_budget = { "any" },       -- a table of budget_options; false: no limit
}
local rules_default = core.rules  -- of core/shared/backend.c, which `perilune proxy` has, too

-- What requests themselves tell: failures are errors of the backend, and answers of 500 and more.
local passive_options = {
  failures = { "count", rules_default.failures }, -- in a row; 0: any number
  error_share = { "share" },       -- of the requests in a window
  window = { "seconds", rules_default.window_ms / 1000 },
  min_requests = { "positive", rules_default.min_requests }, -- in a window, for the share to say something
  eject = { "seconds", rules_default.eject_ms / 1000 }, -- the first time; then twice as long, and so on, up to
  eject_most = { "seconds", rules_default.eject_most_ms / 1000 },
  eject_share = { "share", rules_default.eject_percent / 100 }, -- of the set at most
}

local budget_options = {
  share = { "share", 0.2 }, -- retries under way, of the requests under way
  min = { "count", 3 },     -- that many in any case
}

local ENTRY_FIELDS = { "address", "backup", "priority", "weight", "zone" }
local is_entry_field = {}
for _, name in ipairs(ENTRY_FIELDS) do is_entry_field[name] = true end

local function is_whole(value, least, most)
  return type(value) == "number" and value >= least and value <= most and value % 1 == 0
end

-- What is wrong with an entry of a list, or nil.
local function fault_of(entry)
  if entry[1] or entry.host then return "a backend is a text or a table: { address = 'host:port', weight = 2 }" end
  for name in pairs(entry) do
    if not is_entry_field[name] then
      return ("unknown field '%s' of a backend%s; valid are %s"):format(tostring(name), check.hint(name, ENTRY_FIELDS),
        table.concat(ENTRY_FIELDS, ", "))
    end
  end
  local why = type(entry.address) ~= "string" and "an address is a string like '10.0.0.1:80'"
    or core.check_address(entry.address)
    or entry.weight and not is_whole(entry.weight, 1, 65535) and "weight must be a whole number from 1 to 65535"
    or entry.priority and not is_whole(entry.priority, 0, PRIORITIES)
      and ("priority must be a whole number from 0 to %d"):format(PRIORITIES)
    or entry.zone and type(entry.zone) ~= "string" and "zone must be a string"
    or entry.backup and entry.priority and "give either 'backup' or 'priority'"
  if why then return ("backend '%s': %s"):format(tostring(entry.address), why) end
end

local function tier_of(entry, zone)
  local priority = entry.priority or entry.backup and 1 or 0
  return priority * 2 + (zone and entry.zone ~= zone and 1 or 0)
end

--- What core.backends takes, of a list of addresses or tables; or nil and what is wrong with it.
function balancer.compile(list, zone)
  if type(list) ~= "table" then return nil, "expected a list of addresses" end
  local compiled = { addresses = {}, weights = {}, tiers = {} }
  for position, entry in ipairs(list) do
    if type(entry) ~= "table" then entry = { address = entry } end
    local fault = fault_of(entry)
    if fault then return nil, fault end
    compiled.addresses[position] = entry.address
    compiled.weights[position] = entry.weight or 1
    compiled.tiers[position] = tier_of(entry, zone)
  end
  return compiled
end

local function milliseconds(seconds) return seconds and math.floor(seconds * 1000 + 0.5) end
local function percent(share) return share and math.max(math.floor(share * 100 + 0.5), 1) end

-- An option that is a table of options, or false for none of them; where it is not given, `otherwise` stands.
local function read_part(call, name, given, valid, otherwise, level)
  if given == false then return {} end
  if given == nil then return otherwise end
  if type(given) ~= "table" then
    error(("%s: option '%s' must be a table or false, got a %s value"):format(call, name, type(given)), level + 1)
  end
  given = options.read(call .. ": " .. name, given, valid, level + 1)
  return given -- no tail call, which would leave the stack
end

-- What can stand in retry_on, for a message.
local function retry_names()
  local list = {}
  for name in pairs(core.retry_bits) do list[#list + 1] = tostring(name) end
  table.sort(list)
  return table.concat(list, ", ")
end

-- The set of bits of a list like { "failure", 502, 503 }.
local function retry_on_of(call, list, level)
  local bits, seen = 0, {}
  if list == nil then return rules_default.retry_on end
  if type(list) ~= "table" and list ~= false then
    error(("%s: option 'retry_on' must be a list or false, got a %s value"):format(call, type(list)), level + 1)
  end
  for _, name in ipairs(list or {}) do
    local bit = core.retry_bits[name]
    if not bit then
      error(("%s: option 'retry_on' has %s; valid are %s"):format(call, tostring(name), retry_names()), level + 1)
    end
    if not seen[bit] then bits, seen[bit] = bits + bit, true end
  end
  return bits
end

local passive_default = options.read("passive", {}, passive_options)
local budget_default = { share = rules_default.retry_percent / 100, min = rules_default.retry_min }

-- The rules as struct backend_rules has them.
local function rules_of(call, given, level)
  local passive = read_part(call, "passive", given.passive, passive_options, passive_default, level + 1)
  local budget = read_part(call, "retry_budget", given.retry_budget, budget_options, budget_default, level + 1)
  return {
    retry_on = retry_on_of(call, given.retry_on, level + 1), retry_all = given.retry_budget and 1 or 0,
    failures = passive.failures, error_percent = percent(passive.error_share), min_requests = passive.min_requests,
    window_ms = milliseconds(passive.window), eject_ms = milliseconds(passive.eject),
    eject_most_ms = milliseconds(passive.eject_most), eject_percent = percent(passive.eject_share),
    panic_percent = percent(given.panic), slow_start_ms = milliseconds(given.slow_start),
    max_in_flight = given.max_in_flight, max_pending = given.max_pending,
    retry_percent = percent(budget.share), retry_min = budget.min,
  }
end

-- The named fields of a list, which are its options.
local function read_options(call, list, level)
  local given = {}
  for key, value in pairs(list) do
    if type(key) ~= "number" then given[key] = value end
  end
  given = options.read(call, given, set_options, level + 1)
  return given -- no tail call, which would leave the stack, and errors count its levels
end

local Set = {}

-- Where sets were made that have had no backend so far, and nobody has said that they will: for `perilune check`.
local empty = setmetatable({}, { __mode = "k" })

--- The caller will fill the set later.
function balancer.is_filled_later(set) empty[set] = nil end

--- Where sets were made that have no backends: an array of { path, line }.
function balancer.empty_sets()
  local list = {}
  for _, place in pairs(empty) do list[#list + 1] = place end
  return list
end

local function backends_of(method, self) return check.object(method, self, "backends").backends end

--- All addresses, in order.
function Set:addresses() return backends_of("set:addresses", self):addresses() end

--- How many backends can be chosen.
function Set:ready_count() return backends_of("set:ready_count", self):ready_count() end

--- Is this backend (position or address) healthy, as its checks say?
function Set:is_healthy(backend) return backends_of("set:is_healthy", self):is_healthy(backend) end

--- Is it healthy, and not ejected for its failures?
function Set:is_fit(backend) return backends_of("set:is_fit", self):is_fit(backend) end

--- Counts a failure of a backend (position or address), as a request that failed does: for what only the policy can
--- tell. The rules of `passive` say what follows.
function Set:report_failure(backend) backends_of("set:report_failure", self):report_failure(backend) end

--- Takes a backend out, or back in, whatever its health.
function Set:set_enabled(backend, enabled)
  if type(enabled) ~= "boolean" then check.raise "set:set_enabled: expected true or false as its second argument" end
  backends_of("set:set_enabled", self):set_enabled(backend, enabled)
end

--- Is this backend taken out?
function Set:is_enabled(backend) return backends_of("set:is_enabled", self):is_enabled(backend) end

--- How many requests are under way at it.
function Set:in_flight(backend) return backends_of("set:in_flight", self):in_flight(backend) end

--- Seconds until its responses begin: a moving average that follows peaks. 0 where nothing is known.
function Set:latency(backend) return backends_of("set:latency", self):latency(backend) end

local function describe_change(old, new)
  local before, changes = {}, {}
  for _, address in ipairs(old) do before[address] = true end
  for _, address in ipairs(new) do
    if not before[address] then changes[#changes + 1] = "+" .. address end
    before[address] = nil
  end
  for address in pairs(before) do changes[#changes + 1] = "-" .. address end
  return table.concat(changes, " ")
end

--- Takes a new list into use, for all workers. Backends that stay keep their health, counts and latency.
--- Gives true, or nil and what is wrong with the list; then the old one stays.
function Set:update(list)
  check.object("set:update", self, "backends")
  local compiled, fault = balancer.compile(list, self.zone)
  if not compiled then return nil, fault end
  empty[self] = nil
  local change = describe_change(self:addresses(), compiled.addresses)
  local is_put_off = self.backends:publish(compiled) -- until the policy that loads is in force
  if change ~= "" and not is_put_off then
    core.log.info(("%s: %d backends: %s"):format(self.label, #compiled.addresses, change))
  end
  return true
end

-- Addresses under a name, as { backends = {...} } and { ["10.0.0.1:80"] = 2 }.
local function refuse_named_addresses(call, list, level)
  for name, value in pairs(type(list) == "table" and list or {}) do
    local is_list = type(name) == "string" and not set_options[name] and type(value) == "table" and value[1] ~= nil
    if is_list or type(name) == "string" and name:find ":%d+$" then
      error(("%s: '%s': addresses stand in the list itself: { '10.0.0.1:80', { address = '10.0.0.2:80', weight = 2 } }")
        :format(call, name), level + 1)
    end
  end
end

local function new_set(class, call, list, level)
  refuse_named_addresses(call, list, level + 1)
  local compiled, fault = balancer.compile(list, type(list) == "table" and list.zone)
  if not compiled then error(call .. ": " .. fault, level + 1) end
  local given = read_options(call, list, level + 1)
  local rules = rules_of(call, given, level + 1)
  local backends = core.backends(compiled, given.name, rules)
  local set = { backends = backends, zone = given.zone or false, label = given.name or class.__name }
  setmetatable(set, class)
  if #compiled.addresses == 0 then
    local caller = debug.getinfo(level + 1, "Sl")
    empty[set] = { path = caller and caller.source:sub(2) or "?", line = caller and caller.currentline or 0 }
  end
  return set
end

-- A method that sets do not have would be a nil that fails somewhere else.
setmetatable(Set, { __index = function(_, name)
  if type(name) ~= "string" or name:sub(1, 2) == "__" then return nil end
  local names = check.names(Set)
  names[#names + 1] = "select"
  check.raise(("a set of backends has no '%s'%s"):format(name, check.meant(name, names)))
end })

--- A module whose `new` makes sets that choose by `algorithm` (core/shared/choose.h).
function balancer.define(name, algorithm)
  local class = setmetatable({ __name = name }, { __index = Set })
  class.__index = class
  local choose = core.choices[algorithm]

  --- The next backend: its address and its position in the list. Nil and why where there is none.
  function class:select(key, given)
    local backends = type(self) == "table" and rawget(self, "backends") or check.object("set:select", self, "backends")
    return choose(backends, key, given)
  end

  options.declare(class.select, "set:select", 3, { exclude = { "any" } })

  function class:__tostring() return name .. ": " .. table.concat(self:addresses(), ", ") end

  local module = {}
  --- A set of the addresses in `list`, which may also have the options of set_options.
  function module.new(list, ...)
    if list == module then check.raise(name .. ".new is called with a dot, not with a colon") end
    check.no_more(name .. ".new", "options of a set stand in its list: { '10.0.0.1:80', passive = {...} }", ...)
    local set = new_set(class, name .. ".new", list, 2)
    if algorithm == "consistent" or algorithm == "bounded" then set.backends:prepare() end
    return set
  end
  return module
end

return balancer
