-- SPDX-License-Identifier: Apache-2.0
-- mutations: what is nearly right. A seeded generator changes good documents and texts: cut, doubled, of another type,
-- with numbers and depths beyond measure, with NUL. The same seed makes the same ones, so that a failure comes again.
local json = require "perilune.json"

local M = {}

local Generator = {}
Generator.__index = Generator

--- A generator of its own: others' use of math.random does not move it.
function M.new(seed) return setmetatable({ state = seed }, Generator) end

--- A whole number from 1 to `most` (minimal standard generator).
function Generator:below(most)
  self.state = self.state * 16807 % 2147483647
  return self.state % most + 1
end

local function deep(depth)
  local value = {}
  for _ = 1, depth do value = { value } end
  return value
end

-- Values that nobody expects. Those that are functions are made anew.
local ODD = { json.null, true, false, -1, 0, 0.5, 1e300, -1e300, 2 ^ 53, 2 ^ 63, "", "0", "-1", "nan", "inf", "0x10",
  "1e999", "\0", "a\0b", "\255\254", "\r\nX: y", "x", ("9"):rep(400), ("x"):rep(70000), function() return {} end,
  function() return { 1, 2, 3 } end, function() return { { { {} } } } end, function() return deep(90) end,
  function() return { [1] = json.null } end, function() return { a = "b", code = "c", error = 7 } end }

function Generator:odd()
  local value = ODD[self:below(#ODD)]
  return type(value) == "function" and value() or value
end

local function is_document(value) return type(value) == "table" and value ~= json.null end

-- In an order that is the same in each process, unlike that of pairs.
local function keys_of(document)
  local keys = {}
  for key in pairs(document) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- All places of a document: { table, key }.
local function places(document, list)
  for _, key in ipairs(keys_of(document)) do
    list[#list + 1] = { document, key }
    if is_document(document[key]) then places(document[key], list) end
  end
  return list
end

-- JSON with its members in order. nil: it cannot be said.
local function encode(value)
  if not is_document(value) then return (json.encode(value)) end
  local is_list, parts = #value > 0, {}
  for i, key in ipairs(keys_of(value)) do
    local text = encode(value[key])
    if not text then return nil end
    parts[i] = is_list and text or json.encode(tostring(key)) .. ":" .. text
  end
  local inside = table.concat(parts, ",")
  return is_list and "[" .. inside .. "]" or "{" .. inside .. "}"
end
M.encode = encode

local function copy(value)
  if not is_document(value) then return value end
  local made = {}
  for key, one in pairs(value) do made[key] = copy(one) end
  return setmetatable(made, getmetatable(value))
end

local CHANGES = {
  function(self, at, key) at[key] = self:odd() end,
  function(_, at, key) at[key] = nil end,
  function(self, at, key)
    if type(at[key]) == "string" then at[key] = self:text(at[key]) else at[key] = self:odd() end
  end,
  function(_, at, key)
    if #at > 0 then at[#at + 1] = copy(at[#at]) else at[tostring(key) .. "x"] = at[key] end
  end,
}

--- A copy of a document (tables as JSON has them), changed at one to three places; seldom something else altogether.
function Generator:document(document)
  if self:below(40) == 1 then return self:odd() end
  local made = { copy(document) }
  for _ = 1, self:below(3) do
    local all = places(made[1], {})
    if #all == 0 then break end -- nothing is left of it
    local place = all[self:below(#all)]
    CHANGES[self:below(#CHANGES)](self, place[1], place[2])
  end
  return made[1]
end

local TEXTS = {
  function(self, text) return text:sub(1, self:below(#text + 1) - 1) end,
  function(_, text) return text .. text end,
  function(self, text)
    local at = self:below(#text + 1)
    return text:sub(1, at - 1) .. "\0" .. text:sub(at)
  end,
  function(self, text)
    local at = self:below(#text + 1)
    return text:sub(1, at - 1) .. string.char(self:below(256) - 1) .. text:sub(at + 1)
  end,
  function(self, text)
    local from, to = self:below(#text + 1), self:below(#text + 1)
    return text:sub(1, to - 1) .. text:sub(from, from + 20) .. text:sub(to)
  end,
  function(self, text)
    return (text:gsub("%d+", function() return self:below(3) == 1 and ("9"):rep(self:below(30)) or nil end))
  end,
  function(self, text)
    local at = self:below(#text + 1)
    return text:sub(1, at - 1) .. ("["):rep(self:below(5000)) .. text:sub(at)
  end,
}

--- A text, changed once or twice.
function Generator:text(text)
  for _ = 1, self:below(2) do text = TEXTS[self:below(#TEXTS)](self, text) end
  return text
end

--- The JSON of a changed document, or the changed JSON of the document.
function Generator:json(document)
  if self:below(2) == 1 then return self:text(encode(document)) end
  return encode(self:document(document)) or self:text(encode(document))
end

return M
