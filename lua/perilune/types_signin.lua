-- SPDX-License-Identifier: Apache-2.0
-- The default policies for sign-in as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- Sign-in: default policies that find out who asks, for request_filter. Each returns true if it has answered the request,
--- so that a policy begins with `if check(session, ctx) then return true end`

---@class perilune.basic_auth
local basic_auth = {}
--- require "perilune.basic_auth". For request_filter: returns true if it has asked for credentials (401); otherwise
--- ctx.user is the user's name. `users` has a password for each name, or "sha256:" and its digest in hexadecimal. They
--- are compared in constant time.
---@param options { users: table<string, string>, realm: string? }
---@return fun(session: perilune.session, ctx?: table): boolean
function basic_auth.new(options) end

---@class perilune.token_auth
local token_auth = {}
---@class perilune.token_auth_options
---@field secret? string of HS256; or
---@field keys? (string|table)[] public keys as PEM texts or JWKs; or
---@field jwks? string the URL of a set of keys (RFC 7517)
---@field algorithms? string[] which count; with a secret { "HS256" }, with keys { "RS256", "PS256", "ES256", "EdDSA" }; also
--- RS384, RS512, PS384, PS512, ES384, ES512
---@field ca? string PEM file of the authorities to trust at the URL of jwks; by default the system's
---@field timeout? perilune.duration seconds that asking there may take; 5
---@field floor? perilune.duration seconds at least between two times that it is asked for a key it has not named; 30
---@field issuer? string the claim `iss` must be this
---@field audience? string the claim `aud` must be this, or contain it
---@field leeway? perilune.duration seconds that clocks may differ; 0

--- require "perilune.token_auth": signed tokens (JWT). For request_filter: returns true if it has refused the
--- request (401); otherwise ctx.claims has the claims of the token.
---
--- A token cannot choose how it is checked: algorithms that are not listed are refused, "none" always is, and each one goes
--- with one kind of key. The set of keys is kept for an hour and shared by all workers; if the provider does not answer, the
--- last set stays for a week. Without any set the answer is 503. A set has at most 256 KiB and 100 keys.
---@param options perilune.token_auth_options
---@return fun(session: perilune.session, ctx?: table): boolean
function token_auth.new(options) end
---@param token string
---@param options perilune.token_auth_options
---@return table? claims, string? message
function token_auth.verify(token, options) end
--- A token with these claims: by HS256 with a secret, or with a private key (RS256, ES256, ES384, ES512 or EdDSA).
---@param claims table
---@param key string|perilune.key a secret, or a private key, also as PEM
---@param kid? string the name of the key
---@return string token
function token_auth.sign(claims, key, kid) end
