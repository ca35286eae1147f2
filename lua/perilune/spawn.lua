-- SPDX-License-Identifier: Apache-2.0
-- perilune.spawn: waits for tasks that perilune.spawn has started (lua/api/spawn.c).

local core = require "perilune.core"

local spawn = {}

-- The tasks, and the moment until which to wait for them.
local function read(call, ...)
  local tasks, deadline = { ... }, nil
  local options = tasks[#tasks]
  if type(options) == "table" then
    tasks[#tasks] = nil
    for name, value in pairs(options) do
      if name ~= "timeout" or value ~= 0 and not core.duration(value) then
        error(("%s: its only option is timeout, %s"):format(call, core.duration_wanted), 3)
      end
    end
    local timeout = options.timeout
    deadline = timeout and core.now() + (timeout == 0 and 0 or core.duration(timeout))
  end
  if #tasks == 0 then error(call .. ": expected one task or more, as perilune.spawn gives them", 3) end
  return tasks, deadline
end

-- Until no more than `most` of them run. False: the time was up before.
local function await(tasks, most, deadline)
  while core.spawned_running(tasks) > most do
    local left = deadline and deadline - core.now()
    if left and left <= 0 then return false end
    core.spawned_await(tasks, left)
  end
  return true
end

--- Waits until all have ended. One task: all its results; several: the first result of each. What one of them raised is
--- raised here. With { timeout = seconds } as the last argument: nil and "timeout" when it takes longer.
function spawn.wait(...)
  local tasks, deadline = read("perilune.wait", ...)
  if not await(tasks, 0, deadline) then return nil, "timeout" end
  if #tasks == 1 then return core.spawned_results(tasks[1]) end
  local firsts = {}
  for i, task in ipairs(tasks) do firsts[i] = (core.spawned_results(task)) end
  return unpack(firsts, 1, #tasks)
end

--- Waits until one has ended: its position among the arguments, and its results. What it raised is raised here.
function spawn.wait_any(...)
  local tasks, deadline = read("perilune.wait_any", ...)
  if not await(tasks, #tasks - 1, deadline) then return nil, "timeout" end
  for i, task in ipairs(tasks) do
    if task:status() ~= "running" then return i, core.spawned_results(task) end
  end
end

return spawn
