-- SPDX-License-Identifier: Apache-2.0
-- perilune.backoff: how long to wait before what has failed is tried again.

local core = require "perilune.core"
local date = require "perilune.date"

local backoff = {}

--- From half of a pause to all of it, so that proxies do not come together.
function backoff.spread(pause) return pause * (0.5 + math.random() / 2) end

--- After so many failures in a row, 1 or more: `first` seconds, each time twice as long, but not more than `most`.
function backoff.after(failures, first, most) return backoff.spread(math.min(first * 2 ^ (failures - 1), most)) end

local ours = { local_shortage = true, no_port = true }

--- Is that error, as error:kind() has it, one of this machine (descriptors, memory, ports), for which nobody else is to
--- blame? It counts as no failure: what was to be done is tried again soon, since the shortage may be over any moment.
function backoff.is_ours(kind) return ours[kind] == true end

--- The seconds of a field Retry-After (RFC 9110 section 10.2.3: a number or a date), not more than `most`; nil: there
--- is none, or it makes no sense.
function backoff.asked(headers, most)
  local text = headers["retry-after"]
  if not text then return nil end
  local seconds = tonumber(text:match "^%d+$")
  if not seconds then
    local moment = date.parse_http(text)
    seconds = moment and moment - core.time()
  end
  return seconds and math.max(0, math.min(seconds, most))
end

return backoff
