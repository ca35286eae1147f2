-- SPDX-License-Identifier: Apache-2.0
-- perilune.password: hashes of passwords as text, and the check of a password against one. What a hash may cost is
-- bounded here: its parameters come from a file. A check of a slow hash waits for a thread (lua/api/password.c).

local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"

local M = {}

local MEMORY_MOST = 262144 -- KiB that one check may take
local BCRYPT_MOST, ROUNDS_MOST, LANES_MOST = 15, 2000000, 16
local PASSES_MOST = 64
local is_bench = core.test_open ~= nil -- its time is virtual: a check is done at once
local WAYS = "`perilune hash-password`, `htpasswd -nB NAME` or `openssl passwd -6` make one"
local DIGITS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" -- of libcrypt's numbers

M.longest = core.password_most -- bytes of a password

--- ---------------------------------------------------------------------------------------------------------------
--- reading: each gives { crypt }, { argon2 } or { digest }, for verify; or nil and what is wrong

local function costly(what, most) return nil, ("its %s is too high for a server: at most %d"):format(what, most) end

local function of_libcrypt(text)
  if not core.password_knows(text) then return nil, "the libcrypt of this system does not know its method" end
  return { crypt = text }
end

local function bcrypt(text)
  local cost, rest = text:match "^%$2[aby]%$(%d%d)%$([./%w]+)$"
  if not cost or #rest ~= 53 then return nil, "a bcrypt hash has 60 characters, as in $2y$10$..." end
  if tonumber(cost) < 4 then return nil, "the cost of a bcrypt hash is 4 or more" end
  if tonumber(cost) > BCRYPT_MOST then return costly("cost", BCRYPT_MOST) end
  return of_libcrypt(text)
end

local function sha_crypt(text, length)
  local rounds, salt, digest = text:match "^%$[56]%$rounds=(%d+)%$([^$:]*)%$([./%w]+)$"
  if not rounds then salt, digest = text:match "^%$[56]%$([^$:]*)%$([./%w]+)$" end
  if not salt or #salt > 16 or #digest ~= length then
    return nil, ("a SHA-crypt hash ends with a salt and %d characters"):format(length)
  end
  if tonumber(rounds or 5000) > ROUNDS_MOST then return costly("number of rounds", ROUNDS_MOST) end
  return of_libcrypt(text)
end

local function yescrypt(text)
  local blocks, size, salt, digest = text:match "^%$y%$j([./%w])([./%w])%$([./%w]*)%$([./%w]+)$"
  if not salt or #digest ~= 43 then return nil, "a yescrypt hash is as mkpasswd makes it: $y$j9T$<salt>$<digest>" end
  local log, r = DIGITS:find(blocks, 1, true), DIGITS:find(size, 1, true)
  if 2 ^ log * r / 8 > MEMORY_MOST then return costly("memory in KiB", MEMORY_MOST) end
  return of_libcrypt(text)
end

local function bytes_of(text)
  return base64.decode(text .. ("="):rep(-#text % 4))
end

local function argon2(text)
  local kind, version, memory, passes, lanes, salt, digest =
    text:match "^%$(argon2[id]+)%$v=(%d+)%$m=(%d+),t=(%d+),p=(%d+)%$([%w+/]+)%$([%w+/]+)$"
  local is_kind = kind == "argon2id" or kind == "argon2i" or kind == "argon2d"
  salt, digest = salt and bytes_of(salt), digest and bytes_of(digest)
  if not is_kind or version ~= "19" and version ~= "16" or not salt or not digest then
    return nil, "an argon2 hash is like $argon2id$v=19$m=65536,t=3,p=4$<salt>$<digest>"
  end
  memory, passes, lanes = tonumber(memory), tonumber(passes), tonumber(lanes)
  if memory > MEMORY_MOST then return costly("memory in KiB (m)", MEMORY_MOST) end
  if passes > PASSES_MOST then return costly("number of passes (t)", PASSES_MOST) end
  if lanes > LANES_MOST then return costly("number of lanes (p)", LANES_MOST) end
  if lanes < 1 or passes < 1 or memory < 8 * lanes then return nil, "t and p are at least 1, and m 8 times p" end
  if #salt < 8 or #salt > 64 or #digest < 12 or #digest > 64 then
    return nil, "its salt has 8 to 64 bytes, and its digest 12 to 64"
  end
  if not core.password_has_argon2 then
    return nil, "this build has no argon2: build it with OpenSSL 3.2 or libargon2-dev, or take another; " .. WAYS
  end
  return { argon2 = { kind, tonumber(version), memory, passes, lanes, salt, digest } }
end

local function sha256(text)
  local hex = text:match "^sha256:(%x+)$"
  if not hex or #hex ~= 64 then return nil, "the digest must have 64 digits" end
  return { digest = crypto.from_hex(hex) }
end

local function weak(text)
  return nil, ("%s is too weak for passwords; "):format(text) .. WAYS
end

-- In this order: the first beginning that fits.
local readers = {
  { "^%$2[aby]%$", bcrypt },
  { "^%$5%$", function(text) return sha_crypt(text, 43) end },
  { "^%$6%$", function(text) return sha_crypt(text, 86) end },
  { "^%$y%$", yescrypt },
  { "^%$argon2", argon2 },
  { "^sha256:", sha256 },
  { "^plain:", function(text) return { digest = crypto.sha256(text:sub(7)) } end },
  { "^%$apr1%$", function() return weak "apr1 (MD5)" end },
  { "^%$1%$", function() return weak "MD5" end },
  { "^{S?SHA}", function() return weak "SHA-1" end },
}

--- A hash from its text; nil and what is wrong with it, which does not repeat it.
function M.read(text)
  if type(text) ~= "string" then return nil, ("expected a string, got a %s value"):format(type(text)) end
  for _, reader in ipairs(readers) do
    if text:find(reader[1]) then
      local hash, fault = reader[2](text)
      if hash then hash.text = text end
      return hash, fault
    end
  end
  return nil, "it is no hash of bcrypt, SHA-crypt, yescrypt or argon2; " .. WAYS
    .. "; before a password as plain text put plain:"
end

--- ---------------------------------------------------------------------------------------------------------------
--- checking

--- Does it take its time?
function M.is_slow(hash) return hash.digest == nil end

-- Begins the check of a slow hash, or joins one that is under way, as the second result says; nil: too many wait.
local function begin(tag, password, hash)
  if hash.crypt then return core.password_crypt(tag, password, hash.crypt, is_bench) end
  return core.password_argon2(tag, password, is_bench, unpack(hash.argon2, 1, 7))
end

--- Does the password fit? nil and why: it cannot be said now. It may wait. Checks with the same tag (M.tag) at the same
--- time are one, in the whole process; the third result says of others that they have shared it.
function M.verify(password, hash, tag)
  if hash.digest then return core.equal(crypto.sha256(password), hash.digest) end
  local check, shares = begin(tag, password, hash)
  if not check then return nil, "busy: too many passwords wait to be checked" end
  core.password_wait(check)
  local fits = core.password_result(check)
  if fits == nil then return nil, "it took too long, or could not be computed" end
  return fits, nil, shares
end

--- Bytes that stand for a password, a hash and what else belongs to them; in this process alone.
function M.tag(password, hash, ...)
  local parts = { password, hash.text, ... }
  for i, part in ipairs(parts) do parts[i] = ("%d:%s"):format(#part, part) end
  return core.password_tag(table.concat(parts))
end

return M
