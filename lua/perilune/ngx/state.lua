-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.state: what the layer knows of the work that runs: of a request, from its first hook to its last; of a
-- timer's run, with its threads; or of nothing in particular. Everything that libraries think of as "the current
-- request" is asked for here. A request's state lies in its ctx, so it ends with it.

local core = require "perilune.core"

local M = {}

local KEY = {}                     -- of the state, in the ctx of an exchange
local families = {}                -- by task: those of timers
local main_chunk = { ctx = {}, phase = "init_worker" }
local detached = { ctx = {}, phase = "timer" }

--- The state of what runs.
function M.get()
  local session, ctx, hook = core.current()
  if session then
    local state = ctx[KEY]
    if not state then
      state = { session = session }
      ctx[KEY] = state
    end
    if hook then state.hook = hook end
    return state
  end
  local task = core.current_task()
  return task and (families[task] or detached) or main_chunk
end

--- The state of the running request; raises where there is none, as ngx_lua does. `name`: of the function.
function M.request(name)
  local state = M.get()
  if state.session then return state end
  core.raise(("ngx.%s: there is no request here: API disabled in the context of ngx.timer"):format(name))
end

local function restore(task, before, ...)
  families[task] = before
  return ...
end

--- pcall(fn, ...) with another state: that of a timer, or of the task that has started a thread.
function M.call(state, fn, ...)
  local task = core.current_task()
  local before = families[task]
  families[task] = state
  return restore(task, before, xpcall(fn, M.traceback, ...))
end

--- A task was stopped where it waited: what comes next in its place is somebody else.
function M.forget(task) families[task] = nil end

--- What ngx.exit raises passes by as it is; other errors get a traceback.
function M.traceback(raised)
  if raised == core.left or type(raised) ~= "string" then return raised end
  return debug.traceback(raised, 2)
end

local phases = {
  upstream_peer = "balancer", fail_to_connect = "balancer", connected_to_upstream = "balancer",
  upstream_request_filter = "balancer", upstream_response_filter = "header_filter", response_filter = "header_filter",
  answer_filter = "header_filter", response_cache_filter = "header_filter",
  upstream_response_body_filter = "body_filter", response_body_filter = "body_filter",
  response_trailer_filter = "body_filter", logging = "log",
}

--- ngx_lua's word for the phase that runs.
function M.phase()
  local state = M.get()
  local word = state.hook == "request_filter" and state.word -- of perilune.ngx.hooks, where several phases are one hook
  return state.phase or word or phases[state.hook] or "access"
end

--- Who opened a socket: only the same request, or timer with its threads, may use it. Nil: anybody.
function M.owner()
  local session = core.current_session()
  if session then return session end
  local task = core.current_task()
  return task and families[task] or nil
end

return M
