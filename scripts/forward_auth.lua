-- SPDX-License-Identifier: Apache-2.0
-- forward_auth: asks a service whether a request may pass. The service gets the fields that say who asks, and where to;
-- 2xx lets the request pass, with fields of the service's answer; any other answer goes to the client.
--
--   local check = forward_auth.new { url = "http://127.0.0.1:9000/verify", copy = { "X-User", "X-Groups" }, ttl = 10 }
--   function policy.request_filter(session, ctx) return check(session, ctx) end
--
-- Fields that are copied are removed from the request first: what a client says of itself never reaches the peer. With
-- `ttl`, a verdict is kept for as long, by all that the service was told; equal requests at the same time ask once.

local check = require "perilune.check"
local core = require "perilune.core"
local crypto = require "perilune.crypto"
local http = require "perilune.http"
local options = require "perilune.options"
local refusal = require "perilune.refusal"
local shared = require "perilune.shared"

---@type perilune.forward_auth
local forward_auth = {}

local BODY_MOST = 65536
-- Of an answer that goes to the client.
local ANSWERED = { "Location", "WWW-Authenticate", "Set-Cookie", "Content-Type", "Retry-After" }

local valid = {
  url = { "string", options.required },
  send = { "list", { "Authorization", "Cookie" } },  -- fields of the request that the service gets
  copy = { "list", {} },                             -- fields of its answer that the peer gets
  ttl = { "seconds" },                               -- without: each request asks
  timeout = { "seconds", 2 },
  on_error = { "string", "closed" },                 -- "open": requests pass while the service does not answer
  name = { "string", "forward_auth" },
  size = { "size", 4194304 },                        -- bytes of verdicts that are kept
  ca = { "ca" },
  answer = refusal.option,                           -- while the service does not answer
}

-- What the service is told; as one text it is the key of the verdict.
local function question_of(session, wanted)
  local headers, parts = {}, {}
  local function add(name, value)
    headers[name] = value
    parts[#parts + 1] = name .. ":" .. #value .. ":" .. value
  end
  for _, name in ipairs(wanted.send) do
    local value = session:get_header(name)
    if value then add(name, value) end
  end
  add("X-Forwarded-Method", session:method())
  add("X-Forwarded-Proto", session:tls() and "https" or "http")
  add("X-Forwarded-Host", session:host() or "")
  add("X-Forwarded-Uri", session:target())
  add("X-Forwarded-For", session:client_ip() or "")
  return headers, table.concat(parts, "\n")
end

-- The verdict: { status, fields = { { name, value } }, body }; nil and why.
local function ask(wanted, headers)
  local answer, why = http.request { url = wanted.url, headers = headers, timeout = wanted.timeout, limit = BODY_MOST,
    ca = wanted.ca }
  if not answer then return nil, why end
  if answer.status >= 500 then return nil, ("%s: status %d"):format(wanted.url, answer.status) end
  local passes, fields = answer.status < 300, {}
  for _, name in ipairs(passes and wanted.copy or ANSWERED) do
    for _, value in ipairs(answer:get_headers(name)) do fields[#fields + 1] = { name, value } end
  end
  return { status = answer.status, passes = passes, fields = fields, body = not passes and answer.body or nil }
end

local function respond(session, verdict)
  local headers = {}
  for _, field in ipairs(verdict.fields) do
    local name = field[1]
    headers[name] = headers[name] or {}
    table.insert(headers[name], field[2])
  end
  return session:respond { status = verdict.status, headers = headers, body = verdict.body }
end

-- The peer gets what the service said, and nothing that the client said in its place.
local function pass(session, wanted, verdict)
  local request = session:request()
  for _, name in ipairs(wanted.copy) do request:remove_header(name) end
  for _, field in ipairs(verdict and verdict.fields or {}) do request:add_header(field[1], field[2]) end
  return false
end

local function check_fields(name, list)
  for position, field in ipairs(list) do
    if type(field) ~= "string" or not field:find "^[%w!#$%%&'*+.^_`|~-]+$" then
      check.raise(("forward_auth.new: option '%s', number %d, is no name of a field"):format(name, position))
    end
  end
end

-- Verdicts that are kept. What is asked is known by its key for as long as anybody can wait for it: the fields go into
-- the younger of two tables, of which the older one is dropped after that time. So a client that goes away leaves
-- nothing.
local function keeper(wanted)
  local young, old, patience, turn_at = {}, {}, wanted.timeout + 2, 0
  local function fetch(key)
    local headers = young[key] or old[key]
    if not headers then return nil, "nobody waits for it any more" end
    return ask(wanted, headers)
  end
  local kept = shared.shared_dict(wanted.name, { ttl = wanted.ttl, negative_ttl = 0.001, stale = 0, retry = 0.001,
    size = wanted.size, timeout = wanted.timeout + 1, fetch = fetch })
  return function(headers, question)
    local now, key = core.now(), crypto.sha256(question)
    if now >= turn_at then young, old, turn_at = {}, young, now + patience end
    young[key] = headers
    return kept:get(key)
  end
end

--- A function for request_filter: true says that it has answered the request.
function forward_auth.new(given, ...)
  check.no_more("forward_auth.new", "its options are one table", ...)
  local wanted = options.read("forward_auth.new", given, valid)
  check_fields("send", wanted.send)
  check_fields("copy", wanted.copy)
  if not wanted.url:find "^https?://[^/]" then
    check.raise(("forward_auth.new: option 'url' must be a URL such as \"http://10.0.0.1:8080/check\", got '%s'")
      :format(wanted.url))
  end
  if wanted.on_error ~= "open" and wanted.on_error ~= "closed" then
    check.raise "forward_auth.new: option 'on_error' is \"open\" or \"closed\""
  end
  local find = wanted.ttl and keeper(wanted)
  local refuse = refusal.new("forward_auth.new", wanted.answer)
  return function(session)
    local headers, question = question_of(session, wanted)
    local verdict, why
    if find then verdict, why = find(headers, question) else verdict, why = ask(wanted, headers) end
    if verdict and verdict.passes then return pass(session, wanted, verdict) end
    if verdict then return respond(session, verdict) end
    core.log_about("error", wanted.name, ("%s: %s"):format(wanted.name, why or "no answer"))
    if wanted.on_error == "open" then return pass(session, wanted) end
    return refuse(session, 503, "requests cannot be checked at the moment", { ["Retry-After"] = "5" })
  end
end

return forward_auth
