-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.shared: ngx.shared.NAME over perilune.dict. Wrong keys and values give nil and a message.

local core = require "perilune.core"
local options = require "perilune.options"

local words = {
  ["key exists"] = "exists", ["no such key"] = "not found", ["entry too large"] = "no memory",
  ["no room left"] = "no memory",
}

local Dict = {}
Dict.__index = Dict

local function key_of(key)
  if key == nil then return nil, "nil key" end
  if type(key) ~= "string" then key = tostring(key) end
  if key == "" then return nil, "empty key" end
  if #key > 65535 then return nil, "key too long" end
  return key
end

-- A time to live; nil: for ever.
local function ttl_of(seconds, name)
  if seconds == nil or seconds == 0 then return nil end
  local is_time = type(seconds) == "number" and seconds >= 0
  if not is_time then core.raise(('bad "%s" argument'):format(name or "exptime")) end
  return seconds < 0.001 and 0.001 or seconds < 1e9 and seconds or 1e9
end

local storable = { string = true, number = true, boolean = true }
local how = { spare = false, flags = 0 } -- used for one call at a time

local function put(self, method, key, value, seconds, flags, spare)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  if value ~= nil and not storable[type(value)] then return nil, "bad value type" end
  local dict, given = self.dict, nil
  if value == nil then
    if method ~= "set" then return nil, "attempt to add or replace nil values" end
    dict:delete(text)
    return true, nil, false
  end
  if spare or (flags and flags ~= 0) then
    how.spare, how.flags = spare or false, flags or 0
    given = how
  end
  local ok, why, removed = dict[method](dict, text, value, ttl_of(seconds), given)
  if ok then return true, nil, removed or false end
  return false, words[why] or why, false
end

function Dict:set(key, value, seconds, flags) return put(self, "set", key, value, seconds, flags) end
function Dict:safe_set(key, value, seconds, flags)
  local ok, why = put(self, "set", key, value, seconds, flags, true)
  return ok, why
end
function Dict:add(key, value, seconds, flags) return put(self, "add", key, value, seconds, flags) end
function Dict:safe_add(key, value, seconds, flags)
  local ok, why = put(self, "add", key, value, seconds, flags, true)
  return ok, why
end
function Dict:replace(key, value, seconds, flags) return put(self, "replace", key, value, seconds, flags) end

function Dict:get(key)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  return self.dict:get(text)
end

function Dict:get_stale(key)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  local value, is_stale, flags = self.dict:get_stale(text)
  if value == nil then return nil, is_stale end
  return value, flags, is_stale
end

function Dict:delete(key)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  self.dict:delete(text)
  return true
end

function Dict:incr(key, by, from, seconds)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  if type(by) ~= "number" then by = tonumber(by) end
  if not by then return nil, "bad value type" end
  if seconds ~= nil and from == nil then core.raise 'must provide "init" when providing "init_ttl"' end
  local sum, why = self.dict:incr(text, by, from, ttl_of(seconds, "init_ttl"))
  if sum then return sum, nil, false end
  return nil, words[why] or why, false
end

local function mapped(ok, why)
  if ok then return ok end
  return nil, words[why] or why
end

function Dict:expire(key, seconds)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  return mapped(self.dict:expire(text, ttl_of(seconds)))
end

function Dict:ttl(key)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  local left = self.dict:ttl(text)
  if not left then return nil, "not found" end
  return left == math.huge and 0 or left
end

function Dict:get_keys(most) return self.dict:keys(most == 0 and 1000000 or most or 1024) end
function Dict:flush_all() self.dict:expire_all() end
function Dict:flush_expired(most) return self.dict:flush_expired(most) end
function Dict:capacity() return self.dict:size() end
function Dict:free_space() return self.dict:size() - self.dict:used() end

-- The four of lists: { method, does it give? }
for name, method in pairs { lpush = "push_front", rpush = "push_back", lpop = "pop_front", rpop = "pop_back" } do
  local gives = method:find "^push"
  Dict[name] = function(self, key, value)
    local text, fault = key_of(key)
    if not text then return nil, fault end
    if gives and type(value) ~= "string" and type(value) ~= "number" then return nil, "bad value type" end
    return mapped(self.dict[method](self.dict, text, value))
  end
end

function Dict:llen(key)
  local text, fault = key_of(key)
  if not text then return nil, fault end
  return mapped(self.dict:length(text))
end

return function(ngx, given)
  ngx.shared = ngx.shared or {}
  for name, size in pairs(given.dicts or {}) do
    local bytes = type(name) == "string" and options.bytes(size)
    if not bytes then
      core.raise(('perilune.ngx: dicts = { %s = ... } must be a size, as "10m"'):format(tostring(name)))
    end
    if bytes < 65536 then bytes = 65536 end
    ngx.shared[name] = setmetatable({ dict = core.dict("ngx." .. name, bytes) }, Dict)
  end
end
