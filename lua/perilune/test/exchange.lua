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
  body = "string", client = "string", scheme = "string", version = "string", leaves_after = "number" }

local function open_bench(listener, request)
  return core.test_open(listener, head_of(request), request.client or "127.0.0.1:50000", request.body or "",
    request.scheme == "https")
end

--- An exchange with the hooks of a listener.
---@param listener integer
---@param request table? method, target (or path), headers, host, body, version, client ("127.0.0.1:50000"), scheme,
--- leaves_after (seconds after which the client leaves an answer that the policy still writes)
function M.open(listener, request)
  request = misuse.fields("the request", request, REQUEST)
  local bench, why = open_bench(listener, request)
  if not bench then core.raise("the request: " .. why) end
  local x = setmetatable({ -- all members: any other name is that of a hook
    bench = bench, sent_body = "", has_response = false, has_failed = false, kept = false, is_background = false,
    listener = listener, asked = request,
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

-- A response head, with the fields that it had when the policy had seen it.
local function take_head(self, head, version)
  local first = ("HTTP/%s %d %s\r\n"):format(version or "1.1", head.status, head.reason or "OK")
  local ok, why = self.bench:respond(first .. fields.lines(head.headers))
  if not ok then core.raise("the peer's answer: " .. why) end
  self.has_response = true
end

local function take_response(self, answer)
  local headers = fields.new(answer.headers)
  frame(answer, headers)
  take_head(self, { status = answer.status, reason = answer.reason, headers = headers }, answer.version)
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
--- An answer of session:start_response, which is written from now on, as time passes: what there is of it so far,
--- { body, ended, failure }. nil: there is none.
function methods:stream()
  if self.bench:stream() == nil then return nil end
  clock.settle()
  local runs, failure = self.bench:stream()
  return { body = self.bench:answer().body, ended = not runs, failure = failure }
end
--- The client leaves it.
function methods:leave()
  self.bench:leave()
  clock.settle()
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

-- More would be dropped without a word.
local function check_count(name, ...)
  if select("#", ...) < 2 or methods[name] and name ~= "walk" then return end
  misuse.raise(("x:%s takes one argument%s"):format(name,
    name == "walk" and ": for several attempts, a function(peer, try) that returns the answer of each" or ""))
end

-- x:request_filter(), x:response_filter { status = 404 }, x:fail_to_connect "connect_timeout"
function Exchange.__index(_, name)
  if type(name) ~= "string" or name:sub(1, 2) == "__" then return nil end
  if not methods[name] and not callable[name] then
    misuse.raise(("there is no hook '%s'%s"):format(name, misuse.suggestion(name, all_names())))
  end
  return function(self, ...)
    check_self(self, name)
    check_count(name, ...)
    if methods[name] then return methods[name](self, ...) end
    if NOT_SIMULATED[name] then misuse.raise(("the bench does not simulate %s: use test.harness"):format(name)) end
    return (BODY_HOOKS[name] and filter or call)(self, name, (...))
  end
end

methods.walk = require "perilune.test.walk" {
  open = M.open, open_bench = open_bench, call_to_end = call_to_end, fail = fail, filter = filter, readable = readable,
  take_response = take_response, take_head = take_head, read_answer = read_answer, LONGEST_WAIT = LONGEST_WAIT,
}

return M
