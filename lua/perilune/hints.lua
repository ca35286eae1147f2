-- SPDX-License-Identifier: Apache-2.0
-- perilune.hints: adds to a message of LuaJIT what to write instead. Each hint is for a mistake that is usual for
-- people who know other languages or other proxies. A message without a hint stays as it is.

local check = require "perilune.check"
local core = require "perilune.core"

local hints = {}

local MODULES = {}
for name in ("base64 cidr cookie crypto date dns http json log metrics network redis regex tcp url"):gmatch "%w+" do
  MODULES[name] = true
end

local function for_hook(name)
  if check.is_hook(name) then
    return ("a hook is defined, not called: function policy.%s(session, ...) ... end"):format(name)
  end
  if name == "hook" or name == "on" or name == "use" or name == "add_hook" then
    return "hooks are functions of a table that perilune.listen gets: function policy.request_filter(session, ctx)"
  end
end

local function for_global(name)
  if name == "null" or name == "None" or name == "undefined" then return "Lua's word is nil" end
  if name == "session" or name == "ctx" or name == "request" or name == "response" then
    return ("hooks are given it: name the parameters, as in function policy.%s"):format(
      name == "response" and "response_filter(session, response, ctx)"
      or name == "request" and "upstream_request_filter(session, request, ctx)" or "request_filter(session, ctx)")
  end
  if MODULES[name] then return ('write: local %s = require "perilune.%s"'):format(name, name) end
  if rawget(require "perilune", name) ~= nil then return ("write perilune.%s"):format(name) end
end

-- { pattern of the message, the hint or a function of its captures, pattern of the source line that is asked for, too }
local ALL = {
  -- syntax
  { "unexpected symbol near '/'", "a comment begins with --", "//" },
  { "near '!'", "not equal is written ~=, and not is a word", "!" },
  { "near '[%+%-%*/]'", "Lua has no such assignment: write x = x + 1", "[%+%-%*/]=" },
  { "near '%+'", "Lua has no ++: write x = x + 1", "%+%+" },
  { "near '&'", "and is a word", "&&" },
  { "near '|'", "or is a word", "||" },
  { "near '%?'", "there is no such operator: write condition and this or that" },
  { "'then' expected near '='", "equal is written ==" },
  { "'then' expected near", "if condition then ... end: without braces" },
  { "near '{'", "a block has no braces: it ends with end", "%)%s*{" },
  { "'}' expected .*near '[^<]", "a comma or a } is missing before it" },
  { "'%)' expected .*near '[^<]", "a comma or a ) is missing before it" },
  { "'<eof>' expected near 'end'", "there is an end too many, or what it belongs to is missing" },
  { "'<eof>' expected near", "nothing may follow a return" },
  { "invalid escape sequence", "the escape character of Lua's patterns is %, and a backslash is written \\\\" },
  { "malformed number near '%d+%a", "a size is a number of bytes, as in 10 * 1024 * 1024, a time one of seconds" },
  -- modules
  { "loop or previous error loading module",
    "modules that require each other: require one of them in the function that needs it" },
  -- calls
  { "calling '([%w_]+)' on bad self", function(name)
    return ("call it with a dot, not with a colon: .%s(...)"):format(name)
  end },
  { "attempt to call %w+ '([%w_]+)' %(a nil value%)", for_hook },
  { "attempt to %w+ global '([%w_]+)' %(a nil value%)", for_global },
  { "attempt to call %w+ '([%w_]+)' %(a table value%)", function(name)
    return ("it is a table: call a function of it, %s.NAME(...)"):format(name)
  end },
  { "attempt to %w+ %w* ?field '([%w_]+)' %(a function value%)", function(name)
    return ("it is a method: write :%s()"):format(name)
  end },
  { "bad argument #1 to 'i?pairs' %(table expected, got function%)",
    "it is an iterator already: for name, value in message:headers() do" },
  { "attempt to compare %w+ with nil", "one of them is missing" },
  { "attempt to compare nil with", "one of them is missing" },
  { "attempt to compare %w+ with %w+", "headers, parameters and bodies are strings: see tonumber" },
}

-- The line of the source that a message names; empty where there is none. The message may be anybody's.
local function source_line(text)
  local path, number = text:match "^(.-):(%d+): "
  local source = path and core.read_file(path) or ""
  local at = 0
  for line in source:gmatch "([^\n]*)\n?" do
    at = at + 1
    if at == tonumber(number) then return line end
  end
  return ""
end

local function find(text)
  for _, hint in ipairs(ALL) do
    local from, _, capture = text:find(hint[1])
    if from and (not hint[3] or source_line(text):find(hint[3])) then
      local said = type(hint[2]) == "string" and hint[2] or type(hint[2]) == "function" and hint[2](capture)
      if said then return said end
    end
  end
end

--- The message with a hint behind it, if there is one. It raises nothing: a message is better than none.
function hints.add(text)
  local ok, hint = pcall(find, text)
  return ok and hint and ("%s (%s)"):format(text, hint) or text
end

return hints
