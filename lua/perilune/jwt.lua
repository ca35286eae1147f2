-- SPDX-License-Identifier: Apache-2.0
-- perilune.jwt: checks signed tokens (JWT, RFC 7519, as RFC 8725 advises). The caller says which algorithms count,
-- and each goes with one kind of key: so a token can choose neither "none", nor HS256 with a public key as its
-- secret.

local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local json = require "perilune.json"

local jwt = {}

local TOKEN_MOST = 32768 -- bytes
local KEYS_MOST = 4      -- that are tried for a token which does not name its key

--- By name, the kind of key that an algorithm takes.
jwt.algorithms = {
  HS256 = "secret", RS256 = "RSA", RS384 = "RSA", RS512 = "RSA", PS256 = "RSA", PS384 = "RSA", PS512 = "RSA",
  ES256 = "P-256", ES384 = "P-384", ES512 = "P-521", EdDSA = "Ed25519",
}

local function decode_part(part)
  local text = base64.decode_url(part)
  local value = text and json.decode(text)
  return type(value) == "table" and value or nil
end

--- { header, signed, body, signature } of a token; nil: it is none.
function jwt.parse(token)
  if #token > TOKEN_MOST then return nil end
  local signed, head, body, signature = token:match "^(([^.]+)%.([^.]+))%.([^.]+)$"
  local header = head and decode_part(head)
  return header and { header = header, signed = signed, body = body, signature = base64.decode_url(signature) or "" }
end

local function has_audience(claim, wanted)
  if type(claim) ~= "table" then return claim == wanted end
  for _, one in ipairs(claim) do if one == wanted then return true end end
  return false
end

--- What is wrong with the claims of a token whose signature is right; nil: nothing.
function jwt.objection(claims, wanted)
  local now, leeway = core.time(), wanted.leeway or 0
  local exp, nbf = claims.exp, claims.nbf
  if exp ~= nil and (type(exp) ~= "number" or now >= exp + leeway) then return "the token has expired" end
  if nbf ~= nil and (type(nbf) ~= "number" or now < nbf - leeway) then return "the token is not valid yet" end
  if wanted.issuer and claims.iss ~= wanted.issuer then return "the token is of another issuer" end
  if wanted.audience and not has_audience(claims.aud, wanted.audience) then return "the token is for somebody else" end
end

local function is_signed(parsed, key)
  local algorithm = parsed.header.alg
  if type(key) ~= "string" then return key:verify(algorithm, parsed.signed, parsed.signature) end
  return algorithm == "HS256" and crypto.equal(crypto.hmac_sha256(key, parsed.signed), parsed.signature)
end

-- Of the keys that may have signed it; a string is a secret.
local function is_signed_by_any(parsed, keys)
  for position = 1, math.min(#keys, KEYS_MOST) do
    if is_signed(parsed, keys[position]) then return true end
  end
  return false
end

--- The claims of a token; nil and why it does not count. `wanted` has allowed = { name = true }, named (for the
--- message), issuer, audience, leeway and find(algorithm, kid): the keys; or nil and why there are none, and true where
--- that is not the token's fault.
function jwt.check(token, wanted)
  local parsed = jwt.parse(token)
  if not parsed then return nil, "not a token" end
  local header = parsed.header
  if not wanted.allowed[header.alg] or header.crit ~= nil then
    return nil, "the token is not signed with " .. wanted.named
  end
  local keys, fault, is_ours = wanted.find(header.alg, type(header.kid) == "string" and header.kid or nil)
  if not keys then return nil, fault, is_ours end
  if not is_signed_by_any(parsed, keys) then return nil, "the signature is wrong" end
  local claims = decode_part(parsed.body)
  local why = not claims and "not a token" or jwt.objection(claims, wanted)
  if why then return nil, why end
  return claims
end

return jwt
