-- SPDX-License-Identifier: Apache-2.0
-- perilune.tracing_export: sends spans from the queue of all workers to a collector, on the control worker, one batch
-- at a time. A batch stays in the queue until it is settled (core/shared/span_queue.h), so whatever happens here costs
-- no more memory than the queue has, and the next generation's exporter goes on with what this one leaves.
--
-- What the collector says (OTLP/HTTP): 2xx is taken, perhaps but in part; 429, 502, 503 and 504, and no answer at all,
-- are tried again, as late as Retry-After says or with growing pauses; anything else refuses the batch. After some
-- tries a batch is given up, so that newer spans get their turn.
--
-- Once the policy is retired (a reload without traces, or a stop), the exporter sends what still comes as long as its
-- exchanges run, and then ends; without pauses, and within a few tries, for a collector that is away must not hold up
-- a stop.

local backoff = require "perilune.backoff"
local core = require "perilune.core"
local http = require "perilune.http"
local spawn = require "perilune.spawn"

local export = {}

local TICK = 0.1           -- how often the queue is looked at
local PAUSE_FIRST, PAUSE_MOST = 1, 30
local LAST_TRIES, LAST_PAUSE, LAST_TIMEOUT = 3, 0.2, 2 -- of a policy that is retired
local LOG_EVERY = 60       -- seconds between two lines of the log about failures
local ANSWER_MOST = 65536

local repeatable = { [429] = true, [502] = true, [503] = true, [504] = true }

--- ---------------------------------------------------------------------------------------------------------------
--- answers

local function read_varint(text, at)
  local number, factor = 0, 1
  while true do
    local byte = text:byte(at)
    if not byte or factor > 2 ^ 63 then return nil end
    number, factor, at = number + byte % 128 * factor, factor * 128, at + 1
    if byte < 128 then return number, at end
  end
end

-- The fields of a message of Protocol Buffers by their numbers: numbers and texts; nil where it is none.
local function read_message(text)
  local fields, at = {}, 1
  while at <= #text do
    local tag, length
    tag, at = read_varint(text, at)
    if not tag then return nil end
    local kind, number = tag % 8, math.floor(tag / 8)
    if kind == 0 then
      fields[number], at = read_varint(text, at)
    elseif kind == 2 then
      length, at = read_varint(text, at)
      if not length or at + length - 1 > #text then return nil end
      fields[number], at = text:sub(at, at + length - 1), at + length
    else
      return nil
    end
    if not at then return nil end
  end
  return fields
end

-- Of an ExportTraceServiceResponse: how many spans it has rejected, and why.
local function read_partial(body)
  local answer = read_message(body)
  local partial = answer and type(answer[1]) == "string" and read_message(answer[1])
  if not partial then return 0, "" end
  local rejected = type(partial[1]) == "number" and partial[1] or 0
  return rejected, type(partial[2]) == "string" and partial[2] or ""
end

--- ---------------------------------------------------------------------------------------------------------------
--- the log

local function tell(sender, why)
  local now = core.now()
  if sender.told_at and now - sender.told_at < LOG_EVERY then
    sender.untold = sender.untold + 1
    return
  end
  local more = sender.untold > 0 and (" (%d more like that since the last line)"):format(sender.untold) or ""
  core.log.warn(("tracing: %s: %s%s"):format(sender.url, why, more))
  sender.told_at, sender.untold, sender.is_told_down = now, 0, true
end

local function tell_recovery(sender)
  if sender.is_told_down then core.log.info(("tracing: %s takes spans again"):format(sender.url)) end
  sender.is_told_down = false
end

--- ---------------------------------------------------------------------------------------------------------------
--- sending

local function post(sender, body)
  local request = { url = sender.url, method = "POST", body = body, limit = ANSWER_MOST, timeout = sender.timeout }
  for name, value in pairs(sender.request) do if request[name] == nil then request[name] = value end end
  request.headers = { ["Content-Type"] = "application/x-protobuf" }
  for name, value in pairs(sender.request.headers or {}) do request.headers[name] = value end
  return http.request(request)
end

-- A collector that is silent does not hold up the end of the policy.
local function post_in_time(sender, body)
  local task, patience = core.spawn(post, sender, body), LAST_TIMEOUT
  while task:status() == "running" do
    spawn.wait_any(task, { timeout = TICK })
    patience = core.is_retired() and patience - TICK or patience
    if patience <= 0 then
      task:stop()
      return nil, "no answer before the end of the policy"
    end
  end
  return spawn.wait(task)
end

local function settle_taken(sender, response, spans)
  local rejected, why = read_partial(response.body)
  rejected = math.min(rejected, spans)
  core.tracing_settle(sender.handle, false)
  core.tracing_note(sender.handle, spans - rejected, rejected, "")
  if rejected > 0 then
    tell(sender, ("%d of %d spans were rejected: %s"):format(rejected, spans, why))
  else
    tell_recovery(sender)
  end
  sender.failed, sender.failing_since = 0, nil
end

-- `is_ours`: no collector was asked, so no try is counted.
local function settle_failed(sender, why, spans, may_repeat, is_ours)
  sender.failed = sender.failed + (is_ours and 0 or 1)
  sender.failing_since = sender.failing_since or core.now()
  local is_kept = may_repeat and (is_ours or sender.failed < sender.tries)
  core.tracing_settle(sender.handle, is_kept)
  core.tracing_note(sender.handle, 0, is_kept and 0 or spans, why)
  tell(sender, is_kept and why or ("%s; %d spans are given up"):format(why, spans))
  if not is_kept then sender.failed = 0 end
end

-- Sends one batch. Gives whether there was one, and in how many seconds the next may be sent.
local function send(sender)
  local body, spans = core.tracing_batch(sender.handle, sender.batch)
  if not body then return false, 0 end
  local response, why, kind = post_in_time(sender, body)
  if response and response.status >= 200 and response.status < 300 then
    settle_taken(sender, response, spans)
    sender.pause = PAUSE_FIRST
    return true, 0
  end
  why = why or ("it answered %d"):format(response.status)
  local may_repeat = not response or repeatable[response.status] ~= nil
  local is_ours = backoff.is_ours(kind)
  settle_failed(sender, why, spans, may_repeat, is_ours)
  if is_ours then return true, backoff.spread(PAUSE_FIRST) end
  local pause = backoff.spread(sender.pause)
  sender.pause = math.min(sender.pause * 2, PAUSE_MOST)
  if not may_repeat then sender.pause, pause = PAUSE_FIRST, 0 end
  return true, response and backoff.asked(response.headers, PAUSE_MOST) or pause
end

--- ---------------------------------------------------------------------------------------------------------------
--- the loop

-- What is left, and how much that was.
local function give_up(sender)
  local lost = 0
  repeat
    local body, spans = core.tracing_batch(sender.handle, sender.batch)
    if body then core.tracing_settle(sender.handle, false) end
    lost = lost + (spans or 0)
  until not body
  core.tracing_note(sender.handle, 0, lost, "given up at the end")
  core.log.warn(("tracing: %s: %d spans were not sent before the end"):format(sender.url, lost))
end

-- After so many tries at the end.
local function is_hopeless(sender, tries)
  return tries >= LAST_TRIES or (tries > 0 and core.now() - sender.failing_since >= LAST_TIMEOUT)
end

-- The policy has been replaced, or the proxy stops. A batch may still be out.
local function send_last(sender)
  local tries = 0
  sender.tries, sender.timeout = math.huge, math.min(sender.timeout, LAST_TIMEOUT)
  while true do
    local waiting, users, is_newest = core.tracing_state(sender.handle)
    if not is_newest or (waiting == 0 and users == 0) then return end
    local has_sent = waiting > 0 and send(sender)
    tries = sender.failing_since and tries + (has_sent and 1 or 0) or 0
    if users == 0 and is_hopeless(sender, tries) then break end
    core.sleep(tries > 0 and LAST_PAUSE or has_sent and 0 or TICK)
  end
  give_up(sender)
end

-- Anything is sent within the interval; what fills a batch at once.
local function is_due(sender)
  local waiting, _, is_newest = core.tracing_state(sender.handle)
  local now = core.now()
  if not is_newest or now < sender.not_before then return false end
  if waiting == 0 then sender.sent_at = now end
  return waiting >= sender.batch / 2 or (waiting > 0 and now - sender.sent_at >= sender.interval)
end

local function tick(sender)
  while is_due(sender) and not core.is_retired() do
    local _, pause = send(sender)
    sender.sent_at = core.now()
    sender.not_before = sender.sent_at + pause
  end
end

--- Sends for a handle of core.tracing, once the policy is in force and until its end.
function export.start(handle, sender)
  sender.handle, sender.failed, sender.untold = handle, 0, 0
  sender.pause, sender.not_before, sender.timeout = PAUSE_FIRST, 0, sender.request.timeout
  core.after(0, function()
    sender.sent_at = core.now()
    core.tracing_enter(handle)
    core.every(TICK, function() tick(sender) end)
  end)
  core.on_retire(function() send_last(sender) end)
end

return export
