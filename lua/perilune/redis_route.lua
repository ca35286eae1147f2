-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_route: what the clients of several servers (redis_sentinel, redis_cluster) have in common: options,
-- and a search for the servers that runs one at a time, in the background, at most so often.
--
-- A search belongs to the worker's VM. Calls wait for its first result, within their time; later calls use what was
-- found last until a search has found something else.

local backoff = require "perilune.backoff"
local core = require "perilune.core"
local network = require "perilune.network"
local options = require "perilune.options"
local seldom = require "perilune.seldom"

local route = {}

local PAUSE, PAUSE_MOST = 0.1, 1 -- seconds between searches
local LOOK = 0.002               -- between looks for the first result

--- The options: `own` and those of redis.new, which are given to it; and an error at the policy's line.
function route.read(call, given, own, valid)
  local all = {}
  for name, option in pairs(valid) do all[name] = option end
  for name, option in pairs(own) do all[name] = option end
  local read, of_client = options.read(call, given, all, 4), {}
  for name in pairs(valid) do
    if not own[name] then of_client[name] = given[name] end
  end
  return read, of_client
end

--- A list of addresses, checked by making a client of each: { [address] = client }, and the addresses in order.
function route.clients(call, option, list, make)
  if #list == 0 then error(("%s: option '%s' is empty"):format(call, option), 4) end
  local clients, order = {}, {}
  for i, address in ipairs(list) do
    if type(address) ~= "string" then error(("%s: option '%s' is a list of addresses"):format(call, option), 4) end
    local ok, client = pcall(make, address)
    if not ok then error(("%s: option '%s': %s"):format(call, option, (client:gsub("^.-redis.new: ", ""))), 4) end
    clients[address], order[i] = client, address
  end
  return clients, order
end

--- The address "host:port" of what a server says; nil: that is none.
function route.address(host, port)
  port = tonumber(port)
  if type(host) ~= "string" or host == "" or #host > 255 or host:find "[^%w.:_-]" then return nil end
  if not port or port % 1 ~= 0 or port < 1 or port > 65535 then return nil end
  return network.join(host, port)
end

local Search = {}
Search.__index = Search

--- A search: `run()` gives true, or nil and why nothing was found. `what` is for the log.
function route.search(what, run)
  return setmetatable({ what = what, run = run, due = 0, pause = PAUSE }, Search)
end

local function failed(self, why)
  self.why = why
  self.pause = math.min(self.pause * 2, PAUSE_MOST)
  seldom.warn(self, "%s: %s", self.what, why)
end

--- Begins one, unless one runs, or the last one was just now.
function Search:begin()
  if self.runs or core.now() < self.due then return end
  self.runs = true
  core.after(0, function()
    local ok, found, why = pcall(self.run)
    if ok and found then
      self.pause, self.why, self.found_at = PAUSE, nil, core.now()
    else
      failed(self, tostring(ok and why or found))
    end
    self.due = core.now() + backoff.spread(self.pause)
    self.runs = false
  end)
end

--- What was found is older than that: it is looked again, while it is used.
function Search:refresh(seconds)
  if core.now() - (self.found_at or 0) > seconds then self:begin() end
end

--- Waits for the first result. True; or nil, a sentence and "down" or "timeout".
function Search:await(deadline)
  local asked = core.now()
  while not self.found_at do
    self:begin()
    if not self.runs and self.why then return nil, ("%s: %s"):format(self.what, self.why), "down" end
    if core.now() >= deadline then
      return nil, ("%s: no answer within %.3g s"):format(self.what, deadline - asked), "timeout"
    end
    core.sleep(LOOK)
  end
  return true
end

return route
