-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.hooks: handlers of OpenResty's phases as a table of hooks for perilune.listen. A handler takes no
-- arguments. It does not end before its threads.

local core = require "perilune.core"
local state = require "perilune.ngx.state"
local thread = require "perilune.ngx.thread"

local function finish(session)
  local of = state.get()
  if of.threads then thread.wait_for_all(of) end
  return of, session
end

-- Runs a handler to its end, and its threads. ngx.exit with less than 200 ends no more than the handler: the next phase
-- follows. What ends the request ends the hook as well.
local function run(word, handler, session)
  local of = state.get()
  of.word, of.waits_for_threads = word, true
  local ok, why = xpcall(handler, state.traceback)
  if not ok and why ~= core.left then error(why, 0) end
  if of.is_over then core.leave() end
  if ok then finish(session) end
  return of
end

-- The handlers of one hook, one after the other, until one has answered. `content` always does.
local function filter(handlers)
  return function(session)
    for _, word in ipairs { "rewrite", "access", "content" } do
      local of = handlers[word] and run(word, handlers[word], session)
      if core.has_answer(session) or of and of.streams then return end
      if of and word == "content" then core.answer_status(session, of.status or 200) end
    end
  end
end

local make = {}

function make.balancer(handler)
  return function(session)
    local of = state.get()
    of.peer, of.waits_for_threads = nil, true
    handler()
    finish(session)
    if core.has_answer(session) then return end
    if not of.peer then core.raise "ngx.hooks: balancer has set no peer: see ngx.balancer.set_current_peer" end
    local times = of.timeouts or {}
    return { address = of.peer, connect_timeout = times[1], write_timeout = times[2], read_timeout = times[3] }
  end
end

function make.header_filter(handler)
  return function(session)
    state.get().waits_for_threads = true
    handler()
    finish(session)
  end
end

-- ngx.arg is { chunk, is_last }, which the handler changes. It is the request's: while the handler waits, others run.
function make.body_filter(handler)
  return function(_, chunk, is_last)
    local arg, of = { chunk, is_last }, state.get()
    of.arg = arg
    handler()
    of.arg = nil
    if arg[1] == chunk then return nil end
    return arg[1] == nil and "" or tostring(arg[1])
  end
end

function make.log(handler)
  return function() handler() end
end

function make.ssl_certificate(handler)
  return function(hello)
    local of = { ctx = {}, phase = "ssl_cert", hello = hello }
    local ok, why = state.call(of, handler)
    if not ok and why ~= core.left then error(why, 0) end
    if of.is_refused then return false end
    if not of.certificate or not of.key then return nil end
    return of.certificate, of.key
  end
end

local function init_worker(handler)
  return function()
    local ok, why = state.call({ ctx = {}, phase = "init_worker" }, handler)
    if not ok and why ~= core.left then error(why, 0) end
  end
end

local names = { balancer = "upstream_peer", header_filter = "response_filter", body_filter = "response_body_filter",
  log = "logging", ssl_certificate = "certificate" }
local others = { access = true, rewrite = true, content = true, init_worker = true }

local function check(handlers)
  if type(handlers) ~= "table" then core.raise "perilune.ngx.hooks: expected a table of handlers" end
  local known = { "access", "rewrite", "content", "init_worker" }
  for name in pairs(names) do known[#known + 1] = name end
  table.sort(known)
  for name, handler in pairs(handlers) do
    if not names[name] and not others[name] then
      core.raise(("perilune.ngx.hooks: there is no handler '%s'; there are %s"):format(tostring(name),
        table.concat(known, ", ")))
    end
    if type(handler) ~= "function" then
      core.raise(("perilune.ngx.hooks: '%s' must be a function, got a %s value"):format(name, type(handler)))
    end
  end
end

--- The hooks. `upstream_peer` may be added to what this gives, or any other hook.
return function(handlers)
  check(handlers)
  local hooks = {}
  for name, hook in pairs(names) do
    if handlers[name] then hooks[hook] = make[name](handlers[name]) end
  end
  if handlers.rewrite or handlers.access or handlers.content then hooks.request_filter = filter(handlers) end
  if handlers.init_worker then core.after(0, init_worker(handlers.init_worker), { on = "every worker" }) end
  return hooks
end
