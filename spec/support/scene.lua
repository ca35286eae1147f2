-- SPDX-License-Identifier: Apache-2.0
-- scene: what most specs begin with: an origin, a proxy of one worker that sends everything to it, and a client.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local sys = require "sys"

local M = {}

local OF_POLICY = { peer = true, listen = true, hooks = true }

--- A function that sends the proxy a request on a connection of its own, and returns the response.
function M.asker(proxy)
  return function(request)
    local all = { port = proxy.port }
    for name, value in pairs(request or {}) do all[name] = value end
    return client.request(all)
  end
end

--- A proxy in front of an origin that is there, or of anything with an `address`.
---@param options table? peer, listen, hooks (as policies.to takes them), and those of perilune.start; workers is 1
---@return table proxy
function M.start(origin, options)
  local of_policy, of_proxy = {}, { workers = 1 }
  for name, value in pairs(options or {}) do (OF_POLICY[name] and of_policy or of_proxy)[name] = value end
  of_proxy.policy = policies.to(origin, of_policy)
  return perilune.start(of_proxy)
end

--- The same with an origin of its own.
---@param handler string|fun(connection, number) a text: the body of each answer; or what each connection is given to
---@param options table? also `origin`: options of origins.start
---@return table proxy, table origin, fun(request: table?): table ask one request on a connection of its own
function M.proxied(handler, options)
  local rest = {}
  for name, value in pairs(options or {}) do rest[name] = value end
  local origin = origins.start(handler, rest.origin)
  rest.origin = nil
  local proxy = M.start(origin, rest)
  return proxy, origin, M.asker(proxy)
end

--- An origin of HTTP/2, and a proxy in front of it whose clients may speak HTTP/2 too.
---@param options table? http2 (of the origin), and those of scene.start
---@return table proxy, table origin
function M.http2(handler, options)
  local rest = {}
  for name, value in pairs(options or {}) do rest[name] = value end
  local origin = origins.start(handler, { http2 = rest.http2 or true })
  rest.http2 = nil
  rest.listen = "h2c = true" .. (rest.listen or "")
  rest.peer = ", http2 = true" .. (rest.peer or "")
  return M.start(origin, rest), origin
end

--- Sends `count` requests side by side, each on a connection of its own: "/1", "/2"..., or `request` each time.
---@return fun(): table read reads all responses
function M.ask_beside(proxy, count, request)
  local connections = {}
  for i = 1, count do
    connections[i] = client.connect(proxy.port)
    connections[i]:send_request(request or { target = "/" .. i })
  end
  return function()
    local responses = {}
    for i, connection in ipairs(connections) do responses[i] = assert(connection:read_response "GET") end
    return responses
  end
end

--- For origins: sends back what comes.
function M.echo_bytes(connection)
  while true do
    local bytes = connection:receive_some()
    if not bytes then return end
    connection:send(bytes)
  end
end

--- The same with the body of each request, in its framing.
function M.echo_bodies(connection)
  while true do
    local request = connection:read_request()
    if not request then return end
    connection:respond { body = request.body, chunked = request.framing == "chunked" }
  end
end

--- Runs `body`, which must be through well before the seconds that are in force where the spec's own setting is not
--- heeded. All that it returns.
function M.sooner_than(seconds, body)
  local begun = sys.now()
  local results = { body() }
  local took = sys.now() - begun
  if took < seconds * 0.75 then return unpack(results) end
  error(("it took %.1f s, as long as without the setting (%g s)"):format(took, seconds), 2)
end

return M
