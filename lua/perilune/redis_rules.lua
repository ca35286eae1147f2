-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_rules: which commands are refused on the shared connection, and what to use for them instead.

local rules = {}

local SUBSCRIBES = "it turns a connection into one for messages: use redis:subscribe"
local BLOCKS = "it blocks, and all share this connection: use redis:connect"
local STATE = "it changes the connection that all share: "
local OF_NEW = STATE .. "give it to redis.new as an option"
local TRANSACTS = STATE .. "use redis:transaction, or with WATCH redis:connect"

local refused = {
  SUBSCRIBE = SUBSCRIBES, PSUBSCRIBE = SUBSCRIBES, SSUBSCRIBE = SUBSCRIBES, UNSUBSCRIBE = SUBSCRIBES,
  PUNSUBSCRIBE = SUBSCRIBES, SUNSUBSCRIBE = SUBSCRIBES, MONITOR = SUBSCRIBES, SYNC = SUBSCRIBES, PSYNC = SUBSCRIBES,
  BLPOP = BLOCKS, BRPOP = BLOCKS, BRPOPLPUSH = BLOCKS, BLMOVE = BLOCKS, BLMPOP = BLOCKS, BZPOPMIN = BLOCKS,
  BZPOPMAX = BLOCKS, BZMPOP = BLOCKS, WAIT = BLOCKS, WAITAOF = BLOCKS,
  SELECT = OF_NEW, AUTH = OF_NEW, HELLO = OF_NEW,
  RESET = STATE .. "use redis:connect", QUIT = STATE .. "use redis:connect", ASKING = STATE .. "use redis:connect",
  READWRITE = STATE .. "use redis:connect",
  MULTI = TRANSACTS, EXEC = TRANSACTS, DISCARD = TRANSACTS, WATCH = TRANSACTS, UNWATCH = TRANSACTS,
}

-- Commands of which only some forms are refused: given the arguments, why; nil: it is fine.
local depends = {}

local function blocks(...)
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    word = type(word) == "string" and #word <= 7 and word:upper()
    if word == "BLOCK" then return BLOCKS:gsub("redis:connect", "redis:stream or redis:connect") end
    if word == "STREAMS" then return nil end
  end
end
depends.XREAD, depends.XREADGROUP = blocks, blocks

function depends.CLIENT(word)
  word = type(word) == "string" and word:upper()
  if word == "REPLY" or word == "TRACKING" or word == "CACHING" then return STATE .. "use redis:connect" end
end

local known, known_count = {}, 0 -- by the spelling that policies use: a reason, a function, or false

local function judge(name)
  if type(name) ~= "string" or name == "" then
    return ('expected the name of a command, like "GET", got a %s value'):format(type(name))
  end
  if name:find "%s" then
    return 'it has a space in it: each word is an argument of its own, as in call("GET", key)'
  end
  local upper = name:upper()
  local verdict = refused[upper] or depends[upper] or false
  if known_count < 500 then known[name], known_count = verdict, known_count + 1 end
  return verdict
end

--- Why a command has no place here; nil: it has.
function rules.refusal(name, ...)
  local verdict = known[name]
  if verdict == nil then verdict = judge(name) end
  if not verdict then return nil end
  local why = type(verdict) == "string" and verdict or type(verdict) == "function" and verdict(...)
  if not why then return nil end
  return type(name) == "string" and name ~= "" and ("%s: %s"):format(name:gsub("%c", "?"), why) or why
end

return rules
