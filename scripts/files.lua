-- SPDX-License-Identifier: Apache-2.0
-- perilune.files: answers with files of a folder.
--
--   perilune.listen(":8080", perilune.files { root = "/srv/www" })
--
--   local files = perilune.files { root = "static", strip = "/static" }
--   function policy.request_filter(session)
--     if session:path():find "^/static/" then return files(session) end
--   end

local core = require "perilune.core"
local options = require "perilune.options"
local refusal = require "perilune.refusal"

local M = {}

local valid = {
  root = { "string", options.required },
  index = { "any", "index.html" },      -- the file that stands for its folder; false: none
  listing = { "boolean", false },       -- folders without an index are listed
  hidden = { "boolean", false },        -- names that begin with a dot are served
  precompressed = { "boolean", true },  -- a.js.zst, a.js.br or a.js.gz instead of a.js, for clients that accept it
  strip = { "string" },                 -- in front of the paths of requests
  cache_control = { "string" },
  types = { "table" },                  -- { html = "text/html; charset=iso-8859-1" }
  fallthrough = { "boolean", false },   -- what is not there is left to the hooks that follow
  answer = refusal.option,
}

-- { status, why, fields }
local REFUSALS = {
  missing = { 404, "there is no such file" },
  refused = { 403, "this file may not be read" },
  method = { 405, "files are read with GET or HEAD", { Allow = "GET, HEAD" } },
  busy = { 503, "too many files are being read", { ["Retry-After"] = "1" } },
}

local function fault_of(wanted)
  local index = wanted.index
  if index ~= false and (type(index) ~= "string" or index:find "^%.*$" or index:find "/") then
    return "option 'index' must be the name of a file, or false"
  end
  if wanted.strip and not wanted.strip:find "^/.*[^/]$" then
    return "option 'strip' must begin with a slash, and not end with one: \"/static\""
  end
  if wanted.cache_control and wanted.cache_control:find "%c" then
    return "option 'cache_control' has a control character in it"
  end
  for ending, kind in pairs(wanted.types or {}) do
    if type(ending) ~= "string" or ending:find "^%." or type(kind) ~= "string" or kind:find "%c" then
      return "option 'types' must be like { html = \"text/html\" }"
    end
  end
end

local function list_of(types)
  local list = {}
  for ending, kind in pairs(types or {}) do
    list[#list + 1] = ending
    list[#list + 1] = kind
  end
  return list
end

local Files = { __name = "perilune.files" }

--- Answers a request. True: it is answered; nil: there is no such file, with `fallthrough`.
function Files.__call(self, session)
  local result
  repeat result = core.files_serve(session, self.handle) until result ~= "waits"
  if result == "answered" then return true end
  if self.fallthrough and (result == "missing" or result == "method") then return nil end
  local status, why, fields = unpack(REFUSALS[result])
  local headers = {}
  for name, value in pairs(fields or {}) do headers[name] = value end
  return self.answers.refuse(session, status, why, headers)
end

--- A policy that answers with files; it is also a function of a session, for other policies.
function M.new(given)
  local wanted = options.read("perilune.files", given, valid)
  local fault = fault_of(wanted)
  if fault then error("perilune.files: " .. fault, 2) end
  local handle, why = core.files_root {
    path = core.path(wanted.root), index = wanted.index or nil, strip = wanted.strip, lists = wanted.listing,
    shows_hidden = wanted.hidden, no_precoded = not wanted.precompressed, cache_control = wanted.cache_control,
    types = list_of(wanted.types),
  }
  if not handle then error(("perilune.files: option 'root': %s: %s"):format(core.path(wanted.root), why), 2) end
  local files = setmetatable({
    handle = handle, fallthrough = wanted.fallthrough,
    answers = { refuse = refusal.new("perilune.files", wanted.answer) }, -- a function would be taken for a hook
  }, Files)
  files.request_filter = function(session) return files(session) end
  return files
end

options.declare(M.new, "perilune.files", 1, valid)

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
