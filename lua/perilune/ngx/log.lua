-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.log: ngx.log and its levels, of which perilune.log has four.

local core = require "perilune.core"

local levels = { STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8 }
local names = { [5] = "warn", [6] = "info", [7] = "info", [8] = "debug" }
local filter = 8

local function write(level, ...)
  local name = names[level] or "error"
  if level > filter or not core.log.is_on(name) then return end
  local words = { ... }
  for i = 1, select("#", ...) do words[i] = tostring(words[i]) end
  core.log[name](table.concat(words))
end

local errlog = {}
function errlog.raw_log(level, text)
  if type(level) ~= "number" then core.raise "errlog.raw_log: the first argument is a level, such as ngx.ERR" end
  write(level, text)
end
function errlog.get_sys_filter_level()
  for level, name in pairs { [8] = "debug", [7] = "info", [5] = "warn" } do
    if core.log.is_on(name) then return level end
  end
  return 4
end
function errlog.set_filter_level(level)
  filter = level
  return true
end
function errlog.get_logs() return {} end

return function(ngx)
  for name, level in pairs(levels) do ngx[name] = level end
  function ngx.log(level, ...)
    if type(level) ~= "number" then core.raise "ngx.log: the first argument is a level, such as ngx.ERR" end
    write(level, ...)
  end
  return { ["ngx.errlog"] = errlog }
end
