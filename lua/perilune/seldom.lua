-- SPDX-License-Identifier: Apache-2.0
-- perilune.seldom: warnings of our modules about what may fail again and again: a line in 10 seconds for each thing.

local core = require "perilune.core"

local seldom = {}

local PAUSE = 10

--- Writes the line, unless there was one about `thing`, a table, just now; its field `warned_at` says when.
function seldom.warn(thing, format, ...)
  local now, last = core.now(), rawget(thing, "warned_at")
  if last and now < last + PAUSE then return end
  thing.warned_at = now
  core.log.warn(format:format(...))
end

return seldom
