-- SPDX-License-Identifier: Apache-2.0
-- perilune.cluster_scripts: what Redis runs for perilune.cluster_limit. A bucket is a text, "tokens demand time"; it
-- goes by itself when it is full again. Time is Redis's own: the clocks of the proxies do not matter. A value that is
-- no bucket is replaced by one that was full at that time.

local core = require "perilune.core"

local scripts = {}

local function script(text) return { text = text, digest = core.encode_hex(core.digest("sha1", text)) } end

-- ARGV: tokens a millisecond, burst, room. In `room` what was let pass in the time of a report has a place.
local BUCKET = [[
local rate, burst, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function read(key, time)
  local held = redis.pcall('GET', key)
  if type(held) ~= 'string' then return burst, 0, time end
  local tokens, demand, at = held:match('^(%S+) (%S+) (%S+)$')
  tokens, demand, at = tonumber(tokens or ''), tonumber(demand or ''), tonumber(at or '')
  if not (tokens and demand and at) or tokens ~= tokens or demand ~= demand then return burst, 0, time end
  return math.min(tokens, room), demand, math.min(at, now)
end
local function write(key, tokens, demand, at)
  local life = math.min(math.ceil((room - tokens) / rate) + 2000, 1e12)
  redis.call('SET', key, string.format('%.17g %.6g %.17g', tokens, demand, at), 'PX', string.format('%.0f', life))
end
]]

-- ARGV beside: when the report was sent, and for each key hits and demand. Takes the hits, also into debt; gives
-- thousandths of tokens and of demand, and the time. A debt is at most two buckets: when a load begins, proxies that do
-- not know of each other's yet let up to that pass too much. Hits count when they were sent: what a server finds in its
-- sockets that was stopped for a while would else take tokens that came since.
scripts.report = script(BUCKET .. [[
local reply, sent = {}, math.min(now, tonumber(ARGV[4]))
for i = 1, #KEYS do
  local tokens, demand, at = read(KEYS[i], sent)
  local hits, wanted = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
  local time = math.max(at, sent)
  tokens = math.max(math.min(room, tokens + (time - at) * rate) - hits, -2 * room)
  demand = demand * math.exp((at - time) / 1000) + wanted
  write(KEYS[i], tokens, demand, time)
  reply[2 * i - 1] = math.floor(tokens * 1000)
  reply[2 * i] = math.floor(demand * 1000)
end
reply[#reply + 1] = math.floor(now)
return reply
]])

-- One request: passes (1 or 0), how many more would, microseconds until the bucket is full, and until the next passes.
scripts.exact = script(BUCKET .. [[
local tokens, demand, at = read(KEYS[1], now)
tokens = math.min(burst, tokens + (now - at) * rate)
local passes = tokens >= 1 - 1e-6
if passes then
  tokens = tokens - 1
  write(KEYS[1], tokens, 0, now)
end
local wait = tokens < 1 and (1 - tokens) / rate or 0
return { passes and 1 or 0, math.floor(tokens + 1e-6), math.ceil((burst - tokens) / rate * 1000),
  math.ceil(wait * 1000) }
]])

-- A proxy's sign of life: how many have given one in the last seconds.
scripts.beat = script [[
local now = tonumber(redis.call('TIME')[1])
local life = tonumber(ARGV[2])
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - life)
redis.call('EXPIRE', KEYS[1], life * 4)
return redis.call('ZCARD', KEYS[1])
]]

return scripts
