-- SPDX-License-Identifier: Apache-2.0
-- perilune.arguments: which constants our functions always refuse as arguments. For perilune.lint_constants, which
-- finds the constants. Each entry tests one argument: it gets the constant and returns what is wrong with it, or nil.
-- What depends on the request is not tested.

local core = require "perilune.core"
local times = require "perilune.times"

local arguments = {}

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  return type(value) == "number" and tostring(value) or ("a %s value"):format(type(value))
end

local function number_in(least, most, what)
  return function(value)
    if type(value) == "number" and value >= least and value <= most then return nil end
    if type(value) == "string" and tonumber(value) then return nil end -- Lua converts it
    return ("expected %s, got %s"):format(what, show(value))
  end
end

local seconds_in = number_in(0, 1e9, "a number of seconds, 0 or more, or a text such as '500ms', '30s', '5m' or '1h'")
local function seconds(value)
  if type(value) == "string" and core.duration(value) then return nil end
  return seconds_in(value)
end
local time_to_live = number_in(0.001, 1e9, "a time to live from 0.001 to 1e9 seconds")
local bytes = number_in(1, math.huge, "a number of bytes, 1 or more")
local status = number_in(200, 599, "a status from 200 to 599")

local function text(value)
  if type(value) == "string" or type(value) == "number" then return nil end
  return ("expected a string, got a %s value"):format(type(value))
end

local CODINGS = { zstd = true, br = true, gzip = true }
local function coding(value)
  if type(value) == "boolean" or CODINGS[value] then return nil end
  return 'expected true, false, "zstd", "br" or "gzip", got ' .. show(value)
end

local function callback(value)
  return type(value) ~= "function" and ("expected a function, got a %s value"):format(type(value)) or nil
end

local function target(value)
  if type(value) == "string" and value:find "^/[!-~]*$" and not value:find("#", 1, true) then return nil end
  return "a target begins with '/' and has no space, '#', control or non-ASCII character in it"
end

local function url(value)
  if type(value) == "string" and value:lower():find "^https?://[^/?#]" then return nil end
  return ("expected http:// or https:// and a host, got %s"):format(show(value))
end

local function without_place(why) return (tostring(why):gsub("^.-:%d+: ", ""):gsub("^regex%.new: ", "")) end

local function lua_pattern(value)
  local ok, why = pcall(string.find, "", value)
  return not ok and without_place(why) or nil
end

local function expression(value)
  local ok, why = pcall(require("perilune.regex").new, value)
  return not ok and without_place(why) or nil
end

-- By the module's name or the object's kind, and the function's name: tests of its arguments. Those of methods are
-- counted without the object.
local TESTS = {
  perilune = { sleep = { seconds }, after = { seconds, callback }, every = { seconds, callback } },
  ["perilune.http"] = { get = { url }, post = { url } },
  ["perilune.regex"] = { new = { expression }, match = { text, expression }, test = { text, expression },
    find = { text, expression }, gsub = { text, expression }, gmatch = { text, expression } },
  string = { find = { text, lua_pattern }, match = { text, lua_pattern }, gmatch = { text, lua_pattern },
    gsub = { text, lua_pattern } },
}
local METHODS = {
  session = { read_body = { bytes }, set_body = { text } },
  request = { set_target = { target } },
  response = { set_status = { status }, set_compression = { coding } },
  string = { find = { lua_pattern }, match = { lua_pattern }, gmatch = { lua_pattern }, gsub = { lua_pattern } },
  ["perilune.dict"] = { set = { text, nil, time_to_live }, add = { text, nil, time_to_live },
    incr = { text, nil, nil, time_to_live }, get = { text }, delete = { text }, ttl = { text } },
}
-- Which argument of a function of perilune.regex has the flags.
local FLAGS = { new = 2, match = 3, test = 3, find = 3, gmatch = 3, gsub = 4 }
local IS_TIME = { [seconds] = true, [time_to_live] = true }

local function call_of(owner, name, is_method)
  return (owner:gsub("^perilune%.", "")) .. (is_method and ":" or ".") .. name
end

local function test_of(of, name, position) return of and of[name] and of[name][position] end

--- What is wrong with a constant, which is not nil, as argument `position` of a module's function or, where is_method
--- says so, of a method of such an object; `count` is how many arguments stand there. Nil: nothing.
function arguments.fault(owner, name, position, value, is_method, count)
  local test = test_of((is_method and METHODS or TESTS)[owner], name, position)
  if test == expression and count >= FLAGS[name] then return nil end -- flags may change what is valid
  if test == lua_pattern and name == "find" and count >= (is_method and 3 or 4) then return nil end -- it may be plain
  local why = test and test(value)
  return why and ("%s: %s"):format(call_of(owner, name, is_method), why) or nil
end

--- Why a number of seconds may be wrong.
function arguments.doubt(owner, name, position, value, is_method)
  local test = test_of((is_method and METHODS or TESTS)[owner], name, position)
  if not test or not IS_TIME[test] then return nil end
  return times.doubt_of_argument(call_of(owner, name, is_method), value)
end

--- What is wrong with the name and the value of a field; the value may be unknown: nil.
function arguments.fault_of_field(name, value, is_request)
  local ok, why = pcall(core.check_field, name, value == nil and "x" or value, is_request)
  if ok or value == nil and tostring(why):find "Host" then return nil end
  return without_place(why)
end

return arguments
