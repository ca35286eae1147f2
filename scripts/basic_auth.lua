-- SPDX-License-Identifier: Apache-2.0
-- basic_auth: user names and passwords (RFC 7617). Use it only with TLS.
--
--   local login = basic_auth.new { realm = "office", users = { ada = "sha256:<64 hex digits>", bob = "secret" } }
--   function policy.request_filter(session, ctx) return login(session, ctx) end     -- sets ctx.user
--
-- Passwords are compared as digests, in constant time, for unknown users too.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local crypto = require "perilune.crypto"
local options = require "perilune.options"

---@type perilune.basic_auth
local basic_auth = {}

local valid = {
  users = { "table", options.required }, -- name = password, or "sha256:" and its digest in hexadecimal
  realm = { "string", "restricted" },
}

local function digest_of(name, password)
  if type(password) ~= "string" then error(("basic_auth.new: the password of '%s' is no string"):format(name), 4) end
  local hex = password:match "^sha256:(%x+)$"
  if not hex then return crypto.sha256(password) end
  if #hex ~= 64 then error(("basic_auth.new: the digest of '%s' must have 64 digits"):format(name), 4) end
  return crypto.from_hex(hex)
end

local function digests_of(users)
  local digests = {}
  for name, password in pairs(users) do digests[name] = digest_of(name, password) end
  return digests
end

-- The user name and password of a field Authorization; nil where it has none.
local function credentials(field)
  local scheme, code = (field or ""):match "^(%a+) +(%S+)$"
  local text = scheme and scheme:lower() == "basic" and base64.decode(code)
  if not text then return nil end
  return text:match "^([^:]*):(.*)$"
end

--- A function for request_filter: true says that it has asked for other credentials (401).
function basic_auth.new(given, ...)
  check.no_more("basic_auth.new", "its options are one table", ...)
  local wanted = options.read("basic_auth.new", given, valid)
  local digests = digests_of(wanted.users)
  local nobody = crypto.random(32) -- as long as a digest, and nobody's
  local challenge = ('Basic realm="%s", charset="UTF-8"'):format((wanted.realm:gsub('[\\"]', "\\%0")))
  return function(session, ctx)
    local name, password = credentials(session:get_header "authorization")
    local is_right = crypto.equal(crypto.sha256(password or ""), digests[name] or nobody)
    if name and is_right then
      if ctx then ctx.user = name end
      return false
    end
    return session:respond { status = 401, headers = { ["WWW-Authenticate"] = challenge } }
  end
end

return basic_auth
