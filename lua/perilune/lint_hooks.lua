-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_hooks: what `perilune check` finds in the hooks of a policy and in the functions that they call. It
-- reads their bytecode and looks at the values that they hold; none is run. perilune.lint_calls looks at the calls of
-- each function, perilune.lint_results at what the hooks return.

local bytecode = require "perilune.bytecode"
local findings = require "perilune.findings"
local hook_chain = require "perilune.hook_chain"
local lint_calls = require "perilune.lint_calls"
local lint_results = require "perilune.lint_results"

local lint_hooks = {}

local add = findings.add

local function path_of(fn) return bytecode.info(fn).source:sub(2) end

-- policy:request_filter(session): the session comes in as `self`, and what is called session is nil or ctx.
local function look_at_colon(found, hook)
  if debug.getlocal(hook.fn, 1) ~= "self" then return end
  local names = {}
  for n = 2, bytecode.info(hook.fn).parameters do names[#names + 1] = debug.getlocal(hook.fn, n) end
  if #names == 0 then return end
  local line = debug.getinfo(hook.fn, "S").linedefined
  add(found.warnings, path_of(hook.fn), line, "%s is defined with a colon, so it gets the session as self: write "
    .. "function policy.%s(%s)", hook.name, hook.name, table.concat(names, ", "))
end

-- The policy's own function behind those that installs have put before it.
local function own_function(fn)
  local first = hook_chain.first_of(fn)
  while first do fn, first = first, hook_chain.first_of(first) end
  return fn
end

--- Looks at the functions of the policy, { name, fn, listener = number }, and adds to found.faults and found.warnings.
--- is_set(path, name): is an upvalue of that name set somewhere in that file?
function lint_hooks.look(found, hooks, is_set)
  local names, roots, listeners = {}, {}, {}
  for _, given in ipairs(hooks) do
    local hook = { name = given.name, fn = own_function(given.fn), listener = given.listener }
    local listener = listeners[hook.listener] or {}
    listeners[hook.listener], listener[hook.name] = listener, hook.fn
    if bytecode.is_policys(hook.fn) then
      names[hook.fn] = names[hook.fn] or hook.name
      roots[#roots + 1] = hook.fn
      look_at_colon(found, hook)
    end
  end
  for _, fn in ipairs(bytecode.reachable(roots, bytecode.is_policys)) do
    local path = path_of(fn)
    lint_calls.look { fn = fn, path = path, found = found, hook = names[fn],
      is_set = function(name) return is_set(path, name) end }
    if names[fn] then lint_results.look(found, fn, names[fn]) end
  end
  for _, listener in pairs(listeners) do
    if not listener.upstream_peer then lint_results.look_for_answers(found, listener) end
  end
end

return lint_hooks
