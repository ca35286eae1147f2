-- SPDX-License-Identifier: Apache-2.0
-- harness: runs the proxy itself with a policy, as a separate process on free ports, between scripted origins and
-- clients.
--
--   local h = test.harness {
--     policy = "policy.lua",                    -- or its text
--     origins = { api = "hello", slow = function(request) return { status = 200, body = request.target } end },
--   }
--   local response = h:request { path = "/", headers = { Accept = "text/html" } }
--   assert.received({ target = "/" }, h.origins.api)
--
-- `dns` has the addresses of names: { ["api.internal"] = "127.0.0.1" }; other names do not exist then.
--
-- The policy's listeners get free ports. Its files (pid_file, socket, access_log, error_log) are in a directory of
-- the test, h.directory, so that a proxy that runs with the same policy is not disturbed; daemon, user and group are
-- ignored. The policy finds its origins in the environment: ORIGIN_API is "127.0.0.1:<port>" of the origin `api`,
-- ORIGIN that of the only one, ORIGIN_CA the authority for their certificates.

local core = require "perilune.core"
local client = require "perilune.test.client"
local fields = require "perilune.test.fields"
local grpc = require "perilune.test.grpc"
local files = require "perilune.test.files"
local metrics = require "perilune.test.metrics"
local misuse = require "perilune.test.misuse"
local name_server = require "perilune.test.name_server"
local origins = require "perilune.test.origins"
local process = require "perilune.test.process"
local proxy = require "perilune.test.proxy"
local scheduler = require "perilune.test.scheduler"
local scope = require "perilune.test.scope"

local M = {}

local LOG_LINES = 20

local running = setmetatable({}, { __mode = "k" }) -- harnesses

local Harness = {}
Harness.__name = "perilune.test.harness"

-- Answers each request of a connection with what a function gives for it.
local function answering(answer)
  return function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      local response = answer(request, connection)
      if response == nil then return end -- the connection closes without one
      connection:respond(response)
      if type(response) == "table" and response.no_length then return end -- its body ends as the connection closes
    end
  end
end

-- Answers the request of each stream in the same way.
local function answering_streams(answer)
  return function(stream)
    local request = stream:read_request()
    if not request then return end
    local response = answer(request, stream)
    if stream.has_sent_end or not stream.is_open then return end
    if response == nil then return stream:reset "internal_error" end
    stream:respond(response)
  end
end

local PLACE = { answer = true, serve = true, grpc = true, tls = true, host = true, port = true, http2 = true }

-- Splits { answer | serve | grpc, tls, host, port, http2, and the words of an answer } into place, what it answers, and
-- `serve`.
local function split(given)
  local place, answer, has_words = {}, {}, false
  for name, value in pairs(given) do
    if PLACE[name] then
      place[name] = value
    else
      answer[name], has_words = value, true
    end
  end
  local named = (place.answer ~= nil and 1 or 0) + (place.serve and 1 or 0) + (place.grpc and 1 or 0)
  if has_words and named > 0 then return nil, ("'%s' belongs into answer = { ... }"):format(next(answer)) end
  if named > 1 then return nil, "there is one of answer, serve and grpc" end
  if place.answer ~= nil then answer = place.answer end
  return place, answer
end

local HTTP2 = { settings = "table", raw = "boolean", on_connection = "function", or_http1 = "boolean" }

-- What origins.start is told of HTTP/2; nil where the origin does not speak it.
local function http2_options(name, place, handler)
  local given = place.http2 or place.grpc and true
  if not given then return nil end
  given = given == true and {} or misuse.fields(("test.harness: the origin '%s': http2"):format(name), given, HTTP2)
  return { settings = given.settings, raw = given.raw, on_connection = given.on_connection,
    http1 = given.or_http1 and handler or nil }
end

-- What it does with each connection, and with each stream where it speaks HTTP/2.
local function handlers(name, place, answer)
  if place.serve then return place.serve, place.serve end
  if place.grpc then return nil, grpc.server(place.grpc) end
  local give = answer
  if type(answer) ~= "function" then
    local ok, fault = origins.read_answer(answer)
    if not ok then core.raise(("test.harness: the origin '%s': %s"):format(name, fault)) end
    give = function() return answer end
  end
  return answering(give), answering_streams(give)
end

-- What an origin is given as: an answer, a function(request, connection) that gives one, or a table with `answer` (one
-- of these), `serve` or `grpc`, with `tls`: the names of its certificate, and `http2`.
local function start_origin(name, given)
  local place, answer = {}, given
  if type(given) == "table" then
    place, answer = split(given)
    if not place then core.raise(("test.harness: the origin '%s': %s"):format(name, answer)) end
  end
  local of_connections, of_streams = handlers(name, place, answer)
  local http2 = http2_options(name, place, of_connections)
  return origins.start(http2 and of_streams or of_connections,
    { names = place.tls, host = place.host, port = place.port, http2 = http2 })
end

local function start_origins(given, env)
  local started, only = {}, nil
  for name, one in pairs(given or {}) do
    started[name] = start_origin(name, one)
    env["ORIGIN_" .. name:upper():gsub("[^%w]", "_")] = started[name].address
    if started[name].files then env.ORIGIN_CA = started[name].files.ca end
    only = only == nil and started[name] or false
  end
  if only and not env.ORIGIN then env.ORIGIN = only.address end
  return misuse.guard(started, "h.origins")
end

local valid = { policy = true, origins = "table", dns = "table", env = "table", workers = "number",
  timeout = "number" }

-- From { ["api.internal"] = "127.0.0.1" } or what perilune.test.name_server takes.
local function start_name_server(given)
  local names = {}
  for name, entry in pairs(given) do
    names[name:lower()] = type(entry) == "string" and { A = { entry } } or entry
  end
  return name_server.start(names)
end

-- The path of a policy; nil for its text; or nil and why there is no such file.
local function find_policy(given)
  local is_text = given:find "[^%w_./~ +-]" -- of file names only: a path
  if is_text then return nil end
  return files.find(given)
end

--- Starts origins and proxy, and waits until it is ready. What is started in a test ends with it; in lazy_setup, with
--- the file.
---@param options table policy, origins, dns, env, workers (1), timeout
function M.start(options)
  misuse.fields("test.harness", options, valid)
  options = options or {}
  if type(options.policy) ~= "string" then
    core.raise "test.harness: 'policy' is missing: the path of a policy, or its text"
  end
  local path, why = find_policy(options.policy)
  if why then core.raise("test.harness: " .. why) end
  local directory = process.directory()
  local env = { PERILUNE_ANY_PORT = "1", PERILUNE_PRIVATE_FILES = directory }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local self = setmetatable({ directory = directory, origins = start_origins(options.origins, env) }, Harness)
  if options.dns then
    self.dns = start_name_server(options.dns)
    env.PERILUNE_NAME_SERVERS = self.dns.address
  end
  self.script = path or process.write_file(directory .. "/policy.lua", options.policy)
  self.proxy = proxy.start {
    script = self.script, workers = options.workers or 1, env = env, timeout = options.timeout,
    settings = { "--admin", "127.0.0.1:0", "--error-log", "stderr" }, -- where h:log() finds it
  }
  self.port, self.ports = self.proxy.port, self.proxy.ports
  running[self] = true
  return self
end

local TLS = { name = "string", ca = "string", files = "table", oldest = "string", newest = "string",
  signatures = "string", alpn = "string", ticket = true }
local CONNECTION = { listener = "number", tls = "table", timeout = "number", receive_buffer = "number", ip = "string",
  version = "string", settings = "table|boolean", raw = "boolean" }
local REQUEST = { method = "string", target = "string", path = "string", headers = "table", body = "string",
  chunked = "boolean", host = "string|boolean", trailers = "table", protocol = "string", scheme = "string",
  fields = "table" }
local GRPC = { message = "string", messages = "table", metadata = "table", deadline = "string", host = "string" }
for name, kind in pairs(CONNECTION) do REQUEST[name], GRPC[name] = kind, kind end

-- What only HTTP/2 has.
local function check_version(call, all)
  if all.version == "2" then return end
  for _, name in ipairs { "fields", "protocol", "scheme", "settings", "raw" } do
    if all[name] ~= nil then misuse.raise(("%s: %s is for version = \"2\""):format(call, name)) end
  end
end

local function target_of(self, call, options, words)
  local all = {}
  for name, value in pairs(misuse.fields(call, options, words)) do all[name] = value end
  if all.tls then misuse.fields(call .. ": tls", all.tls, TLS) end
  if all.version == "2.0" or words == GRPC then all.version = "2" end
  check_version(call, all)
  all.headers = fields.new(all.headers)
  all.path = all.target or all.path
  all.port = self.ports[all.listener or 1]
  if not all.port then
    misuse.raise(("%s: the policy has no listener %s: it has %d"):format(call, tostring(all.listener), #self.ports))
  end
  return all
end

--- One request on a connection of its own; what is asked: method, target (or path), headers, body, chunked, host,
--- listener (1), tls = { name, ca }, timeout. The response has status, reason, headers, body, interim, closed.
function Harness:request(options) return client.request(target_of(self, "h:request", options, REQUEST)) end

--- One call of gRPC on a connection of its own: message or messages, metadata, deadline ("1S"), and what a connection
--- takes. The result has status, reason, message, messages, headers, trailers, http_status, failure.
function Harness:grpc(path, options)
  local all = target_of(self, "h:grpc", options, GRPC)
  local connection = client.connect(all)
  local result = grpc.ask(connection, path, all)
  connection:close()
  return result
end

--- A connection: send, request, read_response, read, read_until, receive_all, is_closed, half_close, reset, close. With
--- version = "2": open, request, call, ping, send_frame, send_goaway, await_frame, close.
function Harness:connect(options) return client.connect(target_of(self, "h:connect", options, CONNECTION)) end

--- Runs functions side by side, and gives their results in order.
function Harness.together(_, bodies, timeout) return scheduler.all(bodies, timeout) end

--- Waits for something to become true.
function Harness.eventually(_, condition, timeout, what) return scheduler.eventually(condition, timeout, what) end

--- Lets time pass; origins and clients go on.
function Harness.sleep(_, seconds) scheduler.sleep(seconds) end

--- What the proxy has logged; and waiting for a Lua pattern in it.
function Harness:log() return self.proxy:log() end
function Harness:wait_log(pattern, timeout) return self.proxy:wait_log(pattern, timeout) end

--- The sum of a metric over all its series, or those with this text in their labels. What happened shows within a
--- second.
function Harness:metric(name, labels)
  local samples, types = metrics.read(self.proxy)
  return metrics.sum(samples, types, name, labels)
end

--- The lines of its series, or what there is in place of them.
function Harness:metric_lines(name)
  local samples, types = metrics.read(self.proxy)
  return metrics.lines(samples, types, name)
end

--- Writes another text of the policy, if one is given, and reloads it. True once all workers have it; nil and the
--- reason where the old one stays in force.
function Harness:reload(text)
  if text then process.write_file(self.script, text) end
  local before = #self:log() + 1
  self.proxy:signal "HUP"
  local outcome, detail = self.proxy:wait_log("(reload[ed]*): ([^\n]*generation %d+ [^\n]*)", nil, before)
  if outcome == "reloaded" then return true end
  return nil, detail
end

--- Forgets what the origins have received so far.
function Harness:clear()
  for _, origin in pairs(self.origins) do origin.requests = {} end
end

--- Ends the proxy gracefully; it must end without an error.
function Harness:stop() self.proxy:stop() end

Harness.__index = misuse.methods(Harness, "h", { "dns", "log_mark" })

--- --- why a test has failed ----------------------------------------------------------------------------------------

-- Lines of a log with what went wrong, and what belongs to them, such as a traceback: the last ones.
local function trouble(log)
  local lines, takes = {}, false
  for line in log:gmatch "[^\n]+" do
    local level = line:match "^%d+%-%d+%-%d+ %S+ (%a+) "
    if level then takes = level == "error" or level == "warn" end
    if takes then lines[#lines + 1] = "  " .. line end
  end
  if #lines == 0 then return nil end
  return "The proxy has answered with 500 or more; its log in this test:\n"
    .. table.concat(lines, "\n", math.max(1, #lines - LOG_LINES + 1))
end

local function mark_logs()
  client.server_errors = 0
  for h in pairs(running) do h.log_mark = #h:log() end
end

local function tell()
  local parts = {}
  for h in pairs(running) do parts[#parts + 1] = trouble(h:log():sub((h.log_mark or 0) + 1)) end
  return client.server_errors > 0 and #parts > 0 and table.concat(parts, "\n") or nil
end

scope.add_witness(mark_logs, tell)

return M
