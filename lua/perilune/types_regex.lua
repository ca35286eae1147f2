-- SPDX-License-Identifier: Apache-2.0
-- perilune.regex, as LuaCATS annotations: see lua/perilune/types.lua. @meta

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.regex: regular expressions of PCRE2. Patterns are compiled once, to machine code if possible. A search that
--- takes too many steps ends with nil and "match limit exceeded". A malformed pattern raises an error. Flags are letters:
--- i ignores case, m: ^ and $ match at lines, s: a dot matches newlines, x allows white space and comments, u UTF-8,
--- a anchored, d: the longest match counts, and no group is told, D: several groups may have the same name, J: as in
--- JavaScript. Compiled patterns are kept, up to 1000 in each worker
---
--- ```lua
--- local user_path = perilune.regex.new([[^/users/(?<id>\d+)$]])
--- function policy.upstream_request_filter(session, request)
---   local found = user_path:match(session:path())
---   if found then request:set_header("X-User", found.id) end
--- end
--- ```

---@class perilune.regex
local regex = {}
---@class perilune.captures
---@field [integer] string 0: the whole match; 1 and so on: the groups. Named groups are also fields by their names

---@param subject string
---@param pattern string
---@param flags? string
---@return perilune.captures? captures, integer|string|nil from_or_message, integer? to
function regex.match(subject, pattern, flags) end
---@param subject string
---@param pattern string
---@param flags? string
---@return boolean? found, string? message
function regex.test(subject, pattern, flags) end
---@param subject string
---@param pattern string
---@param flags? string
---@return integer? from, integer|string|nil to_or_message
function regex.find(subject, pattern, flags) end
--- for captures in regex.gmatch(subject, pattern) do ... end. Raises an error if a search takes too many steps.
---@param subject string
---@param pattern string
---@param flags? string
---@return fun(): perilune.captures?
function regex.gmatch(subject, pattern, flags) end
--- Replaces matches. In a replacement text, $1, ${name} and $0 stand for captures, and $$ for a dollar. A function gets
--- the captures and returns the replacement; if it returns nil, the match stays.
---@param subject string
---@param pattern string
---@param replacement string|fun(captures: perilune.captures): string?
---@param flags? string
---@param limit? integer replacements at most
---@return string? text, integer|string count_or_message
function regex.gsub(subject, pattern, replacement, flags, limit) end
--- A pattern that matches exactly this text.
---@param text string
---@return string pattern
function regex.escape(text) end
--- A compiled pattern. Its methods match, test and find take a subject and where to begin.
---@param pattern string
---@param flags? string
---@return perilune.pattern
function regex.new(pattern, flags) end
--- The same for a pattern that comes from outside: it raises no error if the pattern is wrong.
---@param pattern string
---@param flags? string
---@return perilune.pattern?, string? message "missing closing parenthesis at character 5"
function regex.compile(pattern, flags) end

---@class perilune.pattern
local pattern = {}
---@param subject string
---@param init? integer 1
---@return perilune.captures? captures, integer|string|nil from_or_message, integer? to
function pattern:match(subject, init) end
---@param subject string
---@param init? integer 1
---@return boolean? found, string? message
function pattern:test(subject, init) end
---@param subject string
---@param init? integer 1
---@param group? integer whose positions; 0: the whole match
---@return integer? from, integer|string|nil to_or_message
function pattern:find(subject, init, group) end
--- As match, but a group that took no part is false, by its number and by its name, so that the captures have no holes.
---@param subject string
---@param init? integer 1
---@param into? table to put them into, instead of a new table
---@return table<integer|string, string|false>? captures, integer|string|nil from_or_message, integer? to
function pattern:captures(subject, init, into) end
--- How many groups the pattern has, and the names of those that have one, by number.
---@return integer count, table<integer, string> names
function pattern:groups() end
