-- SPDX-License-Identifier: Apache-2.0
-- A close is announced or patient: behind a response that promised to keep the connection, the next request is
-- answered, whatever has come into force meanwhile; and that answer says that the connection closes (RFC 9112 section
-- 9.6).
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local CLIENTS = 8
local POST = "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"

-- Sends the head and half of the body, and the rest when origin.go() is called.
local function halting_origin()
  local go
  local origin = origins.start(function(connection)
    while connection:read_request() do
      if connection.request.target == "/slow" then
        connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
        while not go do connection:sleep(0.01) end
        connection:send "world"
      else
        connection:respond { body = connection.request.body }
      end
    end
  end)
  function origin.go() go = true end
  return origin
end

local function policy(origin, listen)
  return ([[
    local perilune = require "perilune"
    local policy = { upstream_peer = function() return "%s" end }
    %s
  ]]):format(origin.address, listen or 'perilune.listen("127.0.0.1:0", policy)')
end

-- Connections with a response under way that has promised to keep them.
local function halfway(port)
  local connections = {}
  for i = 1, CLIENTS do
    local connection = client.connect(port)
    connection:send "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    local head = connection:read_until "\r\n\r\n"
    assert.is_nil(head:lower():find("connection: close", 1, true))
    connections[i] = connection
  end
  return connections
end

-- The rest of the response comes; the next request, with a body, is answered; and the connection closes.
local function go_on(connections)
  for _, connection in ipairs(connections) do
    assert.equal("helloworld", connection:read(10))
    connection:send(POST)
    local response = assert(connection:read_response())
    assert.same({ 200, "hi", "close" }, { response.status, response.body, response.headers.connection })
    assert.is_true(connection:is_closed())
  end
end

describe("a connection whose response is under way", function()
  it("has its next request answered at a stop, and is told that it closes", function()
    local origin = halting_origin()
    local proxy = perilune.start { workers = 1, policy = policy(origin) }
    local connections = halfway(proxy.port)
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    origin.go()
    go_on(connections)
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
  end)

  it("does not keep a stop waiting for long, where no next request comes", function()
    local origin = halting_origin()
    local proxy = perilune.start { workers = 1, policy = policy(origin) }
    local connections = halfway(proxy.port)
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    origin.go()
    local begun = sys.now()
    for _, connection in ipairs(connections) do
      assert.equal("helloworld", connection:read(10))
      assert.is_true(connection:is_closed())
    end
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.is_true(sys.now() - begun < 15)
  end)

  it("has requests answered that came in a row before the stop, the last of them with the close", function()
    local origin = halting_origin()
    local proxy = perilune.start { workers = 1, policy = policy(origin) }
    local connection = halfway(proxy.port)[1]
    connection:send(POST)
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    origin.go()
    assert.equal("helloworld", connection:read(10))
    local response = assert(connection:read_response())
    assert.same({ 200, "hi", "close" }, { response.status, response.body, response.headers.connection })
  end)

  it("has its next request answered at an upgrade, and is told that it closes", function()
    local origin = halting_origin()
    local proxy, pid_file = running.start { workers = 1, policy = policy(origin) }
    local connections = halfway(proxy.port)
    assert.equal(0, running.command(pid_file, "upgrade").code)
    origin.go()
    go_on(connections)
  end)

  it("has its next request answered when a reload takes the listener away, and is told that it closes", function()
    local origin = halting_origin()
    local ports = { origins.free_address(), origins.free_address() }
    local one = ('perilune.listen(%q, policy)'):format(ports[1])
    local path = process.write_file(process.directory() .. "/policy.lua", policy(origin,
      ('perilune.listen(%q, policy) perilune.listen(%q, policy)'):format(ports[1], ports[2])))
    local proxy = perilune.start { args = { "run", "--workers", "1", path } }
    local connections = halfway(tonumber(ports[2]:match ":(%d+)"))
    process.write_file(path, policy(origin, one))
    proxy:signal "HUP"
    proxy:wait_log "in force"
    proxy:wait_log "generation 2"
    origin.go()
    go_on(connections)
  end)

  it("has its next request answered when a reload makes keepalive_requests less than it has served", function()
    local origin = halting_origin()
    local path = process.write_file(process.directory() .. "/policy.lua", policy(origin))
    local proxy = perilune.start { args = { "run", "--workers", "1", path } }
    local connections = halfway(proxy.port)
    process.write_file(path, policy(origin, 'perilune.listen("127.0.0.1:0", policy, { keepalive_requests = 1 })'))
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    origin.go()
    go_on(connections)
  end)
end)

describe("an idle connection", function()
  it("has a request served that arrived while its worker was busy beyond keepalive_timeout", function()
    local directory = process.directory()
    local proxy = perilune.start { workers = 1, env = { DIRECTORY = directory }, policy = [[
      local perilune = require "perilune"
      local function exists(name) return io.open(os.getenv "DIRECTORY" .. name) ~= nil end
      perilune.configure { hook_time = 60 }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        if session:get_header "busy" then
          io.stderr:write "it is busy\n"
          while not exists "/go" do end
        end
        return session:respond { status = 200, body = "ok" }
      end }, { keepalive_timeout = 2 })
    ]] }
    local connections, opened = {}, {}
    for i = 1, CLIENTS do
      opened[i] = function()
        connections[i] = client.connect(proxy.port)
        assert.equal(200, connections[i]:request().status)
      end
    end
    scheduler.all(opened)
    local busy = client.connect(proxy.port)
    busy:send_request { headers = { Busy = "yes" } }
    proxy:wait_log "(it is busy)"
    for _, connection in ipairs(connections) do connection:send(POST) end
    scheduler.sleep(2.2)
    process.write_file(directory .. "/go", "")
    for _, connection in ipairs(connections) do assert.equal(200, assert(connection:read_response()).status) end
  end)
end)
