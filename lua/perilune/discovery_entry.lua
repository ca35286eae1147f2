-- SPDX-License-Identifier: Apache-2.0
-- discovery_entry: a backend as people and programs write it down in one value:
--
--   10.0.0.1:80 weight=3 zone=a priority=1           a line of discovery.file
--   10.0.0.2:80 backup
--   { "address": "10.0.0.1:80", "weight": 3 }        JSON, with the fields of a set's entry
--   { "Op": 0, "Addr": "10.0.0.1:80" }               JSON, as programs that use etcd's naming for gRPC register

local core = require "perilune.core"

local entry = {}

--- Of a line that is not empty; or nil and what is wrong with it.
function entry.of_line(line)
  local made = {}
  for word in line:gmatch "%S+" do
    local name, value = word:match "^(%a+)=(.+)$"
    if word == "backup" then
      made.backup = true
    elseif name == "weight" or name == "priority" then
      made[name] = tonumber(value)
      if not made[name] then return nil, ("%s is not a number"):format(word) end
    elseif name == "zone" then
      made.zone = value
    elseif made.address then
      return nil, ("'%s' is not weight=, zone=, priority= or backup"):format(word)
    else
      made.address = word
    end
  end
  return made
end

local FIELDS = { "weight", "zone", "priority", "backup" }

-- Other fields are for other programs.
local function of_table(said)
  local made = { address = said.address or said.Addr }
  if type(made.address) ~= "string" then return nil, "it has no 'address' that is a string" end
  for _, name in ipairs(FIELDS) do
    if said[name] ~= nil and said[name] ~= core.json_null then made[name] = said[name] end
  end
  return made
end

--- Of a value in any of these forms; or nil and what is wrong with it.
function entry.of_text(text)
  if not text:find "^%s*{" then return entry.of_line(text) end
  local said, why = core.json_decode(text)
  if type(said) ~= "table" then return nil, why or "it is no object of JSON" end
  return of_table(said)
end

return entry
