-- SPDX-License-Identifier: Apache-2.0
-- acme_challenges: proves names to an authority. What proves a name is in a dictionary of the process, where all its
-- workers find it, and in the storage, where the other proxies find it: the authority may connect to any of them.

local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"

local acme_challenges = {}

local TTL = 3600           -- seconds that a proof is there, if nobody takes it away
local PROOF_SECONDS = 7 * 86400

local TOKEN = "^[%w_-]+$"
local TOKEN_MOST = 128

local function put(self, name, text)
  self.proofs:set(name, text, TTL)
  return self.storage:write("challenges/" .. name, text)
end

local function drop(self, name)
  self.proofs:delete(name)
  self.storage:remove("challenges/" .. name)
end

--- What proves a token or a name ("alpn-" and the name), of this proxy or of another one; nil: nothing.
function acme_challenges.find(self, name)
  if #name > 300 or not name:find "^[%w_.-]+$" then return nil end
  return self.proofs:get(name) or self.storage:read("challenges/" .. name)
end

--- The answer to a request for a token (RFC 8555 section 8.3); nil: there is none.
function acme_challenges.answer_for(self, path)
  local token = path:match "^/%.well%-known/acme%-challenge/(.*)$"
  if not token or #token > TOKEN_MOST or not token:find(TOKEN) then return nil end
  return acme_challenges.find(self, token)
end

-- Each gives a function that takes the proof away; or nil and why there is none.
local provers = {}

provers["http-01"] = function(self, _, challenge, proof)
  local ok, why = put(self, challenge.token, proof)
  return ok and function() drop(self, challenge.token) end, why
end

provers["tls-alpn-01"] = function(self, name, _, proof)
  local key, now = crypto.new_key "P-256", core.time()
  local pem = core.certificate_sign(key, key, { name }, now - 86400, now + PROOF_SECONDS, crypto.sha256(proof))
  local ok, why = put(self, "alpn-" .. name, pem .. key:private_pem())
  return ok and function() drop(self, "alpn-" .. name) end, why
end

provers["dns-01"] = function(self, name, _, proof)
  local record, value = "_acme-challenge." .. name, base64.encode_url(crypto.sha256(proof))
  local fine, ok, why = pcall(self.options.dns, "add", record, value)
  if not fine then return nil, "the function 'dns' failed: " .. tostring(ok) end
  if not ok then return nil, "the function 'dns' failed: " .. tostring(why or "it gave no true") end
  if self.options.dns_wait > 0 then core.sleep(self.options.dns_wait) end
  return function() pcall(self.options.dns, "remove", record, value) end
end

-- The ways that are open for a name, the usual one first; after a failure another one is.
local function ways_for(self, entry)
  local is_wildcard = false
  for _, name in ipairs(entry.names) do is_wildcard = is_wildcard or name:sub(1, 1) == "*" end
  local ways = {}
  for _, way in ipairs(self.options.challenges) do
    if not is_wildcard or way == "dns-01" then ways[#ways + 1] = way end
  end
  for _ = 1, entry.failures % math.max(#ways, 1) do table.insert(ways, table.remove(ways, 1)) end
  return ways
end

local function choose(ways, challenges)
  for _, way in ipairs(ways) do
    for _, challenge in ipairs(challenges) do
      local fits = type(challenge) == "table" and challenge.type == way and type(challenge.url) == "string"
        and type(challenge.token) == "string" and challenge.token:find(TOKEN) and #challenge.token <= TOKEN_MOST
      if fits then return challenge end
    end
  end
end

--- What proves the names of one order: prove(name, challenges, thumbprint) for perilune.acme_client, and finish(),
--- which takes away what was put up.
function acme_challenges.solver(self, entry)
  local ways, done = ways_for(self, entry), {}
  local solver = {}
  function solver.prove(name, challenges, thumbprint)
    local challenge = choose(ways, challenges)
    if not challenge then
      return nil, ("%s: the authority offers none of the challenges %s"):format(name, table.concat(ways, ", "))
    end
    local finish, why = provers[challenge.type](self, name, challenge, challenge.token .. "." .. thumbprint)
    if not finish then return nil, why end
    done[#done + 1] = finish
    return challenge
  end
  function solver.finish() for _, finish in ipairs(done) do finish() end end
  return solver
end

return acme_challenges
