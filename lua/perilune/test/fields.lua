-- SPDX-License-Identifier: Apache-2.0
-- fields: header fields as tests read and write them.
--   fields.host                     the first value of that name, whatever its case; "-" may be written "_"
--   fields[1].name, fields[1].value in order
--   fields:all "set-cookie"         all values of a name

local misuse = require "perilune.test.misuse"

local M = {}

local Fields = {}

function Fields.__index(fields, name)
  if type(name) ~= "string" then return nil end
  if Fields[name] then return Fields[name] end
  name = name:lower():gsub("_", "-")
  for _, field in ipairs(fields) do
    if field.name:lower() == name then return field.value end
  end
end

--- All values of a name, in order.
function Fields.all(fields, name)
  local values = {}
  for _, field in ipairs(fields) do
    if field.name:lower() == name:lower() then values[#values + 1] = field.value end
  end
  return values
end

local function add(fields, name, value)
  if type(value) ~= "table" then value = { value } end
  for _, one in ipairs(value) do fields[#fields + 1] = { name = name, value = tostring(one) } end
end

--- From { { "Name", "value" }, ... } or { Name = "value" } or both; a value may be an array.
function M.new(list)
  local fields = setmetatable({}, Fields)
  local names = {}
  for key in pairs(list or {}) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, name in ipairs(names) do add(fields, name, list[name]) end
  for _, pair in ipairs(list or {}) do
    if type(pair) ~= "table" then
      misuse.raise(("headers: '%s' is no field: write { [\"X-Name\"] = \"value\" }, or { { \"X-Name\", \"value\" } }")
        :format(tostring(pair)))
    end
    add(fields, pair.name or pair[1], pair.value or pair[2])
  end
  return fields
end

--- From { "Name", "value", "Name", "value", ... }.
function M.from_flat(list)
  local fields = setmetatable({}, Fields)
  for i = 1, #list, 2 do fields[#fields + 1] = { name = list[i], value = list[i + 1] } end
  return fields
end

--- The lines of a head behind its first one, with the empty line.
function M.lines(fields)
  local lines = {}
  for i, field in ipairs(fields) do lines[i] = field.name .. ": " .. field.value .. "\r\n" end
  return table.concat(lines) .. "\r\n"
end

return M
