-- SPDX-License-Identifier: Apache-2.0
-- acme_storage: where accounts, keys, certificates and challenges are kept, so that a restart finds them, and all
-- proxies that share the storage serve what one of them has ordered. A directory, or Redis. Both have read(name),
-- write(name, text), remove(name) and lock(name); names are like "certificates/example.org.pem".
--
-- A lock ends with its holder: that of a directory is the kernel's, that in Redis has a time to live that its holder
-- renews while it works.

local check = require "perilune.check"
local core = require "perilune.core"
local crypto = require "perilune.crypto"

local acme_storage = {}

local TEXT_MOST = 1048576

--- ---------------------------------------------------------------------------------------------------------------
--- a directory

local Directory = check.class({}, "perilune.acme.directory")

-- A wildcard's star is no character for a file.
local function path_of(self, name) return self.folder .. "/" .. name:gsub("%*", "_") end

--- The text; nil where there is none; nil and why where it cannot be read.
function Directory:read(name)
  local path = path_of(self, name)
  local text, why = core.read_file(path)
  if text then return #text <= TEXT_MOST and text or nil, #text > TEXT_MOST and path .. ": it is too long" or nil end
  if why:find "[Nn]o such file" then return nil end
  return nil, why:find(path, 1, true) and why or path .. ": " .. why
end

-- Made when it is first written to: by then the process is the user that serves.
local function make_folder(path)
  local ok, why = core.make_folder(path)
  return ok, not ok and ("%s: %s"):format(path, why) or nil
end

function Directory:write(name, text)
  local path = path_of(self, name)
  local ok, why = make_folder(path:match "^(.*)/")
  if not ok then return nil, why end
  ok, why = core.write_private(path, text)
  return ok, not ok and ("%s: %s"):format(path, why) or nil
end

function Directory:remove(name) os.remove(path_of(self, name)) end

--- An object with unlock(); nil and why: "busy" where another proxy has it.
function Directory:lock(name)
  local path = path_of(self, "locks/" .. name)
  local ok, why = make_folder(path:match "^(.*)/")
  if not ok then return nil, why end
  local lock
  lock, why = core.lock_file(path)
  return lock, not lock and why ~= "busy" and ("%s: %s"):format(path, why) or why
end

--- ---------------------------------------------------------------------------------------------------------------
--- Redis

local Redis = check.class({}, "perilune.acme.redis")

local LOCK_MS = 30000
local TIMEOUT = 2 -- seconds; nothing here is in a hurry
local EXTEND = [[
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
return 0]]
local RELEASE = [[
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0]]

function Redis:read(name)
  local text, why = self.store:call("GET", self.prefix .. name)
  return text, not text and why or nil
end

function Redis:write(name, text)
  local ok, why = self.store:call("SET", self.prefix .. name, text)
  return ok and true, not ok and why or nil
end

function Redis:remove(name) self.store:call("DEL", self.prefix .. name) end

local RedisLock = check.class({}, "perilune.acme.redis_lock")

function RedisLock:unlock()
  self.is_held = false
  self.store:eval(RELEASE, { self.key }, { self.token })
end

local function keep_lock(lock)
  core.spawn(function()
    while lock.is_held do
      core.sleep(LOCK_MS / 3000)
      if lock.is_held then lock.store:eval(EXTEND, { lock.key }, { lock.token, LOCK_MS }) end
    end
  end)
end

function Redis:lock(name)
  local key, token = self.prefix .. "locks/" .. name, crypto.hex(crypto.random(16))
  local ok, why = self.store:call("SET", key, token, "NX", "PX", LOCK_MS)
  if not ok then return nil, why or "busy" end
  local lock = setmetatable({ store = self.store, key = key, token = token, is_held = true }, RedisLock)
  keep_lock(lock)
  return lock
end

--- ---------------------------------------------------------------------------------------------------------------
--- which

-- systemd's StateDirectory; root's; a user's.
local function usual_folder()
  local state = os.getenv "STATE_DIRECTORY"
  if state then return state:match "^[^:]+" .. "/acme" end
  local home = os.getenv "XDG_DATA_HOME" or (os.getenv "HOME" and os.getenv "HOME" .. "/.local/share")
  if core.is_root() or not home then return "/var/lib/perilune/acme" end
  return home .. "/perilune/acme"
end

--- The storage of an option: the path of a directory, a client of perilune.redis, or nil: the usual directory. Of each
--- authority (`directory_url`) it is a part of its own.
function acme_storage.new(given, directory_url)
  local part = crypto.hex(crypto.sha256(directory_url)):sub(1, 12)
  if type(given) == "table" then
    return setmetatable({ store = given:with_timeout(TIMEOUT), prefix = ("pl:acme:%s:"):format(part),
      waits = true, place = "Redis" }, Redis)
  end
  local folder = given and core.path(given) or usual_folder()
  return setmetatable({ folder = folder .. "/" .. part, waits = false, place = folder }, Directory)
end

return acme_storage
