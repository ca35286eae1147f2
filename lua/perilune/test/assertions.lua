-- SPDX-License-Identifier: Apache-2.0
-- assertions: assertions about responses, origins and logs for specs of policies, in the style of luassert.
--
--   assert.status(200, response)
--   assert.field("X-Why", "no", response)                    nil: there is none
--   assert.body("hello", response)
--   assert.received({ method = "GET", headers = { ["X-A"] = "1" } }, origin)
--   assert.requests(2, origin)
--   assert.cached(response)                                  it came from the cache
--   assert.cached("miss", response)                          what the cache did
--   assert.metric(3, "perilune_requests_total", harness)     within two seconds; 'name{status="200"}': of such series
--   assert.logged("backend .* is unhealthy", harness)        or test.log
--
-- `assert.is_not` and the like negate them.

local assert = require "luassert"
local say = require "say"

local fields = require "perilune.test.fields"
local misuse = require "perilune.test.misuse"

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  return tostring(value)
end

local function describe(response)
  local lines = { ("%s %s"):format(response.status, response.reason or "") }
  for _, field in ipairs(response.headers or {}) do lines[#lines + 1] = field.name .. ": " .. field.value end
  return table.concat(lines, "\n  ") .. "\n\n  " .. tostring(response.body):sub(1, 500)
end

--- --- arguments ---------------------------------------------------------------------------------------------------

local function has(name, kind)
  return function(value) return type(value) == "table" and type(rawget(value, name)) == kind end
end

local function is_a(kind)
  return function(value) return type(value) == kind end
end

-- What an argument may be, and how that is called.
local KINDS = {
  number = { "a number", is_a "number" },
  string = { "a string", is_a "string" },
  field = { "a string, or nil where there is none", function(value)
    return value == nil or type(value) == "string"
  end },
  request = { "a table with what the request has", is_a "table" },
  response = { "a response", has("status", "number") },
  message = { "a response or a request", has("headers", "table") },
  origin = { "an origin of the harness (h.origins.name), or what test.http gave", has("requests", "table") },
  log = { "a harness or test.log", function(value)
    return type(value) == "table" and (type(rawget(value, "entries")) == "function" or value.log ~= nil)
  end },
  harness = { "a harness", has("ports", "table") },
}

-- `nil` with the reason that came behind it, as of connection:read_response().
local function got(arguments, i)
  local value, next_one = arguments[i], arguments[i + 1]
  if i > arguments.n then return "nothing" end
  if value ~= nil then return "a " .. type(value) .. " value" end
  return type(next_one) == "string" and ("nil (%s)"):format(next_one) or "nil"
end

local function check_arguments(name, form, kinds, arguments)
  for i, kind in ipairs(kinds) do
    local word, fits = KINDS[kind][1], KINDS[kind][2]
    if i > arguments.n or not fits(arguments[i]) then
      misuse.raise(("assert.%s: argument %d must be %s, got %s: it is written assert.%s(%s)"):format(name, i, word,
        got(arguments, i), name, form))
    end
  end
end

--- --- assertions --------------------------------------------------------------------------------------------------

-- `form` is how it is written, `kinds` what its arguments are; `check(...)` returns whether it holds and a sentence on
-- what was found. `complete(arguments)` adds what may be left out.
local function define(name, form, kinds, wanted, check, complete)
  say:set("assertion." .. name .. ".positive", "Wanted %s")
  say:set("assertion." .. name .. ".negative", "Wanted anything but %s")
  assert:register("assertion", name, function(_, arguments)
    if complete then complete(arguments) end
    check_arguments(name, form, kinds, arguments)
    local holds, found = check(unpack(arguments, 1, arguments.n))
    arguments[1] = ("%s.\nFound: %s"):format(wanted(unpack(arguments, 1, arguments.n)), found)
    arguments.n = 1
    arguments.nofmt = { true }
    return holds
  end, "assertion." .. name .. ".positive", "assertion." .. name .. ".negative")
end

define("status", "200, response", { "number", "response" }, function(status)
  return "status " .. show(status)
end, function(status, response)
  return response.status == status, describe(response)
end)

define("field", '"Name", "value", response', { "string", "field", "message" },
  function(name, value) return ("the field %s: %s"):format(name, show(value)) end,
  function(name, value, message)
    local found = message.headers[name:lower()]
    return found == value, found and name .. ": " .. show(found) or describe(message)
  end)

define("body", '"text", response', { "string", "message" }, function(body)
  return "the body " .. show(body)
end, function(body, response)
  return response.body == body, show(response.body)
end)

-- The first difference between what was wanted of a request and what it was; nil: none.
local function difference(wanted, request)
  for name, value in pairs(wanted) do
    if name == "path" then name = "target" end
    if name == "headers" then
      for _, field in ipairs(fields.new(value)) do
        local found = request.headers[field.name:lower()]
        if found ~= field.value then return ("%s: %s"):format(field.name, show(found)) end
      end
    elseif request[name] ~= value then
      return ("%s %s"):format(name, show(request[name]))
    end
  end
end

local function show_wanted(wanted)
  local words = {}
  for name, value in pairs(wanted) do
    words[#words + 1] = name .. " " .. (type(value) == "table" and "..." or show(value))
  end
  table.sort(words)
  return "a request with " .. table.concat(words, ", ")
end

local RECEIVED = { method = "string", target = "string", path = "string", url = "string", host = true,
  version = "string", headers = "table", body = "string", connection = "number", sni = true, framing = "string",
  trailers = "table", authority = "string", scheme = "string", stream = "number", messages = "table" }

define("received", '{ target = "/" }, origin', { "request", "origin" }, show_wanted, function(wanted, origin)
  misuse.fields("assert.received", wanted, RECEIVED)
  local nearest = "no request"
  for _, request in ipairs(origin.requests) do
    local found = difference(wanted, request)
    if not found then return true, request.head end
    nearest = found .. " in\n  " .. request.head
  end
  return false, nearest
end)

define("requests", "1, origin", { "number", "origin" }, function(count)
  return count .. " requests at the origin"
end, function(count, origin)
  local lines = {}
  for i, request in ipairs(origin.requests) do lines[i] = request.method .. " " .. request.target end
  return #origin.requests == count, #origin.requests .. "\n  " .. table.concat(lines, "\n  ")
end)

-- What came from the cache.
local STORED = { hit = true, stale = true, ["stale-updating"] = true, revalidated = true }
local CACHE_RESULTS = { hit = true, miss = true, stale = true, ["stale-updating"] = true, expired = true,
  revalidated = true, bypass = true, cached = true }

-- Something stale was asked about: the peer has said that it is still good, or has failed, or gave another.
local function result_of_stale(text)
  if text:find "fwd%-status=304" then return "revalidated" end
  return (text:find "fwd%-status=" or text:find "detail=no%-answer") and "stale" or "expired"
end

-- As Cache-Status says it, of the proxy that is nearest.
local function result_in_field(response)
  local text = tostring(response.headers.cache_status or ""):match "perilune[^,]*$"
  if not text then return nil end
  if text:find "; hit" then return text:find "ttl=%-" and "stale" or "hit" end
  local forward = text:match "fwd=([%a-]+)"
  if forward == "stale" then return result_of_stale(text) end
  return (forward or ""):find "miss" and "miss" or "bypass"
end

local function cache_result(response)
  if response.cache then return response.cache end
  if rawget(response, "tries") then return "no part in it: the listener has none" end
  return result_in_field(response) or misuse.raise(
    "assert.cached: the response does not say what the cache did: perilune.cache(name, { status_header = true })")
end

define("cached", '"hit", response', { "string", "response" }, function(result)
  return result == "cached" and "a response from the cache" or "the cache's part to be " .. show(result)
end, function(result, response)
  if not CACHE_RESULTS[result] then
    misuse.raise(("assert.cached: there is no result %q: it is one of %s"):format(result,
      "hit, miss, stale, stale-updating, expired, revalidated, bypass"))
  end
  local found = cache_result(response)
  local holds = found == result or result == "cached" and STORED[found] or false
  return holds, ("%s\n  %s"):format(found, describe(response))
end, function(arguments)
  if arguments.n ~= 1 then return end
  arguments[1], arguments[2], arguments.n = "cached", arguments[1], 2
end)

local LOG_LINES = 20

-- The log of a harness is a text, that of the process a list.
local function log_of(source)
  if not rawget(source, "entries") then return source:log() end
  local lines = {}
  for i, entry in ipairs(source.entries()) do lines[i] = entry.level .. " " .. entry.text end
  return table.concat(lines, "\n")
end

-- The last lines of a log, and how many are before them.
local function last_lines(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = "  " .. line end
  if #lines == 0 then return "nothing: the log is empty" end
  local first = math.max(1, #lines - LOG_LINES + 1)
  local head = first > 1 and ("the last %d of %d lines"):format(LOG_LINES, #lines) or "these lines"
  return head .. "\n" .. table.concat(lines, "\n", first)
end

-- The whole lines in which a match lies.
local function lines_around(text, from, to)
  while from > 1 and text:byte(from - 1) ~= 10 do from = from - 1 end
  return "\n  " .. text:sub(from, (text:find("\n", to, true) or #text + 1) - 1)
end

define("logged", '"pattern", h', { "string", "log" }, function(pattern)
  return "in the log: " .. pattern
end, function(pattern, source)
  local text = log_of(source)
  local from, to = text:find(pattern)
  return from ~= nil, from and lines_around(text, from, to) or last_lines(text)
end)

define("metric", '1, "perilune_requests_total", h', { "number", "string", "harness" }, function(value, name)
  return ("the metric %s %s within two seconds"):format(name, value)
end, function(value, name, harness)
  local found
  local is_so, why = pcall(harness.eventually, harness, function()
    found = harness:metric(name)
    return found == value
  end, 2)
  if found == nil then error(why, 0) end
  return is_so, ("%s\n  %s"):format(found, table.concat(harness:metric_lines(name), "\n  "))
end)
