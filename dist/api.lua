-- SPDX-License-Identifier: Apache-2.0
-- Makes docs/api.md from the annotations in lua/perilune/types*.lua:  luajit dist/api.lua [--check] > docs/api.md
-- With --check it writes nothing, and fails where docs/api.md is not what it would write.

local FILES = { "lua/perilune/types.lua", "lua/perilune/types_streams.lua", "lua/perilune/types_backends.lua",
  "lua/perilune/types_modules.lua",
  "lua/perilune/types_http.lua", "lua/perilune/types_acme.lua", "lua/perilune/types_crypto.lua",
  "lua/perilune/types_signin.lua", "lua/perilune/types_regex.lua", "lua/perilune/types_limits.lua",
  "lua/perilune/types_redis.lua", "lua/perilune/types_tracing.lua", "lua/perilune/types_grpc.lua",
  "lua/perilune/types_data.lua",
  "lua/perilune/types_test.lua", "lua/perilune/types_test_recording.lua",
  "lua/perilune/types_sockets.lua" }
local HEAD = [[
# The API

Made from the annotations in `lua/perilune/types*.lua` by `make docs`; an editor with lua-language-server completes from
the same files. Times are seconds, sizes are bytes. A function that can fail returns nil and a message; misuse raises an
error at the policy's line. `name?` may be left out: its default stands behind a semicolon, as in "how long it is kept;
55; false: not at all", where 55 is the default, and false another value with a meaning of its own.
]]

local out = {}
local function write(...) out[#out + 1] = table.concat { ... } end

local function code(text) return "`" .. text .. "`" end
local function cell(text) return (text:gsub("|", "\\|")) end

-- A type, and what follows it: types have spaces inside brackets, behind "fun(...):" and between its results only.
local function split_type(text)
  local goes_on = text:find "^fun%(" and "[:,]$" or ":$"
  local depth, at, quoted = 0, 1, false
  while at <= #text do
    local c = text:sub(at, at)
    if c == '"' then quoted = not quoted end
    if c:find "[%(<{%[]" then depth = depth + 1 end
    if c:find "[%)>}%]]" then depth = depth - 1 end
    if c == " " and depth == 0 and not quoted and not text:sub(1, at - 1):find(goes_on) then break end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at + 1))
end

-- "name? type words" of @field and @param.
local function split_named(text)
  local name, rest = text:match "^(%[.-%])%s+(.*)$"
  if not name then name, rest = text:match "^(%S+)%s+(.*)$" end
  local kind, words = split_type(rest or "")
  return { name = name or text, kind = kind, words = words }
end

-- The results of @return: types with names between commas, then words.
local function split_results(text)
  local results = {}
  repeat
    local kind, rest = split_type(text)
    local more = kind:sub(-1) == ","
    kind = kind:gsub(",$", "")
    local name, behind = rest:match "^([%w_.]+)(.*)$"
    if not more and name and (behind:sub(1, 1) == "," or behind == "" or results[1] or #name < 20) then
      more, rest = behind:sub(1, 1) == ",", behind:gsub("^,? ?", "")
    else
      name = nil
    end
    results[#results + 1] = { kind = kind, name = name }
    text = rest
  until not more
  return results, text
end

--- --- reading -------------------------------------------------------------------------------------------------------

local function new_block() return { text = {}, params = {}, fields = {}, returns = {} } end

-- One line of an annotation into the block that it belongs to.
local function take(block, tag, rest)
  if tag == "field" then block.fields[#block.fields + 1] = split_named(rest)
  elseif tag == "param" then block.params[#block.params + 1] = split_named(rest)
  elseif tag == "return" then block.returns[#block.returns + 1] = rest
  elseif tag == "class" then block.class, block.parent = rest:match "^([%w_.]+):?%s*(.*)$"
  elseif tag == "alias" then block.alias = rest
  elseif tag == "overload" then block.overload = rest
  end
  block.last = tag
end

-- A line that goes on with what is above it.
local function continue(block, text)
  if block.last == "field" then
    local field = block.fields[#block.fields]
    field.words = field.words .. " " .. text
  elseif block.last == "param" then
    local param = block.params[#block.params]
    param.words = param.words .. " " .. text
  elseif block.last == "return" then
    block.returns[#block.returns] = block.returns[#block.returns] .. " " .. text
  elseif block.last == nil then
    block.text[#block.text + 1] = text
  end
end

--- --- writing -------------------------------------------------------------------------------------------------------

local function sentence(text)
  if text == "" then return "" end
  return text:find "[.:?|]$" and text or text .. "."
end

local function write_rows(rows)
  write "| | | |\n|---|---|---|\n"
  for _, row in ipairs(rows) do
    write("| `", row.name, "` | ", row.kind ~= "" and cell(code(row.kind)) or "", " | ", cell(row.words),
      " |\n")
  end
  write "\n"
end

-- A class of functions only, after which the section is named, says nothing new.
local section_title
local sections = {}
local function is_repetition(block)
  local is_bare = not block.text[1] and not block.fields[1] and not block.overload
  return is_bare and (section_title == block.class or section_title == 'require "' .. block.class .. '"')
end

local function write_class(block)
  if is_repetition(block) then return end
  write("### ", block.class, block.parent ~= "" and ": " .. block.parent or "", "\n\n")
  if block.text[1] then write(table.concat(block.text, "\n"), "\n\n") end
  if block.overload then write("Called: ", code(block.overload), "\n\n") end
  if block.fields[1] then write_rows(block.fields) end
end

local function write_alias(block)
  local name, kind = block.alias:match "^(%S+)%s*(.*)$"
  write("### ", name, "\n\n")
  if block.text[1] then write(table.concat(block.text, "\n"), "\n\n") end
  write(code(kind ~= "" and kind or block.alternative or ""), "\n\n")
end

local function describe_results(block)
  local shown, words = {}, {}
  for _, line in ipairs(block.returns) do
    local results, rest = split_results(line)
    for _, result in ipairs(results) do
      shown[#shown + 1] = code(result.kind) .. (result.name and " " .. result.name or "")
    end
    if rest ~= "" then words[#words + 1] = rest end
  end
  if not shown[1] then return nil end
  return "Returns " .. table.concat(shown, ", ") .. (words[1] and ": " .. table.concat(words, "; ") or "")
end

local function write_function(block, signature)
  write("#### ", signature, "\n\n")
  if block.text[1] then write(table.concat(block.text, "\n"), "\n\n") end
  for _, param in ipairs(block.params) do
    write("- `", param.name, "` ", code(param.kind), param.words ~= "" and " " .. param.words or "", "\n")
  end
  if block.params[1] then write "\n" end
  local results = describe_results(block)
  if results then write(sentence(results), "\n\n") end
end

-- The name of a section is its first sentence or, before a colon, its first words.
local function write_section(lines)
  local text, example = table.concat(lines, "\n"), nil
  if text:find("\n```", 1, true) then text, example = text:match "^(.-)\n*(\n```.*)$" end
  local title, rest = text:match "^([^\n]-)[:.]%s(.*)$"
  if text:find '^require "' then title, rest = text:match '^(require "[^"]*")[:,]?%s*(.*)$' end
  section_title = title or text
  sections[#sections + 1] = section_title
  write("## ", section_title, "\n\n")
  if rest and rest ~= "" then write(sentence((rest:gsub("^%l", string.upper))), "\n\n") end
  if example then write(example:sub(2), "\n\n") end
end

-- Links to the sections, by the anchors that renderers make of their names.
local function contents()
  local lines = {}
  for _, title in ipairs(sections) do
    local anchor = title:lower():gsub("[^%w %-_]", ""):gsub(" ", "-")
    lines[#lines + 1] = ("- [%s](#%s)"):format(title, anchor)
  end
  return table.concat(lines, "\n")
end

--- --- the walk over a file ------------------------------------------------------------------------------------------

local function flush(block)
  if block.class then write_class(block)
  elseif block.alias then write_alias(block)
  elseif block.text[1] and not block.last then write(table.concat(block.text, "\n"), "\n\n") -- a paragraph of its own
  end
  return new_block()
end

local function convert(path)
  local block, section = new_block(), nil
  for line in io.lines(path) do
    local tag, rest = line:match "^%-%-%-@(%w+)%s*(.*)$"
    local words = line:match "^%-%-%-%s?(.*)$"
    if line:find "^%-%-%- %-%-%-%-" then
      block, section = flush(block), {}
    elseif section and words and not tag then
      section[#section + 1] = words
    else
      if section then write_section(section) end
      section = nil
      if line:find "^%-%-%-|" then block.alternative = line:match "^%-%-%-|%s*(.*)$"
      elseif tag == "class" and (block.class or block.alias) then block = flush(block) take(block, tag, rest)
      elseif tag and tag ~= "meta" then take(block, tag, rest)
      elseif words and not tag then continue(block, words)
      elseif line:find "^function " then
        write_function(block, line:match "^function (.-) end$")
        block = new_block()
      elseif line == "" or line:find "^local " then block = flush(block)
      end
    end
  end
  flush(block)
end

for _, path in ipairs(FILES) do convert(path) end
local text = HEAD .. "\n" .. contents() .. "\n\n" .. table.concat(out):gsub("\n+$", "\n")

if arg[1] ~= "--check" then
  io.write(text)
  return
end
local file = io.open "docs/api.md"
if file and file:read "*a" == text then return end
io.stderr:write "docs/api.md is not what the annotations say: `make docs` writes it anew\n"
os.exit(1)
