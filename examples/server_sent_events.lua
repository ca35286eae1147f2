-- SPDX-License-Identifier: Apache-2.0
-- Server-sent events: who asks for /events gets each message that somebody posts, as it comes.
--
--   perilune run examples/server_sent_events.lua
--   curl -N 127.0.0.1:6188/events
--   curl -d 'hello' 127.0.0.1:6188/publish

local perilune = require "perilune"

local KEPT, QUIET = 300, 15 -- seconds: a message is kept; after so long without one, a line shows that all is well
local events = perilune.dict("events", { size = 4 * 1024 * 1024 })
local listeners = perilune.inflight "listeners"
local policy = {}

local function publish(session)
  local text = session:read_body(65536)
  local id = events:incr("last", 1, 0)
  events:set("event " .. id, text, KEPT)
  return session:respond { status = 202, body = id .. "\n" }
end

-- The event as the client's EventSource reads it.
local function event(id)
  local text = events:get("event " .. id)
  return text and ("id: %d\ndata: %s\n\n"):format(id, (text:gsub("\n", "\ndata: ")))
end

local function listen(session)
  if not listeners:acquire(session, session:client_ip(), 6) then return session:respond { status = 429 } end
  local seen = tonumber(session:get_header "Last-Event-ID") or events:get "last" or 0
  session:start_response { status = 200, headers = { ["Content-Type"] = "text/event-stream",
    ["Cache-Control"] = "no-store" } }
  local ok, quiet = session:send ": welcome\n\n", 0
  while ok do -- until the client leaves
    local last = events:get "last" or 0
    if seen > last then seen = last end
    for id = math.max(seen + 1, last - 1000), last do ok = ok and session:send(event(id) or "") end
    quiet = last > seen and 0 or quiet + 0.2
    if quiet >= QUIET then ok, quiet = session:send ": still here\n\n", 0 end
    seen = last
    perilune.sleep(0.2)
  end
end

function policy.request_filter(session)
  local path, method = session:path(), session:method()
  if path == "/publish" and method == "POST" then return publish(session) end
  if path == "/events" then return listen(session) end
  return session:respond { status = 404, body = "GET /events, or POST /publish\n" }
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
