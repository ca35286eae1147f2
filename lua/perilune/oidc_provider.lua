-- SPDX-License-Identifier: Apache-2.0
-- oidc_provider: what an OpenID provider says of itself (OpenID Connect Discovery 1.0), and the requests to it that
-- carry secrets. What it says is shared by all workers, and kept while it does not answer.

local base64 = require "perilune.base64"
local download = require "perilune.download"
local http = require "perilune.http"
local json = require "perilune.json"
local jwks = require "perilune.jwks"
local jwt = require "perilune.jwt"
local shared = require "perilune.shared"
local url = require "perilune.url"

local oidc_provider = {}

local ANSWER_MOST, URL_MOST = 262144, 1000
local ALGORITHMS = { RS256 = true, PS256 = true, ES256 = true, EdDSA = true }

local Provider = {}
Provider.__index = Provider

-- Why it says nothing that can be used; nil: it does. Every address is of the issuer's scheme: a provider by https is
-- not left for one without.
local function fault_of(self, facts)
  if type(facts) ~= "table" then return "no JSON object" end
  if facts.issuer ~= self.issuer then
    return ("it is of another issuer, '%s'"):format(tostring(facts.issuer):gsub("%c", " "):sub(1, URL_MOST))
  end
  local scheme = self.issuer:match "^https?://"
  for _, name in ipairs { "authorization_endpoint", "token_endpoint", "jwks_uri" } do
    local address = facts[name]
    if type(address) ~= "string" or #address > URL_MOST or address:sub(1, #scheme) ~= scheme then
      return name .. " is missing, unsafe or too long"
    end
  end
end

local function fetch(self)
  local where = self.issuer:gsub("/$", "") .. "/.well-known/openid-configuration"
  return download.json({ url = where, ca = self.ca, timeout = self.timeout, limit = ANSWER_MOST }, function(facts)
    return fault_of(self, facts)
  end)
end

--- Its addresses; nil and why.
function Provider:facts() return self.kept:get "facts" end

-- RFC 6749 section 2.3.1: both parts are encoded as in a form.
local function credentials(self, facts, form)
  local ways = type(facts.token_endpoint_auth_methods_supported) == "table"
    and facts.token_endpoint_auth_methods_supported or { "client_secret_basic" }
  local is_basic = false
  for _, way in ipairs(ways) do is_basic = is_basic or way == "client_secret_basic" end
  form.client_id = self.client_id
  if not self.client_secret then return nil end
  if not is_basic then
    form.client_secret = self.client_secret
    return nil
  end
  return "Basic " .. base64.encode(url.encode(self.client_id) .. ":" .. url.encode(self.client_secret))
end

-- Tokens for a code or a refresh token; nil, why, and true where the provider has refused it.
local function tokens(self, form)
  local facts, why = self:facts()
  if not facts then return nil, why end
  local authorization = credentials(self, facts, form)
  local answer
  answer, why = http.request { url = facts.token_endpoint, method = "POST", body = url.build_query(form),
    headers = { ["Content-Type"] = "application/x-www-form-urlencoded", Accept = "application/json",
      Authorization = authorization }, ca = self.ca, timeout = self.timeout, limit = ANSWER_MOST }
  if not answer then return nil, why end
  local body = json.decode(answer.body)
  if answer.status ~= 200 or type(body) ~= "table" then
    local said = type(body) == "table" and type(body.error) == "string" and body.error:gsub("%c", " "):sub(1, 100)
    return nil, ("%s: status %d, %s"):format(facts.token_endpoint, answer.status, said or "no error named"),
      answer.status == 400 or answer.status == 401
  end
  return body
end

--- Tokens for the code of a login.
function Provider:redeem(code, verifier)
  return tokens(self, { grant_type = "authorization_code", code = code, redirect_uri = self.redirect_uri,
    code_verifier = verifier })
end

--- Tokens for a refresh token.
function Provider:refresh(token) return tokens(self, { grant_type = "refresh_token", refresh_token = token }) end

--- The claims of an ID token (OpenID Connect Core section 3.1.3.7); nil and why. `nonce` is that of the login; nil: it
--- is of a refresh.
function Provider:check(id_token, nonce)
  local facts, why = self:facts()
  if not facts then return nil, why end
  if not self.set or self.set.url ~= facts.jwks_uri then
    self.set = jwks.new(facts.jwks_uri, { ca = self.ca, timeout = self.timeout })
  end
  if type(id_token) ~= "string" then return nil, "there is no ID token" end
  local claims
  claims, why = jwt.check(id_token, { allowed = ALGORITHMS, named = "an algorithm that counts", issuer = self.issuer,
    audience = self.client_id, leeway = self.leeway,
    find = function(algorithm, kid) return self.set:find(algorithm, kid) end })
  if not claims then return nil, why end
  if type(claims.exp) ~= "number" or type(claims.sub) ~= "string" then return nil, "the token has no exp or no sub" end
  if nonce and claims.nonce ~= nonce then return nil, "the token is of another login" end
  local is_shared = type(claims.aud) == "table" and #claims.aud > 1
  if (is_shared or claims.azp ~= nil) and claims.azp ~= self.client_id then
    return nil, "the token is for somebody else"
  end
  return claims
end

--- The provider of an issuer; `given` has issuer, client_id, client_secret, redirect_uri, ca, timeout, leeway.
function oidc_provider.new(given)
  local self = setmetatable({}, Provider)
  for name, value in pairs(given) do self[name] = value end
  self.kept = shared.shared_dict("oidc:" .. self.issuer, { ttl = 3600, stale = 7 * 86400, retry = 5,
    timeout = self.timeout, fetch = function() return fetch(self) end })
  return self
end

return oidc_provider
