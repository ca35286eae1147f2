-- SPDX-License-Identifier: Apache-2.0
-- discovery_file: the last list of a source on the disk, for a process that starts while the source is away. It is
-- written as a whole or not at all; the digest in its first line tells whether it is what was written. A file that is
-- damaged, or of another source, is not used, and the log says so.
--
--   sha256 <digest of what follows>
--   {"source": "etcd http://...", "saved_at": 1764500000, "backends": [...]}

local balancer = require "perilune.balancer"
local core = require "perilune.core"

local file = {}

local LOG_EVERY = 60 -- seconds

local File = {}
File.__index = File

--- `name` is relative to the policy; `source` is whose list it is.
function file.open(name, source) return setmetatable({ path = core.kept_path(name), source = source }, File) end

-- The list and when it was saved; or nil and what is wrong with the text.
local function parse(self, text)
  local digest, body = text:match "^sha256 (%x+)\n(.*)$"
  if not digest or digest ~= core.encode_hex(core.digest("sha256", body)) then return nil, "it is damaged" end
  local said = core.json_decode(body)
  if type(said) ~= "table" or type(said.backends) ~= "table" or type(said.saved_at) ~= "number" then
    return nil, "it is no list of backends"
  end
  if said.source ~= self.source then return nil, "it is of another source: " .. tostring(said.source) end
  local _, fault = balancer.compile(said.backends)
  if fault then return nil, fault end
  return said.backends, said.saved_at
end

--- The list, and when it was saved; nil: there is none that can be used.
function File:read()
  local text, why = core.read_file(self.path)
  if not text then
    if not why:find "No such file" then core.log.warn(("discovery: the last list: %s"):format(why)) end
    return nil
  end
  local list, saved_at = parse(self, text)
  if list then return list, saved_at end
  core.log.warn(("discovery: the last list in %s is not used: %s"):format(self.path, saved_at))
end

--- Keeps the list. A file that cannot be written is no reason not to use the list: the log says so.
function File:write(list)
  local body = core.json_encode { source = self.source, saved_at = os.time(), backends = core.json_array(list) }
  local digest = core.encode_hex(core.digest("sha256", body))
  local ok, why = core.replace_file(self.path, "sha256 " .. digest .. "\n" .. body)
  local now = core.now()
  if ok or now < (self.told_at or -LOG_EVERY) + LOG_EVERY then return end
  self.told_at = now
  core.log.warn(("discovery: the last list cannot be kept: %s"):format(why))
end

return file
