-- SPDX-License-Identifier: Apache-2.0
-- cors: allows requests from pages of other origins (the CORS protocol of the Fetch standard): it answers preflights,
-- and adds fields to responses.
--
--   local cors = require("perilune.cors").new { origins = { "https://app.example" }, credentials = true }
--   function policy.request_filter(session) return cors.preflight(session) end
--   function policy.answer_filter(session, response) cors.mark(session, response) end

local check = require "perilune.check"
local options = require "perilune.options"

---@type perilune.cors
local cors = {}

local valid = {
  origins = { "list", options.required },   -- "https://app.example"; { "*" }: any, without credentials
  methods = { "list", { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" } },
  headers = { "list" },                     -- that requests may have; without: those that are asked for
  expose = { "list" },                      -- that scripts may read
  credentials = { "boolean", false },
  max_age = { "whole_seconds", 600 },               -- seconds that a preflight's answer holds
}

local function set_of(list)
  local set = {}
  for _, one in ipairs(list) do set[one] = true end
  return set
end

-- The value of Access-Control-Allow-Origin for a request; nil: this origin is not let in.
local function allowed_origin(allowed, session)
  local origin = session:get_header "origin"
  if origin and allowed["*"] then return "*" end
  return origin and allowed[origin] and origin or nil
end

--- { preflight = function(session), mark = function(session, response) }
function cors.new(given, ...)
  check.no_more("cors.new", "its options are one table", ...)
  local wanted = options.read("cors.new", given, valid)
  local allowed = set_of(wanted.origins)
  for origin in pairs(allowed) do
    if origin ~= "*" and origin ~= "null" and not tostring(origin):find "^%w[%w+.-]*://[^/?#%s]+$" then
      local shown = tostring(origin):gsub("%c", "?")
      error(("cors.new: '%s' is no origin: write it without a path, like https://app.example"):format(shown), 2)
    end
  end
  if allowed["*"] and wanted.credentials then error("cors.new: credentials are not for any origin ('*')", 2) end
  local methods = table.concat(wanted.methods, ", ")
  local credentials = wanted.credentials and "true" or nil

  local function preflight(session)
    local asked = session:get_header "access-control-request-method"
    if session:method() ~= "OPTIONS" or not asked or not session:get_header "origin" then return false end
    local origin = allowed_origin(allowed, session)
    local headers = wanted.headers and table.concat(wanted.headers, ", ")
      or session:get_header "access-control-request-headers"
    return session:respond { status = 204, headers = {
      Vary = "Origin",
      ["Access-Control-Allow-Origin"] = origin,
      ["Access-Control-Allow-Methods"] = origin and methods,
      ["Access-Control-Allow-Headers"] = origin and headers,
      ["Access-Control-Allow-Credentials"] = origin and credentials,
      ["Access-Control-Max-Age"] = origin and wanted.max_age,
    } }
  end

  local function mark(session, response)
    if response:get_header "vary" ~= "Origin" then response:add_header("Vary", "Origin") end
    local origin = allowed_origin(allowed, session)
    if not origin then return end
    response:set_header("Access-Control-Allow-Origin", origin)
    if credentials then response:set_header("Access-Control-Allow-Credentials", credentials) end
    if wanted.expose then response:set_header("Access-Control-Expose-Headers", table.concat(wanted.expose, ", ")) end
  end

  return { preflight = preflight, mark = mark }
end

return cors
