-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.cjson: the modules cjson and cjson.safe over perilune.json, with the marks of arrays that OpenResty's
-- cjson has and others lack. Decoded arrays stay arrays, also while they are empty.

local core = require "perilune.core"
local json = require "perilune.json"

local EMPTY_AS_OBJECT = true

-- Arrays in place of empty tables, where that was asked for: in copies.
local function with_arrays(value, depth)
  if type(value) ~= "table" or depth > 100 then return value end
  local copy, is_empty = {}, true
  for key, one in pairs(value) do copy[key], is_empty = with_arrays(one, depth + 1), false end
  if is_empty then return getmetatable(value) and value or core.json_array(copy) end
  return setmetatable(copy, getmetatable(value))
end

local function make(is_safe)
  local cjson = {
    _NAME = is_safe and "cjson.safe" or "cjson", _VERSION = "2.1.0", null = json.null,
    empty_array = json.empty_array, array_mt = json.array_mt, empty_array_mt = json.array_mt,
  }
  local empty_as_object = EMPTY_AS_OBJECT
  local function result(call, value, why)
    if why == nil then return value end
    if is_safe then return nil, why end
    core.raise(("cjson.%s: %s"):format(call, why))
  end
  function cjson.encode(value)
    if not empty_as_object then value = with_arrays(value, 0) end
    return result("encode", json.encode(value))
  end
  function cjson.decode(text)
    if type(text) == "number" then text = core.text(text) end
    return result("decode", json.decode(text))
  end
  function cjson.encode_empty_table_as_object(on)
    if on ~= nil then empty_as_object = on ~= false and on ~= "off" end
    return empty_as_object
  end
  function cjson.decode_array_with_array_mt() return true end
  -- Limits and forms that perilune.json has of its own.
  function cjson.encode_max_depth() return 100 end
  function cjson.decode_max_depth() return 100 end
  function cjson.encode_number_precision() return 17 end
  function cjson.encode_keep_buffer() return true end
  function cjson.encode_invalid_numbers() return false end
  function cjson.decode_invalid_numbers() return false end
  function cjson.encode_escape_forward_slash() return false end
  function cjson.encode_sparse_array() return false, 2, 10 end
  function cjson.new() return make(is_safe) end
  return cjson
end

return { cjson = make(false), ["cjson.safe"] = make(true) }
