-- SPDX-License-Identifier: Apache-2.0
-- discovery_watch: follows a source of backends that tells of changes itself (etcd, Consul, Kubernetes), on the control
-- worker: one task for each source, whatever the number of workers.
--
-- An engine speaks one protocol: engine:run(source) lists what there is and waits for changes, as long as that works,
-- and gives nil and why it no longer does; or true, if it only has to begin again. It keeps its position, so that it
-- resumes where it was. Here is what engines have in common: pauses between tries, which grow and are not the same on
-- all proxies; requests with a deadline; streams of lines, which are dead if nothing has come for too long; and the end
-- of the policy, which ends a wait at once.

local backoff = require "perilune.backoff"
local core = require "perilune.core"
local download = require "perilune.download"
local http = require "perilune.http"
local source = require "perilune.discovery_source"

local watch = {}

local TICK = 0.1
local PAUSE_FIRST, PAUSE_MOST = 1, 30
local STEADY = 10            -- seconds: what has run for so long begins with the first pause again
local LIST_TIME = 30         -- seconds for a whole answer
local LIST_BYTES = 16777216  -- of an answer
local LINE_BYTES = 8388608   -- of one line of a stream
local WORD_BYTES = 200       -- of an answer that is shown in the log

local connection_options = {
  timeout = { "seconds", 5 }, -- to connect, and until an answer begins
  token_file = { "string" }, ca = { "ca" }, certificate = { "pem_file" }, key = { "pem_file" }, sni = { "string" },
  verify = { "boolean" }, verify_name = { "string" },
}

--- The options of an engine: its own, those of its connections, and those of every source.
function watch.options(own)
  local all = {}
  for _, part in ipairs { connection_options, source.options, own } do
    for name, option in pairs(part) do all[name] = option end
  end
  return all
end

--- ---------------------------------------------------------------------------------------------------------------
--- the loop

local function round(self)
  local began = core.now()
  self.engine.is_ours = false
  local ok, again, why = pcall(self.engine.run, self.engine, self.source)
  if core.is_retired() then return end
  if not ok then again, why = nil, again end
  local now = core.now()
  local is_ours = self.engine.is_ours -- its last request could not even be made
  self.failures = (is_ours or now - began >= STEADY) and 1 or self.failures + 1
  self.due = now + backoff.after(self.failures, PAUSE_FIRST, PAUSE_MOST)
  if again then return end
  self.source:failed(why)
  if self.engine.turn and not is_ours then self.engine:turn() end
end

--- Follows the source from when the policy is in force to its end.
---@param given table of the engine's options: cache, empty
function watch.start(set, kind, engine, given)
  local self = {
    source = source.new(set, kind, engine.name, { cache = given.cache, empty = given.empty, skips = true }),
    engine = engine, failures = 0, due = 0,
  }
  core.every(TICK, function()
    if core.now() >= self.due then round(self) end
  end, { immediately = true })
  core.on_retire(function()
    if engine.held and engine.held.cancel then engine.held.cancel() end
  end)
end

--- ---------------------------------------------------------------------------------------------------------------
--- requests

local function brief(text)
  return (text:sub(1, WORD_BYTES):gsub("%s+", " "):gsub("[^ -~]", "?"))
end

local function read_body(response) return download.body(response, LIST_BYTES, LIST_TIME) end

--- The options of a request: those of the engine's connections, and `more`.
function watch.request(wanted, more)
  local request = { stream = true, timeout = wanted.timeout }
  for name in pairs(connection_options) do request[name] = wanted[name] end
  for name, value in pairs(more) do request[name] = value end
  return request
end

-- The response's head. The end of the policy closes its connection.
local function open(engine, request)
  engine.held = {}
  request.holder = engine.held
  local response, why, kind = http.request(request)
  engine.is_ours = backoff.is_ours(kind)
  if not response then return nil, why end
  if not core.is_retired() then return response end
  response:close()
  return nil, "the policy has ended"
end

-- Of one that is no 200: nil, a sentence, the status and the body.
local function refused(response)
  local status, body = response.status, read_body(response) or ""
  return nil, ("it answered %d%s"):format(status, body == "" and "" or ": " .. brief(body)), status, body
end

--- The JSON of an answer, and its response; or nil, a sentence and, where it was another status than 200, that and the
--- body.
function watch.ask(engine, request)
  local response, why = open(engine, request)
  if not response then return nil, why end
  if response.status ~= 200 then return refused(response) end
  local body, broken = read_body(response)
  if not body then return nil, broken end
  local value = core.json_decode(body)
  if type(value) ~= "table" then return nil, "its answer is no JSON: " .. brief(body) end
  return value, response
end

--- ---------------------------------------------------------------------------------------------------------------
--- streams of JSON, a value a line

local Lines = {}
Lines.__index = Lines

--- Of a response that goes on for ever. nil as watch.ask gives it.
---@param silence number seconds without a line after which it is dead
function watch.stream(engine, request, silence)
  local response, why = open(engine, request)
  if not response then return nil, why end
  if response.status ~= 200 then return refused(response) end
  if response.socket then response.socket:set_timeouts(request.timeout, silence) end
  return setmetatable({ response = response, silence = silence, parts = {}, bytes = 0, ready = {}, next = 1,
    heard_at = core.now() }, Lines)
end

-- Puts the whole lines of a piece by. What is left of it begins the next one.
local function split(self, piece)
  local from = 1
  for at in piece:gmatch "()\n" do
    self.parts[#self.parts + 1] = piece:sub(from, at - 1)
    self.ready[#self.ready + 1] = table.concat(self.parts)
    self.parts, self.bytes, from = {}, 0, at + 1
  end
  if from <= #piece then
    self.parts[#self.parts + 1] = piece:sub(from)
    self.bytes = self.bytes + #piece - from + 1
  end
end

-- Waits until there is one. True; false: it is over; nil and why.
local function fill(self)
  while self.next > #self.ready do
    self.ready, self.next = {}, 1
    local piece, why = self.response:read()
    local now = core.now()
    if not piece and not why then return false end
    if not piece and now - self.heard_at >= self.silence - 0.1 then return false end
    if not piece then return nil, why end
    split(self, piece)
    if #self.ready > 0 then self.heard_at = now end
    if self.bytes > LINE_BYTES then return nil, ("a line of it is longer than %d bytes"):format(LINE_BYTES) end
    if now - self.heard_at > self.silence then return false end
  end
  return true
end

--- The next value; false: the stream is over, or silent for too long; nil and why it broke.
function Lines:read()
  repeat
    local ok, why = fill(self)
    if not ok then return ok, why end
    local line = self.ready[self.next]
    self.ready[self.next] = false
    self.next = self.next + 1
    if line:find "%S" then
      local value = core.json_decode(line)
      if type(value) ~= "table" then return nil, "a line of it is no JSON: " .. brief(line) end
      return value
    end
  until false
end

function Lines:close() self.response:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- values of others, which may be anything

--- The value, if it is of that type.
function watch.typed(value, kind)
  if type(value) == kind then return value end
end

--- The field of what may be no table.
function watch.field(value, name, kind)
  if type(value) == "table" then return watch.typed(value[name], kind) end
end

--- The URL of a server without a slash at its end; nil: it is none, or has a path.
function watch.base(url)
  return type(url) == "string" and url:match "^(https?://[^/?#%s]+)/?$" or nil
end

local function by_address(a, b) return (a.address or a.fault) < (b.address or b.fault) end

--- Puts entries in an order that is the same whenever they are the same.
function watch.sort(entries)
  table.sort(entries, by_address)
  return entries
end

return watch
