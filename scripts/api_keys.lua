-- SPDX-License-Identifier: Apache-2.0
-- api_keys: keys of programs, in a field of the request.
--
--   local check = api_keys.new { keys = { shop = "sha256:<64 hex digits>", jobs = os.getenv "JOBS_KEY" } }
--   local check = api_keys.new { find = function(digest) return owners:get(digest) end }     -- digest in hexadecimal
--   function policy.request_filter(session, ctx) return check(session, ctx) end     -- sets ctx.api_key
--
-- Keys are looked up by their digest: how long that takes says nothing of a key.

local check = require "perilune.check"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local options = require "perilune.options"
local refusal = require "perilune.refusal"

---@type perilune.api_keys
local api_keys = {}

local KEY_MOST = 4096

local valid = {
  keys = { "table" },               -- owner = key, or "sha256:" and its digest in hexadecimal
  find = { "function" },            -- (digest in hexadecimal): the owner; nil: nobody's
  header = { "field", "X-API-Key" },
  forward = { "boolean", false },   -- does the peer get the field, too?
  answer = refusal.option,
}

local function digest_of(owner, key)
  if type(owner) ~= "string" then check.raise "api_keys.new: a key has an owner: write keys = { NAME = \"KEY\" }" end
  if type(key) ~= "string" or key == "" then
    check.raise(("api_keys.new: the key of '%s' is no string"):format(tostring(owner)))
  end
  local hex = key:match "^sha256:(%x+)$"
  if not hex then return crypto.hex(crypto.sha256(key)) end
  if #hex ~= 64 then check.raise(("api_keys.new: the digest of '%s' must have 64 digits"):format(owner)) end
  return hex:lower()
end

-- A function that finds the owner of a digest.
local function finder(wanted)
  if (wanted.keys == nil) == (wanted.find == nil) then
    check.raise "api_keys.new: expected one of the options 'keys' and 'find'"
  end
  if wanted.find then return wanted.find end
  local owners = {}
  for owner, key in pairs(wanted.keys) do owners[digest_of(owner, key)] = owner end
  return function(digest) return owners[digest] end
end

--- A function for request_filter: true says that it has refused the request (401; 503 where `find` failed).
function api_keys.new(given, ...)
  check.no_more("api_keys.new", "its options are one table", ...)
  local wanted = options.read("api_keys.new", given, valid)
  local find, refuse = finder(wanted), refusal.new("api_keys.new", wanted.answer)
  local missing = "a key is needed in the field " .. wanted.header
  return function(session, ctx)
    local key = session:get_header(wanted.header)
    if key and #key <= KEY_MOST then
      local owner, why = find(crypto.hex(crypto.sha256(key)))
      if owner then
        if ctx then ctx.api_key = owner end
        if not wanted.forward then session:request():remove_header(wanted.header) end
        return false
      end
      if why then
        core.log_about("error", "api_keys", "api_keys: " .. tostring(why))
        return refuse(session, 503, "keys cannot be checked at the moment", { ["Retry-After"] = "5" })
      end
    end
    return refuse(session, 401, key and "the key is unknown" or missing, { ["WWW-Authenticate"] = "ApiKey" })
  end
end

return api_keys
