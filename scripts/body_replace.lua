-- SPDX-License-Identifier: Apache-2.0
-- body_replace: replaces texts in response bodies while they are streamed, also if a text is split between two
-- pieces.
--
--   local replace = body_replace.new { texts = { ["http://inside.example"] = "https://www.example" } }
--   replace.install(policy)      -- or call replace.request, replace.response and replace.body from hooks of your own
--
-- install sets upstream_request_filter, response_filter and response_body_filter. Hooks that the policy has already are
-- called first (lua/perilune/hook_chain.lua). What one object keeps of an exchange is at ctx[object], so a policy may
-- have several objects; installing one object twice does nothing more.
--
-- Bodies of other types than `types` stay as they are. What the peer has compressed is decompressed first, and
-- compressed again for clients that accept it.
--
-- The end of a piece is held back if it may be the beginning of a text: at most one byte less than the longest text.
-- All other bytes are passed on at once, so events of a stream are not delayed.

local check = require "perilune.check"
local hook_chain = require "perilune.hook_chain"
local options = require "perilune.options"
local regex = require "perilune.regex"

---@type perilune.body_replace
local body_replace = {}

local valid = {
  texts = { "table", options.required },   -- text = replacement
  types = { "list", { "text/", "application/json", "application/javascript", "+xml" } }, -- parts of Content-Type
}

-- Longer texts come first where one begins with another. Also the list, and the length of the longest.
local function pattern_of(texts)
  local list, parts = {}, {}
  for text, replacement in pairs(texts) do
    if type(text) ~= "string" or type(replacement) ~= "string" then
      error("body_replace.new: 'texts' are strings, and so is what replaces them", 3)
    end
    list[#list + 1] = text
  end
  table.sort(list, function(a, b) return #a > #b or #a == #b and a < b end)
  if not list[1] or list[#list] == "" then error("body_replace.new: 'texts' has an empty text, or none", 3) end
  for i, text in ipairs(list) do parts[i] = regex.escape(text) end
  return regex.new(table.concat(parts, "|")), list
end

-- Is what `text` holds from `from` on the beginning of one of the list, and not the whole of it?
local function may_begin(list, text, from)
  local count = #text - from + 1
  for _, wanted in ipairs(list) do
    if #wanted <= count then return false end -- and so are all that follow
    if wanted:byte() == text:byte(from) and wanted:sub(1, count) == text:sub(from) then return true end
  end
  return false
end

-- Where the end of `text` begins that more bytes may make one of the list; behind its end where there is none.
local function undecided_from(list, text, init)
  for from = math.max(init, #text - #list[1] + 2), #text do
    if may_begin(list, text, from) then return from end
  end
  return #text + 1
end

-- The text with its replacements, and its end that is not decided yet. What begins before that end is decided, since
-- no longer text can begin there, too.
local function replace(compiled, texts, text, undecided)
  local parts, init, open = {}, 1, undecided(text, 1)
  while true do
    if init > open then open = undecided(text, init) end
    local from, to = compiled:find(text, init)
    if not from or from >= open then
      parts[#parts + 1] = text:sub(init, open - 1)
      return table.concat(parts), text:sub(open)
    end
    parts[#parts + 1] = text:sub(init, from - 1)
    parts[#parts + 1] = texts[text:sub(from, to)]
    init = to + 1
  end
end

-- At the end of a body nothing is undecided.
local function nothing(text) return #text + 1 end

-- A part of a body (206) stays as it is: its place is counted in the bytes of the original.
local function is_wanted(types, response)
  if response:status() == 206 then return false end
  local kind = (response:get_header "content-type" or ""):lower()
  for _, part in ipairs(types) do
    if kind:find(part, 1, true) then return response:set_decoded() end
  end
  return false
end

--- { request, response, body, install }: for upstream_request_filter, response_filter and response_body_filter.
function body_replace.new(given, ...)
  check.no_more("body_replace.new", "its options are one table", ...)
  local wanted = options.read("body_replace.new", given, valid)
  local compiled, list = pattern_of(wanted.texts)
  local function undecided(text, init) return undecided_from(list, text, init) end
  local M, installed = {}, setmetatable({}, { __mode = "k" })
  function M.request(_, request) -- what can be decompressed; of a part that is nothing
    request:set_header("Accept-Encoding", request:get_header "Range" and "identity" or "zstd, br, gzip")
  end
  function M.response(_, response, ctx)
    if not is_wanted(wanted.types, response) then return end
    ctx[M] = { held = "" }
    response:remove_header("ETag")
  end
  function M.body(_, chunk, is_last, ctx)
    local state = ctx[M]
    if not state then return chunk end
    local done
    done, state.held = replace(compiled, wanted.texts, state.held .. chunk, is_last and nothing or undecided)
    return done
  end
  function M.install(policy)
    if installed[policy] then return end
    hook_chain.install("body_replace.install", policy, { upstream_request_filter = M.request,
      response_filter = M.response, response_body_filter = M.body })
    installed[policy] = true
  end
  return M
end

return body_replace
