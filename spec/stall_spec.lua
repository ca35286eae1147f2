-- SPDX-License-Identifier: Apache-2.0
-- Time is judged after looking: behind a stall of a worker (a stopped process, a busy hook, a slow reload) no exchange
-- fails and no backend is marked down whose answer is there, or comes as soon as everybody goes on.
local client = require "client"
local http1 = require "http1"
local lfs = require "lfs"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local redis_server = require "redis_server"
local scene = require "scene"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local STALL, CLIENTS = 1.2, 8

local start = scene.start

-- Answers `delay` seconds behind each request.
local function origin_after(delay, options)
  return origins.start(function(connection)
    while connection:read_request() do
      connection:sleep(delay)
      connection:respond { body = "answer" }
    end
  end, options)
end

-- The process stands still for a while.
local function stall(proxy)
  proxy:signal "STOP"
  scheduler.sleep(STALL)
  proxy:signal "CONT"
end

-- CLIENTS requests under way at the origin; their statuses, once `meanwhile` is over.
local function statuses(proxy, origin, meanwhile, ask)
  local connections, seen = {}, {}
  for i = 1, CLIENTS do
    connections[i] = client.connect(proxy.port)
    connections[i]:send(ask or "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
  end
  scheduler.eventually(function() return #origin.requests >= CLIENTS end)
  meanwhile(connections)
  for i, connection in ipairs(connections) do
    local response = connection:read_response()
    seen[i] = response and response.status or "closed"
  end
  return seen
end

local function all(status)
  local list = {}
  for i = 1, CLIENTS do list[i] = status end
  return list
end

describe("a process that was stopped for longer than a timeout", function()
  it("passes on the responses whose heads have come meanwhile", function()
    local origin = origin_after(0.3)
    local proxy = start(origin, { peer = ", first_byte_timeout = 0.8" })
    assert.same(all(200), statuses(proxy, origin, function() stall(proxy) end))
    assert.equal(0, proxy:count_log " warn ")
  end)

  it("waits for those of peers that stood still at the same time", function()
    local origin = origin_after(STALL + 0.4)
    local proxy = start(origin, { peer = ", first_byte_timeout = 0.8" })
    assert.same(all(200), statuses(proxy, origin, function() stall(proxy) end))
  end)

  it("fails those that do not come afterwards, either", function()
    local origin = origin_after(30)
    local proxy = start(origin, { peer = ", first_byte_timeout = 0.8" })
    assert.same(all(504), statuses(proxy, origin, function() stall(proxy) end))
  end)

  it("goes on with bodies in both directions", function()
    local proxy, origin = scene.proxied(function(connection)
      connection:read_request_head()
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
      connection:read_request_body()
      connection:send "world"
    end, { peer = ", read_timeout = 0.8", listen = "body_timeout = 0.8, await_body = false" })
    local ask = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"
    local seen = statuses(proxy, origin, function(connections)
      proxy:signal "STOP"
      for _, connection in ipairs(connections) do connection:send "cd" end
      scheduler.sleep(STALL)
      proxy:signal "CONT"
    end, ask)
    assert.same(all(200), seen)
    assert.equal(0, proxy:count_log "stalled")
  end)

  it("ends the handshakes of its clients, and reads their heads", function()
    local files = tls.certificate "proxy.example"
    local listen = ("certificate = %q, key = %q, handshake_timeout = 0.8, head_timeout = 0.8"):format(files.certificate,
      files.key)
    local proxy = start(origin_after(0), { listen = listen })
    local asks = {}
    proxy:signal "STOP"
    for i = 1, CLIENTS do
      asks[i] = function()
        local connection = client.connect { port = proxy.port, tls = { name = "proxy.example", ca = files.ca } }
        return connection:request().status
      end
    end
    asks[CLIENTS + 1] = function()
      scheduler.sleep(0.1)
      proxy:signal "CONT" -- the handshakes begin
      scheduler.sleep(0.02)
      stall(proxy)
      return "stalled"
    end
    local wanted = all(200)
    wanted[CLIENTS + 1] = "stalled"
    assert.same(wanted, scheduler.all(asks))
  end)

  it("connects to its peers, by TLS as well", function()
    local origin = origin_after(0, { names = { "peer.example" } })
    local peer = (", tls = true, sni = 'peer.example', ca = %q, connect_timeout = 0.8, handshake_timeout = 0.8")
      :format(origin.files.ca)
    local proxy = start(origin, { peer = peer, listen = "max_retries = 0" })
    local asks = { function() scheduler.sleep(0.01) stall(proxy) return 200 end }
    for i = 2, CLIENTS do asks[i] = function() return client.request(proxy.port).status end end
    assert.same(all(200), scheduler.all(asks))
  end)

  it("serves requests that came on connections which were idle for too long meanwhile", function()
    local proxy = start(origin_after(0), { listen = "keepalive_timeout = 0.8" })
    local connections = {}
    for i = 1, CLIENTS do
      connections[i] = client.connect(proxy.port)
      assert.equal(200, connections[i]:request().status)
    end
    proxy:signal "STOP"
    scheduler.sleep(STALL)
    for _, connection in ipairs(connections) do connection:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n" end
    proxy:signal "CONT"
    for _, connection in ipairs(connections) do assert.equal(200, assert(connection:read_response()).status) end
  end)

  it("gives hooks what they asked others for: http, tcp and tasks", function()
    local origin = origin_after(0.3)
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local http, tcp = require "perilune.http", require "perilune.tcp"
      local ways = {
        ["/http"] = function() return assert(http.get("http://$ADDRESS/", { timeout = 0.8 })).body end,
        ["/tcp"] = function()
          local socket = assert(tcp.connect("$ADDRESS", { timeout = 0.8 }))
          assert(socket:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
          return assert(socket:receive "line") and "answer"
        end,
        ["/task"] = function()
          local task = perilune.spawn(function()
            return assert(http.get("http://$ADDRESS/", { timeout = 5 })).body
          end)
          return assert(perilune.wait(task, { timeout = 0.8 }))
        end,
      }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = ways[session:path()]() }
      end })
    ]], { ADDRESS = origin.address }) }
    local asks = { function() scheduler.sleep(0.1) stall(proxy) return "answer" end }
    for i, path in ipairs { "/http", "/tcp", "/task" } do
      asks[i + 1] = function() return client.request({ port = proxy.port, path = path }).body end
    end
    assert.same({ "answer", "answer", "answer", "answer" }, scheduler.all(asks))
  end)

  it("gives hooks what they asked others for: http over HTTP/2, and Redis", function()
    local two = origins.start(function(stream)
      stream:read_request()
      scheduler.sleep(0.3)
      stream:respond { body = "answer" }
    end, { http2 = true })
    local redis = redis_server.scripted(function(connection, words)
      if words[1] ~= "GET" then return connection:send "+OK\r\n" end
      scheduler.sleep(0.3)
      connection:send "$6\r\nanswer\r\n"
    end)
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      local http = require "perilune.http"
      local store = require("perilune.redis").new("$REDIS", { timeout = 0.8, connect_timeout = 0.8 })
      local ways = {
        ["/http2"] = function() return assert(http.get("http://$TWO/", { timeout = 0.8, http2 = true })).body end,
        ["/redis"] = function() return assert(store:call("GET", "key")) end,
      }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200, body = ways[session:path()]() }
      end })
    ]], { TWO = two.address, REDIS = redis.address }) }
    local asks = { function() scheduler.sleep(0.1) stall(proxy) return "answer" end }
    for i, path in ipairs { "/http2", "/redis" } do
      asks[i + 1] = function() return client.request({ port = proxy.port, path = path }).body end
    end
    assert.same({ "answer", "answer", "answer" }, scheduler.all(asks))
  end)
end)

describe("a hook that keeps its worker busy for longer than a timeout", function()
  local BUSY = [[function policy.request_filter(session)
    local done = os.clock() + (tonumber(session:get_header "busy") or 0)
    while os.clock() < done do end
  end]]

  it("fails no other exchange whose answer has come meanwhile", function()
    local origin = origin_after(0.2)
    local proxy = start(origin, { hooks = BUSY, peer = ", first_byte_timeout = 0.6" })
    local seen = statuses(proxy, origin, function()
      client.connect(proxy.port):send_request { headers = { Busy = "0.8" } }
    end)
    assert.same(all(200), seen)
  end)

  -- The worker runs one hook after another, a turn of its loop each, and none of them ends before the next request is
  -- there. So the time of the one that waits is over while "a" runs, its pardon for that while "c" does, and its bytes
  -- come while "d" does: no look at the sockets lies between that and the end of its time.
  local function in_one_turn(options, begin, send)
    local files = process.directory() .. "/"
    local function is_there(name) return lfs.attributes(files .. name) ~= nil end
    local function wait_for(name) scheduler.eventually(function() return is_there(name) end) end
    local origin = origins.start(function(connection)
      connection:read_request_head()
      wait_for "send"
      connection:respond { body = "answer" }
      process.write_file(files .. "sent", "")
      connection:read_request_body()
    end)
    options.hooks = ([[function policy.request_filter(session)
      local name = session:path():match "^/(%%a+)$"
      if not name then return end
      io.open(%q .. name .. ".runs", "w"):close()
      while not io.open(%q .. name .. ".ends") do end
      return session:respond { status = 200 }
    end perilune.configure { hook_time = 60 }]]):format(files, files)
    local proxy = start(origin, options)
    local connections, waiting = {}, client.connect(proxy.port)
    local function busy(name)
      connections[name]:send(("GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"):format(name))
    end
    local function finish(name) process.write_file(files .. name .. ".ends", "") end
    finish "open"
    for name in ("abcd"):gmatch "." do
      connections[name] = client.connect(proxy.port)
      assert.equal(200, connections[name]:request({ path = "/open" }).status)
    end
    waiting:send(begin)
    scheduler.eventually(function() return #origin.requests == 1 end)
    local before
    for name, seconds in ("a 2.2, b 0, c 1.2, d 0"):gmatch "(%a) ([%d.]+)" do
      busy(name)
      if before then finish(before) end
      wait_for(name .. ".runs")
      scheduler.sleep(tonumber(seconds))
      before = name
    end
    send(waiting)
    process.write_file(files .. "send", "")
    wait_for "sent"
    finish "d"
    return assert(waiting:read_response()).status
  end

  it("fails none whose answer comes while the next hook does the same, again and again", function()
    local ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal(200, in_one_turn({ peer = ", first_byte_timeout = 2" }, ask, function() end))
  end)

  it("blames no client whose body comes while the next hook does the same, again and again", function()
    local ask = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"
    local status = in_one_turn({ listen = "body_timeout = 2, await_body = false, min_receive_rate = 0" }, ask,
      function(waiting) waiting:send "cd" end)
    assert.equal(200, status)
  end)

  it("takes nothing from the time of what is asked behind it, in the same turn", function()
    local origin = origin_after(0.5)
    local proxy = start(origin, { hooks = BUSY, peer = ", first_byte_timeout = 1.2" })
    assert.equal(200, client.request({ port = proxy.port, headers = { Busy = "1" } }).status)
  end)
end)

describe("a reload that takes long and is refused", function()
  it("marks no backend down, though its checks are due meanwhile", function()
    local origin = origin_after(0.02)
    local text = policies.fill([[
      local perilune = require "perilune"
      local set = require("perilune.round_robin").new { "$ADDRESS" }
      require("perilune.health_check").http(set, { interval = 0.1, timeout = 0.2, path = "/" })
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = set:select() } end })
    ]], { ADDRESS = origin.address })
    local path = process.write_file(process.directory() .. "/policy.lua", text)
    local proxy = perilune.start { args = { "run", "--workers", "2", path } }
    scheduler.eventually(function() return #origin.requests > 3 end)
    process.write_file(path, text .. "local done = os.clock() + 0.4 while os.clock() < done do end error 'refused'")
    proxy:signal "HUP"
    local failed = 0
    repeat
      if client.request(proxy.port).status ~= 200 then failed = failed + 1 end
    until proxy:count_log "stays in force" > 0
    assert.equal(0, failed)
    assert.equal(0, proxy:count_log "unhealthy")
  end)
end)

describe("a worker with more sockets than it looks at in one turn", function()
  it("fails none of them behind a stall", function()
    local origin = origin_after(0.2)
    local proxy = start(origin, { peer = ", first_byte_timeout = 0.6", listen = "head_timeout = 60" })
    local connections = {}
    for i = 1, 300 do
      connections[i] = client.connect(proxy.port)
      connections[i]:send(http1.write("GET / HTTP/1.1", { Host = "a" }))
    end
    scheduler.eventually(function() return #origin.requests == 300 end)
    stall(proxy)
    for _, connection in ipairs(connections) do assert.equal(200, connection:read_response().status) end
  end)
end)
