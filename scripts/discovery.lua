-- SPDX-License-Identifier: Apache-2.0
-- discovery: updates the backends of a set while the proxy runs. The control worker asks for all workers. Backends
-- that stay in the list keep their state, and if the source fails, the last list stays. What sources have in common is
-- in lua/perilune/discovery_source.lua.
--
--   discovery.dns(upstreams, "app.internal:80")
--   discovery.srv(upstreams, "_http._tcp.app.internal")
--   discovery.file(upstreams, "backends.txt")
--   discovery.every(upstreams, 5, function() return { "10.0.0.1:80", "10.0.0.2:80" } end)
--   discovery.etcd(upstreams, "/services/app/", { endpoints = "http://10.0.0.1:2379" })
--   discovery.consul(upstreams, "app", { address = "http://10.0.0.1:8500" })
--   discovery.kubernetes(upstreams, "default/app", { port = "http" })

local core = require "perilune.core"
local dns = require "perilune.dns"
local entry = require "perilune.discovery_entry"
local options = require "perilune.options"
local source = require "perilune.discovery_source"
local watch = require "perilune.discovery_watch"

local discovery = {}

local dns_options = {
  interval = { "seconds" },   -- instead of the time that the answer holds
  least = { "seconds", 1 },   -- never ask more often,
  most = { "seconds", 300 },  -- nor less often
}
for name, option in pairs(source.options) do dns_options[name] = option end
local address_options = { family = { "family" } } -- of the name's addresses
for name, option in pairs(dns_options) do address_options[name] = option end
local file_options = { interval = { "seconds", 1 }, cache = source.options.cache, empty = source.options.empty }

local function check_set(call, set)
  if type(set) ~= "table" or not rawget(set, "backends") then
    error(call .. ": expected a set of backends (as of round_robin.new) as its first argument", 3)
  end
end

-- Asks when it is due: `fetch` gives a list, or nil and why; and in how many seconds to ask again.
local function follow(from, tick, fetch)
  local due = 0
  core.every(tick, function()
    if core.now() < due then return end
    local list, fault, again = fetch()
    if type(list) == "table" then
      from:take(list)
    else
      from:failed(fault or ("gave a %s value instead of a list"):format(type(list)))
    end
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
  follow(source.new(set, "dns", address, wanted), wanted.interval or wanted.least, function()
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
  if name:find ":" then error("discovery.srv: the name of a service has no port: its records say the ports", 2) end
  local how = { fresh = wanted.interval ~= nil }
  follow(source.new(set, "srv", name, wanted), wanted.interval or wanted.least, function()
    local services, ttl = dns.services(name, how)
    how.fresh = wanted.interval ~= nil or not services
    if not services then return nil, ttl, clamp(wanted) end
    return entries_of(services), nil, clamp(wanted, ttl)
  end)
end

local function read_file(path)
  local text, fault = core.read_file(path)
  if not text then return nil, fault end
  local list, number = {}, 0
  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    line = line:gsub("#.*", "")
    if line:find "%S" then
      list[#list + 1], fault = entry.of_line(line)
      if fault then return nil, ("line %d: %s"):format(number, fault) end
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
  follow(source.new(set, "file", path, wanted), wanted.interval, function() return read_file(path) end)
end

--- What a function gives: a list, or nil and why there is none. It may wait, and ask others.
function discovery.every(set, seconds, fn, given)
  check_set("discovery.every", set)
  local wanted = options.read("discovery.every", given, source.options)
  if type(seconds) ~= "number" or seconds < 0.001 then error("discovery.every: expected a number of seconds", 2) end
  if type(fn) ~= "function" then error("discovery.every: expected a function", 2) end
  follow(source.new(set, "every", "discovery.every", wanted), seconds, function()
    local ok, list, fault = pcall(fn)
    if not ok then return nil, list end
    return list, fault
  end)
end

--- ---------------------------------------------------------------------------------------------------------------
--- sources that tell of changes themselves

local engines = {
  etcd = require "perilune.discovery_etcd",
  consul = require "perilune.discovery_consul",
  kubernetes = require "perilune.discovery_kubernetes",
}

-- What the policy calls discovery.<kind>.
local function begin(kind, set, place, given)
  local call = "discovery." .. kind
  local wanted = options.read(call, given, engines[kind].options, 3)
  local engine, fault = engines[kind].new(place, wanted)
  if not engine then error(("%s: %s"):format(call, fault), 3) end
  watch.start(set, kind, engine, wanted)
end

--- The keys under a prefix, a backend each.
function discovery.etcd(set, prefix, given)
  check_set("discovery.etcd", set)
  begin("etcd", set, prefix, given)
end

--- The instances of a service that are healthy.
function discovery.consul(set, service, given)
  check_set("discovery.consul", set)
  begin("consul", set, service, given)
end

--- The ready endpoints of a service, "namespace/name".
function discovery.kubernetes(set, service, given)
  check_set("discovery.kubernetes", set)
  begin("kubernetes", set, service, given)
end

options.declare(discovery.dns, "discovery.dns", 3, address_options)
options.declare(discovery.srv, "discovery.srv", 3, dns_options)
options.declare(discovery.file, "discovery.file", 3, file_options)
options.declare(discovery.every, "discovery.every", 4, source.options)
for kind, engine in pairs(engines) do
  options.declare(discovery[kind], "discovery." .. kind, 3, engine.options)
end

return discovery
