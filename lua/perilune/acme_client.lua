-- SPDX-License-Identifier: Apache-2.0
-- acme_client: speaks ACME (RFC 8555) with a certificate authority, and asks it when to renew (ARI, RFC 9773). It
-- knows no storage and no clock but Retry-After: its caller says which names, and how a name is proved.
--
-- What fails gives nil and a fault: { text, type (of the authority's problem), retry_after (seconds), is_ours (this
-- machine lacks something) }, which tostring makes a sentence of. The authority is not trusted: bodies and rounds are
-- bounded, its URLs must be of the scheme that its directory has, and a certificate that is not for our names and our
-- key is none.

local backoff = require "perilune.backoff"
local base64 = require "perilune.base64"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local date = require "perilune.date"
local http = require "perilune.http"
local json = require "perilune.json"

local acme_client = {}

local PROBLEM = "urn:ietf:params:acme:error:"
local BAD_NONCES = 12            -- that are taken for one request
local POLL_FIRST, POLL_MOST = 0.2, 5
local POLL_ASKED_MOST = 60       -- seconds that the authority may want between two looks
local PATIENCE = 300             -- seconds that an authority may take to check a name, or to sign
local RETRY_MOST = 86400
local BODY_MOST = 262144

--- ---------------------------------------------------------------------------------------------------------------
--- faults

local Fault = { __name = "perilune.acme.fault" }
Fault.__tostring = function(fault) return fault.text end

-- What a server says may go into a log line: no control characters, and not more than a line.
local function in_a_line(text, most)
  text = text:gsub("%c", " ")
  return #text > most and text:sub(1, most) .. "..." or text
end

local function printable(text) return type(text) == "string" and in_a_line(text, 300) or "no reason given" end

-- Its text may have a URL that the server has named.
local function new_fault(text, more)
  local fault = setmetatable(more or {}, Fault)
  fault.text = in_a_line(text, 1000)
  return fault
end

--- A fault of somebody else's sentence.
function acme_client.fault(text, more) return new_fault(tostring(text), more) end

local function problem_fault(response, url)
  local problem = json.decode(response.body or "")
  if type(problem) ~= "table" then problem = {} end
  local kind = type(problem.type) == "string" and printable(problem.type) or nil
  local word = kind and kind:gsub("^" .. PROBLEM, "") or ("status %d"):format(response.status)
  return new_fault(("%s: %s: %s"):format(url, word, printable(problem.detail)),
    { type = kind and word, retry_after = backoff.asked(response.headers, RETRY_MOST), status = response.status })
end

--- ---------------------------------------------------------------------------------------------------------------
--- requests

local Client = { __name = "perilune.acme.client" }
Client.__index = Client

local function fetch(self, given)
  if type(given.url) ~= "string" or given.url:match "^%a+://" ~= self.scheme then
    return nil, new_fault(("the server names the URL '%s', which is not %s"):format(printable(tostring(given.url)),
      self.scheme))
  end
  given.ca, given.timeout, given.limit = self.ca, self.timeout, BODY_MOST
  local response, why, kind = http.request(given)
  if not response then return nil, new_fault(why, { is_ours = backoff.is_ours(kind) }) end
  self.server_time = date.parse_http(response.headers.date or "") or self.server_time
  self.nonce = response.headers["replay-nonce"] or self.nonce
  return response
end

local function read_json(response, url)
  local value = json.decode(response.body)
  if type(value) ~= "table" then return nil, new_fault(url .. ": the answer is no JSON object") end
  return value
end

local function directory(self)
  if self.known then return self.known end
  local response, fault = fetch(self, { url = self.directory })
  if not response then return nil, fault end
  if response.status ~= 200 then return nil, problem_fault(response, self.directory) end
  local known
  known, fault = read_json(response, self.directory)
  if not known then return nil, fault end
  for _, name in ipairs { "newNonce", "newAccount", "newOrder" } do
    if type(known[name]) ~= "string" then
      return nil, new_fault(("%s: no ACME directory: it has no %s"):format(self.directory, name))
    end
  end
  self.known = known
  return known
end

local function take_nonce(self)
  local nonce = self.nonce
  self.nonce = nil
  if nonce then return nonce end
  local response, fault = fetch(self, { url = self.known.newNonce, method = "HEAD" })
  if not response then return nil, fault end
  nonce, self.nonce = self.nonce, nil
  if not nonce then return nil, new_fault(self.known.newNonce .. ": the answer has no nonce") end
  return nonce
end

-- RFC 7515 section 7.2.2: flattened JSON.
local function sign(protected, payload, signer)
  local head, body = base64.encode_url(json.encode(protected)), base64.encode_url(payload)
  return json.encode { protected = head, payload = body, signature = base64.encode_url(signer(head .. "." .. body)) }
end

local function signed_request(self, url, payload, nonce)
  local protected = { alg = "ES256", nonce = nonce, url = url }
  if url == self.known.newAccount then protected.jwk = crypto.jwk(self.key) else protected.kid = self.account_url end
  return { url = url, method = "POST", headers = { ["Content-Type"] = "application/jose+json" },
    body = sign(protected, payload, function(text) return self.key:sign("ES256", text) end) }
end

-- The answer to a signed request; a nonce that is refused is replaced by the next one (RFC 8555 section 6.5). An empty
-- payload reads what lies at the URL.
local function post(self, url, payload)
  for _ = 1, BAD_NONCES do
    local nonce, fault = take_nonce(self)
    if not nonce then return nil, fault end
    local response
    response, fault = fetch(self, signed_request(self, url, payload or "", nonce))
    if not response then return nil, fault end
    if response.status < 400 then return response end
    fault = problem_fault(response, url)
    if fault.type ~= "badNonce" then return nil, fault end
  end
  return nil, new_fault(url .. ": the server has refused every nonce")
end

local function post_json(self, url, payload)
  local response, fault = post(self, url, payload)
  if not response then return nil, fault end
  local value
  value, fault = read_json(response, url)
  return value, fault or response
end

--- ---------------------------------------------------------------------------------------------------------------
--- the account

local function binding(self)
  local secret = base64.decode_url(self.eab.hmac)
  local protected = { alg = "HS256", kid = self.eab.kid, url = self.known.newAccount }
  local signed = sign(protected, json.encode(crypto.jwk(self.key)), function(text)
    return crypto.hmac_sha256(secret, text)
  end)
  return json.decode(signed)
end

local function register(self, known)
  local payload = { termsOfServiceAgreed = true, contact = self.email and { "mailto:" .. self.email } or nil }
  if self.eab then payload.externalAccountBinding = binding(self) end
  local response, fault = post(self, known.newAccount, json.encode(payload))
  if not response then return nil, fault end
  self.account_url = response.headers.location
  if not self.account_url then return nil, new_fault(known.newAccount .. ": the answer names no account") end
  return self.account_url
end

--- Makes sure that there is an account for the key: its URL; nil and a fault. Calls that come while this is under way
--- wait for it.
function Client:register()
  local known, fault = directory(self)
  if not known then return nil, fault end
  while self.is_registering do core.sleep(POLL_FIRST) end
  if self.account_url then return self.account_url end
  self.is_registering = true
  local ok, url
  ok, url, fault = pcall(register, self, known)
  self.is_registering = false
  if not ok then return nil, new_fault(tostring(url)) end
  return url, fault
end

--- ---------------------------------------------------------------------------------------------------------------
--- an order

-- Asks until the status of what lies at the URL is another than those of `pending`.
local function await(self, url, pending)
  local pause, patience_ends = POLL_FIRST, core.now() + PATIENCE
  while true do
    local value, response = post_json(self, url)
    if not value then return nil, response end
    if not pending[value.status] then return value end
    local wait = math.max(backoff.asked(response.headers, POLL_ASKED_MOST) or 0, pause)
    if core.now() + wait > patience_ends then
      return nil, new_fault(("%s: still %s after %d s"):format(url, printable(value.status), PATIENCE))
    end
    core.sleep(wait)
    pause = math.min(pause * 1.5, POLL_MOST)
  end
end

local function reason_of(authorization)
  for _, challenge in ipairs(authorization.challenges or {}) do
    local problem = type(challenge) == "table" and challenge.error
    if type(problem) == "table" then
      local kind = type(problem.type) == "string" and printable(problem.type):gsub("^" .. PROBLEM, "") or "error"
      return ("%s: %s: %s"):format(printable(challenge.type), kind, printable(problem.detail)), kind
    end
  end
  return "no reason given"
end

-- Proves one name. `prove(name, challenges, thumbprint)` makes ready one of them, and gives it.
local function authorize(self, url, prove)
  local authorization, fault = post_json(self, url)
  if not authorization then return nil, fault end
  if authorization.status == "valid" then return true end
  local name = type(authorization.identifier) == "table" and authorization.identifier.value
  if type(name) ~= "string" or type(authorization.challenges) ~= "table" then
    return nil, new_fault(url .. ": no authorization")
  end
  local challenge, why = prove(name, authorization.challenges, base64.encode_url(crypto.thumbprint(self.key)))
  if not challenge then return nil, new_fault(why) end
  local response
  response, fault = post(self, challenge.url, "{}")
  if not response then return nil, fault end
  authorization, fault = await(self, url, { pending = true, processing = true })
  if not authorization then return nil, fault end
  if authorization.status == "valid" then return true end
  local reason, kind = reason_of(authorization)
  return nil, new_fault(("%s could not be proved: %s"):format(printable(name), reason), { type = kind })
end

local function new_order(self, names, replaces)
  local identifiers = {}
  for position, name in ipairs(names) do identifiers[position] = { type = "dns", value = name } end
  local payload = { identifiers = identifiers, replaces = self.known.renewalInfo and replaces or nil }
  local order, response = post_json(self, self.known.newOrder, json.encode(payload))
  if not order and payload.replaces and (response.status == 409 or response.type == "malformed") then
    payload.replaces = nil
    order, response = post_json(self, self.known.newOrder, json.encode(payload))
  end
  if not order then return nil, response end
  local url = response.headers.location
  if not url or type(order.authorizations) ~= "table" or #order.authorizations > 2 * #names
    or type(order.finalize) ~= "string" then
    return nil, new_fault(self.known.newOrder .. ": the answer is no order")
  end
  order.url = url
  return order
end

-- The chain of a signed order.
local function download(self, order)
  if type(order.certificate) ~= "string" then return nil, new_fault(order.url .. ": the order names no certificate") end
  local response, fault = post(self, order.certificate)
  if not response then return nil, fault end
  return response.body
end

-- A certificate for other names or another key would be put in force at once: so it is looked at first.
local function check_chain(chain, key, names)
  local facts, why = core.certificate_facts(chain)
  if not facts then return nil, new_fault("the authority's certificate cannot be read: " .. why) end
  local is_named = {}
  for _, name in ipairs(facts.names) do is_named[name:lower()] = true end
  for _, name in ipairs(names) do
    if not is_named[name] then return nil, new_fault("the authority's certificate is not for " .. name) end
  end
  local public = crypto.key(chain)
  if not public or public:public_pem() ~= key:public_pem() then
    return nil, new_fault "the authority's certificate is for another key"
  end
  return chain
end

local function finalize(self, order, names)
  local key = crypto.new_key "P-256"
  local csr = base64.encode_url(core.certificate_request(key, names))
  local ready, fault = await(self, order.url, { pending = true })
  if not ready then return nil, fault end
  if ready.status == "ready" then
    local response
    response, fault = post(self, order.finalize, json.encode { csr = csr })
    if not response then return nil, fault end
    ready, fault = await(self, order.url, { ready = true, processing = true, pending = true })
    if not ready then return nil, fault end
  end
  if ready.status ~= "valid" then
    local problem = type(ready.error) == "table" and ready.error.detail
    return nil, new_fault(("%s: the order is %s: %s"):format(order.url, printable(ready.status), printable(problem)))
  end
  ready.url = order.url
  local chain
  chain, fault = download(self, ready)
  if not chain then return nil, fault end
  chain, fault = check_chain(chain, key, names)
  return chain and { chain = chain, key = key:private_pem() }, fault
end

--- Orders a certificate: { chain, key }, both PEM; nil and a fault. `prove` is as for authorize; `replaces` names the
--- certificate that it follows (RFC 9773), or is nil.
function Client:obtain(names, prove, replaces)
  local account, fault = self:register()
  if not account then return nil, fault end
  local order
  order, fault = new_order(self, names, replaces)
  if not order and fault.type == "accountDoesNotExist" then
    self.account_url = nil
    account, fault = self:register()
    if not account then return nil, fault end
    order, fault = new_order(self, names, replaces)
  end
  if not order then return nil, fault end
  for _, url in ipairs(order.authorizations) do
    local ok
    ok, fault = authorize(self, url, prove)
    if not ok then return nil, fault end
  end
  return finalize(self, order, names)
end

--- ---------------------------------------------------------------------------------------------------------------
--- when to renew

--- How RFC 9773 calls a certificate, of its facts; nil: it does not say by whom it is signed.
function acme_client.name_of(facts)
  if facts.authority == "" or facts.serial == "" then return nil end
  return base64.encode_url(crypto.from_hex(facts.authority)) .. "." .. base64.encode_url(crypto.from_hex(facts.serial))
end

--- From when to when the authority wants a certificate renewed, and in how many seconds to ask again; nil and a fault;
--- nil alone: it does not say.
function Client:renewal(name)
  local known, fault = directory(self)
  if not known then return nil, fault end
  if type(known.renewalInfo) ~= "string" then return nil end
  local url = known.renewalInfo:gsub("/$", "") .. "/" .. name
  local response
  response, fault = fetch(self, { url = url })
  if not response then return nil, fault end
  if response.status ~= 200 then return nil, problem_fault(response, url) end
  local info = json.decode(response.body)
  local window = type(info) == "table" and info.suggestedWindow
  if type(window) ~= "table" then return nil, new_fault(url .. ": the answer has no window") end
  local from = type(window.start) == "string" and date.parse_iso8601(window.start)
  local to = type(window["end"]) == "string" and date.parse_iso8601(window["end"])
  if not from or not to or to < from then return nil, new_fault(url .. ": the window is no time") end
  return { from = from, to = to, again = backoff.asked(response.headers, RETRY_MOST) or 21600 }
end

--- A client of the authority whose directory lies at a URL. `given` has key (of the account), account_url (if known),
--- email, eab = { kid, hmac }, ca and timeout.
function acme_client.new(url, given)
  return setmetatable({
    directory = url, scheme = url:match "^%a+://", key = given.key, account_url = given.account_url,
    email = given.email, eab = given.eab, ca = given.ca, timeout = given.timeout or 15,
    known = false, nonce = nil, server_time = false,
  }, Client)
end

return acme_client
