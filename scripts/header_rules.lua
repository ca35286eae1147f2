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
-- `default` sets a field only if it is missing. A value is a string, or a function(session) that returns one or nil.

local check = require "perilune.check"
local core = require "perilune.core"
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

-- What the policy says once and for all is checked once; what its functions give, when they give it.
local function check_rules(side, rules)
  for kind, fields in pairs(rules) do
    for name, value in pairs(fields) do
      local wrong
      if kind ~= "remove" and type(value) ~= "function" then
        local ok, why = pcall(core.check_field, name, value, side == "request")
        wrong = not ok and why
      end
      if side == "request" and kind == "add" and type(name) == "string" and name:lower() == "host" then
        wrong = "a request has one Host: it can be set, not added"
      end
      if wrong then check.raise(("header_rules.new: %s.%s: %s"):format(side, kind, wrong)) end
    end
  end
end

-- A hook that applies the rules to a message; nil where there are none, so that it costs nothing.
local function hook_of(side, given)
  if not given then return nil end
  local rules = options.read("header_rules.new: " .. side, given, kinds, 3)
  check_rules(side, rules)
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
function header_rules.new(given, ...)
  check.no_more("header_rules.new", "its options are one table", ...)
  local wanted = options.read("header_rules.new", given, sides)
  return { request = hook_of("request", wanted.request), response = hook_of("response", wanted.response) }
end

return header_rules
