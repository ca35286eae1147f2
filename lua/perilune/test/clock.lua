-- SPDX-License-Identifier: Apache-2.0
-- clock: the virtual time of `perilune test`. It stands still until a test advances it.

local core = require "perilune.core"

local clock = {}

--- Lets seconds pass: sleeps end, timers fire, windows of rates turn, each at its own time.
function clock.advance(_, seconds) core.test_advance(seconds) end

--- Runs what is due now: hooks that were woken, background work of perilune.spawn.
function clock.settle() core.test_advance(0) end

--- perilune.now(), perilune.time().
function clock.now() return core.now() end
function clock.time() return core.time() end

--- What perilune.time() says from now on: seconds since 1970.
function clock.set_time(_, seconds) core.test_set_time(seconds) end

return clock
