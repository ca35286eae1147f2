-- SPDX-License-Identifier: Apache-2.0
-- shape: checks the shape of the sources:  luajit dist/shape.lua FILE...
--   no cycle of includes larger than two modules, where a module is x.c with x.h
--   no line over 120 columns; no heading /* --- name --- */ broken over two lines
--   files of at most 400 lines, functions of at most 60, structs of at most 45 members
-- Generated files and test data are not given to it. The functions are found by their layout, which clang-format gives
-- all C files: a function's first line begins in column 1 and ends with `{`, its last line is `}` alone.
local COLUMNS, FILE_LINES, FUNCTION_LINES, MEMBERS, CYCLE = 120, 400, 60, 45, 2

-- What is larger for a reason, or for now: the number is its limit. A line goes when what it names has been mended.
-- The types are annotations: documentation, one file for each part of docs/api.md.
local files_over = {
  ["core/net/conn.c"] = 410,
  ["core/net/dns_client.c"] = 410,
  ["lua/perilune/types.lua"] = 1400, ["lua/perilune/types_modules.lua"] = 600, ["lua/perilune/types_test.lua"] = 600,
  ["spec/body_filters_spec.lua"] = 420, ["spec/c/lua/hooks_spec.c"] = 446,
  ["spec/c/net/resolver_spec.c"] = 540, ["spec/c/shared/choose_spec.c"] = 458, ["spec/policy/scripts_spec.lua"] = 440,
  ["spec/tasks_spec.lua"] = 405, ["spec/tls_listener_spec.lua"] = 420,
}
local structs_over = {}
-- By folder: where none at all is allowed. These know of each other only what their headers say.
local cycles_allowed = { ["core/relay"] = 1, ["core/exchange"] = 1, ["core/downstream"] = 1, ["core/upstream"] = 1 }

local failed = false
local function complain(format, ...)
  print(format:format(...))
  failed = true
end

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

-- Columns, not bytes: what follows the first byte of a UTF-8 sequence takes none.
local function columns(line) return #line:gsub("[\128-\191]", "") end

local function check_lines(path, lines)
  local limit = files_over[path] or FILE_LINES
  if #lines > limit then complain("%s: %d lines; split it (limit %d)", path, #lines, limit) end
  for i, line in ipairs(lines) do
    -- An annotation and a row of a table must be one line.
    local is_annotation = path:find("/types") or line:find("^%-%-%-@") or line:find("^%-%-%- ?|")
    if columns(line) > COLUMNS and not is_annotation then
      complain("%s:%d: %d columns (limit %d)", path, i, columns(line), COLUMNS)
    end
    if line:find("^/%* %-%-%- ") and not line:find("%*/%s*$") then
      complain("%s:%d: a heading goes on one line: /* --- name --- */", path, i)
    end
  end
end

--- functions -------------------------------------------------------------------------------------------------

local function check_c_functions(path, lines)
  local first
  for i, line in ipairs(lines) do
    if line:find("^[%a_].*{$") and line:find("%)") and not line:find("^enum") then first = i end
    if line:find("^[%s].*{$") and not first and lines[i - 1]:find("^[%a_].*[,(]$") then first = i - 1 end
    if line == "}" and first then
      if i - first + 1 > FUNCTION_LINES then
        complain("%s:%d: a function of %d lines (limit %d)", path, first, i - first + 1, FUNCTION_LINES)
      end
      first = nil
    end
  end
end

-- A function begins at a line that opens one at some indentation, and ends at the first `end` at the same.
local function check_lua_functions(path, lines)
  local open = {}
  for i, line in ipairs(lines) do
    line = line:gsub('"[^"]*"', '""'):gsub("%-%-.*", "")
    local indent = #line:match("^ *")
    if line:find("%f[%w_]function%f[^%w_]") and not line:find("%f[%w_]end%f[^%w_]") then open[indent] = i end
    if open[indent] and line:find("^ *end%f[^%w_]") then
      local length = i - open[indent] + 1
      -- A function given to a describe() or it() is a list of specs.
      if length > FUNCTION_LINES and not path:find("^spec/") then
        complain("%s:%d: a function of %d lines (limit %d)", path, open[indent], length, FUNCTION_LINES)
      end
      open[indent] = nil
    end
  end
end

--- structs ---------------------------------------------------------------------------------------------------

local function without_comments(lines)
  return (table.concat(lines, "\n"):gsub("/%*.-%*/", ""):gsub("//[^\n]*", ""))
end

-- Members of the struct itself: what is declared between its braces, not what braces inside of it hold.
local function count_members(body)
  local count = 0
  local flat = body:gsub("%b{}", ""):gsub("%b()", "")
  for declaration in flat:gmatch("[^;]+") do
    if declaration:find("%S") then count = count + 1 + select(2, declaration:gsub(",", "")) end
  end
  return count
end

local function check_structs(path, lines)
  for name, body in without_comments(lines):gmatch("struct ([%w_]+) (%b{})") do
    local count, limit = count_members(body:sub(2, -2)), structs_over[name] or MEMBERS
    if count > limit then complain("%s: struct %s has %d members (limit %d)", path, name, count, limit) end
  end
end

--- cycles of includes ----------------------------------------------------------------------------------------

local function module_of(path) return (path:gsub("%.[ch]$", "")) end

-- The modules that each module includes, by name.
local modules = {}

local function note_includes(path, lines)
  local own = module_of(path)
  modules[own] = modules[own] or {}
  for _, line in ipairs(lines) do
    local included = line:match('^#include "([^"]+)"')
    if included then
      local to = module_of(included:find("^lua/") and included or "core/" .. included)
      if to ~= own then modules[own][to] = true end
    end
  end
end

-- Tarjan's algorithm: calls `found` with each group of modules that include one another.
local function each_cycle(found)
  local index, low, on_stack, stack, counter = {}, {}, {}, {}, 0
  local function visit(name)
    counter = counter + 1
    index[name], low[name] = counter, counter
    stack[#stack + 1], on_stack[name] = name, true
    for to in pairs(modules[name]) do
      if modules[to] and not index[to] then
        visit(to)
        low[name] = math.min(low[name], low[to])
      elseif on_stack[to] then
        low[name] = math.min(low[name], index[to])
      end
    end
    if low[name] ~= index[name] then return end
    local group = {}
    repeat
      local last = table.remove(stack)
      on_stack[last] = nil
      group[#group + 1] = last
    until last == name
    found(group)
  end
  local names = {}
  for name in pairs(modules) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if not index[name] then visit(name) end
  end
end

local function check_cycles()
  each_cycle(function(group)
    local folder = group[1]:match("^core/[^/]+") or group[1]:match("^[^/]+")
    local limit = cycles_allowed[folder] or CYCLE
    if #group <= limit then return end
    table.sort(group)
    complain("a cycle of includes of %d modules (limit %d): %s", #group, limit, table.concat(group, " "))
  end)
end

-----------------------------------------------------------------------------------------------------------------

for _, path in ipairs(arg) do
  local lines = lines_of(path)
  check_lines(path, lines)
  if path:find("%.lua$") then check_lua_functions(path, lines) end
  if path:find("%.[ch]$") then
    check_c_functions(path, lines)
    check_structs(path, lines)
    if path:find("^core/") or path:find("^lua/") then note_includes(path, lines) end
  end
end
check_cycles()
os.exit(failed and 1 or 0)
