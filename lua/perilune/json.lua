-- SPDX-License-Identifier: Apache-2.0
-- perilune.json: values to JSON and back, so that a decoded value that was not changed is encoded as it was. Data
-- from outside raises no error.

local check = require "perilune.check"
local core = require "perilune.core"

---@type perilune.json
local json = {
  --- null, as decode gives it and encode takes it; it is not false: compare with it.
  null = core.json_null,
  --- What encode writes as [].
  empty_array = core.json_empty_array,
  --- The metatable of arrays.
  array_mt = getmetatable(core.json_array()),
}

--- The text of a value; nil and a message where it has none.
function json.encode(value) return core.json_encode(value) end

--- The value of a text; nil and a message where it is no JSON.
function json.decode(text) return core.json_decode(text) end

--- The value of a file; nil and why not.
function json.read(path) return require("perilune.own_files").read("json.read", path, core.json_decode) end

--- The table, or a new one, which encode writes as an array even while it is empty.
function json.array(list)
  if list ~= nil then check.table("json.array", 1, list) end
  return core.json_array(list)
end

return json
