-- SPDX-License-Identifier: Apache-2.0
-- discovery_consul: the instances of a service that Consul says are healthy, by its HTTP API. Each request waits at
-- Consul until something has changed since an index (a blocking query). For discovery_watch.
--
-- Consul's rules for the index: 0 is none, and an index that goes backwards begins again with none. A question
-- without one is answered at once, so there is a least time between two questions.

local core = require "perilune.core"
local network = require "perilune.network"
local said = require "perilune.said"
local watch = require "perilune.discovery_watch"

local consul = { kind = "consul" }

local LEAST = 0.25          -- seconds between two answers that say an index
local LEAST_UNINDEXED = 1
local LATE = 10             -- seconds that an answer may be later than it said

local field = watch.field

consul.options = watch.options {
  address = { "string", "http://127.0.0.1:8500" }, -- a URL
  tag = { "string" }, datacenter = { "string" },
  passing = { "boolean", true }, -- false: those with warnings, too
  stale = { "boolean", false },  -- any server of Consul may answer
  wait = { "seconds", 55 },      -- of one request
}

local Consul = {}
Consul.__index = Consul

--- The engine; or nil and what is wrong with the arguments.
function consul.new(service, wanted)
  if type(service) ~= "string" or service == "" then return nil, "expected the name of a service" end
  local base = watch.base(wanted.address)
  if not base then return nil, "option 'address' must be a URL like \"http://127.0.0.1:8500\"" end
  if wanted.wait < 1 or wanted.wait > 600 then return nil, "option 'wait' must be from 1 second to 10 minutes" end
  local path = ("%s/v1/health/service/%s?"):format(base, core.encode_url(service))
  local function add(name, value) if value then path = path .. name .. "=" .. core.encode_url(value) .. "&" end end
  add("dc", wanted.datacenter)
  add("tag", wanted.tag)
  if wanted.passing then path = path .. "passing=true&" end
  if wanted.stale then path = path .. "stale&" end
  return setmetatable({ name = base .. " " .. service, url = path, wanted = wanted, index = 0 }, Consul)
end

--- ---------------------------------------------------------------------------------------------------------------
--- instances

-- How an instance does, by the worst of its checks.
local function health_of(instance)
  local worst = "passing"
  for _, check in ipairs(field(instance, "Checks", "table") or {}) do
    local status = field(check, "Status", "string")
    if status ~= "passing" and status ~= "warning" then return "critical" end -- maintenance, too
    if status == "warning" then worst = status end
  end
  return worst
end

local function weight_of(service, health)
  local weights = field(service, "Weights", "table")
  local weight = weights and (health == "warning" and weights.Warning or weights.Passing)
  if type(weight) ~= "number" or weight < 1 then return 1 end -- 0 is what older agents say
  return math.floor(math.min(weight, 65535))
end

local function text_in(list, name) return field(list, name, "string") end

-- An entry of a set, or { fault }; nil: it takes no requests.
local function entry_of(instance, passing)
  local service, node = field(instance, "Service", "table"), field(instance, "Node", "table")
  local id = core.text(text_in(service, "ID") or text_in(node, "Node") or "?")
  local health = health_of(instance)
  if health == "critical" or passing and health ~= "passing" then return nil end
  local host = text_in(service, "Address")
  if not host or host == "" then host = text_in(node, "Address") end
  local port = field(service, "Port", "number")
  if not host or host == "" then return { fault = ("instance %s has no address"):format(id) } end
  if not port or port < 1 or port > 65535 or port % 1 ~= 0 then
    return { fault = ("instance %s has no port"):format(id) }
  end
  local meta, node_meta = field(service, "Meta", "table"), field(node, "Meta", "table")
  return { address = network.join(host, port), weight = weight_of(service, health),
    zone = text_in(meta, "zone") or text_in(node_meta, "zone") }
end

-- Consul gives them in any order.
local function entries_of(instances, passing)
  local list = {}
  for _, instance in ipairs(instances) do list[#list + 1] = entry_of(instance, passing) end
  return watch.sort(list)
end

--- ---------------------------------------------------------------------------------------------------------------
--- requests

-- One blocking query. True; or nil and why there was no answer.
function Consul:ask(source)
  local wait, url = self.wanted.wait, self.url
  if self.index > 0 then url = ("%sindex=%.0f&wait=%.0fs"):format(url, self.index, wait) end
  local patience = self.index > 0 and wait * 17 / 16 + LATE or self.wanted.timeout
  local answer, response = watch.ask(self, watch.request(self.wanted, { url = url, receive_timeout = patience }))
  if not answer then
    self.index = 0
    return nil, response
  end
  if #answer == 0 and next(answer) ~= nil then return nil, "its answer is no list" end
  local index = said.whole(response.headers["X-Consul-Index"]) or 0
  local is_news = index == 0 or index ~= self.index
  self.index = index >= self.index and index or 0
  if is_news then source:take(entries_of(answer, self.wanted.passing)) else source:alive() end
  return true
end

function Consul:run(source)
  while not core.is_retired() do
    local began = core.now()
    local ok, why = self:ask(source)
    if not ok then return nil, why end
    local least = self.index > 0 and LEAST or LEAST_UNINDEXED
    core.sleep(math.max(began + least - core.now(), 0))
  end
  return true
end

return consul
