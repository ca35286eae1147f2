-- SPDX-License-Identifier: Apache-2.0
-- perilune.crypto as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.crypto: digests and secrets. Digests are bytes; crypto.hex makes them readable

---@class perilune.crypto
local crypto = {}
---@param text string
---@return string bytes 16
function crypto.md5(text) end
--- A checksum (IEEE 802.3), as of zip and gzip. It protects from mistakes, not from people.
---@param text string
---@return integer from 0 to 4294967295
function crypto.crc32(text) end
---@param text string
---@return string bytes 20
function crypto.sha1(text) end
---@param text string
---@return string bytes 32
function crypto.sha256(text) end
---@param text string
---@return string bytes 48
function crypto.sha384(text) end
---@param text string
---@return string bytes 64
function crypto.sha512(text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha1(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha256(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha384(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha512(key, text) end
--- Are the strings equal? It takes the same time wherever they differ, so that a secret cannot be guessed byte by byte.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end
--- Random bytes, good enough for keys.
---@param count integer up to 1048576
---@return string
function crypto.random(count) end
---@param bytes string
---@return string text in lower case
function crypto.hex(bytes) end
---@param text string
---@return string? bytes, string? message
function crypto.from_hex(text) end
--- Encrypts a text so that nobody can read or change it (AES-256-GCM). The result is 28 bytes longer.
---@param key string 32 bytes, such as crypto.sha256(secret)
---@param text string
---@param with? string is not part of the result, but must be the same when it is opened
---@return string bytes
function crypto.seal(key, text, with) end
--- The text; nil if it was not sealed with this key and `with`, or has been changed.
---@param key string
---@param sealed string
---@param with? string
---@return string? text
function crypto.unseal(key, sealed, with) end
--- Does a password fit a hash of bcrypt, SHA-crypt ($5$, $6$), yescrypt or argon2 (in PHC form), "sha256:" and a digest, or
--- "plain:" and a text? Slow hashes take 50 to 300 ms in a thread of their own, and the call waits: in hooks and background
--- work. nil and why: the text is no such hash, it costs too much (bcrypt above 15, more than 256 MiB), or too many wait.
---@param password string
---@param hash string
---@return boolean? fits, string? message
function crypto.verify_password(password, hash) end

--- A key for signatures.
---@class perilune.key
local key = {}
---@return "P-256"|"P-384"|"P-521"|"Ed25519"|"RSA"
function key:kind() end
---@return boolean
function key:is_private() end
---@return string pem PKCS #8; raises if it has no private half
function key:private_pem() end
---@return string pem
function key:public_pem() end
--- A signature as JWS has it (RFC 7518): RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA. Raises if
--- the key is of another kind, or has no private half.
---@param algorithm string
---@param text string
---@return string bytes
function key:sign(algorithm, text) end
--- Is it the signature of this text? false also for an algorithm that goes with another kind of key.
---@param algorithm string
---@param text string
---@param signature string
---@return boolean
function key:verify(algorithm, text, signature) end

--- A new private key. RSA has 2048 bits, and takes a tenth of a second or more.
---@param kind? "P-256"|"P-384"|"P-521"|"Ed25519"|"RSA" P-256
---@return perilune.key
function crypto.new_key(kind) end
--- A key of PEM text (a private or public key, a certificate or a request for one), or the public key of a JWK (a table).
--- RSA keys have 2048 to 8192 bits.
---@param source string|table
---@return perilune.key? key, string? message
function crypto.key(source) end
--- The public half of a key as a JWK (RFC 7517).
---@param of perilune.key
---@return table
function crypto.jwk(of) end
--- The thumbprint of the JWK of a key (RFC 7638).
---@param of perilune.key
---@return string bytes
function crypto.thumbprint(of) end
