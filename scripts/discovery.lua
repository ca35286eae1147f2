-- SPDX-License-Identifier: Apache-2.0
-- discovery: updates the backends of a set while the proxy runs. The control worker asks for all workers. Backends
-- that stay in the list keep their state, and if the source fails, the last list stays.
--
--   discovery.dns(upstreams, "app.internal:80")
--   discovery.srv(upstreams, "_http._tcp.app.internal")
--   discovery.file(upstreams, "backends.txt")
--   discovery.every(upstreams, 5, function() return { "10.0.0.1:80", "10.0.0.2:80" } end)

local balancer = require "perilune.balancer"
local core = require "perilune.core"
local dns = require "perilune.dns"
local options = require "perilune.options"

local discovery = {}

local dns_options = {
  interval = { "seconds" },   -- instead of the time that the answer holds
  least = { "seconds", 1 },   -- never ask more often,
  most = { "seconds", 300 },  -- nor less often
}
local address_options = { family = { "family" } } -- of the name's addresses
for name, option in pairs(dns_options) do address_options[name] = option end
local file_options = { interval = { "seconds", 1 } }

local function check_set(call, set)
  if type(set) ~= "table" or not rawget(set, "backends") then
    error(call .. ": expected a set of backends (as of round_robin.new) as its first argument", 3)
  end
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

-- A function that takes a list, or nil and why there is none, into the set. It says each failure once.
local function updater(set, source)
  local last, last_fault
  return function(list, fault)
    if type(list) ~= "table" then
      fault = fault or ("gave a %s value instead of a list"):format(type(list))
    elseif #list == 0 then
      fault = "has no backends"
    else
      local description = describe(list)
      if description ~= last then
        local _, wrong = set:update(list)
        fault = wrong
        if not wrong then last = description end
      else
        fault = nil
      end
    end
    if fault and fault ~= last_fault then
      core.log.warn(("%s: %s: %s; the last list stays"):format(set.label, source, tostring(fault)))
    elseif last_fault and not fault then
      core.log.info(("%s: %s is back"):format(set.label, source))
    end
    last_fault = fault
  end
end

-- Asks when it is due: `fetch` gives a list, or nil and why; and in how many seconds to ask again.
local function follow(set, source, tick, fetch)
  local update, due = updater(set, source), 0
  balancer.is_filled_later(set)
  core.every(tick, function()
    if core.now() < due then return end
    local list, fault, again = fetch()
    update(list, fault)
    due = core.now() + (again or 0) - tick / 2
  end, { immediately = true })
end

local function clamp(wanted, ttl)
  if wanted.interval then return wanted.interval end
  return math.min(math.max(ttl or 0, wanted.least), wanted.most)
end

local function sorted(list)
  table.sort(list)
  return list
end

--- The addresses (A and AAAA) of "name:port". Asked again when the answer's time to live is over.
function discovery.dns(set, address, given)
  check_set("discovery.dns", set)
  local wanted = options.read("discovery.dns", given, address_options)
  local fault = core.check_address(address)
  if fault then error(("discovery.dns: '%s': %s"):format(tostring(address), fault), 2) end
  -- The resolver's cache is good enough, except if an interval asks more often, or there was no answer.
  local how = { fresh = wanted.interval ~= nil, family = wanted.family }
  follow(set, address, wanted.interval or wanted.least, function()
    local list, ttl = dns.addresses(address, how) -- or nil and why
    how.fresh = wanted.interval ~= nil or not list
    if not list then return nil, ttl, clamp(wanted) end
    return sorted(list), nil, clamp(wanted, ttl) -- name servers turn their answers, which is no change
  end)
end

-- Priorities of any size become 0, 1, 2...; a weight of 0 is the least.
local function entries_of(services)
  table.sort(services, function(a, b)
    if a.priority ~= b.priority then return a.priority < b.priority end
    return a.address < b.address
  end)
  local entries, rank = {}, -1
  for position, service in ipairs(services) do
    local before = services[position - 1]
    if not before or before.priority ~= service.priority then rank = math.min(rank + 1, 15) end
    entries[position] = { address = service.address, weight = math.max(service.weight, 1), priority = rank }
  end
  return entries
end

--- The services (SRV) of a name: addresses, weights and priorities.
function discovery.srv(set, name, given)
  check_set("discovery.srv", set)
  local wanted = options.read("discovery.srv", given, dns_options)
  if type(name) ~= "string" then error("discovery.srv: expected a name like '_http._tcp.example.org'", 2) end
  local how = { fresh = wanted.interval ~= nil }
  follow(set, name, wanted.interval or wanted.least, function()
    local services, ttl = dns.services(name, how)
    how.fresh = wanted.interval ~= nil or not services
    if not services then return nil, ttl, clamp(wanted) end
    return entries_of(services), nil, clamp(wanted, ttl)
  end)
end

local function entry_of(line, number)
  local entry = {}
  for word in line:gmatch "%S+" do
    local name, value = word:match "^(%a+)=(.+)$"
    if word == "backup" then
      entry.backup = true
    elseif name == "weight" or name == "priority" then
      entry[name] = tonumber(value)
      if not entry[name] then return nil, ("line %d: %s is not a number"):format(number, word) end
    elseif name == "zone" then
      entry.zone = value
    elseif entry.address then
      return nil, ("line %d: '%s' is not weight=, zone=, priority= or backup"):format(number, word)
    else
      entry.address = word
    end
  end
  return entry
end

local function read_file(path)
  local text, fault = core.read_file(path)
  if not text then return nil, fault end
  local list, number = {}, 0
  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    line = line:gsub("#.*", "")
    if line:find "%S" then
      list[#list + 1], fault = entry_of(line, number)
      if fault then return nil, fault end
    end
  end
  return list
end

--- A file with a backend a line: "10.0.0.1:80 weight=3 zone=a priority=1", "10.0.0.2:80 backup", "# a comment".
function discovery.file(set, path, given)
  check_set("discovery.file", set)
  local wanted = options.read("discovery.file", given, file_options)
  if type(path) ~= "string" then error("discovery.file: expected the name of a file", 2) end
  path = core.path(path)
  follow(set, path, wanted.interval, function() return read_file(path) end)
end

--- What a function gives: a list, or nil and why there is none. It may wait, and ask others.
function discovery.every(set, seconds, fn)
  check_set("discovery.every", set)
  if type(seconds) ~= "number" or seconds < 0.001 then error("discovery.every: expected a number of seconds", 2) end
  if type(fn) ~= "function" then error("discovery.every: expected a function", 2) end
  follow(set, "discovery.every", seconds, function()
    local ok, list, fault = pcall(fn)
    if not ok then return nil, list end
    return list, fault
  end)
end

return discovery
