-- SPDX-License-Identifier: Apache-2.0
-- perilune.flight: work that is done once for all tasks of this worker that want its result at the same time.
-- perilune.single_flight is this; perilune.shared_dict uses the parts. The work runs as a job, so that it does not
-- matter whose exchange ends; each task that waits has a time.

local check = require "perilune.check"
local core = require "perilune.core"

local flight = {}

local TIMEOUT = 30 -- seconds

--- --- parts ---------------------------------------------------------------------------------------------------------

-- It is over: tasks that wait go on.
local function land(flights, key, one)
  if flights[key] == one then flights[key] = nil end
  one.is_over = true
  local waiting = -one.ended:count()
  if waiting > 0 then one.ended:post(waiting) end
end

--- The flight for the key that is under way in `flights`; or a new one, of at most `timeout` seconds, whose job is
--- work(one), which raises nothing.
function flight.join(flights, key, timeout, work)
  local one = flights[key]
  if one and core.now() < one.deadline then return one end
  one = { ended = core.semaphore(0), deadline = core.now() + timeout, is_over = false }
  flights[key] = one
  core.after(0, function()
    work(one)
    land(flights, key, one)
  end)
  return one
end

--- Until its end: true; or until its deadline: false.
function flight.await(one)
  while not one.is_over do
    local left = one.deadline - core.now()
    if left <= 0 then return false end
    one.ended:wait(left)
  end
  return true
end

--- --- single_flight -------------------------------------------------------------------------------------------------

local flights = {} -- by key

local function pack(...) return { n = select("#", ...), ... } end

--- What fn() gives. While it runs, others who ask for the key wait for the same call. What it raises is raised in all
--- of them.
function flight.single_flight(key, fn, timeout)
  if type(key) ~= "string" and type(key) ~= "number" or key ~= key then
    check.raise(("perilune.single_flight: the key is a string or a number, got a %s value"):format(type(key)))
  end
  if type(fn) ~= "function" then
    check.raise(("perilune.single_flight: expected a function as argument 2, got a %s value"):format(type(fn)))
  end
  local seconds = core.duration(timeout == nil and TIMEOUT or timeout)
  if not seconds then check.raise("perilune.single_flight: the timeout must be " .. core.duration_wanted) end
  local one = flight.join(flights, key, seconds, function(new) new.results = pack(pcall(fn)) end)
  if not flight.await(one) then return nil, "timeout" end
  local results = one.results
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, results.n)
end

--- --- memo ----------------------------------------------------------------------------------------------------------

--- A function(key) that gives what fn(key) gave at most `ttl` seconds ago, in any worker; where fn fails, what it gave
--- last.
function flight.memo(name, ttl, fn)
  if type(fn) ~= "function" then
    check.raise(("perilune.memo: expected a function as argument 3, got a %s value"):format(type(fn)))
  end
  local options = { ttl = ttl }
  if type(ttl) == "table" then
    options = {}
    for option, value in pairs(ttl) do options[option] = value end
    if options.store ~= nil or options.fetch ~= nil then
      check.raise("perilune.memo: 'store' and 'fetch' are options of perilune.shared_dict; here the function is the "
        .. "third argument")
    end
  elseif not core.duration(ttl) then
    check.raise("perilune.memo: the time to live must be " .. core.duration_wanted .. ", or a table of options")
  end
  options.fetch = function(key) return fn(key ~= "" and key or nil) end
  local dict = require("perilune.shared_dict").new("memo:" .. name, options)
  return function(key)
    if key == nil then key = "" end
    if type(key) == "number" then key = core.text(key) end
    if type(key) ~= "string" then
      check.raise(("perilune.memo: the key is a string or a number, got a %s value"):format(type(key)))
    end
    return dict:get(key)
  end
end

return flight
