-- SPDX-License-Identifier: Apache-2.0
-- walk: all hooks of an exchange of perilune.test.exchange one after another, as the proxy would call them: with the
-- peer's answers, other attempts where one fails, and the cache of the listener.

local core = require "perilune.core"
local clock = require "perilune.test.clock"

-- What exchange.lua has for it.
local parts = {}

local function call_to_end(self, hook, given) return parts.call_to_end(self, hook, given) end
local function fail(self, kind) return parts.fail(self, kind) end
local function filter(self, hook, body) return parts.filter(self, hook, body) end
local function readable(message) return parts.readable(message) end
local function take_response(self, answer) return parts.take_response(self, answer) end
local function read_answer(given) return parts.read_answer(given) end

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

--- --- the cache of the listener ------------------------------------------------------------------------------------

-- How the walk goes on behind a step of the cache: see core/exchange/cache_rehearsal.h. Time passes where it waits.
local function cache_step(self, step)
  local since, way = clock.now(), self.bench:cache_step(step)
  while way == "waits" do
    local left = core.test_left()
    if not left or clock.now() - since > parts.LONGEST_WAIT then
      core.raise "the cache waits for something that the bench does not simulate: use test.harness for it"
    end
    clock:advance(left)
    way = self.bench:cache_step(step)
  end
  return way
end

-- What is stored, through the filters that see each answer, to the client.
local function deliver_stored(self)
  self.has_response = true
  local response = call_each(self, { "response_filter" })
  if response then return response end
  response = readable(self.bench:response())
  response.body = filter(self, "response_body_filter", self.bench:cache_text()).body
  return response
end

-- The peer's body is kept first.
local function keep(self, answer)
  if answer.status == 304 then return true end
  return self.bench:cache_body(filter(self, "upstream_response_body_filter", answer.pieces).body) ~= false
end

-- Where a step of the cache has ended the walk: the response. nil: on; false: the peer is to be asked once more.
local function settled(self, way)
  if way == "on" then return nil end
  if way == "again" then return false end
  if way == "serves" then return deliver_stored(self) end
  if way == "ends" then return readable(self.bench:response()) end
  if way == "answers" then return readable(self.bench:answer()) end
  local outcome = self.bench:outcome()
  return failed(self, outcome.failure, outcome.failure_status)
end

-- The peer's response, through the filters, to the client. nil: another attempt follows, also because the policy asks
-- again: then this response is kept as the policy has left it.
local function deliver(self, answer, is_filtered)
  local response = not is_filtered and call_each(self, { "upstream_response_filter" }) or nil
  if response then return response end
  if not is_filtered and self.bench:retries() then
    self.kept = { answer = answer, head = readable(self.bench:response()) }
    return nil
  end
  local way = cache_step(self, "head")
  local is_whole = way ~= "serves" and way ~= "ends" or keep(self, answer)
  response = settled(self, way)
  if response == false then return nil end
  if response and not is_whole then response.failure = "response_truncated" end
  response = response or call_each(self, { "response_filter" })
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
  if not kept then
    fail(self, kind)
    local way = cache_step(self, "rescue")
    return way == "serves" and deliver_stored(self) or failed(self, kind, status)
  end
  self.kept = false
  if kept.head then parts.take_head(self, kept.head) else take_response(self, kept.answer) end
  return deliver(self, kept.answer, kept.head ~= nil)
end

-- The attempt has failed, or its set wants to ask another backend because of `answer`. The response; nil: another
-- attempt follows.
local function end_attempt(self, hook, kind, answer)
  local result = call_to_end(self, hook, fail(self, kind))
  if result.failure then return give_up(self, result.failure.kind, result.failure.status) end
  if result.answer then return result.answer end
  if not self.bench:retries() then return answer and deliver(self, answer) or give_up(self, kind) end
  if answer then self.kept = { answer = answer } end
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
  if self.bench:may_ask_another() then return end_attempt(self, "error_while_proxy", "answered_error", answer) end
  return deliver(self, answer)
end

-- Both walks, to the peer and back, end here: the final head is shown to answer_filter, whatever its origin.
local function look_at(self, response)
  call_to_end(self, "answer_filter")
  response.headers = self:response().headers
end

-- The client leaves once its time is over.
local function leave_in_time(self, since, left)
  local stays = self.asked.leaves_after
  if not stays or left and clock.now() - since + left <= stays then return false end
  clock:advance(math.max(0, stays - (clock.now() - since)))
  self:leave()
  return true
end

-- An answer that the policy writes as it goes: to its end, or until the client leaves.
local function write_on(self, response)
  local since, runs = clock.now(), self.bench:stream()
  while runs do
    local left = core.test_left()
    if not leave_in_time(self, since, left) then
      if not left then
        core.raise "what the answer waits for is not simulated by the bench: use test.harness for it"
      elseif clock.now() - since > parts.LONGEST_WAIT then
        core.raise "the answer is written for more than an hour of the test's clock: say { leaves_after = seconds }"
      end
      clock:advance(left)
    end
    runs = self.bench:stream()
  end
  if runs == nil then return end
  response.body, response.failure = self.bench:answer().body, select(2, self.bench:stream())
end

-- From proxy_upstream_filter on, until there is a response.
local function ask(self, origin)
  local response, tries = call_each(self, { "proxy_upstream_filter" }), 0
  while not response do
    tries = tries + 1
    response = attempt(self, origin, tries)
  end
  response.tries = tries
  return response
end

-- What was served stale is fetched anew, in an exchange of its own.
local function refresh(self, origin)
  local other = parts.open(self.listener, self.asked)
  if self.bench:cache_refresh(other.bench) then
    ask(other, origin)
    call_to_end(other, "logging")
  end
  other:finish()
end

-- A request that the cache has had a part in is made anew: its answer may be another one.
local function begin_again(self)
  if not self.bench:cache_result() then return end
  self.bench:finish()
  self.bench = parts.open_bench(self.listener, self.asked)
  self.has_response, self.has_failed, self.kept = false, false, false
end

--- Walks from the first hook to logging and returns what the client gets: status, headers, body. Hooks that wait have
--- the time they want.
---@param origin table|string|function? its response { status, headers, body }, or the error of connecting
--- ("connect_refused", ...), or a function(peer, try) that returns one of these
local function walk(self, origin)
  begin_again(self)
  local response = call_each(self, { "early_request_filter", "request_filter" })
  response = response or settled(self, cache_step(self, "look_up")) or ask(self, origin)
  look_at(self, response)
  write_on(self, response)
  response.tries = response.tries or 0
  response.cache = self.bench:cache_result()
  call_to_end(self, "logging")
  if response.cache == "stale-updating" then refresh(self, origin) end
  return response
end

---@param given table the functions of exchange.lua that a walk needs
return function(given)
  parts = given
  return walk
end
