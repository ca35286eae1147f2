-- SPDX-License-Identifier: Apache-2.0
-- router: finds the value for a path. A path is exact ("/health"), has parameters ("/users/:id/posts/:post"), or is a
-- prefix ("/static/*"); a method may come before it.
--
--   local routes = router.new {
--     ["/health"] = answer, ["GET /users/:id"] = users, ["/static/*"] = files, ["*"] = site,
--   }
--   local value, parameters = routes:match(session:method(), session:path())
--
-- Exact paths come first, then those with the fewest parameters, then the longest prefix; a route with a method
-- before one without. A parameter is one segment of the path, decoded; what "*" stands for is parameters.rest.

local check = require "perilune.check"
local url = require "perilune.url"

---@type perilune.router
local router = {}

local Router = {}
Router.__index = check.strict(Router, "a router")

local function escaped(text) return (text:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")) end

-- From "/users/:id/*": the Lua pattern, its names, and how exactly it is meant.
local function compile(path)
  local names = {}
  local begins = path:sub(-1) == "*"
  local fixed = begins and path:sub(1, -2) or path
  local pattern = escaped(fixed):gsub(":([%w_]+)", function(name)
    names[#names + 1] = name
    return "([^/]+)"
  end)
  if begins then names[#names + 1] = "rest" end
  return "^" .. pattern .. (begins and "(.*)$" or "$"), names, begins and 1000 - math.min(#fixed, 999) or 0
end

-- What is wrong with a path, by which no request could come, or nil.
local function fault_of(path)
  if not path:find "^[/*]" then return "a path begins with / (or is *), a method in upper case stands before it" end
  if path:sub(1, -2):find("*", 1, true) then
    return "a * stands at the end of a path only; one part of it is a parameter, as in /users/:id/x"
  end
  if path:find "[?#]" then return "a path has no query: match gets session:path(), which ends before the ?" end
end

-- Two routes for the same requests: only one of them would ever be found.
local function refuse_twice(self, route)
  for _, other in ipairs(self) do
    if other.pattern == route.pattern and other.method == route.method then
      local first, second = other.key, route.key
      if second < first then first, second = second, first end
      check.raise(("router.new: '%s' and '%s' are for the same requests: one is never reached"):format(first, second))
    end
  end
end

local function add(self, key, value)
  if type(key) ~= "string" then
    check.raise(("router.new: a path is a string, not a %s value: write { [\"/path\"] = value }"):format(type(key)))
  end
  local method, path = key:match "^(%u+) +(%S+)$"
  path = path or key
  local fault = fault_of(path)
  if fault then check.raise(("router.new: '%s': %s"):format(key, fault)) end
  local pattern, names, vague = compile(path)
  local route = { method = method, pattern = pattern, names = names, value = value, key = key,
    rank = vague * 100 + #names * 2 + (method and 0 or 1) }
  refuse_twice(self, route)
  self[#self + 1] = route
end

--- Routes from { path = value }.
function router.new(routes, ...)
  check.no_more("router.new", "its routes are one table", ...)
  local self = setmetatable({}, Router)
  for key, value in pairs(check.table("router.new", 1, routes)) do add(self, key, value) end
  table.sort(self, function(a, b) return a.rank < b.rank or a.rank == b.rank and a.key < b.key end)
  return self
end

local function parameters_of(route, found)
  local parameters = {}
  for i, name in ipairs(route.names) do parameters[name] = url.decode(found[i]) or found[i] end
  return parameters
end

--- The value that belongs to a method and path, and the parameters; nil where nothing does.
function Router:match(method, path)
  if getmetatable(self) ~= Router then check.raise "routes:match is a method: it is called with a colon" end
  if type(method) ~= "string" or type(path) ~= "string" then
    check.raise(("routes:match(method, path): %s: write routes:match(session:method(), session:path())"):format(
      path == nil and "it wants two arguments" or "both are strings"))
  end
  for _, route in ipairs(self) do
    if not route.method or route.method == method then
      local found = { path:match(route.pattern) }
      if found[1] then return route.value, parameters_of(route, found) end
    end
  end
end

return router
