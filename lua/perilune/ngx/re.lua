-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.re: ngx.re over perilune.regex, which compiles each pattern once and keeps at most a thousand: so the
-- options "o" and "j" say nothing. A malformed pattern gives nil and a message.

local core = require "perilune.core"
local regex = require "perilune.regex"

local re = {}

local flags_of = {} -- by ngx_lua's options

local function read_options(options)
  local flags = (options or ""):gsub("[joU]", { j = "", o = "", U = "u" })
  local bad = flags:match "[^imsxuadDJ]"
  if bad then core.raise(('ngx.re: unknown flag "%s" (flags "%s")'):format(bad, options)) end
  flags_of[options or ""] = flags
  return flags
end

local function compile(pattern, options)
  return regex.compile(tostring(pattern), flags_of[options or ""] or read_options(options))
end

local function text_of(value) return type(value) == "string" and value or tostring(value) end

-- nil, or nil and what went wrong in the search.
local function none(why)
  if why then return nil, "pcre_exec() failed: " .. why end
  return nil
end

-- Where a search begins.
local function start_of(ctx)
  local at = ctx and ctx.pos or 1
  return at < 1 and 1 or at
end

-- The captures of a match. With the option D several groups may have one name, which then has a list of what they took.
local function named(captures, compiled, options)
  if not options or not captures or not options:find("D", 1, true) then return captures end
  local count, names = compiled:groups()
  for _, name in pairs(names) do captures[name] = nil end
  for i = 1, count do
    local name = captures[i] and names[i]
    if name then
      captures[name] = captures[name] or {}
      table.insert(captures[name], captures[i])
    end
  end
  return captures
end

--- The captures, with false for groups that took no part; nil where there is no match; nil and a message.
function re.match(subject, pattern, options, ctx, into)
  local compiled, why = compile(pattern, options)
  if not compiled then return nil, why end
  local captures, from, to = compiled:captures(text_of(subject), start_of(ctx), into)
  if not captures then return none(from) end
  if ctx then ctx.pos = to + 1 end
  return named(captures, compiled, options)
end

--- First and last position of the match, or of its group number `nth`; nil; nil, nil and a message.
function re.find(subject, pattern, options, ctx, nth)
  local compiled, why = compile(pattern, options)
  if not compiled then return nil, nil, why end
  subject = text_of(subject)
  local init = start_of(ctx)
  local from, to = compiled:find(subject, init)
  if not from then
    if to then return nil, nil, "pcre_exec() failed: " .. to end
    return nil
  end
  if ctx then ctx.pos = to + 1 end
  if not nth or nth == 0 then return from, to end
  if nth > (compiled:groups()) then return nil, nil, "nth out of bound" end
  return compiled:find(subject, init, nth)
end

-- Each match in turn; behind an empty one it goes on by a character.
local function walk(compiled, subject, init)
  return function()
    if not init or init > #subject + 1 then return nil end
    local captures, from, to = compiled:captures(subject, init)
    if not captures then
      init = nil
      return nil, from
    end
    init = to < from and to + 2 or to + 1
    return captures, from, to
  end
end

function re.gmatch(subject, pattern, options)
  local compiled, why = compile(pattern, options)
  if not compiled then return nil, why end
  local step = walk(compiled, text_of(subject), 1)
  return function()
    local captures, from = step()
    if captures then return named(captures, compiled, options) end
    return none(from)
  end
end

-- A replacement with $1, ${1}, $0 and $$ in it, as a list of texts and of numbers of groups.
local function parse_template(template)
  local parts, at = {}, 1
  while true do
    local dollar = template:find("$", at, true)
    if not dollar then break end
    parts[#parts + 1] = template:sub(at, dollar - 1)
    local _, to, number = template:find("^(%d+)", dollar + 1)
    if not to then _, to, number = template:find("^{(%d+)}", dollar + 1) end
    if to then
      parts[#parts + 1], at = tonumber(number), to + 1
    elseif template:sub(dollar + 1, dollar + 1) == "$" then
      parts[#parts + 1], at = "$", dollar + 2
    else
      return nil, "invalid capturing variable name found in the replacement template"
    end
  end
  parts[#parts + 1] = template:sub(at)
  return parts
end

local function fill(parts, captures)
  local texts = {}
  for i, part in ipairs(parts) do texts[i] = type(part) == "number" and (captures[part] or "") or part end
  return table.concat(texts)
end

local function replace(subject, pattern, replacement, options, most)
  local compiled, why = compile(pattern, options)
  if not compiled then return nil, nil, why end
  subject = text_of(subject)
  local parts
  if type(replacement) ~= "function" then
    parts, why = parse_template(text_of(replacement))
    if not parts then return nil, nil, why end
  end
  local step, texts, kept, count = walk(compiled, subject, 1), {}, 1, 0
  while count < most do
    local captures, from, to = step()
    if not captures then
      if from then return nil, nil, "pcre_exec() failed: " .. from end
      break
    end
    texts[#texts + 1] = subject:sub(kept, from - 1)
    texts[#texts + 1] = parts and fill(parts, captures) or text_of(replacement(named(captures, compiled, options)))
    kept, count = to + 1, count + 1
  end
  texts[#texts + 1] = subject:sub(kept)
  return table.concat(texts), count
end

function re.sub(subject, pattern, replacement, options) return replace(subject, pattern, replacement, options, 1) end
function re.gsub(subject, pattern, replacement, options)
  return replace(subject, pattern, replacement, options, math.huge)
end

-- The module ngx.re of lua-resty-core.
local more = {}
function more.opt() end

-- Pieces of the subject from `kept` on, at most so many, with the first group of each separator where it took part. An
-- empty match cuts neither where a piece begins nor at the end, and behind the last separator nothing is no piece.
local function cut(texts, compiled, subject, kept, most)
  local step, count = walk(compiled, subject, kept), 1
  while count < most do
    local captures, from, to = step()
    if not captures then break end
    if to >= from or from > kept and from <= #subject then
      texts[#texts + 1], kept, count = subject:sub(kept, from - 1), to + 1, count + 1
      if captures[1] then texts[#texts + 1] = captures[1] end
    end
  end
  if kept <= #subject then texts[#texts + 1] = subject:sub(kept) end
end

--- split(subject, pattern [, options [, ctx [, most [, into]]]])
function more.split(subject, pattern, options, ctx, most, into)
  local compiled, why = compile(pattern, options)
  if not compiled then return nil, why end
  local texts = into or {}
  for i = #texts, 1, -1 do texts[i] = nil end
  local from = start_of(ctx)
  subject = text_of(subject)
  if from <= #subject then cut(texts, compiled, subject, from, most and most > 0 and most or math.huge) end
  return texts
end

return function(ngx)
  ngx.re = re
  return { ["ngx.re"] = more }
end
