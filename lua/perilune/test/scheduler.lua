-- SPDX-License-Identifier: Apache-2.0
-- scheduler: lets origins, clients and the spec itself run concurrently in one process. A task is a coroutine that
-- waits for a descriptor or a time. The spec is not a task: while it waits, it runs all others. Every wait has an
-- end.
local scope = require "perilune.test.scope"
local sys = require "perilune.test.sys"

local M = {}
--- Seconds after which a wait gives up, where nothing else is said. Sanitizer builds on a busy machine are slow.
M.TIMEOUT = tonumber(os.getenv "SPEC_TIMEOUT") or 15

local waiting = {} -- task -> { fd, events, deadline, condition }; fd nil: only time, or until the condition holds
local failures = {}
local current

local function resume(task, ...)
  local before = current
  current = task
  local ok, message = coroutine.resume(task.routine, ...)
  current = before
  if coroutine.status(task.routine) ~= "dead" then return end
  task.is_done = true
  if ok then task.result = message return end
  task.failure = message
  failures[#failures + 1] = debug.traceback(task.routine, tostring(message))
end

-- Resumes the tasks whose condition holds. True where there was one.
local function resume_met()
  local met = {}
  for task, wait in pairs(waiting) do
    if wait[4] and wait[4]() then met[#met + 1] = task end
  end
  for _, task in ipairs(met) do
    if waiting[task] then
      waiting[task] = nil
      resume(task, true)
    end
  end
  return #met > 0
end

-- Lets time pass until something is ready, at most until `deadline`; `own` is what the spec itself waits for.
local function turn(deadline, own)
  if resume_met() then deadline = 0 end
  local tasks, wanted = {}, {}
  if own then wanted[1], tasks[1] = own, false end
  for task, wait in pairs(waiting) do
    deadline = math.min(deadline, wait[3])
    if wait[1] then
      wanted[#wanted + 1] = wait
      tasks[#wanted] = task
    end
  end
  local own_is_ready = false
  for _, index in ipairs(sys.poll(wanted, math.max(0, deadline - sys.now()))) do
    local task = tasks[index]
    if not task then
      own_is_ready = true
    elseif waiting[task] == wanted[index] then
      waiting[task] = nil
      resume(task, true)
    end
  end
  local now, due = sys.now(), {}
  for task, wait in pairs(waiting) do
    if wait[3] <= now then due[#due + 1] = task end
  end
  for _, task in ipairs(due) do
    if waiting[task] then
      waiting[task] = nil
      resume(task, false)
    end
  end
  return own_is_ready
end

--- Waits until `fd` is ready for `events` (sys.READ, sys.WRITE).
---@param deadline number? time of sys.now(); without one the wait is as long as the task
---@return boolean ready
function M.wait(fd, events, deadline)
  if current then
    waiting[current] = { fd, events, deadline or math.huge }
    return coroutine.yield()
  end
  deadline = deadline or sys.now() + M.TIMEOUT
  local own = { fd, events }
  repeat
    if turn(deadline, own) then return true end
  until sys.now() >= deadline
  return false
end

--- Waits until `condition` gives a true value. What it looks at is changed by other tasks.
---@param deadline number? as of M.wait
---@return boolean holds
function M.wait_until(condition, deadline)
  if condition() then return true end
  if current then
    waiting[current] = { nil, nil, deadline or math.huge, condition }
    return coroutine.yield()
  end
  deadline = deadline or sys.now() + M.TIMEOUT
  repeat
    turn(deadline)
    if condition() then return true end
  until sys.now() >= deadline
  return false
end

--- Seconds of the monotonic clock.
M.now = sys.now

function M.sleep(seconds)
  local deadline = sys.now() + seconds
  if current then
    waiting[current] = { nil, nil, deadline }
    coroutine.yield()
    return
  end
  repeat turn(deadline) until sys.now() >= deadline
end

--- When a wait that begins now has to give up. Tasks wait for ever where nothing is said: the spec ends them.
function M.deadline(timeout)
  if timeout then return sys.now() + timeout end
  if current then return math.huge end
  return sys.now() + M.TIMEOUT
end

--- Starts a task and runs it up to its first wait.
---@return table task
function M.spawn(body, ...)
  local is_lasting = not scope.inside
  if current then is_lasting = current.is_lasting end
  local task = { routine = coroutine.create(body), is_lasting = is_lasting }
  resume(task, ...)
  return task
end

--- The task goes no further.
function M.cancel(task)
  task.is_done = true
  waiting[task] = nil
end

--- Polls `condition` until it gives a true value, which is returned. Raises when that does not happen in time.
---@param what string? what was waited for, for the message
function M.eventually(condition, timeout, what)
  timeout = timeout or M.TIMEOUT
  local deadline, tries = sys.now() + timeout, 0
  while true do
    local value, detail = condition()
    if value then return value end
    if sys.now() >= deadline then
      local text = ("did not happen within %g s: %s"):format(timeout, what or "the awaited condition")
      error(detail and text .. " (" .. tostring(detail) .. ")" or text, 2)
    end
    tries = tries + 1
    M.sleep(tries < 20 and 0.001 or 0.005)
  end
end

--- Runs the functions side by side until all are done, and returns their results in order.
function M.all(bodies, timeout)
  local tasks, results = {}, {}
  for i, body in ipairs(bodies) do tasks[i] = M.spawn(body, i) end
  for i, task in ipairs(tasks) do
    M.eventually(function() return task.is_done end, timeout, "end of task " .. i)
    if task.failure then
      M.take_failure()
      error(task.failure, 0)
    end
    results[i] = task.result
  end
  return results
end

--- The first error that a task raised since the last call, with its traceback.
function M.take_failure()
  local failure = failures[1]
  failures = {}
  return failure
end

--- Ends the tasks of a test; or all, also those that were begun outside of one.
function M.reset(all)
  for task in pairs(waiting) do
    if all or not task.is_lasting then waiting[task] = nil end
  end
  current = nil
end

return M
