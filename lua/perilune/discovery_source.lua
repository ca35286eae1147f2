-- SPDX-License-Identifier: Apache-2.0
-- discovery_source: takes what a source of backends says into a set. It belongs to the control worker's task that asks
-- the source, which calls take, alive and failed; in other workers it does nothing.
--
-- Rules. The last list stays if the source fails, or gives an empty one (unless `empty` is "take"), or one of which
-- nothing can be used. Entries that nobody can use are left out of a list of which some can (`skips`). A failure is
-- logged when it begins and when it ends. With `file`, the last list is kept there, and the next process begins with
-- it: so it starts while the source is away.

local balancer = require "perilune.balancer"
local core = require "perilune.core"
local kept = require "perilune.discovery_file"

local source = {}

local COALESCE = 0.1   -- seconds in which changes are collected
local SKIPPED_SHOWN = 3 -- entries that cannot be used, in a line of the log
local LOG_EVERY = 10   -- seconds between two lines about those

--- Options that every source has.
source.options = {
  cache = { "string" },        -- a file for the last list
  empty = { "empty", "keep" }, -- what becomes of an empty list
}

local Source = {}
Source.__index = Source

--- `kind` and `name` are for people: "etcd", "http://10.0.0.1:2379 /services/app/".
---@param wanted table cache, empty; skips: single entries of a list may be left out
function source.new(set, kind, name, wanted)
  balancer.is_filled_later(set)
  local self = setmetatable({ set = set, name = name, takes_empty = wanted.empty == "take", skips = wanted.skips },
    Source)
  self.facts = core.discovery(kind, name, set.label)
  if wanted.cache then
    self.file = kept.open(wanted.cache, kind .. " " .. name)
    self:restore()
  end
  return self
end

-- What the last process left, unless this one has asked the source already.
function Source:restore()
  if not core.is_control() or self.facts:has_list() then return end -- the set is that of all workers
  local list, saved_at = self.file:read()
  if not list then return end
  local _, fault = self.set:update(list)
  if not fault then self.facts:restored(#list, saved_at) end
end

local function describe(list)
  local parts = {}
  for position, entry in ipairs(list) do
    if type(entry) ~= "table" then entry = { address = entry } end
    parts[position] = ("%s %s %s %s %s"):format(tostring(entry.address), tostring(entry.weight), tostring(entry.zone),
      tostring(entry.priority), tostring(entry.backup))
  end
  return table.concat(parts, "\n")
end

--- ---------------------------------------------------------------------------------------------------------------
--- failures

--- It cannot be asked, or what it says makes no sense.
function Source:failed(why)
  why = tostring(why)
  self.facts:failed(why)
  if why ~= self.fault then
    core.log.warn(("%s: %s: %s; the last list stays"):format(self.set.label, self.name, why))
  end
  self.fault = why
end

local function recovered(self)
  if self.fault then core.log.info(("%s: %s is back"):format(self.set.label, self.name)) end
  self.fault = nil
end

--- It has confirmed what it said last.
function Source:alive()
  if self.refused then return end -- that was an empty list, or one of which nothing could be used
  self.facts:alive()
  recovered(self)
end

--- ---------------------------------------------------------------------------------------------------------------
--- lists

local function say_skipped(self, faults)
  local text = table.concat(faults, "; ", 1, math.min(#faults, SKIPPED_SHOWN))
  local now = core.now()
  if #faults == 0 or text == self.skipped or now < (self.skipped_at or 0) + LOG_EVERY then return end
  self.skipped, self.skipped_at = text, now
  core.log.warn(("%s: %s: %d of its backends cannot be used, and are left out: %s"):format(self.set.label, self.name,
    #faults, text))
end

-- Those that can be used, each address once; and what is wrong with the others.
local function sort_out(list)
  local fit, faults, seen = {}, {}, {}
  for _, entry in ipairs(list) do
    local fault = type(entry) == "table" and entry.fault
    if not fault then
      local _, wrong = balancer.compile { entry }
      fault = wrong
    end
    local address = type(entry) == "table" and entry.address or entry
    if fault then
      faults[#faults + 1] = fault
    elseif not seen[address] then
      seen[address] = true
      fit[#fit + 1] = entry
    end
  end
  return fit, faults
end

-- What is wrong with the list, or nil; and how many of its entries were left out.
local function put_in_force(self, list)
  local faults = {}
  if self.skips then
    local all = #list
    list, faults = sort_out(list)
    say_skipped(self, faults)
    if #list == 0 and all > 0 then return ("none of its %d backends can be used: %s"):format(all, faults[1]) end
  end
  if #list == 0 and not self.takes_empty then return "has no backends" end
  local description = describe(list)
  local is_change = description ~= self.description
  if is_change then
    local _, wrong = self.set:update(list)
    if wrong then return wrong end
    self.description = description
    if self.file then self.file:write(list) end
  end
  self.facts:listed(#list, #faults, is_change)
end

--- All that it has: an array of addresses, or of tables as a set takes them. An entry with `fault` says why it is none.
function Source:take(list)
  local ok, fault = pcall(put_in_force, self, list)
  if not ok or fault then
    self.refused = true
    self:failed(fault)
  else
    self.refused = nil
    recovered(self)
  end
end

--- The same soon, of what collect() will give then: changes come in bursts.
function Source:take_soon(collect)
  if self.is_planned then return end
  self.is_planned = true
  core.after(COALESCE, function()
    self.is_planned = false
    self:take(collect())
  end)
end

return source
