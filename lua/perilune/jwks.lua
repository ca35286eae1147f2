-- SPDX-License-Identifier: Apache-2.0
-- perilune.jwks: the public keys with which a provider signs its tokens (RFC 7517), asked for by URL. All workers share
-- one copy of the set. A token that names a key which is not in it makes the set be asked for again, but not more often
-- than every `floor` seconds, whatever clients send. If the provider does not answer, the last set stays.

local backoff = require "perilune.backoff"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local download = require "perilune.download"
local jwt = require "perilune.jwt"
local shared = require "perilune.shared"

local jwks = {}

local SET_MOST, KEYS_MOST = 262144, 100 -- bytes of a set, keys of it
local REFRESH, STALE = 3600, 7 * 86400
local FLOOR_OURS = 1 -- seconds until it is asked again, where this machine lacked something
local LOOK = 0.01 -- seconds between looks for what another task gets

-- Why a table is no set; nil: it is one.
local function fault_of_set(set)
  if type(set) ~= "table" or type(set.keys) ~= "table" then return "no set of keys (a JSON object with \"keys\")" end
  if #set.keys > KEYS_MOST then return ("more than %d keys"):format(KEYS_MOST) end
end

local function fetch(self)
  return download.json({ url = self.url, ca = self.ca, timeout = self.timeout, limit = SET_MOST }, fault_of_set)
end

-- Those of a set that can sign: { { kid, kind, alg, key } }. One that cannot be read is passed over.
local function read_keys(set)
  local keys = {}
  for _, jwk in ipairs(set.keys) do
    local key = type(jwk) == "table" and (jwk.use == nil or jwk.use == "sig") and crypto.key(jwk)
    if key then keys[#keys + 1] = { kid = jwk.kid, kind = key:kind(), alg = jwk.alg, key = key } end
  end
  return keys
end

local function keys_of(self, set)
  if self.read_from ~= set then self.read_from, self.keys = set, read_keys(set) end
  return self.keys
end

-- Those that may have signed a token.
local function matching(keys, algorithm, kid)
  local found = {}
  for _, one in ipairs(keys) do
    local fits = one.kind == jwt.algorithms[algorithm] and (one.alg == nil or one.alg == algorithm)
    if fits and (kid == nil or one.kid == kid) then found[#found + 1] = one.key end
  end
  return #found > 0 and found or nil
end

-- Asks for the set once more, unless that was done a moment ago; calls that come while this is under way wait for it.
local function refresh(self)
  if self.marks:add("floor", true, self.floor) then
    self.marks:set("asking", true, self.timeout)
    local set, why, kind = fetch(self)
    if set then self.sets:set("keys", set) else core.log.warn("keys of tokens: " .. why) end
    if backoff.is_ours(kind) then self.marks:set("floor", true, math.min(FLOOR_OURS, self.floor)) end
    self.marks:delete "asking"
    return
  end
  while self.marks:get "asking" do core.sleep(LOOK) end
end

local Set = {}
Set.__index = Set

--- The keys that may have signed a token; nil, why there are none, and true where the provider is to blame.
function Set:find(algorithm, kid)
  local set, why = self.sets:get "keys"
  if not set then return nil, why or "there are no keys", true end
  local found = matching(keys_of(self, set), algorithm, kid)
  if found or not kid then return found, not found and "no key fits the token" or nil end
  refresh(self)
  found = matching(keys_of(self, self.sets:get "keys" or set), algorithm, kid)
  return found, not found and "the token is signed with an unknown key" or nil
end

--- The set at a URL. `given` has ca, timeout (5) and floor (30), in seconds.
function jwks.new(url, given)
  local name = "jwks:" .. url
  local self = setmetatable({ url = url, ca = given.ca, timeout = given.timeout or 5, floor = given.floor or 30 }, Set)
  self.marks = shared.dict(name .. ":marks", { size = 65536 })
  self.sets = shared.shared_dict(name, { ttl = REFRESH, stale = STALE, retry = 5, timeout = self.timeout,
    size = 2 * SET_MOST, fetch = function() return fetch(self) end })
  return self
end

return jwks
