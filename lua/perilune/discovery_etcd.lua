-- SPDX-License-Identifier: Apache-2.0
-- discovery_etcd: the keys under a prefix, a backend each, by the JSON gateway of etcd v3 (3.4 or later). First all
-- keys are read, at a revision; then a watch tells what has changed since. For discovery_watch.
--
-- The hard problem is to lose no change. The position is the revision of the next change that is wanted. It goes
-- forward by the revisions of changes that have come, and by those of answers without any (progress), never by the
-- header of an answer with changes: while etcd catches up with old ones, its header names a revision for which
-- changes are still to come. Keys are read again if etcd no longer has the changes (compaction), or if its revision is
-- lower than what was seen, or it is another cluster: then it has lost data, or was replaced.

local core = require "perilune.core"
local entry = require "perilune.discovery_entry"
local said = require "perilune.said"
local watch = require "perilune.discovery_watch"

local etcd = { kind = "etcd" }

local field = watch.field

etcd.options = watch.options {
  endpoints = { "any", "http://127.0.0.1:2379" }, -- a URL, or several of one cluster
  user = { "string" }, password = { "string" },
  silence = { "seconds", 45 },  -- without a byte: the watch begins anew
  entry = { "function" },       -- entry(key, value): a backend; nil: none
}

local Etcd = {}
Etcd.__index = Etcd

-- The end of the range of keys with that prefix: the next text of the same length.
local function range_end(prefix)
  local head, last = prefix:match "^(.-)([^\255])\255*$"
  return head and head .. string.char(last:byte() + 1) or "\0"
end

-- The URLs as an array; or nil and what is wrong.
local function read_endpoints(given)
  local list = type(given) == "table" and given or { given }
  if #list == 0 then return nil, "option 'endpoints' has no URL" end
  local urls = {}
  for i, url in ipairs(list) do
    urls[i] = watch.base(url)
    if not urls[i] then
      return nil, ("option 'endpoints': expected a URL like \"http://10.0.0.1:2379\", got %s"):format(tostring(url))
    end
  end
  return urls
end

--- The engine; or nil and what is wrong with the arguments.
function etcd.new(prefix, wanted)
  if type(prefix) ~= "string" or prefix == "" then return nil, "expected a prefix of keys like \"/services/app/\"" end
  local endpoints, fault = read_endpoints(wanted.endpoints)
  if not endpoints then return nil, fault end
  if (wanted.user == nil) ~= (wanted.password == nil) then return nil, "user and password go together" end
  local range = { key = core.encode_base64(prefix), range_end = core.encode_base64(range_end(prefix)) }
  return setmetatable({ name = endpoints[1] .. " " .. prefix, endpoints = endpoints, turns = 0, wanted = wanted,
    range = range, items = {} }, Etcd)
end

--- The last try has failed: the next one is at the next member.
function Etcd:turn() self.turns = self.turns + 1 end

--- ---------------------------------------------------------------------------------------------------------------
--- requests

function Etcd:request(path, body)
  local url = self.endpoints[self.turns % #self.endpoints + 1] .. path
  return watch.request(self.wanted, { method = "POST", url = url, body = core.json_encode(body),
    headers = { ["Content-Type"] = "application/json", Authorization = self.token } })
end

-- A new token. True; or nil and why there is none.
function Etcd:log_in()
  self.token = nil
  local answer, why = watch.ask(self, self:request("/v3/auth/authenticate",
    { name = self.wanted.user, password = self.wanted.password }))
  self.token = field(answer, "token", "string")
  if self.token then return true end
  return nil, "authentication: " .. (answer and "the answer has no token" or why)
end

-- What send(engine, request) gives; with a new token where the old one is over.
function Etcd:call(send, path, body, silence)
  if self.wanted.user and not self.token then
    local ok, why = self:log_in()
    if not ok then return nil, why end
  end
  local result, why, status, text = send(self, self:request(path, body), silence)
  local is_over = not result and (status == 401 or status and (text or ""):find "invalid auth token")
  if not is_over or not self.wanted.user then return result, why end
  local ok, failure = self:log_in()
  if not ok then return nil, failure end
  return send(self, self:request(path, body), silence)
end

--- ---------------------------------------------------------------------------------------------------------------
--- keys

-- An entry of a set, or { fault }; nil: the key is none of them.
function Etcd:entry_of(key, value)
  local made, fault
  if self.wanted.entry then
    local ok, given = pcall(self.wanted.entry, key, value)
    if ok and given == nil then return nil end
    made, fault = ok and given, given
  elseif value:find "%S" then
    made, fault = entry.of_text(value)
  else
    made = { address = key:match "[^/]*$" } -- the key says it all
  end
  if made then return made end
  return { fault = ("key %s: %s"):format(core.text(key), tostring(fault)) }
end

-- Key and value of what the gateway says; nil: it makes no sense.
local function read_pair(kv)
  local key = core.decode_base64(field(kv, "key", "string") or "")
  local value = core.decode_base64(field(kv, "value", "string") or "")
  if not key or key == "" or not value then return nil end
  return key, value
end

-- An array, in the order of the keys.
function Etcd:collect()
  local keys, list = {}, {}
  for key in pairs(self.items) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do list[i] = self.items[key] end
  return list
end

-- The revision and the cluster of a header; nil: it is none.
local function read_header(answer)
  local header = field(answer, "header", "table")
  return said.whole(header and header.revision), header and core.text(header.cluster_id)
end

function Etcd:list(source)
  local answer, why = self:call(watch.ask, "/v3/kv/range", self.range)
  if not answer then return nil, why end
  local revision, cluster = read_header(answer)
  if not revision then return nil, "its answer has no revision" end
  local items = {}
  for _, kv in ipairs(field(answer, "kvs", "table") or {}) do
    local key, value = read_pair(kv)
    if not key then return nil, "its answer has a key or value that is no base64" end
    items[key] = self:entry_of(key, value)
  end
  self.items, self.position, self.cluster = items, revision + 1, cluster
  source:take(self:collect())
  return true
end

--- ---------------------------------------------------------------------------------------------------------------
--- changes

-- True; or nil and why all keys are to be read again.
function Etcd:apply(event)
  local kv = field(event, "kv", "table")
  local key, value = read_pair(kv)
  local revision = said.whole(kv and kv.mod_revision)
  if not key or not revision then return nil, "it tells of a change that makes no sense" end
  if revision < self.position then return true end -- it was in the list
  if event.type == "DELETE" then self.items[key] = nil else self.items[key] = self:entry_of(key, value) end
  self.seen = math.max(self.seen, revision + 1)
  return true
end

-- The changes of one answer; those of one revision come together.
function Etcd:apply_all(events, source)
  self.seen = self.position
  for _, event in ipairs(events) do
    local ok, why = self:apply(event)
    if not ok then return nil, why end
  end
  self.position = self.seen
  source:take_soon(function() return self:collect() end)
  return true
end

-- One answer of the watch. nil and why: all keys are to be read again.
function Etcd:take(message, source)
  local result = field(message, "result", "table")
  local fault = field(message, "error", "table")
  if not result then return nil, fault and core.text(fault.message) or "an answer of the watch makes no sense" end
  if result.canceled then return nil, "the watch was cancelled: " .. core.text(result.cancel_reason or "compacted") end
  local revision, cluster = read_header(result)
  if not revision then return nil, "an answer of the watch has no revision" end
  if cluster ~= self.cluster then return nil, "it is another cluster" end
  if revision < self.position - 1 then return nil, "its revision is lower than before" end
  source:alive()
  local events = field(result, "events", "table")
  if events and #events > 0 then return self:apply_all(events, source) end
  if not result.created then self.position = math.max(self.position, revision + 1) end
  return true
end

function Etcd:watch(source)
  local create = { key = self.range.key, range_end = self.range.range_end, progress_notify = true,
    start_revision = ("%.0f"):format(self.position) }
  local stream, why = self:call(watch.stream, "/v3/watch", { create_request = create }, self.wanted.silence)
  if not stream then return nil, why end
  while true do
    local message, broken = stream:read()
    if not message then
      stream:close()
      return message == false, broken
    end
    local ok, fault = self:take(message, source)
    if not ok then
      self.position = nil
      stream:close()
      return nil, fault
    end
  end
end

function Etcd:run(source)
  if not self.position then
    local ok, why = self:list(source)
    if not ok then return nil, why end
  end
  return self:watch(source)
end

return etcd
