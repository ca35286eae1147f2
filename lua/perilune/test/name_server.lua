-- SPDX-License-Identifier: Apache-2.0
-- name_server: a DNS server (UDP, RFC 1035) on a free port, whose answers a spec changes while it runs.
local cleanup = require "perilune.test.cleanup"
local scheduler = require "perilune.test.scheduler"
local sys = require "perilune.test.sys"

local M = {}

local TYPES = { A = 1, AAAA = 28, SRV = 33 }
local NAMES = { [1] = "A", [28] = "AAAA", [33] = "SRV" }

local function number16(value) return string.char(math.floor(value / 256) % 256, value % 256) end
local function number32(value) return number16(math.floor(value / 65536)) .. number16(value % 65536) end

local function name(text)
  return (text:gsub("[^.]+%.?", function(label)
    label = label:gsub("%.$", "")
    return string.char(#label) .. label
  end)) .. "\0"
end

-- "::1", "2001:db8::1"
local function ipv6(text)
  local head, tail = text:match "^(.-)::(.*)$"
  local groups, rest = {}, {}
  for group in (head or text):gmatch "%x+" do groups[#groups + 1] = number16(tonumber(group, 16)) end
  for group in (tail or ""):gmatch "%x+" do rest[#rest + 1] = number16(tonumber(group, 16)) end
  return table.concat(groups) .. ("\0\0"):rep(8 - #groups - #rest) .. table.concat(rest)
end

local function record_data(kind, record)
  if kind == TYPES.AAAA then return ipv6(record) end
  if kind == TYPES.A then return (record:gsub("(%d+)%.?", function(part) return string.char(tonumber(part)) end)) end
  return number16(record.priority) .. number16(record.weight) .. number16(record.port) .. name(record.target)
end

local function question_of(message)
  local labels, at = {}, 13
  while message:byte(at) ~= 0 do
    local length = message:byte(at)
    labels[#labels + 1] = message:sub(at + 1, at + length)
    at = at + length + 1
  end
  return table.concat(labels, "."):lower(), message:byte(at + 1) * 256 + message:byte(at + 2), message:sub(13, at + 4)
end

-- NXDOMAIN where the server knows nothing of the name, no answer at all where it is false.
local function answer_to(server, message)
  local asked, kind, question = question_of(message)
  server.questions[#server.questions + 1] = asked
  server.kinds[#server.kinds + 1] = NAMES[kind] or tostring(kind)
  local entry = server.names[asked]
  if entry == false or entry and entry.silent == NAMES[kind] then return nil end
  local records = {}
  local all = entry and entry[NAMES[kind]] or {}
  for i, record in ipairs(all) do
    local data = record_data(kind, record)
    records[i] = "\192\12" .. number16(kind) .. "\0\1" .. number32(entry.ttl or 60) .. number16(#data) .. data
  end
  local flags = "\129" .. (entry and "\128" or "\131")
  return message:sub(1, 2) .. flags .. "\0\1" .. number16(#records) .. "\0\0\0\0" .. question .. table.concat(records)
end

--- Starts a server. names["a.test"] = { A = { "127.0.0.2" }, SRV = { { priority, weight, port, target } }, ttl = 60 };
--- false: it does not answer; silent = "AAAA": not for this type of record.
---@return table server address, names, questions (names), kinds (the types that they were for)
function M.start(names)
  local fd = sys.bind_datagram "127.0.0.1"
  local server = { names = names or {}, questions = {}, kinds = {}, address = "127.0.0.1:" .. sys.port(fd) }
  local task = scheduler.spawn(function()
    while scheduler.wait(fd, sys.READ) do
      local message, from = sys.receive_from(fd)
      local answer = message and answer_to(server, message)
      if answer then sys.send_to(fd, answer, from) end
    end
  end)
  cleanup.add(3, function()
    scheduler.cancel(task)
    sys.close(fd)
  end)
  return server
end

return M
