-- SPDX-License-Identifier: Apache-2.0
-- oidc: people sign in at an OpenID provider (authorization code flow with PKCE). The session is in a cookie that
-- nobody can read or change (AES-256-GCM), so there is nothing to keep here.
--
--   local login = oidc.new { issuer = "https://login.example", client_id = "shop", client_secret = os.getenv "SECRET",
--     redirect_uri = "https://shop.example/signin/callback", secret = os.getenv "COOKIE_SECRET" }
--   function policy.request_filter(session, ctx) return login(session, ctx) end     -- sets ctx.claims
--
-- The callback counts only with the cookie of the browser that began (state), for an ID token of this login (nonce),
-- and leads back to a path of this site alone.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local cookie = require "perilune.cookie"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local json = require "perilune.json"
local options = require "perilune.options"
local provider = require "perilune.oidc_provider"
local refusal = require "perilune.refusal"
local said = require "perilune.said"
local url = require "perilune.url"
require "perilune.session" -- session:cookies

---@type perilune.oidc
local oidc = {}

local LOGIN_TTL = 600      -- seconds that somebody may take to sign in
local COOKIE_MOST = 3900   -- bytes; browsers drop longer ones
local TARGET_MOST = 1024
local GRACE = 300          -- seconds for which requests that cannot be sent elsewhere pass after the tokens' time

local valid = {
  issuer = { "string", options.required },
  client_id = { "string", options.required },
  client_secret = { "string" },
  redirect_uri = { "string", options.required },
  secret = { "string", options.required },            -- of the cookies; 32 characters or more
  scopes = { "list", { "openid", "profile", "email" } },
  claims = { "list", { "sub", "name", "email", "preferred_username" } }, -- that the session keeps
  allow = { "function" },                             -- (claims): may they come in?
  logout_path = { "path", "/signout" },
  cookie = { "field", "perilune_session" },
  max_age = { "whole_seconds", 28800 },
  leeway = { "whole_seconds", 30 },
  timeout = { "seconds", 5 },
  ca = { "ca" },
  answer = refusal.option,
}

--- ---------------------------------------------------------------------------------------------------------------
--- cookies

local function seal(self, what, value)
  return base64.encode_url(crypto.seal(self.key, json.encode(value), what))
end

-- The value that was sealed; nil: it is none of ours, or its time is over.
local function unseal(self, what, text)
  local sealed = text and #text <= 2 * COOKIE_MOST and base64.decode_url(text)
  local plain = sealed and crypto.unseal(self.key, sealed, what)
  local value = plain and json.decode(plain)
  return type(value) == "table" and type(value["until"]) == "number" and core.time() < value["until"] and value or nil
end

local function build(self, name, text, max_age, path)
  return cookie.build(name, text, { path = path, max_age = max_age, http_only = true, secure = self.is_secure,
    same_site = "Lax" })
end

-- The provider's addresses may have a query of their own.
local function with_query(address, values)
  return address .. (address:find("?", 1, true) and "&" or "?") .. url.build_query(values)
end

local function redirect(session, location, cookies)
  return session:respond { status = 302,
    headers = { Location = location, ["Set-Cookie"] = cookies, ["Cache-Control"] = "no-store" } }
end

local function refuse(self, session, status, why)
  return self.refuse(session, status, why, { ["Cache-Control"] = "no-store" })
end

--- ---------------------------------------------------------------------------------------------------------------
--- signing in

-- "//evil.example" and "/\evil.example" lead to other sites.
local function safe_target(target)
  local is_safe = #target <= TARGET_MOST and target:find "^/" and not target:find "^/[/\\]" and not target:find "%c"
  return is_safe and target or "/"
end

local function login_cookie(self, state) return self.cookie .. "_" .. state:sub(1, 12) end

local function begin(self, session)
  local facts, why = self.provider:facts()
  if not facts then
    core.log_about("error", "oidc provider", "oidc: " .. tostring(why))
    return refuse(self, session, 503, "the sign-in service cannot be reached")
  end
  local state, nonce = base64.encode_url(crypto.random(18)), base64.encode_url(crypto.random(18))
  local verifier = base64.encode_url(crypto.random(32))
  local query = {
    response_type = "code", client_id = self.client_id, redirect_uri = self.redirect_uri, state = state, nonce = nonce,
    scope = table.concat(self.scopes, " "), code_challenge_method = "S256",
    code_challenge = base64.encode_url(crypto.sha256(verifier)),
  }
  local sealed = seal(self, "login", { state = state, nonce = nonce, verifier = verifier,
    target = safe_target(session:target()), ["until"] = core.time() + LOGIN_TTL })
  return redirect(session, with_query(facts.authorization_endpoint, query),
    { build(self, login_cookie(self, state), sealed, LOGIN_TTL, self.callback_path) })
end

-- What the session keeps of claims and tokens.
local function session_of(self, claims, tokens, ends)
  local kept = {}
  for _, name in ipairs(self.claims) do kept[name] = claims[name] end
  local lifetime = said.seconds(tokens.expires_in) or claims.exp - core.time()
  return { claims = kept, ["until"] = ends, fresh_until = core.time() + math.max(lifetime, 60),
    refresh = type(tokens.refresh_token) == "string" and tokens.refresh_token or nil }
end

-- The cookie of a session; without the refresh token where it would be too long; nil: even so.
local function session_cookie(self, value)
  local text = seal(self, "session", value)
  if #text > COOKIE_MOST and value.refresh then
    value.refresh = nil
    text = seal(self, "session", value)
  end
  if #text > COOKIE_MOST then return nil end
  return build(self, self.cookie, text, math.max(math.floor(value["until"] - core.time()), 1), "/")
end

local function finish_login(self, session, login, code)
  local tokens, why = self.provider:redeem(code, login.verifier)
  local claims
  if tokens then claims, why = self.provider:check(tokens.id_token, login.nonce) end
  if not claims then
    core.log_about("error", "oidc sign-in", "oidc: sign-in failed: " .. tostring(why))
    return refuse(self, session, 502, "signing in has failed")
  end
  if self.allow and not self.allow(claims) then return refuse(self, session, 403, "you may not come in") end
  local text = session_cookie(self, session_of(self, claims, tokens, core.time() + self.max_age))
  if not text then
    core.log_about("error", "oidc claims",
      "oidc: the claims are too long for a cookie: keep fewer, by the option 'claims'")
    return refuse(self, session, 500, "what the sign-in service says of you is too long")
  end
  local spent = build(self, login_cookie(self, login.state), "", 0, self.callback_path)
  return redirect(session, login.target, { text, spent })
end

local function callback(self, session)
  local query = session:query_args()
  local state = query.state or ""
  local login = unseal(self, "login", session:cookies()[login_cookie(self, state)])
  if not login or not crypto.equal(login.state, state) then
    return refuse(self, session, 400, "this sign-in was not begun here, or took too long: go back and try again")
  end
  if query.error then
    core.log_about("info", "oidc refusal",
      "oidc: the provider has refused: " .. query.error:gsub("%c", " "):sub(1, 100))
    return refuse(self, session, 403, "signing in was refused")
  end
  if not query.code then return refuse(self, session, 400, "the sign-in service has sent no code") end
  return finish_login(self, session, login, query.code)
end

--- ---------------------------------------------------------------------------------------------------------------
--- sessions

local function sign_out(self, session)
  local facts = self.provider:facts()
  local where = facts and type(facts.end_session_endpoint) == "string" and facts.end_session_endpoint or "/"
  if where ~= "/" then where = with_query(where, { client_id = self.client_id }) end
  return redirect(session, where, { build(self, self.cookie, "", 0, "/") })
end

-- Does a browser show the answer as a page? Anything else cannot sign in.
local function is_page(session)
  local mode = session:get_header "sec-fetch-mode"
  return (session:method() == "GET" or session:method() == "HEAD") and (mode == nil or mode == "navigate")
end

-- The peer gets no session.
local function hide_cookie(self, session)
  local kept = {}
  for part in (session:get_header "cookie" or ""):gmatch "[^;]+" do
    local name = part:match "^%s*([^=%s]+)"
    if name and name:sub(1, #self.cookie) ~= self.cookie then kept[#kept + 1] = part:match "^%s*(.-)%s*$" end
  end
  local request = session:request()
  if #kept > 0 then request:set_header("Cookie", table.concat(kept, "; ")) else request:remove_header "Cookie" end
end

-- New tokens, and back to the same page with them. False: the session is over; nil: it goes on as it is.
local function refresh(self, session, value)
  local tokens, why, is_refused = self.provider:refresh(value.refresh)
  if not tokens then
    core.log_about("warn", "oidc session", "oidc: a session is not renewed: " .. tostring(why))
    if is_refused then return false end
    return nil
  end
  local claims = value.claims
  if tokens.id_token then
    local fresh
    fresh, why = self.provider:check(tokens.id_token)
    if not fresh or fresh.sub ~= claims.sub then
      core.log_about("warn", "oidc session",
        "oidc: a session is not renewed: " .. tostring(why or "it is of somebody else"))
      return false
    end
    claims = fresh
  end
  tokens.refresh_token = tokens.refresh_token or value.refresh
  local next_value = session_of(self, { exp = core.time() + 300 }, tokens, value["until"])
  for _, name in ipairs(self.claims) do next_value.claims[name] = claims[name] end
  local text = session_cookie(self, next_value)
  return text and redirect(session, safe_target(session:target()), { text }) or nil
end

local function filter(self, session, ctx)
  local path = session:path()
  if path == self.callback_path then return callback(self, session) end
  if path == self.logout_path then return sign_out(self, session) end
  local value = unseal(self, "session", session:cookies()[self.cookie])
  local is_old = value and value.refresh and core.time() >= value.fresh_until
  if is_old and is_page(session) then
    local answered = refresh(self, session, value)
    if answered then return true end
    if answered == false then value = nil end
  elseif is_old and core.time() >= value.fresh_until + GRACE then
    value = nil
  end
  if not value then
    if is_page(session) then return begin(self, session) end
    return refuse(self, session, 401, "sign in first")
  end
  hide_cookie(self, session)
  if ctx then ctx.claims = value.claims end
  return false
end

local function check_options(wanted)
  local is_own = wanted.issuer:find "^http://127%." or wanted.issuer:find "^http://localhost[:/]"
  if not wanted.issuer:find "^https://[^/]" and not is_own then
    check.raise(("oidc.new: option 'issuer' must be a URL with https://, got '%s'"):format(wanted.issuer))
  end
  local path = wanted.redirect_uri:match "^https?://[^/?#]+(/[^?#]*)$"
  if not path then
    check.raise(("oidc.new: option 'redirect_uri' must be a URL of this site with a path of its own, such as "
      .. "\"https://app.example/callback\"; got '%s'"):format(wanted.redirect_uri))
  end
  if #wanted.secret < 32 then check.raise "oidc.new: option 'secret' must have 32 characters or more" end
  if path == wanted.logout_path then check.raise "oidc.new: redirect_uri and logout_path must not be the same" end
  return path
end

--- A function for request_filter: true says that it has answered the request.
function oidc.new(given, ...)
  check.no_more("oidc.new", "its options are one table", ...)
  local self = options.read("oidc.new", given, valid)
  self.callback_path = check_options(self)
  self.refuse = refusal.new("oidc.new", self.answer)
  self.is_secure = self.redirect_uri:find "^https:" ~= nil
  self.key = crypto.sha256("perilune.oidc\0" .. self.secret)
  self.provider = provider.new { issuer = self.issuer, client_id = self.client_id, client_secret = self.client_secret,
    redirect_uri = self.redirect_uri, ca = self.ca, timeout = self.timeout, leeway = self.leeway }
  return function(session, ctx) return filter(self, session, ctx) end
end

return oidc
