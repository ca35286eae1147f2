-- SPDX-License-Identifier: Apache-2.0
-- streamed: policies of specs about answers that a hook writes while the client reads.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"

local M = {}

local POLICY = [[
local perilune = require "perilune"
local policy, cases = {}, {}
local go = perilune.dict("go", { size = 65536 })
local function await(name) while not go:get(name) do perilune.sleep(0.005) end end
$CASES
function policy.request_filter(session, ctx)
  local name = session:path():sub(2)
  if name:match "^go%-" then
    go:set(name:sub(4), true)
    return session:respond { status = 200, body = go:get "said" or "" }
  end
  return cases[name](session, ctx)
end
$HOOKS
perilune.listen("127.0.0.1:0", policy, { h2c = true, $LISTEN })
]]

--- A proxy whose hook runs the case that the path names: text such as "function cases.name(session) end", which
--- may wait for a request of /go-NAME by await "NAME". Also a function that asks for a path.
---@param options table? hooks (Lua text), listen (options of the listener), and those of perilune.start
function M.start(cases, options)
  options = options or {}
  local proxy = perilune.start { workers = options.workers or 1, release = options.release, settings = options.settings,
    policy = policies.fill(POLICY, { CASES = cases, HOOKS = options.hooks or "", LISTEN = options.listen or "" }) }
  return proxy, function(name, more)
    local request = { port = proxy.port, path = "/" .. name }
    for key, value in pairs(more or {}) do request[key] = value end
    return client.request(request)
  end
end

--- Three events, of which each waits for /go-eventN.
M.EVENTS = [[
function cases.events(session)
  local ok = session:start_response { status = 200, headers = { ["Content-Type"] = "text/event-stream" } }
  for i = 1, 3 do
    ok = ok and session:send { "data: ", i, "\n\n" }
    await("event" .. i)
  end
end
]]

--- A connection that has read the head of the answer, and the head.
function M.begin(proxy, path, version)
  local connection = client.connect(proxy.port)
  connection:send(("GET /%s HTTP/%s\r\nHost: a\r\n\r\n"):format(path, version or "1.1"))
  return connection, connection:read_until "\r\n\r\n"
end

return M
