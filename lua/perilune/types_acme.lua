-- SPDX-License-Identifier: Apache-2.0
-- perilune.acme as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- The option `acme` of perilune.listen: HTTPS by itself. docs/https.md is the guide

--- The listener gets its certificates from an authority by ACME (RFC 8555), and renews them. A new one comes into force
--- without a reload. If none can be had, the old one stays, the log says why, and it is tried again; other listeners serve
--- all the time. Keys are ECDSA P-256. Using it means that you agree to the authority's terms of service.
---@class perilune.acme_options
---@field domains? (string|string[])[] names such as "example.org"; names in an array share a certificate. "*.example.org"
--- needs `dns`. The first one is also shown to clients that name none, or one that is not there
---@field email? string where the authority may write to
---@field staging? boolean use the staging authority of Let's Encrypt, for trials; false
---@field directory? string URL of another authority's directory; Let's Encrypt's
---@field ca? string PEM file of whom to trust at that URL; by default the system's authorities
---@field eab? { kid: string, hmac: string } external account binding, if the authority wants it; hmac in base64url
---@field storage? string|perilune.redis.client the path of a directory, relative to the script, or a client of perilune.redis,
--- for proxies that share certificates; $STATE_DIRECTORY/acme, root's /var/lib/perilune/acme, or
--- ~/.local/share/perilune/acme
---@field http? string|false where to answer http-01 and to send all other requests to https; ":80"; false: nowhere
---@field challenges? ("http-01"|"tls-alpn-01"|"dns-01")[] which ways to prove a name, the first one first; after a failure
--- the next one is tried. By default http-01 if `http` is an address, tls-alpn-01, and dns-01 if `dns` is given
---@field dns? fun(action: "add"|"remove", name: string, value: string): boolean?, string? adds or removes a TXT record; true:
--- done; nil and why: it failed. It may wait
---@field dns_wait? perilune.duration seconds that name servers need to show a new record; 10
---@field allowed? fun(name: string): boolean may a name that is in no list have a certificate when a client asks for it? The
--- result is kept for 5 minutes (no: 1 minute). It may wait
---@field most? integer certificates at most, those on demand included; 1000
---@field timeout? perilune.duration seconds that the authority may take to answer a request; 15

---@class perilune.acme
local acme = {}

--- Answers the question of an authority (http-01), for a policy with a listener of its own for plain HTTP: true if the
--- request was one. Then give `http = false`.
---@param session perilune.session
---@return boolean
function acme.answer(session) end
--- Sends the client to the same place by https, with 301 or (for other methods than GET and HEAD) 308.
---@param session perilune.session
---@return boolean
function acme.redirect(session) end
--- What the control worker knows of its certificates. not_after and renew_at are times; why is the last failure. In other
--- workers the list is empty.
---@return { name: string, names: string[], not_after: number?, renew_at: number?, failures: integer, why: string? }[]
function acme.status() end
