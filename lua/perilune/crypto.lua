-- SPDX-License-Identifier: Apache-2.0
-- perilune.crypto: digests, HMAC, random bytes, comparison in constant time, sealed texts, keys for signatures. Digests
-- and signatures are bytes; crypto.hex shows them.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local core = require "perilune.core"

---@type perilune.crypto
local crypto = {
  --- Are two strings equal? Takes as long wherever they differ, so that nobody can guess a secret byte by byte.
  equal = core.equal,
  --- So many random bytes, fit for keys; up to 1 MiB.
  random = core.random_bytes,
  hex = core.encode_hex,
  --- The bytes of hexadecimal text; nil and a message where it is none.
  from_hex = core.decode_hex,
  --- Encrypts a text (AES-256-GCM) under a key of 32 bytes. `with` must be the same when it is opened.
  seal = core.seal,
  --- The text; nil where it was not sealed by that key, or has been changed.
  unseal = core.unseal,
  --- A new private key: "P-256", "P-384", "P-521", "Ed25519" or "RSA" (2048 bits).
  new_key = core.key_generate,
}

function crypto.md5(text) return core.digest("md5", text) end
function crypto.crc32(text) return core.crc32(text) end
function crypto.sha1(text) return core.digest("sha1", text) end
function crypto.sha256(text) return core.digest("sha256", text) end
function crypto.sha384(text) return core.digest("sha384", text) end
function crypto.sha512(text) return core.digest("sha512", text) end

function crypto.hmac_sha1(key, text) return core.hmac("sha1", key, text) end
function crypto.hmac_sha256(key, text) return core.hmac("sha256", key, text) end
function crypto.hmac_sha384(key, text) return core.hmac("sha384", key, text) end
function crypto.hmac_sha512(key, text) return core.hmac("sha512", key, text) end

--- ---------------------------------------------------------------------------------------------------------------
--- passwords

--- Does a password fit the text of a hash? nil and why: it is none, or it cannot be checked now. It may wait.
function crypto.verify_password(password, text)
  check.string("crypto.verify_password", 1, password)
  check.string("crypto.verify_password", 2, text)
  local passwords = require "perilune.password"
  local hash, fault = passwords.read(text)
  if not hash then return nil, fault end
  return passwords.verify(password, hash, passwords.tag(password, hash))
end

--- ---------------------------------------------------------------------------------------------------------------
--- keys

-- What a JWK (RFC 7517) has of each kind of key, and in which fields.
local parts_of = { RSA = { "n", "e" }, EC = { "x", "y" }, OKP = { "x" } }
local curves = { EC = { ["P-256"] = true, ["P-384"] = true, ["P-521"] = true }, OKP = { Ed25519 = true } }

local function key_of_jwk(jwk)
  local names = parts_of[jwk.kty]
  if not names then return nil, "a JWK has kty RSA, EC or OKP" end
  local kind = jwk.kty == "RSA" and "RSA" or jwk.crv
  if jwk.kty ~= "RSA" and not curves[jwk.kty][kind] then
    local wanted = jwk.kty == "EC" and "P-256, P-384 or P-521" or "Ed25519"
    return nil, ("the curve (crv) of %s must be %s"):format(jwk.kty, wanted)
  end
  local parts = {}
  for _, name in ipairs(names) do
    parts[name] = type(jwk[name]) == "string" and base64.decode_url(jwk[name]) or nil
    if not parts[name] then return nil, ("'%s' is missing, or no base64url"):format(name) end
  end
  return core.key_of_parts(kind, parts)
end

--- A key of PEM text (a private or public key, a certificate or a request for one), or the public key of a JWK; nil and
--- a message where it is none.
function crypto.key(source)
  if type(source) == "table" then return key_of_jwk(source) end
  return core.key_read(check.string("crypto.key", 1, source))
end

--- The public half of a key as a JWK.
function crypto.jwk(key)
  local parts, jwk = core.key_parts(key), {}
  local kind = key:kind()
  for name, bytes in pairs(parts) do jwk[name] = base64.encode_url(bytes) end
  jwk.kty = kind == "RSA" and "RSA" or kind == "Ed25519" and "OKP" or "EC"
  jwk.crv = kind ~= "RSA" and kind or nil
  return jwk
end

--- The thumbprint of its JWK (RFC 7638), as bytes.
function crypto.thumbprint(key)
  local jwk, fields = crypto.jwk(key), {}
  for _, name in ipairs { "crv", "e", "kty", "n", "x", "y" } do
    if jwk[name] then fields[#fields + 1] = ('"%s":"%s"'):format(name, jwk[name]) end
  end
  return crypto.sha256("{" .. table.concat(fields, ",") .. "}")
end

return crypto
