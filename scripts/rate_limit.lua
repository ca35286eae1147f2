-- SPDX-License-Identifier: Apache-2.0
-- rate_limit: limits the number of requests by key, over all workers; further requests are answered with 429.
--
--   local limit = rate_limit.new { header = "appid", max = 1, interval = 1 }
--   function lb.request_filter(session, ctx) return limit(session, ctx) end
--
--   new          fixed windows; a window begins with the first request after the end of the last one
--   sliding      a sliding window of that length: the last window counts in part
--   bucket       spread evenly, one in each interval / max, and a burst of some at once
--   concurrency  requests at the same time
--   cluster      a bucket that several proxies share, through Redis
--
-- All count exactly, in a bounded table with room for `keys` keys. If there are more, the least important one is
-- forgotten, or (concurrency) a new one is not counted: so nobody within the limit is refused, however many keys
-- there are and whoever sends them.
--
-- The key is a header; or `by` the address (for IPv6 the network of 64 bits), the path or the host; or the result of
-- a function. A request without a key passes.

local check = require "perilune.check"
local core = require "perilune.core"
local network = require "perilune.network"
local options = require "perilune.options"
local refusal = require "perilune.refusal"
local shared = require "perilune.shared"

local rate_limit = {}

local function with(more)
  local valid = {
    header = { "field" },           -- the field whose value is the key, or
    by = { "string" },              -- "address", "path" or "host", or
    key = { "function" },           -- key(session, ctx): a string, or nil for a request that is not limited
    max = { "count", options.required }, -- requests per interval
    name = { "string" },            -- keeps the counts over reloads that change the order of limits
    fields = { "string", "x" },     -- of the answer: "x", "draft" (RateLimit), "both" or "none"
    close = { "boolean", true },    -- the connection of a client that has gone too far
    answer = refusal.option,
  }
  for name, option in pairs(more) do valid[name] = option end
  return valid
end

local KEYS = 65536 -- about 2 MiB

local window_options = with { interval = { "seconds", 1 }, keys = { "positive", KEYS } }
local sliding_options = with {
  interval = { "seconds", 1 }, max = { "positive", options.required }, keys = { "positive", KEYS },
}
local bucket_options = with {
  interval = { "seconds", 1 }, max = { "positive", options.required }, keys = { "positive", KEYS },
  burst = { "positive" },         -- at once; without: max
}
local cluster_options = with {
  store = { "store", options.required },
  interval = { "seconds", 1 }, max = { "positive", options.required }, keys = { "positive", KEYS },
  burst = { "positive" },         -- at once; without: max
  mode = { "string", "report" },  -- or "exact", which asks the store for each request
  on_error = { "string", "local" }, -- or "open" or "closed": while the store does not answer
  shadow = { "boolean", false },  -- only counts what it would refuse
}
local concurrency_options = with { name = { "string", options.required }, keys = { "positive", KEYS } }

local by = {
  address = function(session) return network.prefix(session:client_ip(), 64) end,
  path = function(session) return session:path() end,
  host = function(session) return session:host() end,
}

local function key_function(call, wanted, level)
  local given = (wanted.header and 1 or 0) + (wanted.key and 1 or 0) + (wanted.by and 1 or 0)
  if given ~= 1 then
    error(call .. ": give one of header = \"name\", by = \"address\" (path, host) and key = function(session, ctx)",
      level + 1)
  end
  if wanted.by and not by[wanted.by] then
    error(("%s: option 'by' must be address, path or host, got '%s'; for others: key = function(session, ctx) ... end")
      :format(call, wanted.by), level + 1)
  end
  local header = wanted.header
  return wanted.key or by[wanted.by] or function(session) return session:get_header(header) end
end

local field_sets = { x = { x = true }, draft = { draft = true }, both = { x = true, draft = true }, none = {} }

-- draft-ietf-httpapi-ratelimit-headers: a policy has a name, a quota and a window in whole seconds.
local function policy_of(wanted, unit)
  local name = ('"%s"'):format((wanted.name or "default"):gsub("[^%w_.-]", "_"))
  local window = wanted.interval and wanted.interval >= 1 and (";w=%d"):format(math.ceil(wanted.interval)) or ""
  return name, ("%s;q=%d%s%s"):format(name, wanted.max, window, unit and (';qu="%s"'):format(unit) or "")
end

-- What a verdict { remaining, reset, retry } says to the client, field by field. The deciding functions return its
-- parts, behind whether the request passes: most pass, and then nobody wants the table.
local function fields_function(wanted, unit)
  local set = field_sets[wanted.fields]
  local name, policy = policy_of(wanted, unit)
  return function(verdict, add)
    if set.x then
      add("X-Rate-Limit-Limit", wanted.max)
      add("X-Rate-Limit-Remaining", verdict.remaining)
      if verdict.reset then add("X-Rate-Limit-Reset", math.ceil(verdict.reset)) end
    end
    if set.draft then
      local reset = verdict.reset and (";t=%d"):format(math.ceil(verdict.reset)) or ""
      add("RateLimit-Policy", policy)
      add("RateLimit", ("%s;r=%d%s"):format(name, verdict.remaining, reset))
    end
    if verdict.retry and wanted.fields ~= "x" and wanted.fields ~= "none" then
      add("Retry-After", math.max(math.ceil(verdict.retry), 1))
    end
  end
end

local Limit = {}
Limit.__index = Limit
Limit.__name = "rate_limit"

--- For request_filter: counts the request; true says that it has been answered.
function Limit:__call(session, ctx)
  if not ctx and self.wants_ctx then
    check.raise "limit(session, ctx): ctx is missing, and the limit's key function takes it"
  end
  local passes, remaining, reset, retry, status = self.decide(session, ctx)
  if passes == nil or passes and not ctx then return false end
  local verdict = { remaining = remaining, reset = reset, retry = retry }
  if ctx then ctx[self] = verdict end
  if passes then return false end
  local headers = {}
  self.say(verdict, function(name, value) headers[name] = value end)
  local why = status and "requests cannot be counted at the moment" or self.too_many
  return self.refuse(session, status or 429, why, headers, self.close)
end

--- For response_filter or answer_filter: tells a client that may go on how many more it has. request_filter must have
--- given its ctx.
function Limit:tell(response, ctx)
  check.object("limit:tell", self, "say")
  check.ctx("limit:tell", ctx, "limit:tell(response, ctx)")
  local verdict = ctx[self]
  if verdict then self.say(verdict, function(name, value) response:set_header(name, value) end) end
end

-- What decides by the key; nil where the request has none.
local function by_key(call, wanted, decide)
  local key_of = key_function(call, wanted, 4)
  return function(session, ctx)
    local key = key_of(session, ctx)
    if key then return decide(key, session) end
  end
end

local function new_limit(call, wanted, decide, unit)
  if not field_sets[wanted.fields] then
    error(("%s: option 'fields' must be x, draft, both or none, got '%s'"):format(call, wanted.fields), 3)
  end
  local limit = {
    decide = by_key(call, wanted, decide), say = fields_function(wanted, unit), close = wanted.close,
    refuse = refusal.new(call, wanted.answer),
    too_many = unit and "too many requests at the same time" or "the limit of requests is used up",
    wants_ctx = wanted.key and debug.getinfo(wanted.key, "u").nparams > 1,
  }
  return setmetatable(limit, Limit)
end

--- `max` in fixed windows. Requests that do not pass are counted, too.
function rate_limit.new(given, ...)
  check.no_more("rate_limit.new", "its options are one table", ...)
  local wanted = options.read("rate_limit.new", given, window_options)
  local interval, max = wanted.interval, wanted.max
  local counts = core.counts(interval, wanted.keys, wanted.name)
  local function judge(count) return count <= max, math.max(max - count, 0), interval, interval end
  local limit = new_limit("rate_limit.new", wanted, function(key) return judge(counts:add(key)) end)
  local header, count_field = wanted.header, core.count_field
  if header then -- the usual case, in one call
    function limit.decide(session)
      local count = count_field(session, header, counts)
      if count then return judge(count) end
    end
  end
  return limit
end

local function take_function(limiter)
  return function(key)
    local passes, remaining, reset, retry = limiter:take(key)
    return passes, remaining, reset, not passes and retry or nil
  end
end

--- `max` in any window of `interval`; as exact as the last window's requests were even.
function rate_limit.sliding(given, ...)
  check.no_more("rate_limit.sliding", "its options are one table", ...)
  local wanted = options.read("rate_limit.sliding", given, sliding_options)
  local limiter = core.limiter({
    kind = "window", max = wanted.max, burst = 1, interval = wanted.interval, keys = wanted.keys,
  }, wanted.name)
  local limit = new_limit("rate_limit.sliding", wanted, take_function(limiter))
  return limit
end

--- `max` per `interval`, one at a time, and `burst` at once (GCRA).
function rate_limit.bucket(given, ...)
  check.no_more("rate_limit.bucket", "its options are one table", ...)
  local wanted = options.read("rate_limit.bucket", given, bucket_options)
  local limiter = core.limiter({
    kind = "bucket", max = wanted.max, burst = wanted.burst or wanted.max, interval = wanted.interval,
    keys = wanted.keys,
  }, wanted.name)
  local limit = new_limit("rate_limit.bucket", wanted, take_function(limiter))
  return limit
end

--- `max` under way at the same time: counted until the exchange has ended.
function rate_limit.concurrency(given, ...)
  check.no_more("rate_limit.concurrency", "its options are one table", ...)
  local wanted = options.read("rate_limit.concurrency", given, concurrency_options)
  local inflight, max = shared.inflight(wanted.name, { keys = wanted.keys }), wanted.max
  local limit = new_limit("rate_limit.concurrency", wanted, function(key, session)
    local count = inflight:acquire(session, key, max)
    return count ~= nil, count and max - count or 0, nil, not count and 1 or nil
  end, "concurrent-requests")
  return limit
end

local modes = { report = true, exact = true }
local errors = { ["local"] = true, open = true, closed = true }

local function fault_of(wanted)
  if not modes[wanted.mode] then return ("option 'mode' must be report or exact, got '%s'"):format(wanted.mode) end
  if not errors[wanted.on_error] then
    return ("option 'on_error' must be local, open or closed, got '%s'"):format(wanted.on_error)
  end
  return options.fault_of_store(wanted.store)
end

--- `max` per `interval` and `burst` at once, of all proxies that have the same limit and the same store.
function rate_limit.cluster(given, ...)
  check.no_more("rate_limit.cluster", "its options are one table", ...)
  local wanted = options.read("rate_limit.cluster", given, cluster_options)
  local fault = fault_of(wanted)
  if fault then error("rate_limit.cluster: " .. fault, 2) end
  wanted.burst = wanted.burst or wanted.max
  local limit = new_limit("rate_limit.cluster", wanted, require("perilune.cluster_limit").decider(wanted))
  return limit
end

return rate_limit
