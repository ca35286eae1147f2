-- SPDX-License-Identifier: Apache-2.0
-- token_auth: signed tokens (JWT, RFC 7519) with HMAC-SHA-256, as "Authorization: Bearer ...".
--
--   local check = token_auth.new { secret = os.getenv "TOKEN_SECRET", issuer = "https://login.example" }
--   function policy.request_filter(session, ctx) return check(session, ctx) end     -- sets ctx.claims
--
-- The token cannot choose the algorithm: every algorithm except HS256 is refused, also "none".

local base64 = require "perilune.base64"
local check = require "perilune.check"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local json = require "perilune.json"
local options = require "perilune.options"

---@type perilune.token_auth
local token_auth = {}

local valid = {
  secret = { "string", options.required },
  issuer = { "string" },      -- iss must be this
  audience = { "string" },    -- aud must be this, or have it
  leeway = { "whole_seconds", 0 },    -- seconds that clocks may differ
}

local function decode_part(part)
  local text = base64.decode_url(part)
  local value = text and json.decode(text)
  return type(value) == "table" and value or nil
end

local function has_audience(claim, wanted)
  if type(claim) ~= "table" then return claim == wanted end
  for _, one in ipairs(claim) do if one == wanted then return true end end
  return false
end

-- What is wrong with the claims of a token whose signature is right.
local function objection(claims, wanted)
  local now = core.time()
  local exp, nbf = claims.exp, claims.nbf
  if exp ~= nil and (type(exp) ~= "number" or now >= exp + wanted.leeway) then return "the token has expired" end
  if nbf ~= nil and (type(nbf) ~= "number" or now < nbf - wanted.leeway) then return "the token is not valid yet" end
  if wanted.issuer and claims.iss ~= wanted.issuer then return "the token is of another issuer" end
  if wanted.audience and not has_audience(claims.aud, wanted.audience) then return "the token is for somebody else" end
end

local function verify(token, wanted)
  token = check.string("token_auth.verify", 1, token, "")
  local signed, head, body, signature = token:match "^(([^.]+)%.([^.]+))%.([^.]+)$"
  local header = head and decode_part(head)
  if not header then return nil, "not a token" end
  if header.alg ~= "HS256" or header.crit ~= nil then return nil, "the token is not signed with HS256" end
  if not crypto.equal(crypto.hmac_sha256(wanted.secret, signed), base64.decode_url(signature) or "") then
    return nil, "the signature is wrong"
  end
  local claims = decode_part(body)
  local why = not claims and "not a token" or objection(claims, wanted)
  if why then return nil, why end
  return claims
end

--- The claims of a token; nil and why it does not count. Options as of new.
function token_auth.verify(token, given) return verify(token, options.read("token_auth.verify", given, valid)) end

--- A token with these claims.
function token_auth.sign(claims, secret)
  check.string("token_auth.sign", 2, secret)
  local text, why = json.encode(check.table("token_auth.sign", 1, claims))
  if not text then check.raise("token_auth.sign: " .. why) end
  local signed = base64.encode_url '{"alg":"HS256","typ":"JWT"}' .. "." .. base64.encode_url(text)
  return signed .. "." .. base64.encode_url(crypto.hmac_sha256(secret, signed))
end

--- A function for request_filter: true says that it has refused the request (401).
function token_auth.new(given, ...)
  check.no_more("token_auth.new", "its options are one table", ...)
  local wanted = options.read("token_auth.new", given, valid)
  return function(session, ctx)
    local token = (session:get_header "authorization" or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
    local claims, why = verify(token, wanted)
    if claims then
      if ctx then ctx.claims = claims end
      return false
    end
    local challenge = token and ('Bearer error="invalid_token", error_description="%s"'):format(why) or "Bearer"
    return session:respond { status = 401, headers = { ["WWW-Authenticate"] = challenge } }
  end
end

return token_auth
