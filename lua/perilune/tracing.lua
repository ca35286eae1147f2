-- SPDX-License-Identifier: Apache-2.0
-- perilune.tracing: the options of traces, for all listeners of a policy. The exporter is in
-- lua/perilune/tracing_export.lua, and runs on the control worker.

local check = require "perilune.check"
local core = require "perilune.core"
local options = require "perilune.options"

local tracing = {}

local valid = {
  endpoint = { "string", options.required },
  service = { "string", "perilune" },
  resource = { "table" },
  ratio = { "ratio", 0.01 },
  parent = { "string", "follow" },
  headers = { "table" },
  interval = { "seconds", 5 },
  timeout = { "seconds", 10 },
  queue = { "size", 2097152 },
  batch = { "size", 524288 },
  tries = { "positive", 5 },
  ca = { "ca" }, sni = { "string" }, verify = { "boolean" }, verify_name = { "string" },
}
local of_request = { "headers", "timeout", "ca", "sni", "verify", "verify_name" }

local LEAST, MOST_BATCH = 65536, 4194304
local parents = { follow = true, join = true, ignore = true }

-- An endpoint without a path is the base of those that OTLP has.
local function url_of(endpoint)
  local scheme, authority, path = endpoint:match "^(https?)://([^/?#@]+)([^?#]*)$"
  if not scheme then return nil end
  return ("%s://%s%s"):format(scheme, authority, (path == "" or path == "/") and "/v1/traces" or path)
end

-- Options that do not fit, beyond what each may be.
local function fault_of(given)
  if not url_of(given.endpoint) then
    return ("option 'endpoint' must be a URL such as http://127.0.0.1:4318, got '%s'"):format(given.endpoint)
  end
  if not parents[given.parent] then
    return ("option 'parent' must be follow, join or ignore, got '%s'"):format(given.parent)
  end
  if given.queue < LEAST then return ("option 'queue' must be %d bytes or more"):format(LEAST) end
  if given.batch < LEAST or given.batch > MOST_BATCH then
    return ("option 'batch' must be from %d to %d bytes"):format(LEAST, MOST_BATCH)
  end
  if given.interval < 0.1 then return "option 'interval' must be 0.1 seconds or more" end
  for name, value in pairs(given.headers or {}) do
    if type(name) ~= "string" or type(value) ~= "string" then
      return "option 'headers' must be names with strings, such as { Authorization = \"Bearer ...\" }"
    end
    local wrong = core.http_check_field(name, value)
    if wrong then return "option 'headers': " .. wrong end
  end
end

-- Who sends, as OTLP calls it. What the policy says stands in the place of ours.
local function resource_of(given)
  local resource = {
    ["service.name"] = given.service, ["host.name"] = core.host_name(), ["telemetry.sdk.name"] = "perilune",
    ["telemetry.sdk.language"] = "lua",
  }
  for name, value in pairs(given.resource or {}) do
    local kind = type(value)
    if type(name) ~= "string" or (kind ~= "string" and kind ~= "number" and kind ~= "boolean") then
      check.raise "perilune.tracing: option 'resource' must be names with strings, numbers or booleans"
    end
    resource[name] = value
  end
  return resource
end

local function sender_of(given)
  local sender = { url = url_of(given.endpoint), interval = given.interval, batch = given.batch, tries = given.tries }
  sender.request = { stream = false }
  for _, name in ipairs(of_request) do sender.request[name] = given[name] end
  return sender
end

--- Traces of all listeners of this policy, sent to an OpenTelemetry collector (OTLP/HTTP). In the main chunk, once.
--- Misuse raises. lua/perilune/types_tracing.lua has the options.
function tracing.tracing(given)
  core.check_dot(given, "perilune.tracing")
  local wanted = options.read("perilune.tracing", given, valid)
  wanted.queue, wanted.batch = options.bytes(wanted.queue), options.bytes(wanted.batch)
  local wrong = fault_of(wanted)
  if wrong then error("perilune.tracing: " .. wrong, 2) end
  local handle = core.tracing(wanted.queue, wanted.ratio, wanted.parent, resource_of(wanted))
  if core.is_control() then require("perilune.tracing_export").start(handle, sender_of(wanted)) end
end

options.declare(tracing.tracing, "perilune.tracing", 1, valid)

return tracing
