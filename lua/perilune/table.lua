-- SPDX-License-Identifier: Apache-2.0
-- perilune.table: large tables that are loaded once and read by all workers (lua/api/table.c).

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

local M = {}

local valid = {
  keys = { "string", "text" }, size = { "size", 268435456 },
  separator = { "string", "," }, names = { "boolean", true }, key = { "any" }, value = { "any" },
}
local KINDS = { text = true, network = true, prefix = true }

local function is_column(value)
  return value == nil or type(value) == "string"
    or type(value) == "number" and value >= 1 and value <= 256 and value % 1 == 0
end

local function fault_of(wanted, is_file)
  if not KINDS[wanted.keys] then return "option 'keys' must be \"text\", \"network\" or \"prefix\"" end
  if #wanted.separator ~= 1 or wanted.separator:find '["\r\n]' then return "option 'separator' is one character" end
  for _, option in ipairs { "key", "value" } do
    local column = wanted[option]
    if not is_column(column) then return ("option '%s' must be the name of a column, or its number"):format(option) end
    if type(column) == "string" and not wanted.names then
      return ("option '%s': with names = false, columns have numbers"):format(option)
    end
    if column ~= nil and not is_file then return ("option '%s' is for files"):format(option) end
  end
end

-- What two loads of a file have in common if they give the same table.
local function stamp_of(path, wanted)
  local stamp = core.file_stamp(path)
  if not stamp then return "" end
  return table.concat({ path, stamp, wanted.separator, tostring(wanted.names), tostring(wanted.key),
    tostring(wanted.value) }, "\0")
end

local function fill(self, loader, path, wanted)
  if path then
    return self:csv(path, wanted.separator, wanted.names, wanted.key, wanted.value)
  end
  local ok, why = pcall(loader, function(key, value) self:add(key, value) end)
  return ok or nil, not ok and tostring(why) or nil
end

--- A table by its name, of a file or of what a function adds.
function M.new(name, loader, given)
  if type(loader) ~= "function" and type(loader) ~= "string" then
    error(("perilune.table: expected a file or a function as argument 2, got a %s value: write perilune.table(name, "
      .. "\"FILE.csv\", { ... }) or perilune.table(name, function(add) ... end)"):format(type(loader)), 2)
  end
  local wanted = options.read("perilune.table", given, valid)
  local path = type(loader) == "string" and core.own_file(loader) or nil
  local fault = fault_of(wanted, path ~= nil)
  if fault then error("perilune.table: " .. fault, 2) end
  local made, fills = core.table(name, wanted.keys, options.bytes(wanted.size), path and stamp_of(path, wanted) or "")
  if not fills then return made end
  local ok, why = fill(made, loader, path, wanted)
  made:done(not ok and why or nil)
  if not ok then check.raise(("perilune.table('%s'): %s"):format(name, why)) end
  return made
end

options.declare(M.new, "perilune.table", 3, valid)

return M
