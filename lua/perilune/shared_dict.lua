-- SPDX-License-Identifier: Apache-2.0
-- perilune.shared_dict: values that are expensive to get, kept in three levels: in the worker's VM (L1), in a
-- perilune.dict of the process (L2), and in Redis (L3), behind which a function may get what none of them has.
--
-- Who owns what. L1 holds values as they are, also tables, of a bounded number of keys; an entry holds while the count
-- of changes of the process (a perilune.counter) is the one that it was read at. L2 holds texts, in its bounded size:
-- "v" .. key a value and until when it is fresh; "p" .. key, why the source failed, for as long as it is not asked
-- again; "l" .. key, the lock of the worker that asks; "c" .. key, how often the key was changed lately. L3 holds
-- values under a prefix, with a time to live.
--
-- One flight. The source is asked by a job, so that it does not matter whose exchange ends; the tasks of its worker
-- that want the key wait for it, each with a time. Other workers see the lock, and look for the result. What a flight
-- brings is not kept where the key was changed meanwhile.
--
-- A value beyond its time stays for `stale` seconds, for the case that the source fails. That there is none is kept for
-- `negative_ttl`.

local check = require "perilune.check"
local core = require "perilune.core"
local flights = require "perilune.flight"
local json = require "perilune.json"
local options = require "perilune.options"
local seldom = require "perilune.seldom"

local M = {}

local LOOK_FIRST, LOOK_MOST = 0.002, 0.05 -- seconds between looks for what another worker gets
local NONE = setmetatable({}, { __tostring = function() return "none" end })

local valid = {
  size = { "size", 1048576 }, keys = { "count", 1000 },
  ttl = { "seconds", 60 }, negative_ttl = { "seconds", 5 }, stale = { "whole_seconds", 3600 },
  retry = { "seconds", 1 }, timeout = { "seconds", 5 },
  store = { "store" }, prefix = { "string" }, fetch = { "function" },
}

local function say(self, why) seldom.warn(self, "shared_dict '%s': %s", self.name, why) end

--- ---------------------------------------------------------------------------------------------------------------
--- values as texts: a string is itself, anything else has a first byte that says so

local MARK = "\1"
local writers = {
  string = function(value) return value:sub(1, 1) == MARK and MARK .. "s" .. value or value end,
  number = function(value) return MARK .. "n" .. ("%.17g"):format(value) end,
  boolean = function(value) return MARK .. (value and "b1" or "b0") end,
  table = function(value)
    local text, why = json.encode(value)
    return text and MARK .. "j" .. text, why
  end,
}

-- The text of a value; nil and why: JSON cannot say it. Nil alone: values of its type cannot be kept.
local function write(value)
  if value == NONE then return MARK .. "-" end
  local writer = writers[type(value)]
  if writer then return writer(value) end
end

-- The value of a text; nil: it is none of ours.
local function read(text)
  if text:sub(1, 1) ~= MARK then return text end
  local kind, rest = text:sub(2, 2), text:sub(3)
  if kind == "s" then return rest end
  if kind == "n" then return tonumber(rest) end
  if kind == "b" then return rest == "1" end
  if kind == "j" then return (json.decode(rest)) end
  if kind == "-" then return NONE end
end

--- ---------------------------------------------------------------------------------------------------------------
--- level 1: two tables, of which the older one is dropped when the newer one is full

local function new_memory(keys) return { hot = {}, cold = {}, count = 0, most = math.floor(keys / 2) } end

local function remember(memory, key, entry)
  if memory.most == 0 then return end
  if memory.count >= memory.most then memory.cold, memory.hot, memory.count = memory.hot, {}, 0 end
  if not memory.hot[key] then memory.count = memory.count + 1 end
  memory.hot[key] = entry
end

local function recall(memory, key)
  local entry = memory.hot[key]
  if entry then return entry end
  entry = memory.cold[key]
  if entry then remember(memory, key, entry) end
  return entry
end

--- ---------------------------------------------------------------------------------------------------------------
--- level 2

-- A value and until when it is fresh; nil: there is none.
local function look(self, key)
  local text = self.dict:get("v" .. key)
  if not text then return nil end
  local space = text:find(" ", 1, true)
  return read(text:sub(space + 1)), tonumber(text:sub(1, space - 1))
end

local function keep(self, key, value, ttl, changes)
  local fresh_until = core.now() + ttl
  local text = ("%.3f %s"):format(fresh_until, write(value))
  local ok, why = self.dict:set("v" .. key, text, math.max(ttl + (value ~= NONE and self.stale or 0), 0.001))
  if not ok then say(self, why) end
  self.dict:delete("p" .. key)
  remember(self.memory, key, { value = value, fresh_until = fresh_until, changes = changes })
end

local function changed(self, key)
  self.dict:incr("c" .. key, 1, 0, 2 * self.timeout)
  self.dict:delete("v" .. key)
  self.dict:delete("p" .. key)
  return self.counter:add(1)
end

--- ---------------------------------------------------------------------------------------------------------------
--- level 3 and the function

local metric

local function count(self, result)
  metric:add(1, self.name, result)
end

-- A value and its time to live; nil: none there; nil and why: the store failed.
local function ask_store(self, key)
  local replies, why = self.store:pipeline { { "GET", self.prefix .. key }, { "PTTL", self.prefix .. key } }
  if not replies then return nil, why end
  local text, left = replies[1], replies[2]
  if type(text) == "table" and text.error then return nil, text.error end
  if type(text) ~= "string" then return nil end
  local value = read(text)
  if value == nil then
    say(self, "what the store has under a key is no value")
    return nil
  end
  local ttl = type(left) == "number" and left > 0 and left / 1000 or self.ttl
  return value, math.min(ttl, value == NONE and self.negative_ttl or self.ttl)
end

local function write_store(self, key, value, ttl)
  return self.store:call("SET", self.prefix .. key, write(value), "PX", math.max(math.floor(ttl * 1000), 1))
end

-- What the function gives: a value (or NONE) and its time to live; nil and why.
local function ask_function(self, key)
  local ok, value, more = pcall(self.fetch, key)
  if not ok then return nil, tostring(value) end
  if value == nil and more ~= nil then return nil, tostring(more) end
  if value == nil then return NONE, self.negative_ttl end
  if not writers[type(value)] then return nil, ("fetch gave a %s value"):format(type(value)) end
  local text, why = write(value)
  if not text then return nil, "fetch gave a table that cannot be kept: " .. why end
  return value, type(more) == "number" and more > 0 and more or self.ttl
end

-- From the source: a value (or NONE) and its time to live; nil and why.
local function ask(self, key)
  local failure
  if self.store then
    local value, more = ask_store(self, key)
    if value ~= nil then
      count(self, "store")
      return value, more
    end
    failure = more
  end
  if not self.fetch then
    if failure then return nil, failure end
    return NONE, self.negative_ttl
  end
  local value, ttl = ask_function(self, key)
  if value == nil then return nil, ttl end
  count(self, "fetched")
  if self.store and not failure then write_store(self, key, value, ttl) end
  return value, ttl
end

--- ---------------------------------------------------------------------------------------------------------------
--- one flight for each key

-- What is in the lock says whose it is: one that has run out may be another's.
local function unlock(self, key, flight)
  if self.dict:get("l" .. key) == flight.token then self.dict:delete("l" .. key) end
end

-- This worker has the lock: asks, and keeps what came unless the key was changed meanwhile.
local function fly(self, key, flight)
  local changes, edition = self.counter:get(), self.dict:get("c" .. key)
  local value, more = ask(self, key)
  if value == nil then
    say(self, more)
    self.dict:set("p" .. key, more, self.retry)
    flight.why = more
  else
    flight.value = value
    if self.dict:get("c" .. key) == edition then keep(self, key, value, more, changes) end
  end
end

-- Another worker has the lock: until there is a result, or the lock is gone.
local function follow(self, key, flight)
  local pause = LOOK_FIRST
  while core.now() < flight.deadline do
    core.sleep(pause)
    pause = math.min(pause * 1.5, LOOK_MOST)
    local value, fresh_until = look(self, key)
    if value ~= nil and fresh_until > core.now() then
      flight.value = value
      return true
    end
    flight.why = self.dict:get("p" .. key)
    if flight.why then return true end
    if not self.dict:get("l" .. key) then return false end
  end
  flight.why = "timeout"
  return true
end

-- The work of a flight.
local function get_it(self, key, flight)
  flight.token = ("%d %.6f"):format(core.worker(), core.now())
  local ok, why = pcall(function()
    while not self.dict:add("l" .. key, flight.token, self.timeout) do
      if follow(self, key, flight) then return end
    end
    fly(self, key, flight)
  end)
  if not ok then flight.why = tostring(why) end
  unlock(self, key, flight)
end

-- The flight's end, or its deadline.
local function await(flight)
  if not flights.await(flight) then return nil, "timeout" end
  return flight.value, flight.why
end

-- From the source, or, where that fails, what is there beyond its time.
local function renew(self, key, stale)
  local why = self.dict:get("p" .. key)
  local value
  if not why then
    value, why = await(flights.join(self.flights, key, self.timeout, function(new) get_it(self, key, new) end))
  end
  if value ~= nil then return value end
  if stale == nil then count(self, "failed") else count(self, "stale") end
  return stale, why or "timeout"
end

--- ---------------------------------------------------------------------------------------------------------------
--- methods

local Dict = check.class({}, "perilune.shared_dict")

local function given(value)
  if value == NONE then return nil end
  return value
end

local function check_self(call, self, key)
  check.object("shared_dict:" .. call, self, "flights")
  return check.string("shared_dict:" .. call, 1, key)
end

--- The value; nil: there is none; nil and why: the source failed. A value that comes with a reason is beyond its time.
function Dict:get(key)
  check_self("get", self, key)
  local now, entry = core.now(), recall(self.memory, key)
  local changes = self.counter:get()
  if entry and entry.fresh_until > now and entry.changes == changes then
    count(self, "memory")
    return given(entry.value)
  end
  local value, fresh_until = look(self, key)
  if value ~= nil and fresh_until > now then
    count(self, "dict")
    remember(self.memory, key, { value = value, fresh_until = fresh_until, changes = changes })
    return given(value)
  end
  local renewed, why = renew(self, key, value)
  if why then return given(renewed), why end
  return given(renewed)
end

--- Sets a value in all levels; nil and why where the store failed. Other proxies see it when theirs is beyond its time.
function Dict:set(key, value, ttl)
  check_self("set", self, key)
  if not writers[type(value)] then
    check.raise(("shared_dict:set: expected a string, number, boolean or table, got a %s value"):format(type(value)))
  end
  if ttl ~= nil and check.number("shared_dict:set", 3, ttl) < 0.001 then
    check.raise "shared_dict:set: a time to live is 0.001 seconds or more"
  end
  ttl = ttl or self.ttl
  local text, fault = write(value)
  if not text then check.raise("shared_dict:set: " .. fault) end
  local changes = changed(self, key)
  if self.store then
    local ok, why, kind = write_store(self, key, value, ttl)
    if not ok then return nil, why, kind end
    changes = changed(self, key) -- what was read before that does not count
  end
  keep(self, key, value, ttl, changes)
  return true
end

--- Deletes a key in all levels: the next get asks the function. Nil and why where the store failed.
function Dict:delete(key)
  check_self("delete", self, key)
  changed(self, key)
  if not self.store then return true end
  local ok, why, kind = self.store:call("DEL", self.prefix .. key)
  changed(self, key)
  if ok == nil then return nil, why, kind end
  return true
end

--- Forgets what this process has, not what is in the store.
function Dict:flush()
  check.object("shared_dict:flush", self, "flights")
  self.dict:flush()
  self.memory = new_memory(self.keys)
  self.counter:add(1)
end

--- ---------------------------------------------------------------------------------------------------------------
--- making

local function fault_of(wanted)
  if not wanted.store and not wanted.fetch then return "give it 'store' or 'fetch', or both: where values come from" end
  return wanted.store and options.fault_of_store(wanted.store)
end

local function declare_metric()
  metric = metric or core.metric("perilune_shared_dict_total", "counter", "Reads of shared_dicts, by the level that "
    .. "answered, and what was asked for them.", { "dict", "result" }, {})
end

--- A dictionary by its name, with what is behind it.
function M.new(name, read_options)
  local wanted = options.read("perilune.shared_dict", read_options, valid, 2)
  local fault = fault_of(wanted)
  if fault then error("perilune.shared_dict: " .. fault, 2) end
  declare_metric()
  local self = {
    name = name, memory = new_memory(wanted.keys), flights = {}, keys = wanted.keys,
    dict = core.dict("shared_dict:" .. name, options.bytes(wanted.size)),
    counter = core.counter("shared_dict:" .. name), prefix = wanted.prefix or ("pl:dict:%s:"):format(name),
  }
  for _, option in ipairs { "ttl", "negative_ttl", "stale", "retry", "timeout", "store", "fetch" } do
    self[option] = wanted[option] or false -- Dict raises for nil
  end
  return setmetatable(self, Dict)
end

options.declare(M.new, "perilune.shared_dict", 2, valid)

return M
