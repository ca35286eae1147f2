-- SPDX-License-Identifier: Apache-2.0
-- recording: the file of `perilune record` for specs: its requests, as policy:request takes them, with the answers of
-- their peers. The form of the file is described in core/shared/recording.h. Damage is looked for by `perilune replay`;
-- here it is refused where it can be seen.
local files = require "perilune.test.files"
local misuse = require "perilune.test.misuse"

local M = {}

local MAGIC = "perilune recording 1\n"

local function refuse(path, why) misuse.raise(("test.recording: %s: %s"):format(path, why)) end

-- The members of a frame, by name.
local function members(bytes)
  local found, at = {}, 1
  while at <= #bytes do
    local name, length, behind = bytes:match("^(%S+) (%d+)\n()", at)
    if not name then return nil end
    found[name] = bytes:sub(behind, behind + length - 1)
    at = behind + length + 1
  end
  return found
end

-- A head as a first line and fields in the form of specs: a name that stands twice has a list.
local function read_head(head)
  local first, rest = head:match "^(.-)\r\n(.*)$"
  local headers = {}
  for name, value in rest:gmatch "([^:\r\n]+): ?([^\r\n]*)\r\n" do
    local before = headers[name]
    headers[name] = before == nil and value or type(before) == "table" and before or { before }
    if before ~= nil then table.insert(headers[name], value) end
  end
  return first, headers
end

local function read_request(found)
  local first, headers = read_head(found.head)
  local method, target, version = first:match "^(%S+) (%S+) HTTP/(%S+)$"
  local host = headers.Host or headers.host or false
  headers.Host, headers.host = nil, nil
  return { method = method, target = target, version = version, headers = headers, host = host, body = found.body,
    client = found.client, scheme = found.secure and "https" or "http" }
end

local function read_answer(found)
  if not found.answer then return found.error end
  local first, headers = read_head(found.answer)
  local status, reason = first:match "^%S+ (%d+) ?(.*)$"
  return { status = tonumber(status), reason = reason, headers = headers }
end

--- All requests of a file, in order.
function M.read(path)
  local file, why = files.find(path)
  if not file then misuse.raise("test.recording: " .. why) end
  local stream = assert(io.open(file, "rb"))
  local text = stream:read "*a"
  stream:close()
  if text:sub(1, #MAGIC) ~= MAGIC then refuse(path, "it is no recording of 'perilune record'") end
  local requests, at, ended = {}, #MAGIC + 1, false
  while at <= #text do
    local kind, length, behind = text:match("^(%u) (%d+) %x+\n()", at)
    if not kind or behind + length > #text then break end
    local found = members(text:sub(behind, behind + length - 1))
    if not found then break end
    ended = kind == "E"
    if kind == "R" then
      requests[#requests + 1] = { request = read_request(found), answer = read_answer(found),
        at = (tonumber(found.at_ms) or 0) / 1000, status = tonumber(found.status), peer = found.peer }
    end
    at = behind + length + 1
  end
  if not ended then refuse(path, ("it was cut short, or is damaged, behind request %d"):format(#requests)) end
  return requests
end

return M
