-- SPDX-License-Identifier: Apache-2.0
-- perilune.shared: objects that all workers share by name: perilune.dict, rate, inflight, counter and table. They
-- survive a reload that names them again.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

local shared = {}

local dict_options = { size = { "size", 1048576 } }
local rate_options = { interval = { "seconds", 1 }, slots = { "positive", 1024 } }
local inflight_options = { keys = { "positive", 65536 } }

local inflights = {} -- by name

local function check_name(call, name)
  if type(name) == "string" and name ~= "" then return name end
  core.check_dot(name, "perilune." .. call)
  local got = name == "" and "an empty text" or ("a %s value"):format(type(name))
  error(("perilune.%s: expected a name, which all workers find it by, got %s"):format(call, got), 3)
end

--- A dictionary of strings, numbers and booleans, of a bounded size: what was used least recently makes room.
function shared.dict(name, given)
  check_name("dict", name)
  return core.dict(name, options.read("perilune.dict", given, dict_options).size)
end

--- A dictionary with Redis or a function behind it.
function shared.shared_dict(name, given)
  check_name("shared_dict", name)
  return require("perilune.shared_dict").new(name, given)
end

--- How often something happens, by key.
function shared.rate(name, given)
  check_name("rate", name)
  local wanted = options.read("perilune.rate", given, rate_options)
  return core.rate(wanted.interval, wanted.slots, name)
end

--- How many exchanges are under way, by key.
function shared.inflight(name, given)
  check_name("inflight", name)
  if not inflights[name] then
    inflights[name] = core.inflight(options.read("perilune.inflight", given, inflight_options).keys, name)
  end
  return inflights[name]
end

--- A whole number that all workers add to.
function shared.counter(name) return core.counter(check_name("counter", name)) end

--- A large table that is loaded once and only read from then on.
function shared.table(name, ...)
  check_name("table", name)
  return require("perilune.table").new(name, ...)
end

--- One call for all tasks of a worker that want its result at the same time.
function shared.single_flight(...)
  core.check_dot((...), "perilune.single_flight")
  return require("perilune.flight").single_flight(...)
end

--- A function whose results are kept for a time.
function shared.memo(name, ...)
  check_name("memo", name)
  return require("perilune.flight").memo(name, ...)
end

--- A function that is called when a file has changed.
function shared.watch(...)
  core.check_dot((...), "perilune.watch")
  return require("perilune.own_files").watch(...)
end

local cache_options = {
  size = { "size", options.required },
  path = { "path" },
  max_object = { "size", 0 },
  lock_wait = { "seconds", 5 },
  uncacheable_ttl = { "whole_seconds", 120 },
  max_variants = { "positive", 16 },
  ttl = { "whole_seconds", -1 },
  status_header = { "boolean", false },
  stale_beside_s_maxage = { "boolean", false },
}

--- A cache of responses, for the option `cache` of perilune.listen.
function shared.cache(name, given)
  check_name("cache", name)
  local wanted = options.read("perilune.cache", given, cache_options)
  wanted.size, wanted.max_object = options.bytes(wanted.size), options.bytes(wanted.max_object)
  if wanted.max_object > wanted.size then
    check.raise(("perilune.cache: option 'max_object' is more than the size, %d bytes: got %d"):format(wanted.size,
      wanted.max_object))
  end
  return core.cache(name, wanted)
end

return shared
