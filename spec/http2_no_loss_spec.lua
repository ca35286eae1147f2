-- SPDX-License-Identifier: Apache-2.0
-- Reloads, an upgrade and a stop under HTTP/2: short requests side by side, of clients that open another connection
-- when they hear GOAWAY, and streams that last over all of it. RELOADS and UPGRADES in the environment make it larger.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local function number(name, fallback) return tonumber(os.getenv(name) or fallback) end
local RELOADS, UPGRADES = number("RELOADS", 6), number("UPGRADES", 1)
local STREAMS, CLIENTS, AT_ONCE = 20, 3, 5

-- Sends the body of a request back: piece by piece on /stream, else as a whole.
local function serve(stream)
  if stream.request.target ~= "/stream" then return stream:respond { body = stream:read_request().body .. "ok" } end
  stream:send_fields { { ":status", "200" } }
  for piece in function() return stream:read() end do stream:send(piece) end
  stream:finish()
end

-- A stream that sends a word now and then, and gets it back, until the proxy stops. What went wrong, or nil.
local function echo(connection, state)
  local stream, count = connection:open { method = "POST", target = "/stream", ends = false }, 0
  stream:read_head()
  repeat
    count = count + 1
    local word, got = ("word %d;"):format(count), ""
    stream:send(word)
    while #got < #word do
      local piece, why = stream:read()
      if not piece then return ("a stream ended behind %d words: %s"):format(count - 1, tostring(why)) end
      got = got .. piece
    end
    if got ~= word then return "another word came back: " .. got end
    scheduler.sleep(0.02)
  until state.stops
  stream:finish()
  local rest, why = stream:read_all()
  if rest ~= "" then return "a stream did not end as it must: " .. tostring(why or rest) end
end

-- Requests beside one another on a connection, and on another one when that says GOAWAY, until the proxy stops. How
-- many, and what went wrong.
local function ask(port, state)
  local connection, count = nil, 0
  while true do
    local is_usable = connection and not connection.goaway and not connection.is_closed
    if not is_usable and state.stops then return { count = count } end
    if not is_usable then connection = client.connect { port = port, version = "2" } end
    local one, bodies = connection, {}
    for i = 1, AT_ONCE do
      bodies[i] = function()
        local body = i % 2 == 0 and "abc" or nil
        local response, why = one:request { method = body and "POST" or "GET", target = "/x", body = body }
        if response and not response.failure and response.body == (body or "") .. "ok" then return nil end
        return ("%s %s"):format(response and response.status or "no answer", why or response.failure or response.body)
      end
    end
    local faults = scheduler.all(bodies, 120)
    count = count + AT_ONCE
    for i = 1, AT_ONCE do
      if faults[i] then return { count = count, fault = faults[i] } end
    end
  end
end

describe("reloads, an upgrade and a stop", function()
  it("lose no request over HTTP/2 and break no stream", function()
    local origin = origins.start(serve, { http2 = { settings = { max_concurrent_streams = 100 } } })
    local directory = process.directory()
    local pid_file = directory .. "/pid"
    local path = process.write_file(directory .. "/policy.lua", ([[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function()
        return { address = "%s", http2 = true, read_timeout = 120 }
      end }, { h2c = true, max_retries = 0 })
    ]]):format(origin.address))
    local proxy = perilune.start { args = { "run", "--workers", "2", "--pid-file", pid_file, path } }
    local function command(name) return perilune.run { args = { name, "--pid-file", pid_file }, timeout = 60 }.code end
    cleanup.add(1, function() if io.open(pid_file) then perilune.run("stop", "--now", "--pid-file", pid_file) end end)

    local state, bodies = {}, {}
    bodies[1] = function()
      for i = 1, RELOADS do
        if command "reload" ~= 0 then return "reload" end
        if i % math.ceil(RELOADS / UPGRADES) == 0 and command "upgrade" ~= 0 then return "upgrade" end
      end
      state.stops = true
      return command "stop" ~= 0 and "stop" or nil
    end
    local long = client.connect { port = proxy.port, version = "2" }
    for _ = 1, STREAMS do bodies[#bodies + 1] = function() return echo(long, state) end end
    for _ = 1, CLIENTS do
      bodies[#bodies + 1] = function()
        local done = ask(proxy.port, state)
        return done.fault or (done.count == 0 and "no request at all") or nil
      end
    end
    local faults = scheduler.all(bodies, 300)
    for i = 1, #bodies do assert.is_nil(faults[i], i) end
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.same({}, origin.faults)
  end)
end)
