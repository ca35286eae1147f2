-- SPDX-License-Identifier: Apache-2.0
-- unused: looks for code that nothing uses:  luajit dist/unused.lua FILE...
--   functions that a header of core/ or lua/ declares and no C file of them calls
--   functions that C gives to Lua (luaL_Reg) and no Lua file names
-- Static functions and locals are the business of the compilers and of luacheck. Names are found as words, so one that
-- is used for something else as well is not noticed.

-- Without these, units and fuzz drivers would see less of what they test.
local for_units = {
  census_clients = "census", clock_fake_init = "time", coder_bytes = "memory of codings", counts_get = "counts",
  h2_walk_is_inside = "frames", log_set_clock = "time", recording_of_text = "files of recordings",
  resolver_use_files = "resolv.conf", structured_item = "RFC 9651", structured_next = "RFC 9651",
  structured_next_inner = "RFC 9651", structured_next_parameter = "RFC 9651", structured_text = "RFC 9651",
}

local failed = false
local function complain(format, ...)
  print(format:format(...))
  failed = true
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function without_comments(path, text)
  if path:find "%.lua$" then return (text:gsub("%-%-[^\n]*", "")) end
  return (text:gsub("/%*.-%*/", ""):gsub("//[^\n]*", ""))
end

-- How often each word stands in the C files of the product, and in its Lua files.
local in_c, in_lua = {}, {}
local headers, sources = {}, {}

for _, path in ipairs(arg) do
  local text = without_comments(path, read(path))
  local is_lua = path:find "%.lua$"
  local counts = is_lua and in_lua or in_c
  for word in text:gmatch "[%a_][%w_]*" do counts[word] = (counts[word] or 0) + 1 end
  if path:find "%.h$" then headers[path] = text elseif not is_lua then sources[path] = text end
end

-- A declaration begins in the first column.
for path, text in pairs(headers) do
  for line in ("\n" .. text):gmatch "\n(%a[^\n]*)" do
    local before, name = line:match "^([%a_][%w_%s%*]-[%s%*])([%a_][%w_]*)%("
    local is_declared = name and not before:find "^typedef" and not before:find "return"
    local least = is_declared and before:find "^static" and 1 or 2 -- declared, and defined elsewhere
    if is_declared and in_c[name] <= least and not for_units[name] then
      complain("%s: %s() is used nowhere: remove it, or say in dist/unused.lua what it is for", path, name)
    end
    if name and for_units[name] and in_c[name] > least then complain("dist/unused.lua: %s() is used by now", name) end
  end
end

for path, text in pairs(sources) do
  for array in text:gmatch "luaL_Reg [%w_]+%[%] =%s*(%b{})" do
    for name in array:gmatch '{"([%w_]+)"' do
      if not in_lua[name] then complain("%s: Lua is given %s, and no Lua file names it", path, name) end
    end
  end
end

os.exit(failed and 1 or 0)
