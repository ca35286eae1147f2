-- SPDX-License-Identifier: Apache-2.0
-- access_log: one line of JSON for each request, on standard output.
--
--   policy.logging = access_log.new { fields = function(session, ctx) return { user = ctx.user } end }
--
-- Use it for lines that the option access_log of perilune.listen cannot write. That option writes the usual fields,
-- and those of session:set_log_field, from a separate thread; this module writes from the worker, which has to wait
-- if the reader does not read.

local check = require "perilune.check"
local core = require "perilune.core"
local date = require "perilune.date"
local json = require "perilune.json"
local options = require "perilune.options"

---@type perilune.access_log
local access_log = {}

local valid = {
  fields = { "function" },  -- fields(session, ctx, error): a table of further ones
  write = { "function" },   -- write(line): instead of standard output
}

local function to_standard_output(line)
  io.stdout:write(line, "\n")
  io.stdout:flush()
end

-- What is known of every request; by the names that the option access_log of perilune.listen has, too.
local function entry_of(session, failure)
  return {
    time = date.iso8601(core.time() - session:duration(), 3),
    client = session:client_ip(),
    method = session:method(),
    host = session:host(),
    target = session:target(),
    status = session:response_status(),
    bytes = session:body_bytes(),
    duration = session:duration(),
    upstream = session:peer_address(),
    attempts = session:attempts(),
    error = failure and failure:kind(),
    user_agent = session:get_header "user-agent",
    referer = session:get_header "referer",
  }
end

--- A hook for logging.
function access_log.new(given, ...)
  check.no_more("access_log.new", "its options are one table", ...)
  local wanted = options.read("access_log.new", given, valid)
  local write = wanted.write or to_standard_output
  return function(session, failure, ctx)
    local entry = entry_of(session, failure)
    for name, value in pairs(wanted.fields and wanted.fields(session, ctx, failure) or {}) do entry[name] = value end
    local line, why = json.encode(entry)
    if line then write(line) else core.log_about("error", "access_log", "access_log: " .. why) end
  end
end

return access_log
