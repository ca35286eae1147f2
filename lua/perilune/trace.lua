-- SPDX-License-Identifier: Apache-2.0
-- perilune.trace: what session:trace() gives: the trace that a request belongs to, and spans that a policy adds. Where
-- nothing is recorded, the methods check their arguments and do nothing else.

local check = require "perilune.check"
local core = require "perilune.core"

local trace = {}

-- A span of a session, by its number: 0 is the exchange itself.
local Span = check.class({}, "perilune.span")

--- The exchange's own span.
function trace.of(session)
  core.trace_is_sampled(session) -- raises where it is no session, or has ended
  return setmetatable({ session = session, number = 0 }, Span)
end

local function session_of(call, self)
  if getmetatable(self) == Span then return self.session end
  check.raise(("trace:%s is a method: it is called with a colon"):format(call))
end

--- The trace's id, 32 digits; nil where perilune.tracing was not called.
function Span:id() return core.trace_id(session_of("id", self)) end

--- Is the trace recorded, and are peers told so?
function Span:is_sampled() return core.trace_is_sampled(session_of("is_sampled", self)) end

--- Overrides what was decided when the request came.
function Span:set_sampled(flag) core.trace_sample(session_of("set_sampled", self), flag) end

--- Sets an attribute of the span; nil leaves out one that the span has of itself.
function Span:set(name, value)
  local session = session_of("set", self)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "nil" then
    check.raise(("trace:set: an attribute is a string, a number or a boolean, got a %s value"):format(kind))
  end
  core.trace_set(session, self.number, check.string("trace:set", 1, name), value)
end

--- Names the span: "GET /users/{id}" tells more than "GET".
function Span:set_name(name)
  core.trace_set_name(session_of("set_name", self), self.number, check.string("trace:set_name", 1, name))
end

--- Marks the span as one of a failure.
function Span:fail(why)
  core.trace_fail(session_of("fail", self), self.number, check.string("trace:fail", 1, why))
end

--- The value of the field traceparent for a request that the policy makes by other means than perilune.http.
function Span:traceparent() return core.trace_parent(session_of("traceparent", self), self.number) end

--- Begins a span below this one; it ends with span:finish(), at the latest with the exchange.
function Span:start(name)
  local session = session_of("start", self)
  local number = core.trace_open(session, self.number, check.string("trace:start", 1, name))
  return setmetatable({ session = session, number = number, is_none = number == 0 }, Span)
end

--- Ends a span that trace:start began.
function Span:finish() core.trace_close(session_of("finish", self), self.number) end

local function finish(span, before, ok, ...)
  core.trace_enter(before)
  if not ok then span:fail("error") end
  span:finish()
  if not ok then error((...), 0) end
  return ...
end

--- Calls fn(span, ...) within a span below this one, and gives its results. The calls of perilune.http in it are below
--- that span.
function Span:span(name, fn, ...)
  session_of("span", self)
  if type(fn) ~= "function" then
    check.raise(("trace:span: expected a function as argument 2, got a %s value"):format(type(fn)))
  end
  local span = self:start(name)
  return finish(span, core.trace_enter(span.number), pcall(fn, span, ...))
end

return trace
