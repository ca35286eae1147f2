-- SPDX-License-Identifier: Apache-2.0
-- perilune: the module a policy requires. Its functions are in C, in lua/api; lua/perilune/types.lua has their
-- parameters and results. This file is only the table of contents.

local check = require "perilune.check"
local core = require "perilune.core"
local spawn = require "perilune.spawn"
local shared = require "perilune.shared"
local tracing = require "perilune.tracing"
require "perilune.session"

-- HTTPS by itself is made of a hook and of certificates that come into force later. A tail call: C tells mistakes at
-- the policy's line.
local function listen(...)
  local address, hooks, given = ...
  if type(given) ~= "table" or rawget(given, "acme") == nil then return core.listen(...) end
  hooks, given = require("perilune.acme_listen").prepare(address, hooks, given)
  return core.listen(address, hooks, given, select(4, ...))
end

---@type perilune
local perilune = {
  -- what to serve
  listen = listen,
  -- background work and time
  sleep = core.sleep,
  spawn = core.spawn,
  wait = spawn.wait,
  wait_any = spawn.wait_any,
  after = core.after,
  every = core.every,
  is_retired = core.is_retired,
  on_retire = core.on_retire,
  semaphore = core.semaphore,
  current = core.current,
  time = core.time,
  now = core.now,
  -- state that all workers share, by its name
  dict = shared.dict,
  shared_dict = shared.shared_dict,
  cache = shared.cache,
  rate = shared.rate,
  inflight = shared.inflight,
  counter = shared.counter,
  table = shared.table,
  -- results that are shared, and files that change
  single_flight = shared.single_flight,
  memo = shared.memo,
  watch = shared.watch,
  connection_ctx = core.session_methods().connection_ctx,
  -- the log
  log = require "perilune.log",
  -- where the policy runs
  worker = core.worker,
  workers = core.workers,
  is_control = core.is_control,
  -- memory of this worker's VM
  memory_used = core.memory_used,
  set_memory_limit = core.set_memory_limit,
  configure = core.configure,
  -- spans for a collector
  tracing = tracing.tracing,
}

-- Tests answer for names themselves.
local name_servers = os.getenv "PERILUNE_NAME_SERVERS"
if name_servers then assert(core.dns_set_servers(name_servers)) end

-- Modules of their own, which perilune.json and the like load when they are first used.
local modules = {
  json = true, base64 = true, crypto = true, url = true, cookie = true, date = true, cidr = true, regex = true,
  yaml = true, files = true,
  tcp = true, udp = true, ngx = true, http = true, dns = true, metrics = true, redis = true, acme = true,
}

-- What a name that perilune does not have may have been: one of its own, or a module that has to be required.
local function suggestion(name)
  local names = {}
  for known in pairs(perilune) do names[#names + 1] = known end
  for known in pairs(modules) do names[#names + 1] = known end
  local near = core.nearest(tostring(name), names)
  if near then return (": did you mean perilune.%s?"):format(near) end
  local module = "perilune." .. tostring(name)
  local is_module = module:find "^[%w_.]+$" and pcall(require, module)
  return is_module and (': it is a module of its own: require "%s"'):format(module) or ""
end

-- The policy of a bundle fetches the next one itself.
if core.bundle_is_on() and core.is_control() then require "perilune.bundle_agent" end

-- A slip of the pen should not be a nil that fails somewhere else.
return setmetatable(perilune, { __index = function(_, name)
  if modules[name] then
    perilune[name] = require("perilune." .. name)
    return perilune[name]
  end
  if type(name) == "string" and name:sub(1, 2) == "__" then return nil end
  error(("perilune has no '%s'%s"):format(tostring(name), suggestion(name)), 2)
end, __newindex = function(_, name, value)
  if check.is_hook(name) then
    error(("perilune.%s is no hook: hooks are fields of the table that perilune.listen gets"):format(name), 2)
  end
  rawset(perilune, name, value)
end })
