-- SPDX-License-Identifier: Apache-2.0
-- perilune.hook_chain: how the install of a default policy keeps the hooks that a policy has already. Each new hook
-- calls the policy's own first, and then that of the default policy:
--
--   body filters      the default policy gets what the policy's hook returned; nil, a dropped piece, becomes ""
--   trailer filters   the texts of both end the body, that of the policy's hook first
--   other hooks       a result of the policy's hook, such as an answer or false, is the result, and ends it
--
-- An error of the policy's hook ends it, too. A hook that is assigned afterwards takes the place of both: this module
-- never sees it.

local check = require "perilune.check"

local M = {}

-- The policy's hook of each function that is made here.
local firsts = setmetatable({}, { __mode = "k" })

local function text_of(result) return type(result) == "table" and table.concat(result) or result end

local function ordinary(first, second)
  return function(...)
    local result = first(...)
    if result ~= nil then return result end
    return second(...)
  end
end

local function body_filter(first, second)
  return function(session, chunk, is_last, ctx)
    local text = text_of((first(session, chunk, is_last, ctx)))
    if text ~= nil and type(text) ~= "string" then return text end -- no result of a body filter: the proxy says so
    return second(session, text or "", is_last, ctx)
  end
end

-- What the first hook returns is a part of the body, so the second one's body filter gets it.
local function trailer_filter(first, second, body)
  return function(session, trailers, ctx)
    local text = text_of((first(session, trailers, ctx)))
    if text ~= nil and type(text) ~= "string" then return text end
    local more = second(session, trailers, ctx)
    if text == nil then return more end
    return body(session, text, false, ctx) .. (more or "")
  end
end

local function chained(name, first, hooks)
  if name == "response_trailer_filter" then return trailer_filter(first, hooks[name], hooks.response_body_filter) end
  return (name:find "_body_filter$" and body_filter or ordinary)(first, hooks[name])
end

--- Gives the policy these hooks, behind those that it has. `call` is for messages.
function M.install(call, policy, hooks)
  if type(policy) ~= "table" then
    check.raise(("%s: expected the table of hooks, got a %s value"):format(call, type(policy)))
  end
  local made = {}
  for name, hook in pairs(hooks) do
    local first = policy[name]
    if first ~= nil and type(first) ~= "function" then
      check.raise(("%s: hook '%s' of the policy must be a function, got a %s value"):format(call, name, type(first)))
    end
    made[name] = first and chained(name, first, hooks) or hook
    if first then firsts[made[name]] = first end
  end
  for name, hook in pairs(made) do policy[name] = hook end
end

--- The hook that the policy had before, of a function that install has made; nil: it has made none of this.
function M.first_of(fn) return firsts[fn] end

return M
