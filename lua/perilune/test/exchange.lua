-- SPDX-License-Identifier: Apache-2.0
-- exchange: calls the hooks of a policy on a request that is given as a table. No sockets, no waiting: time is virtual.
--
--   local x = test.policy "policy.lua":exchange { target = "/a", headers = { Accept = "text/html" } }
--   local result = x:request_filter()          one hook, by its name
--   local response = x:walk { status = 200 }   the whole walk, with what the origin answers

local core = require "perilune.core"
local clock = require "perilune.test.clock"
local fields = require "perilune.test.fields"
local json = require "perilune.json"
local log = require "perilune.test.log"

local M = {}

local open = {} -- exchanges that have not ended

local Exchange, Result = {}, {}
Exchange.__name = "perilune.test.exchange"

--- Hooks that need to know what the peer did before them: x:hook(arguments of the peer's part).
local RESPONSE_HOOKS = { upstream_response_filter = true, response_filter = true, answer_filter = true }
local ERROR_HOOKS = { fail_to_connect = "connect_refused", error_while_proxy = "upstream_closed",
  fail_to_proxy = "connect_refused" }

--- Hooks that get a body: a text, or a list of pieces.
local BODY_HOOKS = { request_body_filter = true, upstream_response_body_filter = true, response_body_filter = true }

local function readable(message)
  if message then message.headers = fields.from_flat(message.headers) end
  return message
end

--- --- results -----------------------------------------------------------------------------------------------------

-- What a hook has decided, taken once it has ended.
local function settle(self)
  local bench, outcome = self.bench, self.bench:outcome()
  self.waits = false
  self.answered = bench:answer() ~= nil
  self.answer = readable(bench:answer())
  self.refused, self.retry, self.status = outcome.refused, outcome.retry, outcome.status
  if self.hook == "upstream_peer" then self.peer = bench:peer() end
  if outcome.failure then
    local line = log.last "error" or log.last "info"
    self.failure = { kind = outcome.failure, status = outcome.failure_status, message = line and line.text }
  end
end

-- `waits` and whatever is known only at the end are looked up when they are asked for.
function Result.__index(self, name)
  if Result[name] then return Result[name] end
  if rawget(self, "waits") == false then return nil end
  if not self.bench:waits() then
    settle(self)
    return rawget(self, name)
  end
  return name == "waits" or nil
end

--- --- exchanges ---------------------------------------------------------------------------------------------------

local function head_of(request)
  local headers = fields.new(request.headers)
  local method, target = request.method or "GET", request.target or request.path or "/"
  if not headers.host and request.host ~= false then
    table.insert(headers, 1, { name = "Host", value = request.host or "test.example" })
  end
  if request.body and not headers.content_length then
    headers[#headers + 1] = { name = "Content-Length", value = tostring(#request.body) }
  end
  return ("%s %s HTTP/%s\r\n%s"):format(method, target, request.version or "1.1", fields.lines(headers))
end

--- An exchange with the hooks of a listener.
---@param listener integer
---@param request table? method, target, headers, host, body, version, client ("127.0.0.1:50000"), scheme
function M.open(listener, request)
  request = request or {}
  local bench, why = core.bench_open(listener, head_of(request), request.client or "127.0.0.1:50000",
    request.body or "", request.scheme == "https")
  if not bench then error("the request: " .. why, 3) end
  local x = setmetatable({ bench = bench, sent_body = "" }, Exchange)
  open[#open + 1] = x
  return x
end

--- Ends all exchanges; they are of no use afterwards.
function M.finish_all()
  for _, x in ipairs(open) do x.bench:finish() end
  open = {}
end

local function take_response(self, response)
  response = response or {}
  local first = ("HTTP/1.1 %d %s\r\n"):format(response.status or 200, response.reason or "OK")
  local headers = fields.new(response.headers)
  local body = type(response.body) == "table" and table.concat(response.body) or response.body
  if body and not headers.content_length then
    headers[#headers + 1] = { name = "Content-Length", value = tostring(#body) }
  end
  local ok, why = self.bench:respond(first .. fields.lines(headers))
  if not ok then error("the peer's response: " .. why, 4) end
end

local function call(self, hook, given)
  local is_own = hook == "answer_filter" and not given and self.bench:answer()
  if RESPONSE_HOOKS[hook] and not is_own and (given or not self.has_response) then
    take_response(self, given)
    self.has_response = true
  end
  if ERROR_HOOKS[hook] and (given or not self.has_failed) then self.bench:fail(given or ERROR_HOOKS[hook]) end
  if hook == "logging" and given then self.bench:fail(given) end
  local result = setmetatable({ bench = self.bench, hook = hook }, Result)
  if self.bench:call(hook) ~= "waits" then settle(result) end
  return result
end

-- Lets time pass until the hook has ended.
local function wait(result)
  while result.waits do
    local left = core.bench_left()
    if not left then error(result.hook .. " waits for something that is not time", 4) end
    clock:advance(left)
  end
  return result
end

local function call_to_end(self, hook, given) return wait(call(self, hook, given)) end

-- The pieces of a body through one body hook, each with the time that it wants. The whole of what goes on, and the
-- result of the last piece.
local function filter(self, hook, body)
  local pieces, out = type(body) == "table" and body or { body }, {}
  for i, piece in ipairs(pieces) do
    local state = self.bench:filter(hook, piece, i == #pieces)
    local result = setmetatable({ bench = self.bench, hook = hook }, Result)
    if state == "waits" then wait(result) else settle(result) end
    out[i] = self.bench:filtered()
    if result.failure or i == #pieces then
      result.pieces, result.body = out, table.concat(out)
      return result
    end
  end
end

local methods = {}

--- The client's request, as the policy has changed it; and that of the last attempt.
function methods:request() return readable(self.bench:request(false)) end
function methods:upstream_request()
  local request = readable(self.bench:request(true))
  request.body = self.sent_body
  return request
end
--- The response as it is now: the policy's own answer, or the peer's as the filters have changed it.
function methods:response()
  return readable(self.bench:answer() or self.bench:response())
end
--- The peer that upstream_peer gave last; nil where there is none.
function methods:peer() return self.bench:peer() end
--- What the hooks are given; nil before the first.
function methods:session() return self.bench:session() end
function methods:ctx() return self.bench:ctx() end
--- What session:set_log_field has added so far, by name.
function methods:log_fields()
  local found = {}
  for name, value in pairs(self.bench:log_fields()) do found[name] = json.decode("[" .. value .. "]")[1] end
  return found
end
--- Ends it: its handles become invalid, what it holds is given back.
function methods:finish() self.bench:finish() end

-- x:request_filter(), x:response_filter { status = 404 }, x:fail_to_connect "connect_timeout"
function Exchange.__index(_, name)
  return methods[name] or function(self, given)
    if type(self) ~= "table" then error("x:" .. name .. "() is called with a colon", 2) end
    return (BODY_HOOKS[name] and filter or call)(self, name, given)
  end
end

--- --- the walk ----------------------------------------------------------------------------------------------------

local function failed(self, kind, status)
  self.bench:fail(kind)
  self.has_failed = true
  local result = call_to_end(self, "fail_to_proxy", kind)
  self.bench:answer_failure(result.status or status)
  local response = readable(self.bench:answer())
  response.failure = kind
  return response
end

-- What the client gets of a body: through both filters, piece by piece.
local function received(self, body)
  local first = filter(self, "upstream_response_body_filter", body)
  local second = filter(self, "response_body_filter", first.pieces)
  return second.body
end

-- One attempt. The response, or nil and whether to try again.
local function attempt(self, origin, tries)
  local result = call_to_end(self, "upstream_peer")
  if result.failure then return failed(self, result.failure.kind, result.failure.status) end
  if result.answer then return result.answer end
  local reaction = type(origin) == "function" and origin(result.peer, tries) or origin
  if type(reaction) == "string" then
    local decided = call_to_end(self, "fail_to_connect", reaction).retry
    return (decided == false or tries > 3) and failed(self, reaction) or nil
  end
  for _, hook in ipairs { "connected_to_upstream", "upstream_request_filter" } do
    result = call_to_end(self, hook)
    if result.failure then return failed(self, result.failure.kind, result.failure.status) end
    if result.answer then return result.answer end
  end
  self.sent_body = filter(self, "request_body_filter", self.bench:request(false).body).body
  take_response(self, reaction)
  self.has_response = true
  for _, hook in ipairs { "upstream_response_filter", "response_filter" } do
    result = call_to_end(self, hook)
    if result.failure then return failed(self, result.failure.kind, result.failure.status) end
    if result.answer then return result.answer end
  end
  local response = readable(self.bench:response())
  response.body = received(self, reaction and reaction.body or "")
  return response
end

local function to_peer(self)
  for _, hook in ipairs { "early_request_filter", "request_filter", "proxy_upstream_filter" } do
    local result = call_to_end(self, hook)
    if result.failure then return failed(self, result.failure.kind, result.failure.status) end
    if result.answer then return result.answer end
    if result.refused then return failed(self, "upstream_refused") end
  end
end

-- Both walks, to the peer and back, end here: the final head is shown to answer_filter, whoever made it.
local function look_at(self, response)
  call_to_end(self, "answer_filter")
  response.headers = self:response().headers
end

--- Walks from the first hook to logging and returns what the client gets: status, headers, body. Hooks that wait have
--- the time they want.
---@param origin table|string|function? its response { status, headers, body }, or the error of connecting
--- ("connect_refused", ...), or a function(peer, try) that returns one of these
function methods:walk(origin)
  local response, tries = to_peer(self), 0
  while not response do
    tries = tries + 1
    response = attempt(self, origin, tries)
  end
  look_at(self, response)
  response.tries = tries
  call_to_end(self, "logging")
  return response
end

return M
