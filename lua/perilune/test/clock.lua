-- SPDX-License-Identifier: Apache-2.0
-- clock: the virtual time of `perilune test`. It stands still until a test advances it.

local core = require "perilune.core"
local misuse = require "perilune.test.misuse"

local clock = {}

local function check_seconds(self, name, seconds)
  if self ~= clock then
    misuse.raise(("test.clock.%s is called with a colon: test.clock:%s(%s)"):format(name, name, tostring(self)))
  end
  if type(seconds) == "number" and seconds >= 0 and seconds <= 1e12 then return seconds end
  misuse.raise(("test.clock:%s: expected a number of seconds, 0 or more; got %s"):format(name,
    type(seconds) == "number" and seconds or "a " .. type(seconds) .. " value"))
end

--- Lets seconds pass: sleeps end, timers fire, windows of rates turn, each at its own time.
function clock.advance(self, seconds) core.test_advance(check_seconds(self, "advance", seconds)) end

--- Runs what is due now: hooks that were woken, background work of perilune.spawn.
function clock.settle() core.test_advance(0) end

--- perilune.now(), perilune.time().
function clock.now() return core.now() end
function clock.time() return core.time() end

--- What perilune.time() says from now on: seconds since 1970.
function clock.set_time(self, seconds) core.test_set_time(check_seconds(self, "set_time", seconds)) end

return misuse.guard(clock, "test.clock")
