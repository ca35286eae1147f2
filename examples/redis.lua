-- SPDX-License-Identifier: Apache-2.0
-- Sessions and a limit in Redis, shared by all machines: who is logged in is looked up for each request, and failed
-- logins are counted by address. Without the store the site goes on without either: that is for the policy to say.
--
--   STORE=10.0.0.2:6379 PEER=10.0.0.1:80 perilune run examples/redis.lua

local perilune = require "perilune"
local redis    = require "perilune.redis"

local store = redis.new(os.getenv "STORE" or "127.0.0.1:6379")

-- Counts and sets the expiry in one step: a counter without an expiry would never start again.
local COUNT = [[
  local count = redis.call("INCR", KEYS[1])
  if count == 1 then redis.call("EXPIRE", KEYS[1], ARGV[1]) end
  return count
]]

local policy = {}

function policy.request_filter(session, ctx)
  local id = session:cookies().session
  local user, why, kind = nil, nil, nil
  if id then user, why, kind = store:call("GET", "session:" .. id) end
  if kind == "timeout" then perilune.log.warn(why) end -- that it is down is in the log already
  ctx.user = user or "guest"
  if session:path() ~= "/login" then return end
  local tries = store:eval(COUNT, { "tries:" .. session:client_ip() }, { 60 })
  if tries and tries > 5 then return session:respond { status = 429, body = "Too many tries. Wait a minute.\n" } end
end

function policy.upstream_request_filter(_, request, ctx)
  request:set_header("X-User", ctx.user)
end

function policy.upstream_peer()
  return { address = os.getenv "PEER" or "127.0.0.1:8001" }
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:8080", policy)
