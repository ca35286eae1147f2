-- SPDX-License-Identifier: Apache-2.0
-- perilune.json: JSON by lua-cjson. Neither function raises for what may come from outside.

local found, cjson = pcall(require, "cjson")
if not found then error("perilune.json needs lua-cjson: on Debian, apt-get install lua-cjson", 0) end

local own = cjson.new()
own.decode_max_depth(100)
own.encode_max_depth(100)
own.encode_sparse_array(true) -- a hole or a far index makes an object; it is no error
own.decode_invalid_numbers(false)

---@type perilune.json
local json = {
  --- null, as decode gives it and encode takes it; it is not false: compare with it.
  null = own.null,
}

--- The text of a value: tables with 1, 2, ... are arrays, others objects ({} too). nil and a message for a function,
--- NaN, or more than 100 levels.
function json.encode(value)
  local ok, text = pcall(own.encode, value)
  if ok then return text end
  return nil, text
end

--- The value of a text; nil and a message where it is no JSON.
function json.decode(text)
  local ok, value = pcall(own.decode, text)
  if ok then return value end
  return nil, value
end

return json
