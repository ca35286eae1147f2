-- SPDX-License-Identifier: Apache-2.0
-- mirror: sends copies of requests to another server, without waiting for its responses.
--
--   local mirror = require("perilune.mirror").new { to = "http://127.0.0.1:8002", percent = 10 }
--   function policy.request_filter(session) mirror(session) end
--
-- A body of up to `max_body` bytes is mirrored, too; it is then read before the peer is asked. Requests with a larger
-- body or a body of unknown length are not mirrored, and no more than `at_once` in each worker at the same time.

local check = require "perilune.check"
local core = require "perilune.core"
local http = require "perilune.http"
local options = require "perilune.options"
local url = require "perilune.url"

---@type perilune.mirror
local mirror = {}

local valid = {
  to = { "string", options.required },   -- "https://host:port"
  percent = { "percent", 100 },
  max_body = { "count", 65536 },         -- bytes
  at_once = { "positive", 100 },
  timeout = { "seconds", 5 },
  ca = { "ca" },                         -- of the other server
}

local function fields_of(session)
  local fields = {}
  for name, value in session:headers() do
    name = name:lower()
    fields[name] = fields[name] or {}
    table.insert(fields[name], value)
  end
  fields.host, fields.expect = nil, nil
  return fields
end

-- The body to send; false: this request is not mirrored.
local function body_of(session, max_body)
  if session:get_header "transfer-encoding" then return false end
  local length = tonumber(session:get_header "content-length" or 0)
  if length == 0 then return nil end
  return length <= max_body and session:read_body(max_body)
end

--- A function for request_filter.
function mirror.new(given, ...)
  check.no_more("mirror.new", "its options are one table", ...)
  local wanted = options.read("mirror.new", given, valid)
  local base, why = url.parse(wanted.to)
  if not base or base.target ~= "/" then
    error(("mirror.new: 'to': %s: write \"https://host:port\", got %q"):format(why or "a path makes no sense",
      wanted.to), 2)
  end
  local to, under_way = wanted.to:gsub("/$", ""), 0

  local function send(request)
    under_way = under_way + 1
    local done, response, failure = pcall(http.request, request)
    under_way = under_way - 1
    if not done or not response then core.log.debug("mirror: " .. tostring(failure or response)) end
  end

  return function(session)
    if math.random() * 100 >= wanted.percent or under_way >= wanted.at_once then return end
    local body = body_of(session, wanted.max_body)
    if body == false or session:target():sub(1, 1) ~= "/" then return end
    local request = { url = to .. session:target(), method = session:method(), headers = fields_of(session),
      body = body, timeout = wanted.timeout, ca = wanted.ca }
    core.after(0, function() send(request) end)
  end
end

return mirror
