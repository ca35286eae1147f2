-- SPDX-License-Identifier: Apache-2.0
-- perilune.check: checks the arguments of our modules' functions. An error names the policy's line, however deep in
-- our modules it is raised.

local core = require "perilune.core"

local check = {}

--- Raises a sentence. Functions that call it keep their frames: it is no tail call.
check.raise = core.raise

--- The names that a table has, in order.
function check.names(of)
  local names = {}
  for name in pairs(of) do if type(name) == "string" then names[#names + 1] = name end end
  table.sort(names)
  return names
end

--- Is it the name of a hook?
function check.is_hook(name)
  for _, hook in ipairs(core.hook_names()) do if hook == name then return true end end
  return false
end

--- What may be meant by a name that something does not have: the nearest of `names`, or all of them.
function check.meant(name, names)
  local near = core.nearest(name, names)
  if near then return (": did you mean %s?"):format(near) end
  local list = {}
  for _, known in ipairs(names) do
    if type(known) == "string" and known:sub(1, 1) ~= "_" then list[#list + 1] = known end
  end
  table.sort(list)
  return #list > 0 and (": there is %s"):format(table.concat(list, ", ")) or ""
end

--- The same behind what a message says already: " (did you mean path?)"; empty where none is near.
function check.hint(name, names)
  local near = type(name) == "string" and core.nearest(name, names)
  return near and (" (did you mean %s?)"):format(near) or ""
end

--- A string, given as argument number `position` of `call`. `otherwise` stands for nil, where that is allowed.
function check.string(call, position, value, otherwise)
  if type(value) == "string" then return value end
  if value == nil and otherwise then return otherwise end
  core.raise(("%s: expected a string as argument %d, got a %s value"):format(call, position, type(value)))
end

--- A number, not NaN and not infinite; nil stands for `otherwise`, where that is given.
function check.number(call, position, value, otherwise)
  if type(value) == "number" and value - value == 0 then return value end
  if value == nil and otherwise then return otherwise end
  core.raise(("%s: expected a number as argument %d, got %s"):format(call, position,
    type(value) == "number" and tostring(value) or ("a %s value"):format(type(value))))
end

--- A table; nil stands for `otherwise`, where that is given.
function check.table(call, position, value, otherwise)
  if type(value) == "table" then return value end
  if value == nil and otherwise then return otherwise end
  core.raise(("%s: expected a table as argument %d, got a %s value"):format(call, position, type(value)))
end

--- The ctx of an exchange, argument 2 of a method for hooks. `example` is how the method is called.
function check.ctx(call, value, example)
  if type(value) == "table" then return end
  core.raise(("%s: argument 2 must be the hook's ctx, got a %s value: write %s"):format(call, type(value), example))
end

--- Nothing may follow the arguments that a function takes: it would be dropped without a word. `hint` says where it may
--- belong.
function check.no_more(call, hint, ...)
  if select("#", ...) == 0 then return end
  core.raise(("%s: one argument too many: %s; it is called with a dot"):format(call, hint))
end

--- A table of methods that raises for a name which it does not have: a nil would fail with nothing said of it. `what`
--- is what has them: "a router". Fields of such objects must not be nil.
function check.strict(methods, what)
  return setmetatable(methods, { __index = function(_, name)
    if type(name) ~= "string" or name:sub(1, 2) == "__" then return nil end
    core.raise(("%s has no '%s'%s"):format(what, name, check.meant(name, check.names(methods))))
  end })
end

--- The same for a table of methods that is also the metatable of the objects. `name` is that of the kind of object;
--- `hint(method, meant)` may give a text that follows what is said.
function check.class(methods, name, hint)
  methods.__name = name
  methods.__index = function(_, method)
    local found = rawget(methods, method)
    if found or type(method) ~= "string" or method:sub(1, 2) == "__" then return found end
    local meant = check.meant(method, check.names(methods))
    core.raise(("%s has no method '%s'%s%s"):format(name, method, meant, hint and hint(method, meant) or ""))
  end
  return methods
end

--- The object of a method, which has a field of that name: `.` for `:` is the usual slip.
function check.object(call, self, field)
  if type(self) == "table" and rawget(self, field) ~= nil then return self end
  core.raise(("%s is a method: it is called with a colon"):format(call))
end

return check
