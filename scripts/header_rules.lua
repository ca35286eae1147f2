-- SPDX-License-Identifier: Apache-2.0
-- header_rules: fields to set, add and remove, as a table.
--
--   local rules = header_rules.new {
--     request  = { remove = { "X-Debug" }, set = { ["X-Client"] = function(session) return session:client_ip() end } },
--     response = { remove = { "Server", "X-Powered-By" }, set = { ["X-Frame-Options"] = "DENY" },
--                  default = { ["Cache-Control"] = "no-store" } },
--   }
--   policy.upstream_request_filter, policy.response_filter = rules.request, rules.response
--
-- `default` sets only what is missing. A value is a string, or a function(session) that gives one or nil.

local options = require "perilune.options"

---@type perilune.header_rules
local header_rules = {}

local sides = { request = { "table" }, response = { "table" } }
local kinds = { remove = { "table" }, set = { "table" }, add = { "table" }, default = { "table" } }

local function each_value(fields, session, act)
  for name, value in pairs(fields or {}) do
    if type(value) == "function" then value = value(session) end
    if value ~= nil then act(name, value) end
  end
end

-- A hook that applies the rules to a message; nil where there are none, so that it costs nothing.
local function hook_of(side, given)
  if not given then return nil end
  local rules = options.read("header_rules.new: " .. side, given, kinds, 3)
  return function(session, message)
    for _, name in ipairs(rules.remove or {}) do message:remove_header(name) end
    each_value(rules.set, session, function(name, value) message:set_header(name, value) end)
    each_value(rules.add, session, function(name, value) message:add_header(name, value) end)
    each_value(rules.default, session, function(name, value)
      if not message:get_header(name) then message:set_header(name, value) end
    end)
  end
end

--- { request = a hook for upstream_request_filter, response = one for response_filter }
function header_rules.new(given)
  local wanted = options.read("header_rules.new", given, sides)
  return { request = hook_of("request", wanted.request), response = hook_of("response", wanted.response) }
end

return header_rules
