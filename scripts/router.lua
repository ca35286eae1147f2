-- SPDX-License-Identifier: Apache-2.0
-- router: finds what belongs to a path. A path is exact ("/health"), with parameters ("/users/:id/posts/:post"), or the
-- beginning of others ("/static/*"); a method may stand before it.
--
--   local routes = router.new {
--     ["/health"] = answer, ["GET /users/:id"] = users, ["/static/*"] = files, ["*"] = site,
--   }
--   local value, parameters = routes:match(session:method(), session:path())
--
-- Exact paths come first, then those with the fewest parameters, then the longest beginning; with a method before
-- without. A parameter is one part of the path, decoded; "*" gives parameters.rest.

local check = require "perilune.check"
local url = require "perilune.url"

---@type perilune.router
local router = {}

local Router = {}
Router.__index = Router

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

local function add(self, key, value)
  if type(key) ~= "string" then check.raise(("router.new: a path is a string, not a %s value"):format(type(key))) end
  local method, path = key:match "^(%u+) +(%S+)$"
  path = path or key
  if not path:find "^[/*]" then
    error(("router.new: '%s': a path begins with / (or is *), a method stands before it"):format(key), 3)
  end
  local pattern, names, vague = compile(path)
  self[#self + 1] = { method = method, pattern = pattern, names = names, value = value, key = key,
    rank = vague * 100 + #names * 2 + (method and 0 or 1) }
end

--- Routes from { path = value }.
function router.new(routes)
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
  check.string("routes:match", 2, path)
  for _, route in ipairs(self) do
    if not route.method or route.method == method then
      local found = { path:match(route.pattern) }
      if found[1] then return route.value, parameters_of(route, found) end
    end
  end
end

return router
