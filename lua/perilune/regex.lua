-- SPDX-License-Identifier: Apache-2.0
-- perilune.regex: regular expressions of PCRE2. A pattern is compiled only once; a search that takes too many steps
-- ends with nil and "match limit exceeded".
--
--   regex.match("id=7", [[id=(?<id>\d+)]]).id          --> "7"
--   local id = regex.new([[^/user/(\d+)$]], "i")       flags: i caseless, m lines, s dot matches all, x free form,
--   id:match(path), id:test(path), id:find(path)       u UTF-8, a anchored, d longest match, D equal names,
--                                                      J as JavaScript

local check = require "perilune.check"
local core = require "perilune.core"

---@type perilune.regex
local regex = {}

local MOST = 500 -- patterns in each of two generations
local young, old, count = {}, {}, 0

local function keep(key, compiled)
  if count == MOST then young, old, count = {}, young, 0 end
  young[key] = compiled
  count = count + 1
end

-- The compiled pattern; nil and why there is none.
local function get(pattern, flags)
  local key = flags .. "/" .. pattern
  if young[key] then return young[key] end
  local compiled, why = old[key], nil
  if not compiled then compiled, why = core.regex(pattern, flags) end
  if not compiled then return nil, why end
  keep(key, compiled)
  return compiled
end

local function compile(call, pattern, flags, position)
  check.string(call, position, pattern)
  local compiled, why = get(pattern, check.string(call, position + 1, flags, ""))
  if not compiled then check.raise(("%s: %s in '%s'"):format(call, why, pattern)) end
  return compiled
end

--- A compiled pattern, with match, test and find. A wrong pattern raises.
function regex.new(pattern, flags) return (compile("regex.new", pattern, flags, 1)) end

--- The same for a pattern that comes from outside: nil and a message where it is wrong.
function regex.compile(pattern, flags)
  return get(check.string("regex.compile", 1, pattern), check.string("regex.compile", 2, flags, ""))
end

--- The captures: [0] the whole, [1] ... the groups, and named groups by name; nil where there is no match; nil and a
--- message where the search gave up.
function regex.match(subject, pattern, flags) return compile("regex.match", pattern, flags, 2):match(subject) end

--- Is there a match?
function regex.test(subject, pattern, flags) return compile("regex.test", pattern, flags, 2):test(subject) end

--- First and last position of the match; nil where there is none.
function regex.find(subject, pattern, flags) return compile("regex.find", pattern, flags, 2):find(subject) end

-- Behind an empty match the search goes on one character further, or it would not move.
local function step(compiled, subject, init)
  local captures, from, to = compiled:match(subject, init)
  if not captures then return nil, from end
  return captures, from, to, math.max(to < from and to + 2 or to + 1, init + 1)
end

--- The pattern that matches just this text.
function regex.escape(text) return (check.string("regex.escape", 1, text):gsub("[^%w\128-\255]", "\\%0")) end

--- for captures in regex.gmatch(subject, pattern, flags) do ... end; raises where the search gives up.
function regex.gmatch(subject, pattern, flags)
  local compiled, init = compile("regex.gmatch", pattern, flags, 2), 1
  check.string("regex.gmatch", 1, subject)
  return function()
    local captures, why, _, after = step(compiled, subject, init)
    if captures then
      init = after
      return captures
    end
    if why then error("regex.gmatch: " .. why, 2) end
  end
end

-- "$1", "${name}", "$0" and "$$" in a replacement.
local function expand(template, captures)
  return (template:gsub("%$([%d{$])([^$]*)", function(kind, rest)
    if kind == "$" then return kind .. rest end
    if kind ~= "{" then return (captures[tonumber(kind)] or "") .. rest end
    local name, behind = rest:match "^([%w_]+)}(.*)$"
    return name and (captures[tonumber(name) or name] or "") .. behind
  end))
end

local function replacement_for(replacement, captures)
  if type(replacement) == "string" then return expand(replacement, captures) end
  local text = replacement(captures)
  return text and tostring(text) or captures[0]
end

--- The subject with each match replaced (at most `limit`): by a text in which $1, ${name} and $0 stand for captures,
--- or by what a function of the captures gives (nil: no change). And how many there were; nil and a message where the
--- search gave up.
function regex.gsub(subject, pattern, replacement, flags, limit)
  check.string("regex.gsub", 1, subject)
  if type(replacement) ~= "string" and type(replacement) ~= "function" then
    check.raise("regex.gsub: the replacement must be a string or a function, got a " .. type(replacement) .. " value")
  end
  check.number("regex.gsub", 5, limit, math.huge)
  local compiled, init, kept_from, parts, done = compile("regex.gsub", pattern, flags, 2), 1, 1, {}, 0
  while not limit or done < limit do
    local captures, from, to, after = step(compiled, subject, init)
    if not captures then
      if from then return nil, from end
      break
    end
    parts[#parts + 1] = subject:sub(kept_from, from - 1)
    parts[#parts + 1] = replacement_for(replacement, captures)
    done, kept_from, init = done + 1, to + 1, after
  end
  parts[#parts + 1] = subject:sub(kept_from)
  return table.concat(parts), done
end

return regex
