-- SPDX-License-Identifier: Apache-2.0
-- Spare connections to peers serve all workers: one that has none takes a sibling's before it connects.
local client = require "client"
local load = require "load"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local ROUNDS = 20

-- /where tells the worker of a connection, /busy keeps it from its loop until a file is there, and tells by another
-- that it does.
local POLICY = [[
local perilune = require "perilune"
perilune.configure { hook_time = 60 }
local policy = {}
function policy.request_filter(session)
  if session:path() == "/where" then return session:respond { status = 200, body = tostring(perilune.worker()) } end
  if session:path() ~= "/busy" then return end
  local file = io.open("$FILE.busy", "w")
  file:close()
  repeat file = io.open "$FILE" until file
  file:close()
  return session:respond { status = 200 }
end
function policy.upstream_peer(session)
  return { address = "$ADDRESS", group = session:get_header "Group" $OPTIONS }
end
perilune.listen("127.0.0.1:0", policy)
]]

local function start(origin, options, workers)
  local file = process.directory() .. "/go-on"
  local proxy = perilune.start {
    workers = workers or 2, settings = { "--admin", "127.0.0.1:0" },
    policy = policies.fill(POLICY, { ADDRESS = origin.address, OPTIONS = options or "", FILE = file }),
  }
  return proxy, file
end

-- A client connection to each of `count` workers.
local function connections_to(proxy, count)
  local found, list = {}, {}
  for _ = 1, 400 do
    if #list == count then return list end
    local connection = client.connect(proxy.port)
    local worker = connection:request({ path = "/where" }).body
    if found[worker] then
      connection:close()
    else
      found[worker] = true
      list[#list + 1] = connection
    end
  end
  error "the kernel gave all connections to the same workers"
end

local function get(connection, group)
  local response = assert(connection:request { headers = { Group = group } })
  assert.equal(200, response.status)
  scheduler.sleep(0.002) -- the connection to the peer goes back behind the response
end

-- Returns when the connection's worker is.
local function keep_busy(connection, file)
  connection:send "GET /busy HTTP/1.1\r\nHost: a\r\n\r\n"
  scheduler.eventually(function()
    local sign = io.open(file .. ".busy")
    return sign and sign:close()
  end)
end

local function late_answers(proxy) return metrics.read(proxy).perilune_upstream_late_total end

local function check_lending(origin, options)
  local proxy = start(origin, options)
  local one, other = unpack(connections_to(proxy, 2))
  for round = 1, ROUNDS do
    get(one, "round " .. round)
    get(other, "round " .. round)
    get(one, "round " .. round)
  end
  -- A worker for itself would have connected in each round.
  local opened = origin.accepted - late_answers(proxy)
  assert.is_true(opened < ROUNDS * 1.5, opened .. " connections")
  assert.is_true(metrics.read(proxy).perilune_upstream_borrowed_total > ROUNDS)
end

describe("a worker without a spare connection", function()
  it("takes a sibling's", function() check_lending(origins.start "a") end)

  it("takes a sibling's with its TLS session", function()
    local origin = origins.start("a", { names = { "one.example" } })
    check_lending(origin, (', tls = true, sni = "one.example", ca = %q'):format(tls.authority().certificate))
    for _, request in ipairs(origin.requests) do assert.equal("one.example", request.sni) end
  end)

  it("takes none of another group", function()
    local origin = origins.start "a"
    local one, other = unpack(connections_to(start(origin), 2))
    get(one, "a")
    get(other, "b")
    assert.equal(2, origin.accepted)
  end)

  it("gets none that the peer has closed, or that it has sent something on", function()
    local origin = origins.start(function(connection)
      local request = connection:read_request()
      connection:respond { body = "a" }
      if request.headers.group == "talks" then connection:send "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged" end
      if request.headers.group == "talks" then scheduler.sleep(60) end
    end)
    local one, other = unpack(connections_to(start(origin), 2))
    for _, group in ipairs { "closes", "talks" } do
      get(one, group)
      assert.equal("a", other:request({ headers = { Group = group } }).body)
    end
  end)

  it("waits for a busy sibling but a short time, then connects; what comes late is kept", function()
    local origin = origins.start "a"
    local proxy, file = start(origin)
    local one, other = unpack(connections_to(proxy, 2))
    get(one, "a")
    keep_busy(one, file)
    get(other, "a") -- while `one` is busy for as long as we like
    assert.equal(2, origin.accepted)
    get(other, "a")
    process.write_file(file, "")
    assert.equal(200, one:read_response().status)
    metrics.wait(proxy, "perilune_upstream_connections_idle", 2)
    get(one, "a") -- both are the other's by now
    get(other, "a")
    assert.is_true(origin.accepted <= 1 + late_answers(proxy))
  end)

  it("asks a sibling that is late no more until it has answered", function()
    local origin = origins.start "a"
    local proxy, file = start(origin)
    local one, other = unpack(connections_to(proxy, 2))
    for _, group in ipairs { "a", "b", "c" } do get(one, group) end
    keep_busy(one, file)
    for _, group in ipairs { "a", "b", "c" } do get(other, group) end
    metrics.wait(proxy, "perilune_upstream_late_total", 1)
    process.write_file(file, "")
    assert.equal(200, one:read_response().status)
  end)

  it("forgets a question whose client has gone, and keeps the connection", function()
    local origin = origins.start "a"
    local proxy, file = start(origin, "", 2)
    local one, other = unpack(connections_to(proxy, 2))
    get(one, "a")
    keep_busy(one, file)
    local where = other:request({ path = "/where" }).body
    for _ = 1, 5 do -- one whose head and end come in one turn asks nobody
      other:send "GET / HTTP/1.1\r\nHost: a\r\nGroup: a\r\n\r\n"
      other:reset()
      repeat
        other:close()
        other = client.connect(proxy.port)
        local response = other:request { path = "/where", timeout = 0.5 } -- none by the one that is busy
      until response and response.body == where
    end
    process.write_file(file, "")
    assert.equal(200, one:read_response().status)
    metrics.wait(proxy, "perilune_upstream_connections_idle", 1) -- it may be on its way between the workers
    get(one, "a")
    get(other, "a")
    assert.is_true(origin.accepted <= 1 + late_answers(proxy), origin.accepted .. " connections")
  end)
end)

describe("four workers under load, with one request per connection", function()
  it("use a spare connection to the peer 999 times of 1000", function()
    local origin = perilune.start { workers = 1, release = true, policy = [[
      require("perilune").listen("127.0.0.1:0", {
        request_filter = function(session) return session:respond { status = 200, body = "hello" } end,
      })
    ]] }
    local proxy = perilune.start {
      workers = 4, release = true, settings = { "--admin", "127.0.0.1:0" },
      policy = policies.to({ address = "127.0.0.1:" .. origin.port }, { listen = "keepalive_requests = 1" }),
    }
    local function attempts(samples)
      return samples.perilune_upstream_opened_total + samples.perilune_upstream_reused_total
    end
    local function run(count)
      local before, after = metrics.read(proxy), nil
      local result = load.until_(function()
        after = metrics.read(proxy)
        return attempts(after) - attempts(before) >= count
      end, proxy.port)
      assert.equal(0, result.statuses)
      return attempts(after) - attempts(before),
        after.perilune_upstream_opened_total - before.perilune_upstream_opened_total,
        after.perilune_upstream_late_total - before.perilune_upstream_late_total
    end
    run(3000)
    local count, opened, late = run(10000)
    assert.is_true(opened - late < count / 1000, ("%d of %d were new, %d answers late"):format(opened, count, late))
  end)
end)
