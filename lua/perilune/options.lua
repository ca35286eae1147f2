-- SPDX-License-Identifier: Apache-2.0
-- perilune.options: checks a table of options that a module's function got, and fills in defaults. A wrong option is
-- an error at the policy's line, with the name of the option and what is valid.

local check = require "perilune.check"
local core = require "perilune.core"
local refusal = require "perilune.refusal"

local options = {}

--- Stands for a default where an option must be given.
options.required = {}

-- The deviations of responses (core/http/lenient.h) that an HTTP client here may take. How TLS ends is none of them.
local lenient_names = {}
for name in pairs(core.lenient_default) do
  if name ~= "no_close_notify" then lenient_names[#lenient_names + 1] = name end
end
table.sort(lenient_names)
local is_lenient = {}
for _, name in ipairs(lenient_names) do is_lenient[name] = true end

-- What does not fit of { name = true or false } or { "name" }: the name; nil: nothing.
local function odd_lenient(given)
  if type(given) ~= "table" then return given end
  for key, value in pairs(given) do
    if type(key) == "number" and not is_lenient[value] then return value end
    if type(key) ~= "number" and (not is_lenient[key] or type(value) ~= "boolean") then return key end
  end
end

-- A whole number of seconds, also as a text of a duration; nil: it is none. Numbers have no upper bound: cookies and
-- caches are told of years.
local function whole_seconds(value)
  local seconds = value
  if type(value) == "string" then seconds = core.duration(value) end
  return type(seconds) == "number" and seconds >= 0 and seconds < 2 ^ 53 and seconds % 1 == 0 and seconds or nil
end

local units = { [""] = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, t = 1024 ^ 4 }

--- The number of bytes of 67108864, "64M", "64MiB"; nil: it is none.
function options.bytes(value)
  if type(value) == "number" then return value % 1 == 0 and value or nil end
  if type(value) ~= "string" then return nil end
  local number, unit = value:match "^(%d+)%s*([kKmMgGtT]?)i?[bB]?$"
  return number and tonumber(number) * units[unit:lower()] or nil
end

local STORE = "a client of perilune.redis, as redis.new gives it"

--- What is wrong with a table as the option 'store'; nil: nothing.
function options.fault_of_store(store)
  if getmetatable(store) == nil or not store.pipeline then return "option 'store' must be " .. STORE end
end

local function is_text(value) return type(value) == "string" and value ~= "" end

-- What each kind takes: how it is called in a message, the test, what of a value is shown that does not fit, what is
-- made of one that does, and a function that says of one that does what else is wrong with it.
local kinds = {
  string = { "a string", is_text },
  -- Files that are read when the policy loads, so that a mistake shows there.
  ca = { "a string", is_text, nil, nil, function(value) return core.tcp_check_ca(core.path(value)) end },
  pem_file = { "a string", is_text, nil, nil, function(value)
    local _, why = core.read_file(core.path(value))
    return why
  end },
  field = { "the name of a field", function(value)
    return type(value) == "string" and value:find "^[%w!#$%%&'*+.^_`|~-]+$" ~= nil
  end },
  cookie_name = { "the name of a cookie, without spaces, ';' and '='", function(value)
    return type(value) == "string" and value:find "^[%w!#$%%&'*+.^_`|~-]+$" ~= nil
  end },
  status = { "a status from 200 to 599", function(value)
    return type(value) == "number" and value >= 200 and value <= 599 and value % 1 == 0
  end },
  share = { "a share, more than 0 and at most 1", function(value)
    return type(value) == "number" and value > 0 and value <= 1
  end },
  ratio = { "a number from 0 to 1", function(value)
    return type(value) == "number" and value >= 0 and value <= 1
  end },
  table = { "a table", function(value) return type(value) == "table" end },
  -- Of texts or numbers.
  list = { "a table", function(value) return type(value) == "table" end },
  answer = refusal.kind,
  store = { STORE, function(value) return type(value) == "table" end },
  any = { "anything", function() return true end },
  boolean = { "true or false", function(value) return type(value) == "boolean" end },
  ["function"] = { "a function", function(value) return type(value) == "function" end },
  seconds = { core.duration_wanted, function(value) return core.duration(value) ~= nil end, nil, core.duration },
  -- What goes out in a field, and may be none.
  whole_seconds = { "a whole number of seconds, 0 or more, or a text such as '30s', '5m' or '1h'", function(value)
    return whole_seconds(value) ~= nil
  end, nil, whole_seconds },
  alpn = { '"http/1.1", "h2" or "h2,http/1.1"', function(value)
    return value == "http/1.1" or value == "h2" or value == "h2,http/1.1"
  end },
  family = { "any, prefer_ipv4, ipv4 or ipv6", function(value)
    return value == "any" or value == "prefer_ipv4" or value == "ipv4" or value == "ipv6"
  end },
  lenient = { "a table with true or false for any of " .. table.concat(lenient_names, ", "), function(value)
    return odd_lenient(value) == nil
  end, odd_lenient },
  method = { "a method in upper case", function(value)
    return type(value) == "string" and value:find "^%u+$" ~= nil
  end },
  path = { 'a path, which begins with "/"', function(value)
    return type(value) == "string" and value:find "^/" ~= nil
  end },
  count = { "a whole number, 0 or more", function(value)
    return type(value) == "number" and value >= 0 and value % 1 == 0
  end },
  empty = { '"keep" or "take"', function(value) return value == "keep" or value == "take" end },
  percent = { "a number from 0 to 100", function(value)
    return type(value) == "number" and value >= 0 and value <= 100
  end },
  size = { 'a number of bytes, such as 67108864 or "64M"', function(value)
    return (options.bytes(value) or 0) > 0
  end, nil, options.bytes },
  positive = { "a whole number, 1 or more", function(value)
    return type(value) == "number" and value >= 1 and value % 1 == 0
  end },
}

-- Behind a name that is none of them.
local function valid_names(valid)
  return next(valid) and "; valid are " .. table.concat(check.names(valid), ", ") or "; it has no options"
end

local function show(value)
  if type(value) == "string" then return ("'%s'"):format((("%q"):format(value):sub(2, -2))) end
  return type(value) == "number" and tostring(value) or ("a %s value"):format(type(value))
end

local declared = setmetatable({}, { __mode = "k" })

--- Says for `perilune check` that a function takes options as its argument number `position`, a method's object being
--- the first. `valid` is as for options.read, or a function that is given some options and returns what is wrong with
--- them. `together` may give a
--- warning about options that do not go together: together(value_of), where value_of(name) is a constant or the
--- default, and as its second result whether it was given.
function options.declare(fn, call, position, valid, together)
  declared[fn] = { call = call, position = position, valid = valid, together = together }
end

--- What a function was declared with; nil: nothing.
function options.declared(fn) return declared[fn] end

-- Words that people know of other programs, which are spelt too differently to be suggested.
local synonyms = {
  db = "database", username = "user", login = "user", bytes = "size", capacity = "size", limit = "max", rate = "max",
  window = "interval", period = "interval", directory = "root", folder = "root", shared = "dicts", hosts = "domains",
  target = "to", upstream = "to",
}

--- What is wrong with an option whose value is not known: that there is none of this name; nil: there is one. `value`
--- is for one without a name.
function options.fault_of_name(call, name, valid, value)
  if valid[name] then return nil end
  if type(value) == "function" and check.is_hook(name) then
    return ("%s: '%s' is a hook, not an option: hooks belong into the table that perilune.listen gets, "
      .. "as function policy.%s(...)"):format(call, name, name)
  end
  if type(name) == "number" and type(value) == "string" then
    local shown = show(value)
    return ("%s: the value %s has no name: write NAME = %s%s"):format(call, shown, shown, valid_names(valid))
  end
  local meant = synonyms[name]
  local hint = meant and valid[meant] and (" (did you mean %s?)"):format(meant) or check.hint(name, check.names(valid))
  return ("%s: unknown option %s%s%s"):format(call, show(name), hint, valid_names(valid))
end

--- What is wrong with the value of an option, which is not nil; nil: nothing.
function options.fault_of_value(call, name, value, valid)
  local kind = kinds[valid[name][1]]
  if kind[2](value) then
    local why = kind[5] and kind[5](value)
    return why and ("%s: option '%s': %s"):format(call, name, why)
  end
  if value == "" then return ("%s: option '%s' must not be empty"):format(call, name) end
  local shown = show(kind[3] and kind[3](value) or value)
  if kind == kinds.list and (type(value) == "string" or type(value) == "number") then
    local written = type(value) == "string" and ("%q"):format(value) or tostring(value)
    return ("%s: option '%s' must be a table: write { %s }"):format(call, name, written)
  end
  return ("%s: option '%s' must be %s, got %s"):format(call, name, kind[1], shown)
end

local function refuse_unknown(call, given, valid, level)
  for name, value in pairs(given) do
    local fault = options.fault_of_name(call, name, valid, value)
    if fault then error(fault, level + 1) end
  end
end

-- What is wrong with `given`, if it is no table. A text belongs to the one option that must be a text, if there is one.
local function fault_of_table(call, given, valid)
  if type(given) == "table" then return nil end
  local texts = {}
  for name, option in pairs(valid) do
    if option[1] == "string" and option[2] == options.required then texts[#texts + 1] = name end
  end
  local belongs = #texts == 1 and type(given) == "string"
  local example = belongs and (": write { %s = %q }"):format(texts[1], given) or ""
  return ("%s: expected a table of options, got %s%s"):format(call, show(given), example)
end

local function refuse_missing(call, given, valid, level)
  local missing -- made where it is needed: http.request reads its options for each request
  for name, option in pairs(valid) do
    if option[2] == options.required and given[name] == nil then
      missing = missing or {}
      missing[#missing + 1] = ("'%s'"):format(name)
    end
  end
  if not missing then return end
  table.sort(missing)
  local last = table.remove(missing)
  local all = #missing == 0 and "option " .. last .. " is" or
    ("options %s and %s are"):format(table.concat(missing, ", "), last)
  error(("%s: %s missing"):format(call, all), level + 1)
end

--- Reads `given` by `valid`, a table of { kind, default } by name. `call` is what the policy called; `level` is that of
--- error(): 2, the default, is the function that called the caller of read.
function options.read(call, given, valid, level)
  level = (level or 2) + 1
  if given == nil then given = {} end
  local misuse = fault_of_table(call, given, valid)
  if misuse then error(misuse, level) end
  if type(rawget(given, "new")) == "function" then error(call .. " is called with a dot, not with a colon", level) end
  refuse_unknown(call, given, valid, level)
  refuse_missing(call, given, valid, level)
  local read = {}
  for name, option in pairs(valid) do
    local value = given[name]
    if value == nil then
      value = option[2]
    else
      local fault = options.fault_of_value(call, name, value, valid)
      if fault then error(fault, level) end
    end
    local make = kinds[option[1]][4]
    read[name] = make and value ~= nil and make(value) or value
  end
  return read
end

return options
