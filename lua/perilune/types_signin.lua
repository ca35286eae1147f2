-- SPDX-License-Identifier: Apache-2.0
-- The default policies for sign-in as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- Sign-in: default policies that find out who asks, for request_filter. Each returns true if it has answered the
--- request, so that a policy begins with `if check(session, ctx) then return true end`

--- The option `answer` of all default policies that refuse requests: access_control, api_keys, basic_auth,
--- client_certificate, files, forward_auth, maintenance, oidc, rate_limit and token_auth. The status and the fields that
--- belong to it (WWW-Authenticate, Retry-After, X-Rate-Limit-* and so on) are sent in any case; `answer` decides on the rest:
---
--- - "text", the default: a line such as `401 Unauthorized: the key is unknown`
--- - "json": the same as a problem of RFC 9457, `{"detail":"the key is unknown","status":401,"title":"Unauthorized"}`
--- - "none": no body
--- - a table `{ body, headers, status }`, each of which may be missing: always this answer
--- - a function `answer(session, status, why)`, which is given the status and the sentence. It returns a body, or such a
---   table, or answers by session:respond and returns true (then nothing is added to what it says). It may wait
---
--- Fields of the table have priority over those that belong to the status. A body is text/plain unless they say otherwise.
---
--- ```lua
--- local function answer(session, status, why)
---   return { body = perilune.json.encode { error = why }, headers = { ["Content-Type"] = "application/json" } }
--- end
--- local keys = require("perilune.api_keys").new { keys = { shop = "s3cret" }, answer = answer }
--- local limit = require("perilune.rate_limit").new { by = "address", max = 100, answer = answer }
--- ```
---@alias perilune.refusal_answer "text"|"json"|"none"|table|fun(session: perilune.session, status: integer, why: string): string|table|true

---@class perilune.basic_auth
local basic_auth = {}
---@class perilune.basic_auth_options
---@field users? table<string, string> the hash of each user's password; or
---@field file? string a file with a line name:hash for each user, as htpasswd writes it, relative to the policy; or both
---@field realm? string what browsers show; "restricted"
---@field remember? perilune.duration seconds that a name and password which were right are remembered, by all workers; 300
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.basic_auth". For request_filter: returns true if it has asked for credentials (401); otherwise
--- ctx.user is the user's name. Use it only with TLS.
---
--- A hash is one of bcrypt ($2y$), SHA-crypt ($5$, $6$), yescrypt ($y$) or argon2 ($argon2id$...), as htpasswd -B, mkpasswd,
--- openssl passwd and argon2 -e make them; for secrets that are long and random, "sha256:" and the digest in hexadecimal; for
--- tests, "plain:" and the password. Slow hashes are checked in threads of their own, one check for equal requests at the
--- same time; a name that nobody has costs as much as one that somebody has. While 64 checks wait in the process, further ones
--- get 503 with Retry-After. The file is read again when it has changed; one with mistakes is refused with its line, and the
--- users from before stay.
---@param options perilune.basic_auth_options
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
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.token_auth": signed tokens (JWT). For request_filter: returns true if it has refused the
--- request (401); otherwise ctx.claims has the claims of the token.
---
--- A token cannot choose how it is checked: algorithms that are not listed are refused, "none" always is, and each one
--- goes with one kind of key. The set of keys is kept for an hour and shared by all workers; if the provider does not
--- answer, the last set stays for a week. Without any set the answer is 503. A set has at most 256 KiB and 100 keys.
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

---@class perilune.oidc
local oidc = {}
---@class perilune.oidc_options
---@field issuer string URL of the provider; what it says of itself is found there
---@field client_id string
---@field client_secret? string without: a public client, with PKCE alone
---@field redirect_uri string URL of this site to which the provider sends browsers back; it needs a path of its own
---@field secret string of the cookies, 32 characters or more; the same on all proxies of a site
---@field scopes? string[] { "openid", "profile", "email" }; "offline_access" for a refresh token with many providers
---@field claims? string[] that the session keeps; { "sub", "name", "email", "preferred_username" }
---@field allow? fun(claims: table): boolean may this person come in? Asked at sign-in, with all claims
---@field logout_path? string signs out; "/signout"
---@field cookie? string its name; "perilune_session"
---@field max_age? perilune.duration seconds that a session lasts, renewed or not; 28800
---@field leeway? perilune.duration seconds that clocks may differ; 30
---@field timeout? perilune.duration seconds that the provider may take to answer; 5
---@field ca? string PEM file of the authorities to trust for the provider; by default the system's
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.oidc": people sign in at an OpenID provider (authorization code flow with PKCE). For
--- request_filter: returns true if it has answered; otherwise ctx.claims has the claims of the session. A page is sent
--- to the provider, and comes back after sign-in; other requests get 401. The session is in an encrypted cookie, which
--- the peer does not get. If the provider gives a refresh token, the session is renewed while it is in use. See
--- docs/signin.md.
---@param options perilune.oidc_options
---@return fun(session: perilune.session, ctx?: table): boolean
function oidc.new(options) end

---@class perilune.forward_auth
local forward_auth = {}
---@class perilune.forward_auth_options
---@field url string what is asked, by GET
---@field send? string[] fields of the request that the service gets, beside X-Forwarded-Method, -Proto, -Host, -Uri and -For;
--- { "Authorization", "Cookie" }
---@field copy? string[] fields of its answer that the peer gets, instead of the client's; {}
---@field ttl? perilune.duration seconds that a verdict is kept for equal questions; without it, each request asks
---@field timeout? perilune.duration 2
---@field on_error? "open"|"closed" open: requests pass while the service does not answer, closed: they get 503; "closed"
---@field name? string of the kept verdicts, and in the log; "forward_auth"
---@field size? integer|string bytes of verdicts that are kept; 4 MiB
---@field ca? string PEM file of the authorities to trust at the URL; by default the system's
---@field answer? perilune.refusal_answer what a client gets while the service does not answer; "text"

--- require "perilune.forward_auth": a service says whether a request may pass. For request_filter: returns true if it
--- has answered. 2xx lets the request pass; any other answer below 500 goes to the client, with Location,
--- WWW-Authenticate, Set-Cookie, Content-Type and Retry-After. Equal requests at the same time ask once, where `ttl` is
--- given.
---@param options perilune.forward_auth_options
---@return fun(session: perilune.session, ctx?: table): boolean
function forward_auth.new(options) end

---@class perilune.api_keys
local api_keys = {}
---@class perilune.api_keys_options
---@field keys? table<string, string> a key for each owner, or "sha256:" and its digest in hexadecimal; or
---@field find? fun(digest: string): string?, string? the owner of a key, by the SHA-256 of the key in hexadecimal; nil: nobody;
--- nil and why: it cannot be said (503). It may wait
---@field header? string "X-API-Key"
---@field forward? boolean does the peer get the field, too? false
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.api_keys": keys of programs. For request_filter: returns true if it has refused the request (401);
--- otherwise ctx.api_key is the owner.
---@param options perilune.api_keys_options
---@return fun(session: perilune.session, ctx?: table): boolean
function api_keys.new(options) end

---@class perilune.client_certificate_rules
local client_certificate = {}
---@class perilune.client_certificate_options
---@field subjects? string[] as session:tls().client has them; "*" stands for any text: "CN=*,O=Ops"
---@field issuers? string[] likewise
---@field fingerprints? string[] SHA-256 in hexadecimal
---@field serials? string[] in hexadecimal
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.client_certificate": which client certificates may come in, on a listener with client_ca and
--- client_verify. For request_filter: returns true if it has refused the request (403); otherwise ctx.subject is the
--- subject. Of each option that is given, one entry must fit.
---@param options perilune.client_certificate_options
---@return fun(session: perilune.session, ctx?: table): boolean
function client_certificate.new(options) end
