-- SPDX-License-Identifier: Apache-2.0
-- otlp: a collector of spans (OTLP/HTTP) as a scripted origin. It reads ExportTraceServiceRequest strictly: what is not
-- of the schema of opentelemetry-proto, or no UTF-8 where that is wanted, is an error. spec/tracing_collector_spec.lua
-- lets the official Python package read the same bytes where it is installed.
local bit = require "bit"
local ffi = require "ffi"
local origins = require "origins"
local scheduler = require "scheduler"

local M = {}

--- ---------------------------------------------------------------------------------------------------------------
--- Protocol Buffers

local function varint(text, at)
  local number, shift = 0ULL, 0
  repeat
    local byte = assert(text:byte(at), "a number is cut off")
    number = bit.bor(number, bit.lshift(ffi.cast("uint64_t", bit.band(byte, 127)), shift))
    at, shift = at + 1, shift + 7
    assert(shift <= 70, "a number is too long")
  until byte < 128
  return number, at
end

local function fixed(text, at, bytes)
  local number = 0ULL
  assert(at + bytes - 1 <= #text, "a number is cut off")
  for i = bytes - 1, 0, -1 do number = number * 256 + text:byte(at + i) end
  return number, at + bytes
end

local function check_utf8(text)
  local rest = text:gsub("[%z\1-\127]", ""):gsub("[\194-\223][\128-\191]", ""):gsub("\224[\160-\191][\128-\191]", "")
    :gsub("[\225-\236\238\239][\128-\191][\128-\191]", ""):gsub("\237[\128-\159][\128-\191]", "")
    :gsub("[\240-\244][\128-\191][\128-\191][\128-\191]", "")
  assert(rest == "", "no UTF-8")
  return text
end

local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function number_of(value) return tonumber(value) end
local function signed(value) return tonumber(ffi.cast("int64_t", value)) end
local function double(value) return ffi.new("union { uint64_t bits; double number; }", { bits = value }).number end
local function text_of(value) return check_utf8(value) end
local function flag(value) return value ~= 0 end

-- By field: its name, wire type, what is made of it, and whether there may be several.
local any = { { "string", 2, text_of }, { "bool", 0, flag }, { "int", 0, signed }, { "double", 1, double } }
local pair = { { "key", 2, text_of }, { "value", 2, any } }
local resource_message = { { "attributes", 2, pair, true } }
local scope_message = { { "name", 2, text_of }, { "version", 2, text_of } }
local status = { [2] = { "message", 2, text_of }, [3] = { "code", 0, number_of } }
local span = {
  { "trace_id", 2, hex }, { "id", 2, hex }, { "state", 2, text_of }, { "parent", 2, hex }, { "name", 2, text_of },
  { "kind", 0, number_of }, { "begin", 1, number_of }, { "finish", 1, number_of }, { "attributes", 2, pair, true },
  { "missed", 0, number_of }, [15] = { "status", 2, status }, [16] = { "flags", 5, number_of },
}
local scope_spans = { { "scope", 2, scope_message }, { "spans", 2, span, true } }
local resource_spans = { { "resource", 2, resource_message }, { "scope_spans", 2, scope_spans, true } }
local export = { { "resource_spans", 2, resource_spans, true } }

local decode

local function read_value(text, at, wire, field)
  local value, length
  if wire == 0 then value, at = varint(text, at)
  elseif wire == 1 then value, at = fixed(text, at, 8)
  elseif wire == 5 then value, at = fixed(text, at, 4)
  else
    length, at = varint(text, at)
    length = tonumber(length)
    assert(wire == 2 and at + length - 1 <= #text, "a field is cut off")
    value, at = text:sub(at, at + length - 1), at + length
  end
  return type(field[3]) == "table" and decode(value, field[3]) or type(field[3]) == "function" and field[3](value), at
end

function decode(text, schema)
  local message, at = {}, 1
  while at <= #text do
    local tag
    tag, at = varint(text, at)
    local number, wire = tonumber(tag) / 8, tonumber(tag) % 8
    local field = assert(schema[math.floor(number)], "there is no such field: " .. math.floor(number))
    assert(field[2] == wire, field[1] .. " has another type")
    local value
    value, at = read_value(text, at, wire, field)
    if field[4] then
      message[field[1]] = message[field[1]] or {}
      table.insert(message[field[1]], value)
    else
      assert(message[field[1]] == nil, field[1] .. " is there twice")
      message[field[1]] = value
    end
  end
  return message
end

local function plain(pairs_of)
  local attributes = {}
  for _, one in ipairs(pairs_of or {}) do
    assert(attributes[one.key] == nil, one.key .. " is there twice")
    local _, value = next(one.value)
    attributes[one.key] = value
  end
  return attributes
end

local kinds = { "internal", "server", "client" }

--- The spans of a request, each with its attributes as a table, kind as a word and the resource.
function M.decode(body)
  local spans = {}
  for _, of_resource in ipairs(decode(body, export).resource_spans) do
    local resource = plain(of_resource.resource.attributes)
    for _, of_scope in ipairs(of_resource.scope_spans) do
      assert(of_scope.scope.name == "perilune", "the scope is another")
      for _, one in ipairs(of_scope.spans) do
        assert(#one.trace_id == 32 and #one.id == 16 and one.begin <= one.finish, "a span is wrong")
        one.attributes, one.kind, one.resource = plain(one.attributes), kinds[one.kind], resource
        one.failed = one.status ~= nil and one.status.code == 2
        spans[#spans + 1] = one
      end
    end
  end
  return spans
end

--- ---------------------------------------------------------------------------------------------------------------
--- the collector

local Collector = {}
Collector.__index = Collector

--- All spans that were taken so far.
function Collector:all()
  assert(not self.fault, self.fault)
  return self.spans
end

--- Waits until there are so many of a trace (of any: nil), and gives them, oldest first.
function Collector:await(count, trace_id)
  local found
  local ok = pcall(scheduler.eventually, function()
    found = {}
    for _, one in ipairs(self:all()) do
      if not trace_id or one.trace_id == trace_id then found[#found + 1] = one end
    end
    return #found >= count
  end)
  assert(ok and #found == count, ("%d spans instead of %d"):format(#found, count))
  table.sort(found, function(a, b) return a.begin < b.begin end)
  return found
end

--- Starts one. `answer(number)` may give another answer than 200 to the request of that number: as connection:respond.
function M.start(answer, options)
  local collector = setmetatable({ spans = {}, bodies = {} }, Collector)
  collector.origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local said = answer and answer(#collector.origin.requests, connection) or { status = 200, body = "" }
      if said.status == 200 then
        collector.bodies[#collector.bodies + 1] = request.body
        local ok, spans = pcall(M.decode, request.body)
        if not ok then collector.fault = spans end
        for _, one in ipairs(ok and spans or {}) do table.insert(collector.spans, one) end
      end
      if said.silent then return scheduler.sleep(60) end
      connection:respond(said)
    end
  end, options)
  collector.url = "http://" .. collector.origin.address
  return collector
end

return M
