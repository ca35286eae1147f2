-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.timer: ngx.timer over perilune.after and every. A run has a ctx of its own and no request. When the
-- policy ends, what waits is called at once with `premature`.

local core = require "perilune.core"
local state = require "perilune.ngx.state"

local PENDING_MOST, RUNNING_MOST = 1024, 256

local timer = {}
local pending, running = 0, 0
local everywhere = { on = "every worker" }

local function run(premature, fn, ...)
  if running >= RUNNING_MOST then
    core.log_about("error", "ngx.timer", "ngx.timer: 256 timers run already in this worker: this run is left out")
    return
  end
  running = running + 1
  local mine = { ctx = {}, phase = "timer" }
  local ok, why = state.call(mine, fn, premature, ...)
  running = running - 1
  if not ok and why ~= core.left then
    core.log_about("error", "ngx.timer failed", "ngx.timer failed: " .. tostring(why))
  end
end

-- In the main chunk a timer is for every worker, elsewhere for its own.
local function where() return not core.current_task() and everywhere or nil end

local function check(seconds, fn)
  if type(fn) ~= "function" then core.raise "ngx.timer: bad argument #2 (function expected)" end
  seconds = tonumber(seconds)
  if not seconds or seconds < 0 then core.raise 'ngx.timer: invalid "delay" argument' end
  return seconds
end

function timer.at(seconds, fn, ...)
  seconds = check(seconds, fn)
  if pending >= PENDING_MOST then return nil, "too many pending timers" end
  if core.is_retired() and seconds > 0 then return nil, "process exiting" end
  local count, arguments = select("#", ...), { ... }
  pending = pending + 1
  core.after(seconds, function(premature)
    pending = pending - 1
    run(premature or false, fn, unpack(arguments, 1, count))
  end, where())
  return 1
end

--- A run begins when it is due, whether or not the last one has ended.
function timer.every(seconds, fn, ...)
  seconds = check(seconds, fn)
  if seconds < 0.001 then return nil, "delay cannot be zero" end
  if core.is_retired() then return nil, "process exiting" end
  local count, arguments = select("#", ...), { ... }
  pending = pending + 1
  core.every(seconds, function() core.spawn_now(run, false, fn, unpack(arguments, 1, count)) end, where())
  core.on_retire(function()
    pending = pending - 1
    run(true, fn, unpack(arguments, 1, count))
  end, where())
  return 1
end

function timer.pending_count() return pending end
function timer.running_count() return running end

return timer
