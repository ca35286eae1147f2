-- SPDX-License-Identifier: Apache-2.0
-- health_check: checks backends periodically, and excludes those that do not answer. The control worker does this for
-- all workers. Backends are checked at the same time: a slow one does not delay the others, and the next check of a
-- backend begins only after its last one has ended. Backends that are added to the list are checked from then on.
--
--   health_check.tcp(upstreams, { interval = 1 })
--   health_check.tls(upstreams, { sni = "app.internal" })
--   health_check.http(upstreams, { path = "/health", statuses = { "200-299" }, failures = 3 })
--   health_check.grpc(upstreams, { service = "shop.Cart" })
--   health_check.with(upstreams, function(address) return is_fine(address) end, { interval = 5 })

local backoff = require "perilune.backoff"
local core = require "perilune.core"
local grpc_client = require "perilune.grpc_client"
local http = require "perilune.http"
local options = require "perilune.options"
local spawn = require "perilune.spawn"
local tcp = require "perilune.tcp"

local health_check = {}

local function with(more)
  local valid = {
    interval = { "seconds", 1 },    -- from the beginning of one check to that of the next
    jitter = { "share", 0.1 },      -- of the interval: each check begins up to so much later
    timeout = { "seconds", 1 },     -- of a check as a whole
    successes = { "positive", 1 },  -- in a row, until an unhealthy backend is healthy
    failures = { "positive", 1 },   -- in a row, until a healthy one is unhealthy
    start = { "string", "healthy" }, -- what a backend is before its first check
    on_change = { "function" },     -- on_change(address, is_healthy, why)
    family = { "family" },          -- of the addresses of a backend that is a name
  }
  for name, option in pairs(more) do valid[name] = option end
  return valid
end

local tls_fields = { sni = { "string" }, verify = { "boolean" }, verify_name = { "string" }, ca = { "ca" } }

local function and_tls(valid)
  for name, option in pairs(tls_fields) do valid[name] = option end
  return valid
end

local with_options = with {}
local tcp_options = and_tls(with { tls = { "boolean" }, port = { "positive" } })
local http_options = and_tls(with {
  tls = { "boolean" },
  port = { "positive" },        -- instead of the backend's own
  alpn = { "alpn", "http/1.1" }, -- with tls, as of a peer
  http2 = { "boolean" },        -- without tls, as of a peer: HTTP/2, by prior knowledge
  path = { "path", "/" },
  host = { "string" },          -- without: the backend's address
  method = { "method", "GET" },
  headers = { "table" },
  lenient = { "lenient" },      -- as of http.request
  statuses = { "list", { 200 } }, -- numbers, and ranges like "200-299"
  body = { "string" },          -- a pattern that the body must hold, within
  limit = { "count", 65536 },   -- its first bytes; what is behind them is not read
})
local grpc_options = and_tls(with {
  tls = { "boolean" },
  port = { "positive" },        -- instead of the backend's own
  service = { "string", "" },   -- that is asked for; "": the server as a whole
  host = { "string" },          -- without: the backend's address
})

--- ---------------------------------------------------------------------------------------------------------------
--- running checks

-- As status and `perilune backend list` call the set, too.
local function name_of(set, address) return ("set '%s': backend %s"):format(set.backends:name(), address) end

local function log_change(set, address, healthy, why)
  if healthy then
    core.log.info(("%s is healthy"):format(name_of(set, address)))
  else
    core.log.warn(("%s is unhealthy: %s"):format(name_of(set, address), (why:gsub("^%u", string.lower))))
  end
end

-- A check that could not be made says nothing of its backend. It is told once, until a check can be made again.
local function note_obstacle(set, obstacles, address, obstacle)
  if obstacle and not obstacles[address] then
    core.log.error(("%s cannot be checked: %s; its health stays as it is"):format(name_of(set, address), obstacle))
  end
  obstacles[address] = obstacle
end

-- Takes note of one result after another. `against`: by address, those in a row that contradict the state.
local function observe(set, against, address, result, wanted)
  local position = set.backends:find(address) -- it may have left the list meanwhile
  if not position then return end
  if result.ok == set.backends:is_healthy(position) then
    set.backends:set_healthy(position, result.ok)
    against[address] = nil
    return
  end
  against[address] = (against[address] or 0) + 1
  if against[address] < (result.ok and wanted.successes or wanted.failures) then return end
  against[address] = nil
  if not set.backends:set_healthy(position, result.ok) then return end
  log_change(set, address, result.ok, result.why)
  if wanted.on_change then wanted.on_change(address, result.ok, result.why) end
end

-- What a check itself waits for ends an hour later than the check, which stops it: so always the check's own clock
-- strikes first, even where the process has stood still for a while.
local function patience(wanted) return wanted.timeout + 3600 end

-- One check, and its result. It takes no longer than its timeout, whatever the backend does.
local function run(check, address, wanted)
  local task = core.spawn(function()
    local called, ok, why, kind = pcall(check, address)
    if not called then return { obstacle = "the check failed: " .. tostring(ok) } end
    if not ok and backoff.is_ours(kind) then return { obstacle = tostring(why) } end
    if ok then return { ok = true } end
    return { ok = false, why = why and tostring(why) or "the check failed" }
  end)
  local result = spawn.wait(task, { timeout = wanted.timeout })
  if result then return result end
  task:stop()
  return { ok = false, why = ("no answer within %g s"):format(wanted.timeout) }
end

local function begin(set, check, wanted)
  local running, against, obstacles = {}, {}, {}
  set.backends:set_start(wanted.start == "healthy")
  local function check_one(address)
    core.sleep(math.random() * wanted.jitter * wanted.interval)
    local result = set.backends:find(address) and run(check, address, wanted)
    running[address] = nil
    if not result then return end
    note_obstacle(set, obstacles, address, result.obstacle)
    if not result.obstacle then observe(set, against, address, result, wanted) end
  end
  core.every(wanted.interval, function()
    for _, address in ipairs(set:addresses()) do
      if not running[address] then
        running[address] = true
        core.spawn(check_one, address)
      end
    end
  end, { immediately = true })
end

local function read(call, set, given, valid)
  if type(set) ~= "table" or not rawget(set, "backends") then
    error(call .. ": expected a set of backends (as of round_robin.new) as its first argument", 3)
  end
  local wanted = options.read(call, given, valid, 3)
  if wanted.start ~= "healthy" and wanted.start ~= "unhealthy" then
    error(("%s: option 'start' must be healthy or unhealthy, got '%s'"):format(call, wanted.start), 3)
  end
  return wanted
end

-- The address with another port, where one is wanted.
local function at_port(address, port)
  return port and address:gsub(":%d+$", "") .. ":" .. port or address
end

--- ---------------------------------------------------------------------------------------------------------------
--- kinds of checks

local function check_connections(set, wanted)
  local connect = {
    timeout = patience(wanted), tls = wanted.tls, sni = wanted.sni,
    verify = wanted.verify, verify_name = wanted.verify_name, ca = wanted.ca, family = wanted.family,
  }
  begin(set, function(address) return tcp.check(at_port(address, wanted.port), connect) end, wanted)
end

--- A backend is healthy when it takes a TCP connection (and does TLS, with tls = true).
function health_check.tcp(set, given)
  local wanted = read("health_check.tcp", set, given, tcp_options)
  check_connections(set, wanted)
end

--- A backend is healthy when it does a TLS handshake, and its certificate is good.
function health_check.tls(set, given)
  local wanted = read("health_check.tls", set, given, tcp_options)
  wanted.tls = true
  check_connections(set, wanted)
end

-- A function that says whether a status is one of those wanted; or nil and what is wrong with them.
local function status_test(list)
  local ranges = {}
  for i, entry in ipairs(list) do
    local least, most = tostring(entry):match "^(%d%d%d)%-?(%d*)$"
    if not least or #most ~= 0 and #most ~= 3 then return nil, tostring(entry) end
    ranges[i] = { tonumber(least), tonumber(most) or tonumber(least) }
  end
  return function(status)
    for _, range in ipairs(ranges) do
      if status >= range[1] and status <= range[2] then return true end
    end
    return false
  end
end

local function request_of(address, wanted)
  local host = wanted.host or grpc_client.host_of(address)
  return {
    url = (wanted.tls and "https://" or "http://") .. host .. wanted.path, address = at_port(address, wanted.port),
    method = wanted.method, headers = wanted.headers, lenient = wanted.lenient, keep = false, stream = true,
    timeout = patience(wanted),
    sni = wanted.sni, verify = wanted.verify, verify_name = wanted.verify_name, ca = wanted.ca,
    family = wanted.family, http2 = wanted.http2, alpn = wanted.alpn,
  }
end

-- Must a pattern see the end of what it is matched against? Others may match before the body ends.
local function needs_end(pattern) return pattern:find "%$$" or pattern:find("%f", 1, true) end

-- Does the body hold the pattern, in its first `limit` bytes? How it ends, and whether it does, was not asked.
local function holds(response, pattern, limit)
  local text, waits = "", needs_end(pattern)
  repeat
    local piece = response:read()
    text = (text .. (piece or "")):sub(1, limit)
    local is_all = not piece or #text == limit
    if (is_all or not waits) and text:find(pattern) then return true end
  until is_all
  return false
end

-- Only what is asked decides: the status, and the beginning of the body where that is asked for.
local function judge(response, wanted, is_wanted)
  if not is_wanted(response.status) then return false, "it answered " .. response.status end
  if not wanted.body or holds(response, wanted.body, wanted.limit) then return true end
  return false, "its body lacks " .. wanted.body
end

--- A backend is healthy when it answers a request as expected.
function health_check.http(set, given)
  local wanted = read("health_check.http", set, given, http_options)
  local is_wanted, odd = status_test(wanted.statuses)
  if not is_wanted then
    error(("health_check.http: statuses are numbers like 200 and ranges like '200-299', got '%s'"):format(odd), 2)
  end
  if wanted.tls and wanted.http2 then
    error("health_check.http: option 'http2' is for backends without tls: with tls, set alpn = \"h2\"", 2)
  end
  begin(set, function(address)
    local response, why, kind = http.request(request_of(address, wanted))
    if not response then return false, why, kind end
    local is_fine, fault = judge(response, wanted, is_wanted)
    response:close()
    return is_fine, fault
  end, wanted)
end

local serving = { [0] = "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" }

-- HealthCheckRequest: its field 1 is the service's name. HealthCheckResponse: its field 1 is the status.
local function request_for(service) return service == "" and "" or "\10" .. string.char(#service) .. service end
local function status_in(message) return message == "" and 0 or message:match "^\8[%z\1-\127]$" and message:byte(2) end

local function judge_health(answer)
  if answer.status ~= 0 then
    return false, ("it answered %s%s"):format(answer.name, answer.reason and ": " .. answer.reason or "")
  end
  local status = status_in(answer.message or "")
  if status == 1 then return true end
  return false, "its health is " .. (serving[status] or "no answer that can be read")
end

--- A backend is healthy when it says so by the health protocol of gRPC (grpc.health.v1.Health/Check).
function health_check.grpc(set, given)
  local wanted = read("health_check.grpc", set, given, grpc_options)
  if #wanted.service > 127 then error("health_check.grpc: the name of the service has more than 127 bytes", 2) end
  local message = request_for(wanted.service)
  begin(set, function(address)
    local answer, why, kind = grpc_client.ask(at_port(address, wanted.port), "/grpc.health.v1.Health/Check", message, {
      timeout = patience(wanted), host = wanted.host, tls = wanted.tls, sni = wanted.sni, verify = wanted.verify,
      verify_name = wanted.verify_name, ca = wanted.ca, family = wanted.family,
    })
    if not answer then return false, why, kind end
    return judge_health(answer)
  end, wanted)
end

--- A backend is healthy when a function says so: check(address) gives true; or false and why. It may wait.
function health_check.with(set, check, given)
  if type(check) ~= "function" then error("health_check.with: expected a function as its second argument", 2) end
  local wanted = read("health_check.with", set, given, with_options)
  begin(set, check, wanted)
end

-- A check that may take longer than the interval delays the next one: what does not answer is found out late.
local function too_patient(value_of)
  local timeout, is_given = value_of "timeout"
  local interval, has_interval = value_of "interval"
  if not is_given or not timeout or not interval or timeout <= interval then return nil end
  return ("timeout = %g is longer than the interval (%g s%s), so checks of a backend that does not answer come "
    .. "less often than that: set a shorter timeout, or a longer interval")
    :format(timeout, interval, has_interval and "" or ", by default")
end

options.declare(health_check.tcp, "health_check.tcp", 2, tcp_options, too_patient)
options.declare(health_check.tls, "health_check.tls", 2, tcp_options, too_patient)
options.declare(health_check.grpc, "health_check.grpc", 2, grpc_options, too_patient)
options.declare(health_check.http, "health_check.http", 2, http_options, too_patient)
options.declare(health_check.with, "health_check.with", 3, with_options, too_patient)

return health_check
