-- SPDX-License-Identifier: Apache-2.0
-- perilune.log: lines of the proxy's log. A table as the last argument is written as name=value after the text,
-- sorted by name:
--
--   perilune.log.info("request refused", { client = "1.2.3.4", why = "no token" })
--   --> request refused client=1.2.3.4 why="no token"

local core = require "perilune.core"

---@type perilune.log
local log = {}

local function quoted(value)
  local text = core.text(value)
  if text ~= "" and not text:find '[%s"=%c]' then return text end
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function fields_of(fields)
  local words = {}
  for name, value in pairs(fields) do words[#words + 1] = core.text(name) .. "=" .. quoted(value) end
  table.sort(words)
  return table.concat(words, " ")
end

local function is_fields(value)
  if type(value) ~= "table" then return false end
  local metatable = getmetatable(value)
  return type(metatable) ~= "table" or not metatable.__tostring
end

for _, level in ipairs { "debug", "info", "warn", "error" } do
  local write = core.log[level]
  log[level] = function(...)
    local count = select("#", ...)
    if rawequal((...), log) then
      core.raise(("perilune.log.%s is called with a dot, not with a colon"):format(level))
    end
    if count == 0 or not is_fields((select(count, ...))) then return write(...) end
    if not core.log.is_on(level) then return end
    local words = { ... }
    words[count] = fields_of(words[count])
    write(unpack(words, 1, count))
  end
end

--- Would a line of this level be written?
function log.is_on(level) return core.log.is_on(level) end

return log
