-- SPDX-License-Identifier: Apache-2.0
-- misuse: mistakes in a spec raise an error at the spec's line that says what would be right: names that do not
-- exist, methods that are called without their object, unknown fields of a table, arguments of a wrong type.

local core = package.loaded["perilune.core"] -- the specs of origins and clients also run without it

local M = {}

local OWN = debug.getinfo(1, "S").source:match "^@?(.*/)"

-- Ours, luassert's, and C: not where the mistake is.
local function is_between(info)
  local source = info.source:gsub("^@", "")
  return info.what == "C" or source:sub(1, #OWN) == OWN or source:find("luassert", 1, true)
    or core ~= nil and core.is_own_source(info.source)
end

--- Raises at the line of the spec.
function M.raise(text)
  local level = 2
  while true do
    local info = debug.getinfo(level, "S")
    if not info then error(text, 0) end
    if not is_between(info) then error(text, level) end -- no tail call, which would take a level away
    level = level + 1
  end
end

--- ": did you mean 'path'?", or the list of what is valid.
function M.suggestion(name, names)
  local near = core and core.nearest(tostring(name), names)
  if near then return (": did you mean '%s'?"):format(near) end
  return "; valid are " .. table.concat(names, ", ")
end

local function names_of(object)
  local names = {}
  for name in pairs(object) do
    if type(name) == "string" and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Reading a name that `object` does not have raises. `what` is how the spec knows it: "test", "test.clock".
--- What busted and luassert look for ("__name", "__tostring") is not there.
function M.guard(object, what)
  return setmetatable(object, { __index = function(_, name)
    if type(name) ~= "string" or name:sub(1, 2) == "__" then return nil end
    M.raise(("%s has no '%s'%s"):format(what, name, M.suggestion(name, names_of(object))))
  end })
end

--- As the __index of a class: its methods, each of which checks that it is called on an object of that class; other
--- names raise, but for those that an object may lack (`optional`).
function M.methods(class, what, optional)
  local guarded, absent = {}, {}
  for _, name in ipairs(optional or {}) do absent[name] = true end
  local function check(self, name)
    if getmetatable(self) == class then return end
    M.raise(("%s is a method: call it with a colon, %s:%s(...); got %s in place of the %s"):format(name, what, name,
      self == nil and "nothing" or "a " .. type(self) .. " value", what))
  end
  local names = names_of(class)
  for _, name in ipairs(names) do
    local method = class[name]
    guarded[name] = type(method) == "function" and function(self, ...)
      check(self, name)
      return method(self, ...)
    end or method
  end
  return function(_, name)
    local method = guarded[name]
    if method ~= nil or absent[name] or type(name) ~= "string" or name:sub(1, 2) == "__" then return method end
    M.raise(("%s has no '%s'%s"):format(what, name, M.suggestion(name, names)))
  end
end

--- A table given by a spec, or nil: its names are among `valid`, by name the types ("number|string"), true for any.
function M.fields(call, given, valid)
  if given == nil then return {} end
  if type(given) ~= "table" then
    M.raise(("%s: expected a table with %s; got a %s value"):format(call, table.concat(names_of(valid), ", "),
      type(given)))
  end
  for name, value in pairs(given) do
    local wanted = valid[name]
    if not wanted then
      M.raise(("%s: unknown field '%s'%s"):format(call, tostring(name), M.suggestion(name, names_of(valid))))
    elseif wanted ~= true and not ("|" .. wanted .. "|"):find("|" .. type(value) .. "|", 1, true) then
      M.raise(("%s: %s must be a %s, got a %s value"):format(call, name, wanted:gsub("|", " or a "), type(value)))
    end
  end
  return given
end

return M
