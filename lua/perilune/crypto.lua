-- SPDX-License-Identifier: Apache-2.0
-- perilune.crypto: digests, HMAC, random bytes, comparison in constant time. Digests are bytes; crypto.hex shows them.

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
}

function crypto.md5(text) return core.digest("md5", text) end
function crypto.sha1(text) return core.digest("sha1", text) end
function crypto.sha256(text) return core.digest("sha256", text) end
function crypto.sha384(text) return core.digest("sha384", text) end
function crypto.sha512(text) return core.digest("sha512", text) end

function crypto.hmac_sha1(key, text) return core.hmac("sha1", key, text) end
function crypto.hmac_sha256(key, text) return core.hmac("sha256", key, text) end
function crypto.hmac_sha384(key, text) return core.hmac("sha384", key, text) end
function crypto.hmac_sha512(key, text) return core.hmac("sha512", key, text) end

return crypto
