-- SPDX-License-Identifier: Apache-2.0
-- Traces for Jaeger, Tempo or an OpenTelemetry collector: one request in a hundred, and every one that fails. A service
-- is asked who the client is: that call is a span of its own, and carries the trace on.
--
--   docker run -p 16686:16686 -p 4318:4318 jaegertracing/all-in-one      # its page: http://127.0.0.1:16686
--   PEER=127.0.0.1:8001 AUTH=http://127.0.0.1:8002/who perilune run examples/tracing.lua

local perilune = require "perilune"

perilune.tracing {
  endpoint = os.getenv "COLLECTOR" or "http://127.0.0.1:4318",
  service  = "edge",
  resource = { ["deployment.environment.name"] = "production" },
  ratio    = 0.01,
  parent   = "ignore", -- clients of the internet do not decide what is sampled; behind another proxy: "follow"
}

local auth = os.getenv "AUTH" or "http://127.0.0.1:8002/who"
local policy = {}

-- Numbers in a path are what tells many names of spans from few.
local function route(path)
  return (path:gsub("/%d+%f[/%z]", "/{id}"))
end

function policy.request_filter(session)
  local trace = session:trace()
  trace:set("http.route", route(session:path()))
  trace:set_name(session:method() .. " " .. route(session:path()))
  return trace:span("authenticate", function(span)
    local cookie = session:get_header "Cookie" or ""
    local answer, why = perilune.http.get(auth, { headers = { Cookie = cookie }, timeout = 0.5 })
    if not answer then
      span:fail "unreachable"
      perilune.log.error(why)
      return session:respond { status = 503 }
    end
    span:set("auth.status", answer.status)
    if answer.status ~= 200 then return session:respond { status = 403 } end
  end)
end

function policy.upstream_peer()
  return os.getenv "PEER" or "127.0.0.1:8001"
end

-- It is too late to tell the peer, but the request itself is recorded.
function policy.logging(session, failure)
  local status = session:response_status() or 0
  if failure or status >= 500 then session:trace():set_sampled(true) end
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:8080", policy, { access_log = "stdout", access_log_format = "json" })
