-- SPDX-License-Identifier: Apache-2.0
-- Reloads, upgrades and a stop, under everything at once: keep-alive and one request per connection, tunnels, slow
-- downloads. RELOADS, UPGRADES, TUNNELS and DOWNLOADS in the environment make it larger.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(cleanup.run)

local function number(name, fallback) return tonumber(os.getenv(name) or fallback) end
local RELOADS, UPGRADES = number("RELOADS", 10), number("UPGRADES", 2)
local TUNNELS, DOWNLOADS = number("TUNNELS", 10), number("DOWNLOADS", 3)
local DOWNLOAD_BYTES = 3 * 1024 * 1024

local function serve(connection)
  while true do
    local request = connection:read_request()
    if not request then return end
    if request.headers.upgrade then
      connection:send "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
      while true do
        local line = connection:read_until "\n"
        if not line or not connection:send(line) then return end
      end
    end
    connection:respond { body = request.target == "/large" and ("x"):rep(DOWNLOAD_BYTES) or "ok" }
  end
end

local function echo(tunnel, word)
  return tunnel:send(word .. "\n") and tunnel:read_until "\n" == word .. "\n"
end

local function open_tunnel(port)
  local tunnel = client.connect(port)
  tunnel:send "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
  assert.matches("^HTTP/1.1 101", tunnel:read_until "\r\n\r\n")
  return tunnel
end

-- Reads a large response slowly, for as long as it takes; true if it came whole.
local function download(port, state)
  local connection = client.connect { port = port, receive_buffer = 4096 }
  connection:send_request { path = "/large" }
  local head = connection:read_until "\r\n\r\n"
  local left = tonumber(head:lower():match "content%-length: (%d+)")
  while left > 0 do
    local piece = connection:read(math.min(left, 65536))
    if not piece then return false end
    left = left - #piece
    if not state.done then scheduler.sleep(0.05) end
  end
  return true
end

local function keep_alive(port, state)
  local failed, connection = 0, client.connect(port)
  while not state.done do
    local response = connection:request()
    if not response or response.body ~= "ok" then failed = failed + 1 end
    if not response or response.headers.connection == "close" then connection = client.connect(port) end
  end
  connection:close()
  return failed
end

local function one_each(port, state)
  local failed = 0
  while not state.done do
    local fine, response = pcall(client.request, port)
    if not fine or response.body ~= "ok" then failed = failed + 1 end
  end
  return failed
end

describe("reloads, upgrades and a stop", function()
  it("lose no request, reset no connection and break no tunnel", function()
    local origin = origins.start(serve)
    local directory = process.directory()
    local pid_file = directory .. "/pid"
    local path = process.write_file(directory .. "/policy.lua", ([[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "%s" end })
    ]]):format(origin.address))
    local proxy = perilune.start { args = { "run", "--workers", "2", "--pid-file", pid_file, path } }
    local function command(name)
      return perilune.run { args = { name, "--pid-file", pid_file }, timeout = 60 }.code
    end
    cleanup.add(1, function() if io.open(pid_file) then perilune.run("stop", "--now", "--pid-file", pid_file) end end)

    local tunnels, state, bodies = {}, {}, {}
    for i = 1, TUNNELS do tunnels[i] = open_tunnel(proxy.port) end
    bodies[1] = function()
      local failed = 0
      for i = 1, RELOADS do
        if command "reload" ~= 0 then failed = failed + 1 end
        if i % math.ceil(RELOADS / UPGRADES) == 0 and command "upgrade" ~= 0 then failed = failed + 1 end
      end
      state.done = true
      return failed
    end
    for _ = 1, 3 do
      bodies[#bodies + 1] = function() return keep_alive(proxy.port, state) end
      bodies[#bodies + 1] = function() return one_each(proxy.port, state) end
    end
    for _ = 1, DOWNLOADS do
      bodies[#bodies + 1] = function() return download(proxy.port, state) and 0 or 1 end
    end
    local failures = scheduler.all(bodies, 300)
    for i, failed in ipairs(failures) do assert.equal(0, failed, "the failures of client " .. i) end
    for i, tunnel in ipairs(tunnels) do assert.is_true(echo(tunnel, "tunnel " .. i), "tunnel " .. i .. " broke") end
    for _, tunnel in ipairs(tunnels) do tunnel:close() end
    assert.equal(0, command "stop")
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
  end)
end)
