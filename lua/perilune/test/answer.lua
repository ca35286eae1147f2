-- SPDX-License-Identifier: Apache-2.0
-- answer: the answer of a scripted server, in the same form everywhere: of an origin of the harness, of the peer for
-- exchange:walk, and of test.http for perilune.http.
--
--   "hello"                                               a body, with status 200
--   { status = 201, reason = "Made", headers = { Age = 3 }, body = "hello", delay = 0.5 }
--   { pieces = { "hel", "lo" } }                          a body in pieces; body = { ... } is the same
--   { reset = true }                                      no answer: the connection is reset; of HTTP/2 the stream,
--                                                         and reset = "refused_stream" says by which code
--   { body = "hello", trailers = { ["X-Sum"] = "5" } }    fields behind the body (of an origin)
--   { error = "connect_refused" }, or "connect_refused"   no answer: this error (not of an origin)
--
-- A function is called with the request and returns one of these: see the callers of `read`.

local frames = require "perilune.test.http2_frames"

local M = {}

local FIELDS = { status = "number", reason = "string", headers = "table", body = "body", pieces = "table",
  delay = "number", reset = "boolean or string", error = "string", chunked = "boolean", no_length = "boolean",
  version = "string", trailers = "table" }
local NAMES = "body, chunked, delay, error, headers, no_length, pieces, reason, reset, status, trailers, version"

-- Names in order; and by name, the text. Origins also serve specs that run without the proxy's API.
local core = package.loaded["perilune.core"]
local kinds = core and core.test_errors() or {}

--- The text of an error; nil where there is no such error.
function M.error_text(kind) return type(kind) == "string" and kinds[kind] or nil end

--- The sentence about an error that does not exist.
function M.no_such_error(kind)
  return ("there is no error '%s'; valid are %s"):format(tostring(kind), table.concat(kinds, ", "))
end

-- Is one text the other with at most one character too many, missing, or wrong, or two swapped? Stricter than
-- core.nearest: any other text is a body.
local function is_slip(text, right)
  local from = 1
  while from <= #text and text:sub(from, from) == right:sub(from, from) do from = from + 1 end
  local a, b = text:sub(from), right:sub(from)
  if a:sub(2) == b or a == b:sub(2) or a:sub(2) == b:sub(2) then return true end
  return a:sub(1, 2):reverse() == b:sub(1, 2) and a:sub(3) == b:sub(3)
end

local function slip_of(text)
  for _, kind in ipairs(kinds) do
    if is_slip(text, kind) then return kind end
  end
end

local function of_text(text)
  if kinds[text] then return { error = text } end
  local meant = slip_of(text)
  if not meant then return { body = text } end
  local message = "there is no error '%s': did you mean '%s'? A body is written { body = \"%s\" }"
  return nil, message:format(text, meant, text)
end

local function fault_of_field(name, value)
  local wanted = FIELDS[name]
  if not wanted then return ("unknown field '%s'; valid are %s"):format(tostring(name), NAMES) end
  if wanted == "body" and (type(value) == "string" or type(value) == "table") then return nil end
  if wanted == "body" then return "body must be a text or a list of pieces, got a " .. type(value) .. " value" end
  if wanted:find(type(value), 1, true) then return nil end
  return ("%s must be a %s, got a %s value"):format(name, wanted, type(value))
end

local function fault_of_pieces(pieces)
  for i, piece in pairs(pieces) do
    if type(i) ~= "number" then return "the pieces of a body are a list of texts" end
    if type(piece) ~= "string" then return ("piece %d of the body is a %s value, not a text"):format(i, type(piece)) end
  end
end

-- What is wrong with the fields together.
local function contradiction(given)
  if given.status and not (given.status >= 100 and given.status <= 999 and given.status % 1 == 0) then
    return "status must be a whole number from 100 to 999, got " .. given.status
  end
  if given.delay and not (given.delay >= 0 and given.delay < math.huge) then
    return "delay must be a number of seconds, 0 or more"
  end
  if given.error and not kinds[given.error] then return M.no_such_error(given.error) end
  if type(given.reset) == "string" then
    local ok, fault = pcall(frames.code_number, given.reset)
    if not ok then return fault end
  end
  if given.body and given.pieces then return "body and pieces are two words for the same: give one of them" end
  local cut = given.reset and "reset = true" or given.error and "error"
  if not cut then return nil end
  for name in pairs(given) do
    if name ~= "reset" and name ~= "error" and name ~= "delay" then
      return ("%s means that there is no answer, so there is no %s"):format(cut, name)
    end
  end
  if given.reset and given.error then return "there is one of reset and error" end
end

local function fault_of(given)
  for name, value in pairs(given) do
    local fault = fault_of_field(name, value)
    if fault then return fault end
  end
  return contradiction(given)
end

--- What an answer says, as a new table: the fields above, with `body` as a text and `pieces` as a list, both always
--- where there is an answer, `status` too. Or nil and what is wrong with it.
---@param given any nil: an empty answer with status 200
function M.read(given)
  if type(given) == "string" then
    local why
    given, why = of_text(given)
    if not given then return nil, why end
  end
  if given == nil then given = {} end
  if type(given) ~= "table" then
    return nil, ("an answer is a text or a table with %s; got a %s value"):format(NAMES, type(given))
  end
  local fault = fault_of(given)
  if fault then return nil, fault end
  local answer = {}
  for name, value in pairs(given) do answer[name] = value end
  if answer.error or answer.reset then return answer end
  local pieces = answer.pieces or answer.body or ""
  answer.pieces = type(pieces) == "table" and pieces or { pieces }
  fault = fault_of_pieces(answer.pieces)
  if fault then return nil, fault end
  answer.has_body = given.body ~= nil or given.pieces ~= nil
  answer.is_list = type(pieces) == "table"
  answer.body = table.concat(answer.pieces)
  answer.status = answer.status or 200
  return answer
end

return M
