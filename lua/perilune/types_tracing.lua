-- SPDX-License-Identifier: Apache-2.0
-- perilune.tracing and session:trace as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- Traces: requests as parts of distributed traces (W3C Trace Context), sent to an OpenTelemetry collector
---
--- ```lua
--- local perilune = require "perilune"
--- perilune.tracing { endpoint = "http://127.0.0.1:4318", service = "edge", ratio = 0.01 }
--- local policy = {}
--- function policy.request_filter(session)
---   session:trace():set("tenant.id", session:host())
--- end
--- function policy.upstream_peer() return "127.0.0.1:8000" end
--- perilune.listen("127.0.0.1:8080", policy)
--- ```
---
--- docs/tracing.md describes the spans, and what happens if the collector is slow or away.

---@class perilune.tracing_options
---@field endpoint string URL of the collector (OTLP/HTTP); without a path, /v1/traces
---@field service? string name of this service; "perilune"
---@field resource? table<string, string|number|boolean> further attributes of the sender
---@field ratio? number share of the traces that begin here and are sampled, from 0 to 1; 0.01
---@field parent? "follow"|"join"|"ignore" a client's trace: goes on and is sampled if the client says so; goes on, but the ratio decides; is replaced by a new one. "follow"
---@field headers? table<string, string> fields of the requests to the collector, such as Authorization
---@field interval? perilune.duration seconds after which spans are sent at the latest; 5
---@field timeout? perilune.duration seconds to connect to the collector, to send and to wait for its answer, each; 10
---@field queue? integer|string most bytes of spans that wait, for each worker, rounded up to a power of two; "2M"
---@field batch? integer|string most bytes of a request, 64 KiB to 4 MiB; "512K"
---@field tries? integer after so many a batch is given up; 5
---@field ca? string
---@field sni? string
---@field verify? boolean
---@field verify_name? string

--- What session:trace gives, and what is below it. Without perilune.tracing, and where the trace is not sampled, the
--- methods check their arguments and do nothing else.
---@class perilune.span
local span = {}

--- The trace's id, 32 hexadecimal digits, also if it is not sampled; nil without perilune.tracing.
---@return string?
function span:id() end

--- Is the trace sampled?
---@return boolean
function span:is_sampled() end

--- Overrides what was decided when the request came. What peers were told so far stays said. In any phase: in logging it
--- still records the request itself, for instance if it failed.
---@param flag boolean
function span:set_sampled(flag) end

--- Sets an attribute, at most 32; a text is cut after about 1,000 bytes. Replaces an attribute that the span has by itself;
--- nil leaves that out.
---@param name string 1 to 64 visible ASCII characters
---@param value string|number|boolean|nil
function span:set(name, value) end

--- Names the span. "GET /users/{id}" is better than the default, which is the method.
---@param name string
function span:set_name(name) end

--- Marks the span as one of a failure.
---@param why string its error.type, such as "timeout"
function span:fail(why) end

--- The value of the field traceparent for a request that is not made by perilune.http; nil without perilune.tracing.
---@return string?
function span:traceparent() end

--- Calls fn(span, ...) within a new span below this one, and returns what it returns. Calls of perilune.http in it are
--- below the new span. If fn raises, the span is marked as failed, and the error is raised again. May wait.
---@param name string
---@param fn fun(span: perilune.span, ...): ...
---@param ... any
---@return any ...
function span:span(name, fn, ...) end

--- Begins a span below this one; it ends with finish, at the latest with the request. At most 128 for each request.
---@param name string
---@return perilune.span
function span:start(name) end

--- Ends a span that start began.
function span:finish() end
