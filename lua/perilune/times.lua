-- SPDX-License-Identifier: Apache-2.0
-- perilune.times: finds numbers of seconds that were probably meant as milliseconds. It guesses, so it is for warnings
-- of `perilune check` only.

local times = {}

local LONG = {} -- names of options that are times, besides those that end in "timeout"
for name in ("interval slow_start eject eject_most window retry retry_most grace drain upgrade_grace load_time least "
  .. "most"):gmatch "%S+" do
  LONG[name] = true
end
local SHORT = { connect_timeout = true, handshake_timeout = true, hedge = true, await_body = true, hook_time = true }

-- From 1000 on, multiples of 500 are usual as milliseconds and not as seconds, but for whole hours. Of what takes a
-- moment, multiples of 50 are, but for whole minutes.
local function is_doubtful(name, value)
  if value >= 1000 and value % 500 == 0 and value % 3600 ~= 0 then return true end
  return SHORT[name] and value >= 100 and value % 50 == 0 and value % 60 ~= 0
end

local function in_words(seconds)
  if seconds >= 2 * 3600 then return ("%.1f hours"):format(seconds / 3600) end
  return seconds >= 120 and ("%.0f minutes"):format(seconds / 60) or ("%g seconds"):format(seconds)
end

--- Why a time may be wrong; nil: it is none, or it may be right. `name` is that of the option.
function times.doubt(name, value)
  local is_time = type(name) == "string" and (name:find "timeout$" or LONG[name] or SHORT[name])
  if not is_time or type(value) ~= "number" or not is_doubtful(name, value) then return nil end
  return ("%s = %g is %s: times are in seconds; if milliseconds are meant, write %g"):format(name, value,
    in_words(value), value / 1000)
end

--- The same of an argument of a call, which has no name.
function times.doubt_of_argument(call, value)
  if type(value) ~= "number" or not is_doubtful(nil, value) then return nil end
  return ("%s(%g) is %s: times are in seconds; if milliseconds are meant, write %g"):format(call, value,
    in_words(value), value / 1000)
end

return times
