-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_slots: which of the 16384 slots of a Redis Cluster a command belongs to: the CRC16 of its first key,
-- or of the part of the key in braces; and which server has which slots, by its answer to CLUSTER SLOTS.

local bit = require "bit"
local route = require "perilune.redis_route"

local slots = { COUNT = 16384 }

local band, bxor, lshift, rshift = bit.band, bit.bxor, bit.lshift, bit.rshift

local crc_of_byte = {}
for byte = 0, 255 do
  local crc = lshift(byte, 8)
  for _ = 1, 8 do crc = band(band(crc, 0x8000) ~= 0 and bxor(lshift(crc, 1), 0x1021) or lshift(crc, 1), 0xffff) end
  crc_of_byte[byte] = crc
end

--- The slot of a key. Keys with the same text between their first "{" and the next "}" have the same slot, if that text
--- is not empty.
function slots.of_key(key)
  local first = key:find("{", 1, true)
  local last = first and key:find("}", first + 1, true)
  local from, to = 1, #key
  if last and last > first + 1 then from, to = first + 1, last - 1 end
  local crc = 0
  for i = from, to do
    crc = bxor(band(lshift(crc, 8), 0xffff), crc_of_byte[band(bxor(rshift(crc, 8), key:byte(i)), 0xff)])
  end
  return crc % slots.COUNT
end

-- Where the first key of a command is, if it is not its first argument. false: it has none.
local place_of = {}
for name in ("PING ECHO INFO TIME DBSIZE KEYS SCAN FLUSHALL FLUSHDB CONFIG CLIENT CLUSTER COMMAND SCRIPT FUNCTION "
  .. "PUBLISH LASTSAVE ROLE SLOWLOG LATENCY ACL PUBSUB RANDOMKEY MODULE BGSAVE BGREWRITEAOF SAVE"):gmatch "%S+" do
  place_of[name] = false
end
for name in ("OBJECT MEMORY XINFO XGROUP BITOP DEBUG ZUNION ZINTER ZDIFF SINTERCARD ZINTERCARD LMPOP ZMPOP")
  :gmatch "%S+" do
  place_of[name] = 3
end

local function of_script(command) return (tonumber(command[3]) or 0) > 0 and 4 or false end
local function of_streams(command)
  for i = 2, #command do
    if type(command[i]) == "string" and command[i]:upper() == "STREAMS" then return i + 1 end
  end
  return false
end
for name in ("EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO"):gmatch "%S+" do place_of[name] = of_script end
place_of.XREAD, place_of.XREADGROUP = of_streams, of_streams

--- The slot of a command, a list; nil: any server may do it.
function slots.of_command(command)
  local name = tostring(command[1]):upper()
  local place = place_of[name]
  if type(place) == "function" then place = place(command) end
  if place == false then return nil end
  local key = command[place or 2]
  if type(key) ~= "string" and type(key) ~= "number" then return nil end
  return slots.of_key(tostring(key))
end

local function is_slot(value)
  return type(value) == "number" and value % 1 == 0 and value >= 0 and value < slots.COUNT
end

-- { first, last, { host, port, ... }, replicas... }; a host that is null or empty is the one that was asked.
local function read_range(range, asked)
  if type(range) ~= "table" or not is_slot(range[1]) or not is_slot(range[2]) or range[1] > range[2] then return nil end
  local server = range[3]
  if type(server) ~= "table" then return nil end
  local host = type(server[1]) == "string" and server[1] ~= "" and server[1] or asked
  return route.address(host, server[2])
end

--- { [slot] = address } and { [address] = true } of what CLUSTER SLOTS gave; nil and why it is no map. `asked` is the
--- host that gave it.
function slots.read(reply, asked)
  if type(reply) ~= "table" then return nil, "CLUSTER SLOTS gave no list" end
  if #reply == 0 or #reply > slots.COUNT then return nil, ("CLUSTER SLOTS gave %d ranges"):format(#reply) end
  local map, servers = {}, {}
  for _, range in ipairs(reply) do
    local address = read_range(range, asked)
    if not address then return nil, "CLUSTER SLOTS gave a range that is none" end
    for slot = range[1], range[2] do map[slot] = address end
    servers[address] = true
  end
  return map, servers
end

return slots
