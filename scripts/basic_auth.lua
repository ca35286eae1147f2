-- SPDX-License-Identifier: Apache-2.0
-- basic_auth: user names and passwords (RFC 7617). Use it only with TLS.
--
--   local login = basic_auth.new { realm = "office", file = "users.htpasswd" }
--   local login = basic_auth.new { users = { ada = "$2y$10$...", ci = "sha256:<64 digits>", bob = "plain:secret" } }
--   function policy.request_filter(session, ctx) return login(session, ctx) end     -- sets ctx.user
--
-- A browser sends the password with each request, and a good hash takes a tenth of a second: so pairs that were right
-- are remembered, by all workers, under an HMAC of name, password and hash. Wrong ones never are: each costs a check in
-- one of a few threads, behind a bounded queue, and so does a name that nobody has: it is checked against the hash of
-- somebody, always the same one.

local base64 = require "perilune.base64"
local check = require "perilune.check"
local core = require "perilune.core"
local htpasswd = require "perilune.htpasswd"
local options = require "perilune.options"
local own_files = require "perilune.own_files"
local password = require "perilune.password"
local refusal = require "perilune.refusal"
local seldom = require "perilune.seldom"

---@type perilune.basic_auth
local basic_auth = {}

local REMEMBERED = 1048576 -- bytes of all pairs
local AGAIN = "2"          -- seconds after which a client may ask again

local valid = {
  users = { "table" },           -- name = hash
  file = { "string" },           -- a line name:hash for each user
  realm = { "string", "restricted" },
  remember = { "seconds", 300 }, -- how long a pair that was right is
  answer = refusal.option,
}

--- ---------------------------------------------------------------------------------------------------------------
--- users

-- The users of the table `given`.
local function read_users(given)
  local users = {}
  for name, text in pairs(given or {}) do
    local hash, fault = password.read(text)
    if type(name) ~= "string" or name:find ":" then
      check.raise(("basic_auth.new: '%s' is no name of a user: a text without a colon"):format(tostring(name)))
    end
    if not hash then check.raise(("basic_auth.new: the password of '%s': %s"):format(tostring(name), fault)) end
    users[name] = hash
  end
  return users
end

-- Those and the ones of the file; nil and why.
local function with_file(users, path)
  local all, why = htpasswd.read(path)
  if not all then return nil, why end
  for name, hash in pairs(users) do
    if all[name] then return nil, ("%s:%d: '%s' is in 'users', too"):format(path, all[name].line, name) end
    all[name] = hash
  end
  return all
end

local function set_users(self, users)
  self.users, self.names = users, check.names(users)
end

-- The file is read again when it has changed; one that has mistakes leaves the users as they are.
local function watch(self, path)
  own_files.watch(self.file, function()
    local users, why = with_file(self.given, path)
    if users then
      set_users(self, users)
      if core.worker() == 0 then core.log.info(("basic_auth: %s: %d users"):format(path, #self.names)) end
    elseif core.worker() == 0 then
      core.log.error(("basic_auth: %s; the users of before stay"):format(why))
    end
  end)
end

-- The hash of the user, or the one that stands for a name that nobody has.
local function hash_of(self, name)
  local hash = self.users[name]
  if hash then return hash, true end
  local a, b, c = core.password_tag(name):byte(1, 3)
  return self.users[self.names[(a * 65536 + b * 256 + c) % #self.names + 1]], false
end

--- ---------------------------------------------------------------------------------------------------------------
--- checks

-- The user name and password of a field Authorization; nil where it has none.
local function credentials(field)
  local scheme, code = (field or ""):match "^(%a+) +(%S+)$"
  local text = scheme and scheme:lower() == "basic" and base64.decode(code)
  if not text then return nil end
  return text:match "^([^:]*):(.*)$"
end

local checks -- a metric

local function declare_metric()
  checks = checks or core.metric("perilune_basic_auth_checks_total", "counter",
    "Passwords that perilune.basic_auth has held against slow hashes, or remembered.", { "result" }, {})
end

local RESULTS = { [true] = "right", [false] = "wrong" }

-- Does the password fit? nil and why: it cannot be said now.
local function fits(self, name, secret)
  if #secret > password.longest then return false end
  local hash, is_known = hash_of(self, name)
  if not password.is_slow(hash) then return password.verify(secret, hash) and is_known end
  local tag = password.tag(secret, hash, name)
  if self.remembered:get(tag) and is_known then
    checks:add(1, "remembered")
    return true
  end
  local is_right, why, shared = password.verify(secret, hash, tag)
  checks:add(1, shared and "shared" or RESULTS[is_right] or "failed")
  if is_right == nil then return nil, why end
  if is_right and is_known and self.remember > 0 then self.remembered:set(tag, true, self.remember) end
  return is_right and is_known
end

local function answer(self, session, ctx)
  local name, secret = credentials(session:get_header "authorization")
  local is_right, why = false, nil
  if name then is_right, why = fits(self, name, secret) end
  if is_right then
    if ctx then ctx.user = name end
    return false
  end
  if is_right == nil then
    seldom.warn(self, "basic_auth: a password was not checked: %s", why)
    return self.refuse(session, 503, "passwords cannot be checked at the moment", { ["Retry-After"] = AGAIN })
  end
  local wrong = name and "the user name or the password is wrong" or "a user name and a password are needed"
  return self.refuse(session, 401, wrong, { ["WWW-Authenticate"] = self.challenge })
end

--- A function for request_filter: true says that it has asked for other credentials (401), or that passwords cannot be
--- checked just now (503).
function basic_auth.new(given, ...)
  check.no_more("basic_auth.new", "its options are one table", ...)
  local wanted = options.read("basic_auth.new", given, valid)
  if not wanted.users and not wanted.file then
    check.raise "basic_auth.new: expected 'users', 'file' or both: who may come in"
  end
  local self = { given = read_users(wanted.users), file = wanted.file, remember = wanted.remember,
    refuse = refusal.new("basic_auth.new", wanted.answer),
    remembered = core.dict("basic_auth:remembered", REMEMBERED),
    challenge = ('Basic realm="%s", charset="UTF-8"'):format((wanted.realm:gsub('[\\"]', "\\%0"))) }
  declare_metric()
  local users = self.given
  if wanted.file then
    local path = core.path(wanted.file)
    watch(self, path)
    local all, why = with_file(self.given, path)
    if not all then check.raise("basic_auth.new: " .. why) end
    users = all
  elseif next(users) == nil then
    check.raise "basic_auth.new: there is no user in 'users'"
  end
  set_users(self, users)
  return function(session, ctx) return answer(self, session, ctx) end
end

options.declare(basic_auth.new, "basic_auth.new", 1, valid)

return basic_auth
