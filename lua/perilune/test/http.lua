-- SPDX-License-Identifier: Apache-2.0
-- http: the answers for perilune.http in hooks with test.policy, where no socket is opened: a test sets them by URL.
-- A request without an answer takes its whole timeout, and the log says so.
--
--   local calls = test.http { ["http://127.0.0.1:8001/may"] = { status = 403 }, ["https://idp.example/*"] = "{}" }
--   ...
--   assert.received({ method = "GET", target = "/may" }, calls)

local answers = require "perilune.test.answer"
local core = require "perilune.core"
local fields = require "perilune.test.fields"

local M = {}

local scripts = {} -- of this test, the latest first

--- --- which answer ------------------------------------------------------------------------------------------------

local function without_query(url) return (url:gsub("[?#].*", "")) end

-- How well a key fits a URL: its length where it does, else nil. "*" alone fits all.
local function fits(key, url)
  if key == url or key == without_query(url) then return math.huge end
  local start = key:match "^(.*)%*$"
  return start and url:sub(1, #start) == start and #start or nil
end

local function choose(given, url)
  local best, best_fit
  for key, answer in pairs(given) do
    local fit = fits(key, url)
    if fit and (not best_fit or fit > best_fit) then best, best_fit = answer, fit end
  end
  return best
end

-- What answers, and the script that it is from.
local function find(url)
  for _, script in ipairs(scripts) do
    local answer = choose(script.answers, url)
    if answer ~= nil then return answer, script end
  end
end

--- --- one request -------------------------------------------------------------------------------------------------

local function whole_body(body)
  if type(body) ~= "function" then return body or "" end
  local pieces = {}
  for piece in body do pieces[#pieces + 1] = piece end
  return table.concat(pieces)
end

local function request_of(url, wanted)
  return { method = wanted.method, url = wanted.url, target = url.target, host = url.host,
    headers = fields.new(wanted.headers), body = whole_body(wanted.body) }
end

-- The seconds that the server takes; false where that is more than the client waits.
local function await(delay, limit)
  core.sleep(math.min(delay, limit))
  return delay <= limit
end

-- A body in pieces, in place of a socket.
local Socket = {}
Socket.__index = Socket
function Socket.keep() end
function Socket.close() end

local function next_piece(socket)
  socket.at = socket.at + 1
  return socket.pieces[socket.at] or "", socket.at >= #socket.pieces
end

local function flat(headers)
  local list = {}
  for _, field in ipairs(fields.new(headers)) do
    list[#list + 1] = field.name
    list[#list + 1] = field.value
  end
  return list
end

local function respond(answer, method)
  local status = answer.status
  local has_body = method ~= "HEAD" and status ~= 204 and status ~= 304
  local head = { status = status, reason = answer.reason or "OK", fields = flat(answer.headers), keep_alive = true,
    next_piece = next_piece }
  local pieces = {} -- an empty one would be the end
  for _, piece in ipairs(has_body and answer.pieces or {}) do
    if piece ~= "" then pieces[#pieces + 1] = piece end
  end
  return head, setmetatable({ pieces = pieces, at = 0 }, Socket)
end

local function unanswered(wanted)
  core.log.warn(("the test has no answer for %s %s (see test.http): it times out"):format(wanted.method, wanted.url))
  core.sleep(wanted.connect_timeout or wanted.timeout)
  return nil, answers.error_text "connect_timeout", "connect_timeout"
end

-- What perilune.http asks instead of a server: the head of a response and its socket; or nil, a sentence and the name
-- of the error.
local function ask(url, wanted)
  local given, script = find(wanted.url)
  if given == nil then return unanswered(wanted) end
  local request = request_of(url, wanted)
  script.requests[#script.requests + 1] = request
  if type(given) == "function" then given = given(request) end
  local answer, fault = answers.read(given)
  if not answer then error(("test.http: the answer to %s: %s"):format(wanted.url, fault), 0) end
  if not await(answer.delay or 0, wanted.receive_timeout or wanted.timeout) then return nil, "timeout" end
  if answer.reset then return nil, "closed" end
  if answer.error then return nil, answers.error_text(answer.error), answer.error end
  return respond(answer, wanted.method)
end

--- --- for tests ---------------------------------------------------------------------------------------------------

local function check(given)
  for url, answer in pairs(given) do
    if type(url) ~= "string" or not (url == "*" or url:find "^https?://") then
      core.raise(("test.http: '%s' is no URL: write http://host:port/path, with * at its end for all below it"):format(
        tostring(url)))
    end
    if type(answer) ~= "function" then
      local ok, fault = answers.read(answer)
      if not ok then core.raise(("test.http: the answer to %s: %s"):format(url, fault)) end
    end
  end
end

--- Scripts answers for the rest of the test: by URL, with or without its query, or by a start of it with "*" at the
--- end; or one function for all. Later calls go before earlier ones.
---@return table calls `requests`: method, url, target, host, headers, body of each, in order
function M.script(given)
  if type(given) == "function" then given = { ["*"] = given } end
  if type(given) ~= "table" then core.raise "test.http: expected a table of answers by URL, or a function" end
  check(given)
  local script = { answers = given, requests = {} }
  table.insert(scripts, 1, script)
  return script
end

--- Forgets them.
function M.reset() scripts = {} end

core.test_http = ask

return M
