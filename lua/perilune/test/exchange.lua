-- SPDX-License-Identifier: Apache-2.0
-- exchange: calls the hooks of a policy for a request that is given as a table, without sockets and in virtual time.
--
--   local x = test.policy "policy.lua":exchange { target = "/a", headers = { Accept = "text/html" } }
--   local result = x:request_filter()          one hook, by its name
--   local response = x:walk { status = 200 }   all hooks, with the answer of the origin

local core = require "perilune.core"
local answers = require "perilune.test.answer"
local clock = require "perilune.test.clock"
local fields = require "perilune.test.fields"
local json = require "perilune.json"
local log = require "perilune.test.log"
local misuse = require "perilune.test.misuse"

local M = {}

local open = {} -- exchanges that have not ended

local Exchange, Result = {}, {}
Exchange.__name = "perilune.test.exchange"

--- Hooks that need to know what the peer did before them: x:hook(arguments of the peer's part).
local RESPONSE_HOOKS = { upstream_response_filter = true, response_filter = true, answer_filter = true,
  cache_hit_filter = true, response_cache_filter = true }
local ERROR_HOOKS = { fail_to_connect = "connect_refused", error_while_proxy = "upstream_closed",
  fail_to_proxy = "connect_refused", should_serve_stale = "connect_refused" }

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
  self.refused, self.retry, self.status, self.cache = outcome.refused, outcome.retry, outcome.status, outcome.cache
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

local REQUEST = { method = "string", target = "string", path = "string", headers = "table", host = "string|boolean",
  body = "string", client = "string", scheme = "string", version = "string" }

--- An exchange with the hooks of a listener.
---@param listener integer
---@param request table? method, target (or path), headers, host, body, version, client ("127.0.0.1:50000"), scheme
function M.open(listener, request)
  request = misuse.fields("the request", request, REQUEST)
  local bench, why = core.test_open(listener, head_of(request), request.client or "127.0.0.1:50000",
    request.body or "", request.scheme == "https")
  if not bench then core.raise("the request: " .. why) end
  local x = setmetatable({ -- all members: any other name is that of a hook
    bench = bench, sent_body = "", has_response = false, has_failed = false, kept = false,
  }, Exchange)
  open[#open + 1] = x
  return x
end

--- Ends all exchanges; they are of no use afterwards.
function M.finish_all()
  for _, x in ipairs(open) do x.bench:finish() end
  open = {}
end

-- What the peer answers; raises at the test's line.
local function read_answer(given)
  local answer, fault = answers.read(given)
  if answer and (answer.trailers or type(answer.reset) == "string") then
    fault = (answer.trailers and "trailers are" or "a code of reset is") .. " for test.harness: the bench has none"
  end
  return not fault and answer or core.raise("the peer's answer: " .. fault)
end

-- How the end of its body is found, as a peer would write it.
local function frame(answer, headers)
  if headers.content_length or headers.transfer_encoding or answer.no_length or not answer.has_body then return end
  local name, value = "Content-Length", tostring(#answer.body)
  if answer.chunked or answer.is_list then name, value = "Transfer-Encoding", "chunked" end
  headers[#headers + 1] = { name = name, value = value }
end

local function take_response(self, answer)
  local headers = fields.new(answer.headers)
  frame(answer, headers)
  local first = ("HTTP/%s %d %s\r\n"):format(answer.version or "1.1", answer.status, answer.reason or "OK")
  local ok, why = self.bench:respond(first .. fields.lines(headers))
  if not ok then core.raise("the peer's answer: " .. why) end
  self.has_response = true
end

-- A hook of the response is called by itself: with a response, nothing else.
local function take_only_response(self, given)
  local answer = read_answer(given)
  if answer.status and not answer.delay then return take_response(self, answer) end
  core.raise("the peer's answer: error, reset and delay are for x:walk(); this hook is given a response")
end

-- Fails with an error by its name. The one that counts: see bench:fail.
local function fail(self, kind)
  if not answers.error_text(kind) then core.raise(answers.no_such_error(kind)) end
  return self.bench:fail(kind)
end

local function call(self, hook, given)
  local is_own = hook == "answer_filter" and not given and self.bench:answer()
  if RESPONSE_HOOKS[hook] and not is_own and (given or not self.has_response) then take_only_response(self, given) end
  if ERROR_HOOKS[hook] and (given or not self.has_failed) then fail(self, given or ERROR_HOOKS[hook]) end
  if hook == "logging" and given then fail(self, given) end
  local result = setmetatable({ bench = self.bench, hook = hook }, Result)
  if self.bench:call(hook) ~= "waits" then settle(result) end
  return result
end

local LONGEST_WAIT = 3600 -- seconds of the test's clock

-- Lets time pass until the hook has ended. Timers of background work may be due for ever: that they are does not mean
-- that the hook will go on.
local function wait(result)
  local since = clock.now()
  while result.waits do
    local left = core.test_left()
    if left and clock.now() - since > LONGEST_WAIT then
      core.raise(result.hook .. " waits for more than an hour of the test's clock")
    elseif not left then
      core.raise(result.hook .. " waits for something that the bench does not simulate: use test.harness for it")
    end
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

local callable, NOT_SIMULATED = {}, { certificate = true, response_trailer_filter = true }
for _, name in ipairs(core.hook_names()) do callable[name] = true end

local function all_names()
  local names = {}
  for name in pairs(callable) do names[#names + 1] = name end
  for name in pairs(methods) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_self(self, name)
  if getmetatable(self) ~= Exchange then
    misuse.raise(("%s is a method: call it with a colon, x:%s(...)"):format(name, name))
  end
end

-- x:request_filter(), x:response_filter { status = 404 }, x:fail_to_connect "connect_timeout"
function Exchange.__index(_, name)
  if type(name) ~= "string" or name:sub(1, 2) == "__" then return nil end
  if not methods[name] and not callable[name] then
    misuse.raise(("there is no hook '%s'%s"):format(name, misuse.suggestion(name, all_names())))
  end
  return function(self, ...)
    check_self(self, name)
    if methods[name] then return methods[name](self, ...) end
    if NOT_SIMULATED[name] then misuse.raise(("the bench does not simulate %s: use test.harness"):format(name)) end
    return (BODY_HOOKS[name] and filter or call)(self, name, (...))
  end
end

--- --- the walk ----------------------------------------------------------------------------------------------------

local function failed(self, kind, status)
  kind = fail(self, kind)
  self.has_failed = true
  local result = call_to_end(self, "fail_to_proxy", kind)
  self.bench:answer_failure(result.status or status)
  local response = readable(self.bench:answer())
  response.failure = kind
  return response
end

-- What the client gets of a body: through both filters, piece by piece.
local function received(self, pieces)
  local first = filter(self, "upstream_response_body_filter", pieces)
  local second = filter(self, "response_body_filter", first.pieces)
  return second.body
end

-- Calls hooks one after another. The response where one of them has ended the walk.
local function call_each(self, hooks)
  for _, hook in ipairs(hooks) do
    local result = call_to_end(self, hook)
    if result.failure then return failed(self, result.failure.kind, result.failure.status) end
    if result.answer then return result.answer end
    if result.refused then return failed(self, "upstream_refused") end
  end
end

-- Time passes until the peer answers. The error of the one that takes too long, or that resets the connection.
local function await_answer(self, answer)
  local delay, limit = answer.delay or 0, self.bench:first_byte_timeout()
  clock:advance(math.min(delay, limit))
  if delay > limit then return "first_byte_timeout" end
  if answer.reset then return "upstream_closed" end
  return answer.error
end

-- The peer's response, through the filters, to the client.
local function deliver(self, answer)
  local response = call_each(self, { "upstream_response_filter", "response_filter" })
  if response then return response end
  response = readable(self.bench:response())
  response.body = received(self, answer.pieces)
  return response
end

-- Errors that come before there is a connection.
local CONNECTING = { resolve_failed = true, connect_refused = true, connect_failed = true, connect_timeout = true,
  tls_failed = true, tls_timeout = true, certificate = true, local_shortage = true, no_port = true }

-- There is nobody else to ask. What a backend answered before that is better than an answer of the proxy's own.
local function give_up(self, kind, status)
  local kept = self.kept
  if not kept then return failed(self, kind, status) end
  self.kept = false
  take_response(self, kept)
  return deliver(self, kept)
end

-- The attempt has failed. The response; nil: another one follows.
local function end_attempt(self, hook, kind)
  local result = call_to_end(self, hook, fail(self, kind))
  if result.failure then return give_up(self, result.failure.kind, result.failure.status) end
  if result.answer then return result.answer end
  if self.bench:retries() then return nil end
  return give_up(self, kind)
end

-- One attempt. The response; nil: another one follows.
local function attempt(self, origin, tries)
  local result = call_to_end(self, "upstream_peer")
  if result.failure then return give_up(self, result.failure.kind, result.failure.status) end
  if result.answer then return result.answer end
  local given = origin
  if type(origin) == "function" then given = origin(result.peer, tries) end
  local answer = read_answer(given)
  if CONNECTING[answer.error] then
    clock:advance(answer.delay or 0)
    return end_attempt(self, "fail_to_connect", answer.error)
  end
  local response = call_each(self, { "connected_to_upstream", "upstream_request_filter" })
  if response then return response end
  self.sent_body = filter(self, "request_body_filter", self.bench:request(false).body).body
  local failure = await_answer(self, answer)
  if failure then return end_attempt(self, "error_while_proxy", failure) end
  take_response(self, answer)
  if self.bench:asks_another() then
    self.kept = answer
    return nil
  end
  return deliver(self, answer)
end

-- Both walks, to the peer and back, end here: the final head is shown to answer_filter, whatever its origin.
local function look_at(self, response)
  call_to_end(self, "answer_filter")
  response.headers = self:response().headers
end

--- Walks from the first hook to logging and returns what the client gets: status, headers, body. Hooks that wait have
--- the time they want.
---@param origin table|string|function? its response { status, headers, body }, or the error of connecting
--- ("connect_refused", ...), or a function(peer, try) that returns one of these
function methods:walk(origin)
  local response, tries = call_each(self, { "early_request_filter", "request_filter", "proxy_upstream_filter" }), 0
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
