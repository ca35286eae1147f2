-- SPDX-License-Identifier: Apache-2.0
-- token_auth: signed tokens (JWT, RFC 7519), as "Authorization: Bearer ...". With a secret, with public keys, or with
-- the keys that a provider publishes:
--
--   local check = token_auth.new { secret = os.getenv "TOKEN_SECRET", issuer = "https://login.example" }
--   local check = token_auth.new { jwks = "https://login.example/keys.json", issuer = "https://login.example",
--     audience = "shop" }
--   function policy.request_filter(session, ctx) return check(session, ctx) end     -- sets ctx.claims
--
-- The token cannot choose the algorithm: those that are not listed are refused, "none" always is, and each algorithm
-- goes with one kind of key. With a secret HS256 is listed; with keys RS256, PS256, ES256 and EdDSA are.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local json = require "perilune.json"
local jwks = require "perilune.jwks"
local jwt = require "perilune.jwt"
local options = require "perilune.options"
local refusal = require "perilune.refusal"

---@type perilune.token_auth
local token_auth = {}

local valid = {
  secret = { "string" },      -- of HS256; or
  keys = { "list" },          -- PEM texts or JWKs, or
  jwks = { "string" },        -- the URL of a set of keys
  algorithms = { "list" },    -- names
  ca = { "ca" },              -- PEM file of the authorities to trust at that URL
  timeout = { "seconds", 5 }, -- of asking there
  floor = { "seconds", 30 },  -- at least so long between two times
  issuer = { "string" },      -- iss must be this
  audience = { "string" },    -- aud must be this, or have it
  leeway = { "whole_seconds", 0 },    -- seconds that clocks may differ
}
local valid_of_new = { answer = refusal.option }
for name, option in pairs(valid) do valid_of_new[name] = option end

local usual = { "RS256", "PS256", "ES256", "EdDSA" }

--- ---------------------------------------------------------------------------------------------------------------
--- the options

local function fail(call, text) check.raise(call .. ": " .. text) end

local function check_source(call, wanted)
  local count = (wanted.secret and 1 or 0) + (wanted.keys and 1 or 0) + (wanted.jwks and 1 or 0)
  if count ~= 1 then fail(call, "expected one of the options 'secret', 'keys' and 'jwks'") end
  if wanted.jwks and not wanted.jwks:find "^https?://" then
    fail(call, ("option 'jwks' must be a URL, got '%s'"):format(wanted.jwks))
  end
end

-- By name; and how a message calls them.
local function read_algorithms(call, wanted)
  local allowed, names = {}, wanted.algorithms or (wanted.secret and { "HS256" } or usual)
  for _, name in ipairs(names) do
    local kind = jwt.algorithms[name]
    if not kind or (kind == "secret") ~= (wanted.secret ~= nil) then
      local why = wanted.secret and "goes with 'keys' or 'jwks', not with 'secret'" or "goes with 'secret' only"
      if not kind then why = "is unknown; valid are " .. table.concat(check.names(jwt.algorithms), ", ") end
      fail(call, ("option 'algorithms': %s %s"):format(tostring(name), why))
    end
    allowed[name] = true
  end
  if not next(allowed) then fail(call, "option 'algorithms' is empty") end
  return allowed, table.concat(names, ", ")
end

-- A function that finds those of the policy's own keys that may have signed a token.
local function finder(call, list)
  local keys = {}
  for position, source in ipairs(list) do
    local key, why = crypto.key(source)
    if not key then fail(call, ("option 'keys', number %d: %s"):format(position, why)) end
    keys[position] = { key = key, kind = key:kind(), kid = type(source) == "table" and source.kid or nil }
  end
  if #keys == 0 then fail(call, "option 'keys' is empty") end
  return function(algorithm, kid)
    local found = {}
    for _, one in ipairs(keys) do
      local fits = one.kind == jwt.algorithms[algorithm] and (not kid or not one.kid or one.kid == kid)
      if fits then found[#found + 1] = one.key end
    end
    if #found == 0 then return nil, "no key fits the token" end
    return found
  end
end

local function prepare(call, wanted)
  check_source(call, wanted)
  wanted.allowed, wanted.named = read_algorithms(call, wanted)
  if wanted.secret then
    local keys = { wanted.secret }
    wanted.find = function() return keys end
  elseif wanted.keys then
    wanted.find = finder(call, wanted.keys)
  else
    local set = jwks.new(wanted.jwks, { ca = wanted.ca, timeout = wanted.timeout, floor = wanted.floor })
    wanted.find = function(algorithm, kid) return set:find(algorithm, kid) end
  end
  return wanted
end

--- ---------------------------------------------------------------------------------------------------------------
--- tokens

--- The claims of a token; nil and why it does not count. Options as of new.
function token_auth.verify(token, given)
  local wanted = prepare("token_auth.verify", options.read("token_auth.verify", given, valid))
  return jwt.check(check.string("token_auth.verify", 1, token, ""), wanted)
end

-- { alg, key or secret }
local function signer_of(call, key)
  if type(key) == "string" and not key:find("-----BEGIN", 1, true) then return "HS256", key end
  local read, why = key, nil
  if type(key) == "string" then read, why = crypto.key(key) end
  if not read then fail(call, why) end
  for name, kind in pairs { RS256 = "RSA", ES256 = "P-256", ES384 = "P-384", ES512 = "P-521", EdDSA = "Ed25519" } do
    if read:kind() == kind then return name, read end
  end
end

--- A token with these claims, by HS256 with a secret, or with a private key (PEM, or of crypto.new_key).
function token_auth.sign(claims, key, kid)
  if type(key) == "userdata" then core.key_parts(key) else check.string("token_auth.sign", 2, key) end
  local text, why = json.encode(check.table("token_auth.sign", 1, claims))
  if not text then check.raise("token_auth.sign: " .. why) end
  local algorithm, signer = signer_of("token_auth.sign", key)
  local header = kid and ('{"alg":"%s","typ":"JWT","kid":%s}'):format(algorithm, json.encode(kid))
    or ('{"alg":"%s","typ":"JWT"}'):format(algorithm)
  local signed = base64.encode_url(header) .. "." .. base64.encode_url(text)
  local signature = algorithm == "HS256" and crypto.hmac_sha256(signer, signed) or signer:sign(algorithm, signed)
  return signed .. "." .. base64.encode_url(signature)
end

--- A function for request_filter: true says that it has refused the request (401; 503 where the provider's keys cannot
--- be had).
function token_auth.new(given, ...)
  check.no_more("token_auth.new", "its options are one table", ...)
  local wanted = prepare("token_auth.new", options.read("token_auth.new", given, valid_of_new))
  local refuse = refusal.new("token_auth.new", wanted.answer)
  return function(session, ctx)
    local token = (session:get_header "authorization" or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
    local claims, why, is_ours = nil, "not a token", false
    if token then claims, why, is_ours = jwt.check(token, wanted) end
    if claims then
      if ctx then ctx.claims = claims end
      return false
    end
    if is_ours then
      core.log_about("error", "token_auth", "token_auth: " .. why)
      return refuse(session, 503, "tokens cannot be checked at the moment", { ["Retry-After"] = "5" })
    end
    local challenge = token and ('Bearer error="invalid_token", error_description="%s"'):format(why) or "Bearer"
    return refuse(session, 401, token and why or "a token is needed", { ["WWW-Authenticate"] = challenge })
  end
end

return token_auth
