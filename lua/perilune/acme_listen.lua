-- SPDX-License-Identifier: Apache-2.0
-- acme_listen: HTTPS by itself. A listener with the option `acme` gets its certificates from an authority by ACME
-- (RFC 8555), and renews them; see docs/https.md.
--
-- The control worker orders (acme_manager). Workers answer the authority's questions (acme_challenges), let a handshake
-- wait for a certificate that is on its way, and say which names they want on demand. Listeners of one authority and
-- one storage share all of it.

local check = require "perilune.check"
local challenges = require "perilune.acme_challenges"
local core = require "perilune.core"
local manager = require "perilune.acme_manager"
local options = require "perilune.options"
local shared = require "perilune.shared"
local storage = require "perilune.acme_storage"

local acme = {}

local CALL = "perilune.listen: option 'acme'"
local PRODUCTION = "https://acme-v02.api.letsencrypt.org/directory"
local STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
local WAYS = { ["http-01"] = true, ["tls-alpn-01"] = true, ["dns-01"] = true }
local NAMES_MOST, NAME_MOST = 100, 253
local WAIT, LOOK, WAITING_MOST = 8, 0.05, 256 -- of a handshake for its certificate
local ALLOWED_TTL, REFUSED_TTL = 300, 60

local valid = {
  domains = { "list" },         -- names, or arrays of names that share a certificate
  email = { "string" },
  directory = { "string" },     -- URL of the authority's directory
  staging = { "boolean", false },
  ca = { "ca" },                -- PEM file of whom to trust at that URL
  eab = { "table" },            -- { kid, hmac }
  storage = { "any" },          -- path of a directory, or a client of perilune.redis
  http = { "any", ":80" },      -- where to answer http-01 and to redirect; false: nowhere
  challenges = { "list" },      -- names, the one to try first first
  dns = { "function" },         -- ("add" or "remove", name, value)
  dns_wait = { "whole_seconds", 10 }, -- after it has added
  allowed = { "function" },     -- (name): may it have a certificate on demand?
  most = { "positive", 1000 },  -- certificates
  timeout = { "seconds", 15 },  -- of a request to the authority
}

local all = {} -- what was set up, in order

local function fail(format, ...) check.raise(CALL .. ": " .. format:format(...)) end

--- ---------------------------------------------------------------------------------------------------------------
--- options

-- A name in lower case; raises where an authority would give no certificate for it.
local function read_name(name)
  if type(name) ~= "string" then fail("a domain is a string, got a %s value", type(name)) end
  local bare = name:match "^%a+://([^/]*)/?$"
  if bare then fail("'%s' is a URL: a domain is written '%s'", name, bare) end
  local lower = name:lower():gsub("%.$", "")
  local plain = lower:gsub("^%*%.", "")
  if lower:find "^[%d.]+$" or lower:find ":" then fail("'%s' is an address: only names get certificates", name) end
  local fits = #lower <= NAME_MOST and plain:find "^[%w_.-]+$" and plain:find "%." and not plain:find "%.%."
    and not plain:find "^[.-]"
  if not fits then fail("'%s' is no domain such as example.org or *.example.org", name) end
  return lower
end

local function read_domains(list)
  local certificates, seen = {}, {}
  for _, entry in ipairs(list or {}) do
    local names = {}
    for _, name in ipairs(type(entry) == "table" and entry or { entry }) do
      names[#names + 1] = read_name(name)
      if seen[names[#names]] then fail("'%s' is named twice", name) end
      seen[names[#names]] = true
    end
    if #names == 0 or #names > NAMES_MOST then fail("a certificate has 1 to %d names", NAMES_MOST) end
    certificates[#certificates + 1] = names
  end
  return certificates
end

local function read_directory(wanted)
  if wanted.staging and wanted.directory then fail "give 'staging' or 'directory', not both" end
  local url = wanted.directory or (wanted.staging and STAGING or PRODUCTION)
  local is_own = url:find "^http://127%." or url:find "^http://localhost[:/]" or url:find "^http://%[::1%]"
  if not url:find "^https://[^/]" and not is_own then fail("'directory' must be a URL with https://, got '%s'", url) end
  return url
end

local function read_ways(wanted)
  local ways = wanted.challenges
  if not ways then
    ways = {}
    if wanted.http then ways[1] = "http-01" end
    ways[#ways + 1] = "tls-alpn-01"
    if wanted.dns then ways[#ways + 1] = "dns-01" end
  end
  for _, way in ipairs(ways) do
    if not WAYS[way] then
      fail("'challenges': unknown challenge '%s'%s", tostring(way), check.hint(way, check.names(WAYS)))
    end
    if way == "dns-01" and not wanted.dns then fail "dns-01 needs the function 'dns'" end
  end
  if #ways == 0 then fail "'challenges' is empty" end
  return ways
end

local function check_wildcards(wanted)
  for _, names in ipairs(wanted.certificates) do
    for _, name in ipairs(names) do
      if name:sub(1, 1) == "*" and not wanted.dns then fail("'%s' needs dns-01: give the function 'dns'", name) end
    end
  end
end

local function check_eab(eab)
  if eab == nil then return end
  if type(eab.kid) ~= "string" or type(eab.hmac) ~= "string" then fail "'eab' is { kid = ..., hmac = ... }" end
  if not require("perilune.base64").decode_url(eab.hmac) then fail "'eab': hmac is no base64url" end
end

local function check_storage(given)
  local fits = given == nil or type(given) == "string" and given ~= ""
    or type(given) == "table" and not options.fault_of_store(given)
  if not fits then fail "'storage' must be the path of a directory, or a client of perilune.redis" end
end

local function read(given)
  local wanted = options.read(CALL, given, valid, 4)
  wanted.certificates = read_domains(wanted.domains)
  if #wanted.certificates == 0 and not wanted.allowed then fail "give 'domains', or the function 'allowed'" end
  if wanted.email and not wanted.email:find "^[^%s@]+@[^%s@]+$" then fail("'%s' is no e-mail address", wanted.email) end
  if wanted.http ~= false and type(wanted.http) ~= "string" then
    fail "'http' must be an address such as ':80', or false"
  end
  wanted.directory = read_directory(wanted)
  wanted.challenges = read_ways(wanted)
  wanted.ca = wanted.ca and core.path(wanted.ca)
  check_wildcards(wanted)
  check_eab(wanted.eab)
  check_storage(wanted.storage)
  return wanted
end

--- ---------------------------------------------------------------------------------------------------------------
--- for clients without TLS

--- What proves a name to an authority that asks for this path; nil: nothing.
function acme.proof(path)
  if not path:find("/.well-known/acme-challenge/", 1, true) then return nil end
  for _, self in ipairs(all) do
    local proof = challenges.answer_for(self, path)
    if proof then return proof end
  end
end

--- ":8443" of the first listener; empty for the usual port.
function acme.https_port() return all[1] and all[1].https_port or "" end

local plain = {}
function plain.request_filter(session)
  local user = require "perilune.acme"
  return user.answer(session) or user.redirect(session)
end

local opened = {} -- addresses of ours

local function open_plain(address)
  if opened[address] then return end
  opened[address] = true
  local ok, why = pcall(core.listen, address, plain)
  if not ok then
    fail("%s (http = false opens no listener for plain HTTP; then call acme.answer(session) in your own)",
      (tostring(why):gsub("^[^:]+:%d+: ", "")))
  end
end

--- ---------------------------------------------------------------------------------------------------------------
--- handshakes

-- May a name that is in no list have a certificate? Asked once in a while.
local function is_allowed(self, name)
  if not self.options.allowed or not name:find "%." then return false end
  local known = self.verdicts:get(name)
  if known ~= nil then return known end
  if not pcall(read_name, name) or name:find "*" then return false end
  local ok, verdict = pcall(self.options.allowed, name)
  if not ok then
    core.log_about("error", "acme allowed", "acme: the function 'allowed' failed: " .. tostring(verdict))
  end
  verdict = ok and verdict == true
  self.verdicts:set(name, verdict, verdict and ALLOWED_TTL or REFUSED_TTL)
  return verdict
end

-- Waits until there is one in force, it cannot be had now, or the wait is over.
local function await(self, name, id)
  if self.waiting >= WAITING_MOST then return end
  local ends = core.now() + WAIT
  self.waiting = self.waiting + 1
  while not self.live:has(name) and not self.failed:get(id) and core.now() < ends do core.sleep(LOOK) end
  self.waiting = self.waiting - 1
end

-- What the hook gives where the authority wants to see that the name is ours.
local function prove(self, name)
  local pem = challenges.find(self, "alpn-" .. name)
  if pem then return pem, pem, 0 end
  return false
end

local function id_of(self, name)
  return self.id_of[name] or self.id_of[name:gsub("^[^.]*", "*")]
end

-- The hook of a listener; `own` is the policy's, for names that are not ours.
local function hook_of(self, own)
  return function(hello, ctx)
    local name = (hello.server_name or ""):lower():gsub("%.$", "")
    if hello.acme then return prove(self, name) end
    local id = id_of(self, name)
    if not id and name ~= "" and is_allowed(self, name) then
      id = name
      if not self.live:has(name) and not self.failed:get(name) then self.wanted:set(name, true, 60) end
    end
    if id then return await(self, name, id) end
    if own then return own(hello, ctx) end
  end
end

--- ---------------------------------------------------------------------------------------------------------------
--- setting up

-- ":8443"; empty for the usual port, or where it is not known.
local function port_of(address)
  local port = tostring(address):match ":?(%d+)$"
  return port and port ~= "443" and port ~= "0" and ":" .. port or ""
end

-- One for each authority and storage.
local function name_of(wanted)
  local place = type(wanted.storage) == "string" and wanted.storage or type(wanted.storage)
  return ("acme:%s:%s"):format(wanted.directory, place)
end

-- A test that starts the proxy (perilune.test.harness) orders nothing: certificates are of our own making.
local function is_test() return os.getenv "PERILUNE_PRIVATE_FILES" ~= nil end

local function show_own(self, names)
  local crypto = require "perilune.crypto"
  local key, now = crypto.new_key(), core.time()
  local pem = core.certificate_sign(key, key, names, now - 60, now + 86400) .. key:private_pem()
  for _, name in ipairs(names) do self.live:set(name, pem) end
  self.live:set("", pem)
end

local function new(name, wanted, address)
  local self = {
    name = name, options = wanted, storage = storage.new(wanted.storage, wanted.directory), live = core.live(name),
    proofs = shared.dict(name .. ":proofs", { size = 262144 }),
    wanted = shared.dict(name .. ":wanted", { size = 65536 }),
    failed = shared.dict(name .. ":failed", { size = 262144 }),
    verdicts = shared.dict(name .. ":verdicts", { size = 262144 }),
    known_until = core.metric("perilune_acme_not_after_seconds", "gauge",
      "When a certificate of an authority ends, in seconds since 1970.", { "certificate" }, {}),
    orders = core.metric("perilune_acme_orders_total", "counter", "Certificates that were ordered, by result.",
      { "result" }, {}),
    https_port = port_of(address), id_of = {}, entries = {}, by_id = {}, busy = 0, waiting = 0,
  }
  self.new_solver = function(entry) return challenges.solver(self, entry) end
  if core.is_control() and not is_test() then manager.start(self) end
  all[#all + 1] = self
  return self
end

-- Listeners of one authority and one storage share what orders.
local function find(wanted, address)
  local name = name_of(wanted)
  for _, self in ipairs(all) do if self.name == name then return self end end
  return new(name, wanted, address)
end

local function add_names(self, certificates)
  for _, names in ipairs(certificates) do
    if not self.by_id[names[1]] then
      manager.add(self, names)
      for _, name in ipairs(names) do self.id_of[name] = names[1] end
      if core.is_control() and is_test() then show_own(self, names) end
    end
  end
end

--- For perilune.listen: the hooks and the options of a listener with the option `acme`, as C takes them.
function acme.prepare(address, hooks, given)
  local wanted, changed_hooks, changed = read(given.acme), {}, {}
  if type(hooks) ~= "table" then return hooks, given end
  if wanted.http then open_plain(wanted.http) end
  local self = find(wanted, address)
  add_names(self, wanted.certificates)
  if core.is_control() and not is_test() then manager.load(self) end
  for name, value in pairs(hooks) do changed_hooks[name] = value end
  for name, value in pairs(given) do changed[name] = value end
  changed_hooks.certificate = hook_of(self, hooks.certificate)
  changed.acme = self.name
  return changed_hooks, changed
end

--- What the control worker knows of its certificates; in other workers an empty list.
function acme.status()
  local list = {}
  for _, self in ipairs(all) do
    for _, one in ipairs(manager.status(self)) do list[#list + 1] = one end
  end
  return list
end

return acme
