-- SPDX-License-Identifier: Apache-2.0
-- Long bodies between plain connections do not come into the process: the kernel hands them on (core/net/pipe).
local client = require "client"
local noise = require "noise"
local origins = require "origins"
local perilune = require "perilune"
local scene = require "scene"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

describe("a long body between plain connections", function()
  local LONG = noise(400 * 1024)
  local HEAD = "HTTP/1.1 200 OK\r\nContent-Length: " .. #LONG .. "\r\n\r\n"

  local SPARE_PIPES = 2 * 16

  local function send_endlessly(connection)
    connection:read_request()
    connection:send "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    while connection:send(LONG) do scheduler.sleep(0) end
  end

  it("arrives whole at more slow clients than there are pipes", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:send(HEAD .. LONG) end
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 1 }
    local slow = {}
    for i = 1, 150 do
      slow[i] = client.connect { port = proxy.port, receive_buffer = 4096 }
      slow[i]:send_request {}
    end
    for _, connection in ipairs(slow) do
      local response = connection:read_response()
      assert.is_true(response.body == LONG, "the body came changed")
      connection:close()
    end
  end)

  it("that the origin cuts short is seen to be cut, and the connection closes", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send(HEAD .. LONG:sub(1, 300000))
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 1 }
    local response = client.request(proxy.port)
    assert.is_truthy(response.failure)
    assert.is_true(#response.body <= 300000 and response.body == LONG:sub(1, #response.body))
    proxy:wait_log "ended in mid"
  end)

  it("that the origin resets is told of as such in the log", function()
    local proxy
    local origin = origins.start(function(connection)
      connection:read_request()
      proxy:signal "STOP" -- so that it meets all of this at once
      connection:send(HEAD .. LONG:sub(1, 1000))
      connection:reset()
      proxy:signal "CONT"
    end)
    proxy = perilune.start { to = { origin.address }, workers = 1 }
    assert.is_truthy(client.request(proxy.port).failure)
    proxy:wait_log "ended in mid%-response: Connection reset by peer"
  end)

  it("does not stop at an urgent byte, which is passed over as ever", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        if connection.request.method == "POST" then
          connection:respond { body = connection.request.body }
        else
          connection:send(HEAD .. LONG:sub(1, 300000))
          sys.send_urgent(connection.fd, "!")
          connection:send(LONG:sub(300001))
        end
      end
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 1 }
    assert.is_true(client.request(proxy.port).body == LONG, "the body came changed")
    local connection = client.connect(proxy.port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #LONG .. "\r\n\r\n" .. LONG:sub(1, 300000))
    sys.send_urgent(connection.fd, "!")
    connection:send(LONG:sub(300001))
    assert.is_true(connection:read_response().body == LONG, "the body came changed")
  end)

  it("arrives whole as a request, and so does the request behind it", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { body = connection.request.body } end
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 1 }
    local connection = client.connect(proxy.port)
    local post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #LONG .. "\r\n\r\n" .. LONG
    scheduler.all {
      function() connection:send(post .. post .. "GET / HTTP/1.1\r\nHost: a\r\n\r\n") end,
      function()
        for _ = 1, 2 do assert.is_true(connection:read_response().body == LONG, "the body came changed") end
        assert.equal("", connection:read_response().body)
      end,
    }
  end)

  it("without a length goes to a client of HTTP/1.0 whole, up to the end of the connection", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { body = LONG, no_length = true }
    end)
    local proxy = perilune.start { to = { origin.address }, workers = 1 }
    local response = client.request { port = proxy.port, version = "1.0" }
    assert.equal("close", response.framing)
    assert.is_true(response.body == LONG, "the body came changed")
  end)

  it("takes few of the descriptors, where these are few", function()
    local origin = origins.start(send_endlessly)
    local proxy = perilune.start { to = { origin.address }, workers = 1, under = { "prlimit", "--nofile=256:256" } }
    local clients = {}
    for i = 1, 90 do
      clients[i] = client.connect { port = proxy.port, receive_buffer = 4096 }
      clients[i]:send_request {}
      assert.equal("HTTP/1.1 200", clients[i]:read(12, 10))
    end
    for _, connection in ipairs(clients) do connection:close() end
  end)

  it("that its client does not read is given up when the proxy has to stop", function()
    local origin = origins.start(send_endlessly)
    local proxy = perilune.start { to = { origin.address }, workers = 1, settings = { "--grace", "0.5" } }
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send_request {}
    connection:read(1000)
    proxy:stop() -- and no sanitizer finds anything left
  end)

  it("leaves no pipe behind when its client goes away, or stays and does not read", function()
    local origin = origins.start(send_endlessly)
    local proxy = scene.start(origin, { listen = "send_timeout = 0.5" })
    local before = proxy:open_files()
    local clients = {}
    for i = 1, 40 do
      clients[i] = client.connect { port = proxy.port, receive_buffer = 4096 }
      clients[i]:send_request {}
      clients[i]:read(1000)
    end
    for i = 1, 40, 2 do clients[i]:close() end
    proxy:wait_log "does not read its response" -- of 20, but lines that repeat are counted instead of written
    scheduler.eventually(function() return proxy:open_files() <= before + SPARE_PIPES end)
  end)
end)
