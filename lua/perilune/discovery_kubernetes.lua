-- SPDX-License-Identifier: Apache-2.0
-- discovery_kubernetes: the ready endpoints of a service, by its EndpointSlices (discovery.k8s.io/v1). First all slices
-- are listed, page by page, as of one resource version; then a watch tells what has changed since. For discovery_watch.
--
-- A service has several slices, and an endpoint may be in two of them for a while, so an address counts once. The
-- server sends bookmarks, which say nothing but that all is well up to a version. If it no longer has the changes since
-- a version (410 Gone), everything is listed again. It ends a watch after some minutes, which is resumed.

local core = require "perilune.core"
local network = require "perilune.network"
local token_file = require "perilune.token_file"
local watch = require "perilune.discovery_watch"

local kubernetes = { kind = "kubernetes" }

local ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/" -- of a pod
local PAGE = 500        -- slices
local PAGES_MOST = 200
local WATCH_TIME = 300  -- seconds, and up to as many more, that a watch lasts
local GONE = 410

local field = watch.field

kubernetes.options = watch.options {
  address = { "string" },  -- the API server's URL; that of the pod's environment
  port = { "any" },        -- its name, or its number; where slices have one port alone it need not be said
  silence = { "seconds", 75 }, -- without a byte: the watch begins anew; bookmarks come about every minute
}

local Kubernetes = {}
Kubernetes.__index = Kubernetes

-- The URL of the API server, as a pod is told.
local function url_of_pod()
  local host, port = os.getenv "KUBERNETES_SERVICE_HOST", os.getenv "KUBERNETES_SERVICE_PORT"
  if not host or host == "" then return nil end
  return "https://" .. network.join(host, port or "443")
end

local NAME = "^%w[%w.-]*$"

-- The service's URL and its name for people; or nil and what is wrong.
local function place_of(service, address)
  local namespace, name = tostring(service):match "^([^/]+)/([^/]+)$"
  if type(service) ~= "string" or not namespace or not namespace:find(NAME) or not name:find(NAME) then
    return nil, "expected a service like \"namespace/name\""
  end
  if not address then return nil, "option 'address' is missing, and this is no pod of Kubernetes" end
  local base = watch.base(address)
  if not base then return nil, "option 'address' must be a URL like \"https://10.0.0.1:6443\"" end
  return ("%s/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices?labelSelector=kubernetes.io%%2Fservice-name%%3D%s")
    :format(base, namespace, name), base .. " " .. service
end

--- The engine; or nil and what is wrong with the arguments.
function kubernetes.new(service, wanted)
  local address = wanted.address or url_of_pod()
  local url, name = place_of(service, address)
  if not url then return nil, name end
  local port = wanted.port
  if port ~= nil and type(port) ~= "number" and type(port) ~= "string" then
    return nil, "option 'port' must be the name or the number of a port"
  end
  if not wanted.address then -- a pod has both
    wanted.token_file = wanted.token_file or ACCOUNT .. "token"
    wanted.ca = wanted.ca or ACCOUNT .. "ca.crt"
  end
  return setmetatable({ name = name, url = url, wanted = wanted, slices = {} }, Kubernetes)
end

--- ---------------------------------------------------------------------------------------------------------------
--- slices

-- The number of the port that is wanted; or nil and why there is none.
local function port_of(slice, wanted)
  local ports, found, first = field(slice, "ports", "table") or {}, nil, nil
  for _, port in ipairs(ports) do
    local number = field(port, "port", "number")
    local is_it = wanted == nil or wanted == number or wanted == (field(port, "name", "string") or "")
    if number and is_it then found, first = number, first or number end
  end
  if wanted == nil and found ~= first then return nil, "it has several ports: say which by the option 'port'" end
  if not found and type(wanted) == "number" and #ports == 0 then return wanted end -- any port
  if not found then return nil, wanted and ("it has no port '%s'"):format(tostring(wanted)) or "it has no port" end
  return found
end

local function flag(conditions, name, otherwise)
  local value = field(conditions, name, "boolean")
  if value == nil then return otherwise end
  return value
end

-- Puts the entry of an endpoint into a list, by what it is good for.
local function add_endpoint(endpoint, port, lists, slice)
  local conditions = field(endpoint, "conditions", "table")
  local addresses = field(endpoint, "addresses", "table")
  local host = addresses and watch.typed(addresses[1], "string")
  local is_ready = flag(conditions, "ready", true)
  local still_serves = flag(conditions, "serving", false) and flag(conditions, "terminating", false)
  if not is_ready and not still_serves then return end
  local entry = { fault = ("an endpoint of the slice %s has no address"):format(slice) }
  if host then entry = { address = network.join(host, port), zone = field(endpoint, "zone", "string") } end
  local list = is_ready and lists.ready or lists.ending
  list[#list + 1] = entry
end

local function add_slice(slice, name, wanted, lists)
  local endpoints = field(slice, "endpoints", "table") or {}
  if #endpoints == 0 then return end
  local port, fault = port_of(slice, wanted)
  if not port then
    lists.ready[#lists.ready + 1] = { fault = ("slice %s: %s"):format(name, fault) }
    return
  end
  for _, endpoint in ipairs(endpoints) do add_endpoint(endpoint, port, lists, name) end
end

-- The ready endpoints; where there is none, those that still serve while they end.
function Kubernetes:collect()
  local lists = { ready = {}, ending = {} }
  for name, slice in pairs(self.slices) do add_slice(slice, core.text(name), self.wanted.port, lists) end
  return watch.sort(#lists.ready > 0 and lists.ready or lists.ending)
end

--- ---------------------------------------------------------------------------------------------------------------
--- the list

-- Without a version it is begun anew.
function Kubernetes:forget() self.version = nil end

-- What watch.ask and watch.stream gave of a refusal: whatever it says, the next try has the token as it is then.
function Kubernetes:refuse(why, status)
  if status == GONE then self:forget() end
  if status == 401 and self.wanted.token_file then token_file.forget(self.wanted.token_file) end
  return nil, why
end

-- Adds the slices of a page. The version, and how to go on; or nil and what makes no sense.
local function read_page(page, slices)
  local metadata, items = field(page, "metadata", "table"), field(page, "items", "table")
  local version = field(metadata, "resourceVersion", "string")
  if not version or not items and page.items ~= core.json_null then return nil, "its answer is no list of slices" end
  for _, slice in ipairs(items or {}) do
    local name = field(field(slice, "metadata", "table"), "name", "string")
    if not name then return nil, "its answer has a slice without a name" end
    slices[name] = slice
  end
  local more = field(metadata, "continue", "string")
  return version, more ~= "" and more or nil
end

function Kubernetes:list(source)
  local slices, more = {}, nil
  for _ = 1, PAGES_MOST do
    local url = ("%s&limit=%d%s"):format(self.url, PAGE, more and "&continue=" .. core.encode_url(more) or "")
    local page, why, status = watch.ask(self, watch.request(self.wanted, { url = url }))
    if not page then return self:refuse(why, status) end
    local version, rest = read_page(page, slices)
    if not version then return nil, rest end
    more = rest
    if not more then
      self.slices, self.version = slices, version
      source:take(self:collect())
      return true
    end
  end
  return nil, ("its list has more than %d pages"):format(PAGES_MOST)
end

--- ---------------------------------------------------------------------------------------------------------------
--- changes

-- The server has said ERROR in place of a change.
local function failure_of(status)
  local why = field(status, "message", "string") or "no reason given"
  return ("the watch ended with an error: %s"):format(core.text(why))
end

-- One event. nil and why: everything is to be listed again.
function Kubernetes:take(event, source)
  local kind, object = field(event, "type", "string"), field(event, "object", "table")
  if kind == "ERROR" then return nil, failure_of(object) end
  local metadata = field(object, "metadata", "table")
  local version, name = field(metadata, "resourceVersion", "string"), field(metadata, "name", "string")
  local is_change = kind == "ADDED" or kind == "MODIFIED" or kind == "DELETED"
  if not version or is_change and not name then return nil, "an event of the watch makes no sense" end
  self.version = version
  source:alive()
  if not is_change then return true end
  self.slices[name] = kind ~= "DELETED" and object or nil
  source:take_soon(function() return self:collect() end)
  return true
end

function Kubernetes:watch(source)
  local url = ("%s&watch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%d"):format(self.url,
    self.version:gsub("[^%w._~-]", ""), WATCH_TIME + math.random(WATCH_TIME))
  local stream, why, status = watch.stream(self, watch.request(self.wanted, { url = url }), self.wanted.silence)
  if not stream then return self:refuse(why, status) end
  while true do
    local event, broken = stream:read()
    local ok, fault = event, broken
    if event then ok, fault = self:take(event, source) end
    if event and not ok then self:forget() end
    if not event or not ok then
      stream:close()
      return event == false, fault
    end
  end
end

function Kubernetes:run(source)
  if not self.version then
    local ok, why = self:list(source)
    if not ok then return nil, why end
  end
  return self:watch(source)
end

return kubernetes
