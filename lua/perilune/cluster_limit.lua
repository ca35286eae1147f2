-- SPDX-License-Identifier: Apache-2.0
-- perilune.cluster_limit: limits that several proxies share through Redis; rate_limit.cluster makes them.
--
-- mode "report": core/shared/quota decides, at once; it belongs to the process, and is kept over a reload. A collector
-- takes what it has counted to Redis, every 100 ms, in one pipeline for all limits of a store, and gives it the
-- answers. The collector is a job of the control worker. Where that does not run, as for a limit that only a canary
-- has, the first request that sees the delay does it. When the policy's end comes, what is left is reported.
-- A report whose answer does not come is not sent again: its hits are lost, and counted as lost. One that was certainly
-- not done is given back.
--
-- mode "exact": each request asks Redis, where a script decides. What it refuses is refused here until the time that
-- it said. Where it cannot be asked, `on_error` says what happens; for "local" the process's own quota decides.
--
-- Keys in Redis: "pl:{name max/interval+burst mode.part}:key". Limits with other numbers have other keys, so they do
-- not mix while a change is rolled out. A part (of 16) lies in one slot of a Redis Cluster.

local core = require "perilune.core"
local redis = require "perilune.redis"
local scripts = require "perilune.cluster_scripts"
local seldom = require "perilune.seldom"

local cluster = {}

local INTERVAL, BEAT = 0.1, 1      -- seconds between reports, and between signs of life
local NODE_LIFE = 10               -- seconds after its last sign of life for which a proxy counts
local KEYS_MOST, CALL_KEYS = 2000, 500 -- of a limit in a report, and in one call of a script
local TIMEOUT = 0.25               -- for a report, which no request waits for

--- ---------------------------------------------------------------------------------------------------------------
--- what is told of limits

local metrics

local function declare_metrics()
  if metrics then return end
  local function metric(kind, name, help, label)
    return core.metric("perilune_rate_limit_" .. name, kind, help, { "limit", label }, {})
  end
  metrics = {
    requests = metric("counter", "cluster_total", "Requests of limits that proxies share, by what became of them.",
      "result"),
    reports = metric("counter", "reports_total", "Reports to the store, by how they ended.", "result"),
    lost = metric("counter", "lost_total", "Requests let pass that the store may not have counted."),
    nodes = metric("gauge", "nodes", "Proxies that share the limit."),
    away = metric("gauge", "store_away", "1 while the store does not answer, and the proxy decides by itself."),
  }
end

-- Only one thread sets gauges: those of several would be added up.
local function publish(limit)
  local quota, name = limit.quota, limit.name
  local passed, refused, lost = quota:counts()
  if passed > 0 then metrics.requests:add(passed, name, "passed") end
  if refused > 0 then metrics.requests:add(refused, name, limit.shadow and "would refuse" or "refused") end
  if lost > 0 then metrics.lost:add(lost, name) end
  if not core.is_control() then return end
  metrics.nodes:set(quota:nodes(), name)
  metrics.away:set(quota:is_away() and 1 or 0, name)
end

local function say_fault(limit, why) seldom.warn(limit, "rate limit '%s': %s", limit.name, why) end

local consequences = {
  ["local"] = "each proxy lets its part of the limit pass", open = "all requests pass", closed = "requests get 503",
}

local function note(limit, was_answered, why)
  metrics.reports:add(1, limit.name, was_answered and "ok" or "failed")
  if not limit.quota:reported(was_answered) then
    if not was_answered then limit.why = why end
    return
  end
  if was_answered then
    core.log.info(("rate limit '%s': the store answers again"):format(limit.name))
  else
    core.log.warn(("rate limit '%s': the store is away, and %s: %s"):format(limit.name, consequences[limit.on_error],
      why))
  end
end

--- ---------------------------------------------------------------------------------------------------------------
--- reports

-- Commands of a report, and beside each what it is of: { limit, keys, hits } or { limit, is_beat }.

local function new_call(limit, part)
  return { limit = limit, part = part, keys = {}, hits = {}, words = {} }
end

-- The server's time, in milliseconds, as it was told with the last report of the part. Before the first one that is the
-- end of all times: the server takes its own.
local function time_at(limit, part)
  local ahead = limit.ahead[part]
  return ahead and ("%.0f"):format(core.now() * 1000 + ahead) or "1e18"
end

local function finish(call, commands, calls)
  local limit, prefix = call.limit, call.limit.prefix .. call.part .. "}:"
  local command = { "EVALSHA", scripts.report.digest, #call.keys }
  for _, key in ipairs(call.keys) do command[#command + 1] = prefix .. key end
  for _, word in ipairs(limit.numbers) do command[#command + 1] = word end
  command[#command + 1] = time_at(limit, call.part)
  for _, word in ipairs(call.words) do command[#command + 1] = word end
  call.script = scripts.report.text
  commands[#commands + 1], calls[#calls + 1] = command, call
end

local function add_reports(limit, commands, calls)
  local list, open = limit.quota:collect(KEYS_MOST), {}
  for i = 1, #list, 4 do
    local part = list[i + 1]
    local call = open[part] or new_call(limit, part)
    local at = #call.keys + 1
    call.keys[at], call.hits[at] = list[i], list[i + 2]
    call.words[2 * at - 1], call.words[2 * at] = list[i + 2], list[i + 3]
    open[part] = call
    if at == CALL_KEYS then
      finish(call, commands, calls)
      open[part] = nil
    end
  end
  for _, call in pairs(open) do finish(call, commands, calls) end
end

local function add_beat(limit, commands, calls)
  if core.now() < limit.beat_at then return end
  limit.beat_at = core.now() + BEAT * 0.95
  commands[#commands + 1] = { "EVALSHA", scripts.beat.digest, 1, limit.prefix .. "nodes}", limit.quota:node(),
    NODE_LIFE }
  calls[#calls + 1] = { limit = limit, is_beat = true, script = scripts.beat.text, keys = {}, hits = {} }
end

-- Scripts that the server does not know were not run: they are sent once more, as text.
local function send(store, commands, calls)
  local replies, why, kind = store:pipeline(commands)
  if not replies then return nil, why, kind end
  local again, places = {}, {}
  for i, reply in ipairs(replies) do
    if redis.is_error(reply) and reply.code == "NOSCRIPT" then
      local command = commands[i]
      command[1], command[2] = "EVAL", calls[i].script
      again[#again + 1], places[#places + 1] = command, i
    end
  end
  if #again == 0 then return replies end
  local more, failure, sort = store:pipeline(again)
  for i, place in ipairs(places) do replies[place] = more and more[i] or { failure = failure, code = sort } end
  return replies
end

-- Whether it is certain that the server has done nothing: it was not asked, or refused by the state that it is in.
local NOT_DONE = {
  down = true, busy = true, NOSCRIPT = true, LOADING = true, READONLY = true, OOM = true, MISCONF = true,
  MASTERDOWN = true, CLUSTERDOWN = true, MOVED = true, ASK = true, TRYAGAIN = true, NOAUTH = true, NOPERM = true,
  BUSY = true, NOREPLICAS = true, WRONGPASS = true,
}

local function fail(call, why, kind)
  local quota, lost = call.limit.quota, 0
  for i, key in ipairs(call.keys) do
    if NOT_DONE[kind] then quota:restore(key, call.hits[i]) else lost = lost + call.hits[i] end
  end
  if lost > 0 then metrics.lost:add(lost, call.limit.name) end
  call.failure = why
end

local function is_number(value) return type(value) == "number" and value == value and math.abs(value) < 2 ^ 53 end

local function are_numbers(reply, count)
  if type(reply) ~= "table" or #reply ~= count then return false end
  for i = 1, count do
    if not is_number(reply[i]) then return false end
  end
  return true
end

local function take_beat(call, reply)
  if is_number(reply) and reply >= 1 and reply <= 1e6 then
    call.limit.quota:nodes(reply)
  else
    say_fault(call.limit, "the store did not answer with a number of proxies")
  end
end

-- What is no answer of the script's is dropped: the last one stays in force.
local function take_reply(call, reply)
  if type(reply) == "table" and reply.code then
    fail(call, reply.error or reply.failure or reply.code, reply.code)
    if reply.error then say_fault(call.limit, reply.error) end
  elseif call.is_beat then
    take_beat(call, reply)
  elseif are_numbers(reply, 2 * #call.keys + 1) then
    call.limit.ahead[call.part] = reply[#reply] - core.now() * 1000
    for i, key in ipairs(call.keys) do call.limit.quota:settle(key, reply[2 * i - 1] / 1000, reply[2 * i] / 1000) end
  else
    fail(call, "what came is no answer of the script", "malformed")
    say_fault(call.limit, call.failure)
  end
end

-- A limit's report was answered where at least one of its calls was.
local function conclude(calls)
  local answered, reasons = {}, {}
  for _, call in ipairs(calls) do
    answered[call.limit] = answered[call.limit] or not call.failure
    reasons[call.limit] = call.failure or reasons[call.limit]
  end
  for limit, was_answered in pairs(answered) do note(limit, was_answered, reasons[limit]) end
end

-- One report of all limits of a store. `is_sure`: whoever asks has found out already that it is time.
local function report(group, is_sure)
  local commands, calls = {}, {}
  for _, limit in pairs(group.limits) do
    publish(limit)
    if limit.quota:begin() or is_sure then
      if limit.mode == "report" then add_reports(limit, commands, calls) end
      add_beat(limit, commands, calls)
    end
  end
  if #commands == 0 then return end
  local replies, why, kind = send(group.store, commands, calls)
  for i, call in ipairs(calls) do
    if replies then take_reply(call, replies[i]) else fail(call, why, kind) end
  end
  conclude(calls)
end

--- ---------------------------------------------------------------------------------------------------------------
--- limits

local groups = {} -- by store: { store, limits by prefix }

local function group_of(store)
  local id = store.settings.key
  local group = groups[id]
  if group then return group end
  group = { store = store:with_timeout(math.max(TIMEOUT, store.timeout)), limits = {} }
  groups[id] = group
  core.every(INTERVAL, function() report(group, false) end, { immediately = true })
  core.after(1e9, function(is_end)
    if is_end then report(group, true) end
  end)
  return group
end

-- Texts of numbers that read back as the same ones, and are the same on all machines.
local function numbers_of(given)
  local rate = given.max / given.interval / 1000 -- tokens a millisecond
  local room = math.max(given.burst, 2 * rate * INTERVAL * 1000)
  return { ("%.17g"):format(rate), given.burst, ("%.17g"):format(room) }
end

local function report_decider(limit, group)
  local quota, on_error = limit.quota, limit.on_error
  return function(key)
    local passes, remaining, reset, retry, is_overdue = quota:take(key)
    if is_overdue then core.after(0, function() report(group, true) end) end
    if on_error ~= "local" and quota:is_away() then return nil end
    return passes, remaining, reset, not passes and retry or nil
  end
end

-- passes, remaining, reset and retry, where the script's answer is one.
local function read_exact(limit, reply)
  if not are_numbers(reply, 4) then
    say_fault(limit, "what came is no answer of the script")
    return nil
  end
  local passes = reply[1] == 1
  return passes, math.max(reply[2], 0), math.max(reply[3], 0) / 1e6, not passes and math.max(reply[4], 0) / 1e6 or nil
end

local function exact_decider(limit, store)
  local quota, fill = limit.quota, limit.burst * limit.interval / limit.max
  local each = limit.interval / limit.max
  local function ask(key, part)
    local reply, why, kind = store:eval(scripts.exact.text, { limit.prefix .. part .. "}:" .. key }, limit.numbers)
    if reply ~= nil then return read_exact(limit, reply) end
    if kind ~= "down" and kind ~= "busy" then say_fault(limit, why or "the store gave null") end
  end
  return function(given)
    local key, part = quota:key(given)
    local barred = quota:barred(key)
    if barred then return false, 0, math.max(barred + fill - each, 0), barred end
    local passes, remaining, reset, retry = ask(key, part)
    if passes then metrics.requests:add(1, limit.name, "passed") end
    if passes == false then
      quota:bar(key, retry)
      metrics.requests:add(1, limit.name, limit.shadow and "would refuse" or "refused")
    end
    if passes ~= nil or limit.on_error ~= "local" then return passes, remaining, reset, retry end
    passes, remaining, reset, retry = quota:take(key)
    return passes, remaining, reset, not passes and retry or nil
  end
end

-- What nobody could decide, and what is only tried.
local function finally(limit, decide)
  local name, on_error, shadow = limit.name, limit.on_error, limit.shadow
  return function(key)
    local passes, remaining, reset, retry = decide(key)
    if passes == nil then
      metrics.requests:add(1, name, on_error)
      if on_error == "open" or shadow then return true, limit.max, nil, nil end
      return false, 0, nil, 1, 503
    end
    return passes or shadow, remaining, reset, retry
  end
end

local function prefix_of(given)
  local name = given.name:gsub("[^%w_.:/@-]", function(byte) return ("%%%02X"):format(byte:byte()) end)
  return ("pl:{%s %d/%.17g+%d %s."):format(name, given.max, given.interval, given.burst, given.mode:sub(1, 1))
end

local unnamed = 0

--- What decides by a key, for rate_limit.cluster: passes, remaining, reset, retry and a status other than 429.
function cluster.decider(given)
  declare_metrics()
  if not given.name then
    unnamed = unnamed + 1
    given.name = "cluster#" .. unnamed
  end
  local limit = { name = given.name, max = given.max, interval = given.interval, burst = given.burst,
    mode = given.mode, on_error = given.on_error, shadow = given.shadow, beat_at = 0, prefix = prefix_of(given),
    numbers = numbers_of(given), ahead = {} }
  limit.quota = core.quota({ max = given.max, burst = given.burst, interval = given.interval, keys = given.keys },
    ("%s (%s)"):format(given.name, given.mode))
  local group = group_of(given.store)
  group.limits[limit.prefix] = group.limits[limit.prefix] or limit
  local decide = limit.mode == "report" and report_decider(limit, group) or exact_decider(limit, given.store)
  return finally(limit, decide)
end

return cluster
