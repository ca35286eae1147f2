-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.thread: light threads over perilune.spawn, and semaphores. A thread runs at once until it first waits.
-- What it raises is its result. ngx.exit in a thread ends the hook that waits for it.

local core = require "perilune.core"
local spawn = require "perilune.spawn"
local state = require "perilune.ngx.state"

local thread = {}

local Thread = { __name = "ngx.thread" }

local function check(value)
  if getmetatable(value) ~= Thread then core.raise "ngx.thread: a thread is expected, as ngx.thread.spawn gives it" end
  return value
end

local function finish(ok, first, ...)
  if not ok and first ~= core.left then
    core.log_about("error", "ngx.thread", "ngx.thread: user thread aborted: " .. tostring(first))
  end
  return ok, first, ...
end

local function run(new, mine, fn, ...)
  if mine.session then return finish(xpcall(fn, state.traceback, ...)) end
  new.id = core.current_task()
  return finish(state.call(mine, fn, ...))
end

--- Runs fn(...) beside what runs.
function thread.spawn(fn, ...)
  if type(fn) ~= "function" then core.raise "ngx.thread.spawn: bad argument #1 (function expected)" end
  local mine = state.get()
  local new = setmetatable({}, Thread)
  new.task = core.spawn_now(run, new, mine, fn, ...)
  if mine.waits_for_threads then
    mine.threads = mine.threads or {}
    mine.threads[#mine.threads + 1] = new
  end
  return new
end

-- Of the results of a task: one that ngx.exit has ended ends the task that waits for it.
local function results(ended, _, ok, first, ...)
  ended.is_waited = true
  if ok == false and first == core.left then core.leave() end
  return ok, first, ...
end

--- Waits for the first of the threads that ends: true and its results, or false and what it raised.
function thread.wait(...)
  local tasks, threads = {}, { ... }
  for i, one in ipairs(threads) do
    if check(one).is_waited then return nil, "already waited or killed" end
    tasks[i] = one.task
  end
  if #tasks == 0 then core.raise "ngx.thread.wait: at least one thread is expected" end
  while core.spawned_running(tasks) == #tasks do core.spawned_await(tasks) end
  for i, task in ipairs(tasks) do
    if task:status() ~= "running" then return results(threads[i], nil, spawn.wait(task)) end
  end
end

function thread.kill(one)
  if check(one).is_waited or one.task:status() ~= "running" then return nil, "already waited or killed" end
  one.is_waited = true
  one.task:stop()
  if one.id then state.forget(one.id) end
  return true
end

--- For handlers of old code, which do not end before their threads.
function thread.wait_for_all(of)
  for _, one in ipairs(of.threads or {}) do
    if not one.is_waited and one.task:status() ~= "stopped" then thread.wait(one) end
  end
  of.threads = nil
end

local Semaphore = {}
Semaphore.__index = Semaphore

function Semaphore:post(count) self.native:post(count) return true end
function Semaphore:count() return self.native:count() end
function Semaphore:wait(seconds)
  seconds = tonumber(seconds)
  if not seconds or seconds < 0 then core.raise "semaphore: wait: a number of seconds is expected" end
  return self.native:wait(seconds)
end

local semaphore = {}
function semaphore.new(count)
  count = tonumber(count or 0)
  if not count or count < 0 or count % 1 ~= 0 then core.raise "semaphore: new: a whole number is expected" end
  return setmetatable({ native = core.semaphore(count) }, Semaphore)
end

thread.modules = { ["ngx.semaphore"] = semaphore }

return thread
