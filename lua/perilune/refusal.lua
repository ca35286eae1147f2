-- SPDX-License-Identifier: Apache-2.0
-- perilune.refusal: what the default policies answer a request with that they refuse. All of them have the option
-- `answer`, and all send by the function that this module makes of it:
--
--   valid = { answer = refusal.option, ... }
--   self.refuse = refusal.new("basic_auth.new", wanted.answer)
--   return self.refuse(session, 401, "a name and a password are needed", { ["WWW-Authenticate"] = challenge })
--
-- The fields that the status needs (WWW-Authenticate, Retry-After, ...) are sent whatever `answer` is. `why` is for the
-- client: it tells nothing that a stranger should not know. A function of the policy's that raises, or that
-- returns something else than an answer, is an error of the hook, at the function's line where there is one.

local core = require "perilune.core"
local json = require "perilune.json"

local refusal = {}

refusal.option = { "answer", "text" }

-- Fields of a table that a policy gives.
local PARTS = { body = "string", headers = "table", status = "number" }
local WANTED = '"text", "json", "none", a table { body = "...", headers = {...}, status = 403 } or a function '
  .. "answer(session, status, why)"

--- What is wrong with a table as an answer; nil: nothing.
local function fault_of_table(given)
  for name, value in pairs(given) do
    local kind = PARTS[name]
    if not kind then return ("a table has body, headers and status, not '%s'"):format(tostring(name)) end
    if type(value) ~= kind then return ("'%s' is a %s value, not a %s"):format(name, type(value), kind) end
  end
  local status = given.status
  if status and not (status >= 200 and status <= 599 and status % 1 == 0) then
    return ("'status' is a whole number from 200 to 599, not %s"):format(tostring(status))
  end
end

--- The kind of the option, for perilune.options: how it is called, the test, ..., what is wrong with one that passes.
refusal.kind = { WANTED, function(value)
  local kind = type(value)
  return kind == "function" or kind == "table" or value == "text" or value == "json" or value == "none"
end, nil, nil, function(value) return type(value) == "table" and fault_of_table(value) or nil end }

local function text(status, why)
  local reason = core.status_reason(status)
  return ("%d%s%s: %s\n"):format(status, reason ~= "" and " " or "", reason, why)
end

-- RFC 9457.
local function problem(status, why)
  local reason = core.status_reason(status)
  return json.encode { status = status, title = reason ~= "" and reason or nil, detail = why } .. "\n"
end

-- Those of the policy have priority, in whatever case they are written.
local function merge(headers, more)
  local there = {}
  for name in pairs(headers) do there[name:lower()] = name end
  for name, value in pairs(more or {}) do
    if type(name) == "string" and there[name:lower()] then headers[there[name:lower()]] = nil end
    headers[name] = value
  end
  return headers
end

local function respond(session, status, headers, body, close)
  return session:respond { status = status, headers = headers, body = body, close = close }
end

local function with_table(session, status, given, headers, close)
  if given.body and not (given.headers and given.headers["Content-Type"]) then
    headers["Content-Type"] = "text/plain; charset=utf-8"
  end
  return respond(session, given.status or status, merge(headers, given.headers), given.body, close)
end

local function with_function(call, make, session, status, why, headers, close)
  local made = make(session, status, why)
  if made == true and core.has_answer(session) then return true end
  if type(made) == "string" then made = { body = made } end
  local fault = type(made) ~= "table" and ("it has returned a %s value"):format(type(made)) or fault_of_table(made)
  if fault then
    core.raise(("%s: the function 'answer' returns a text or a table { body = \"...\", headers = {...} }: %s")
      :format(call, fault))
  end
  return with_table(session, status, made, headers, close)
end

--- The function refuse(session, status, why, headers, close): answers, and returns true. `headers` becomes its own.
function refusal.new(call, answer)
  if type(answer) == "function" then
    return function(session, status, why, headers, close)
      return with_function(call, answer, session, status, why, headers or {}, close)
    end
  elseif type(answer) == "table" then
    return function(session, status, _, headers, close)
      return with_table(session, status, answer, headers or {}, close)
    end
  elseif answer == "none" then
    return function(session, status, _, headers, close) return respond(session, status, headers, nil, close) end
  end
  local kind = answer == "json" and "application/problem+json" or "text/plain; charset=utf-8"
  local write = answer == "json" and problem or text
  return function(session, status, why, headers, close)
    if status == 204 or status == 304 then return respond(session, status, headers, nil, close) end
    headers = headers or {}
    headers["Content-Type"] = kind
    return respond(session, status, headers, write(status, why), close)
  end
end

return refusal
