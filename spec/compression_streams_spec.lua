-- SPDX-License-Identifier: Apache-2.0
-- Compressed streams: events at once, pauses, slow clients, many at a time, and long work in the midst of others.
local client = require "client"
local coded = require "coded"
local metrics = require "metrics"
local scene = require "scene"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local function accept(coding) return { ["Accept-Encoding"] = coding } end

-- Reads chunks from a bare connection until what has come of the body decodes to `wanted`.
local function reads(connection, coding, so_far, wanted)
  while true do
    if so_far ~= "" and coded.decode_some(coding, so_far) == wanted then return so_far end
    local size = tonumber(connection:read_until "\r\n", 16)
    so_far = so_far .. connection:read(size)
    connection:read(2)
  end
end

local function begin(proxy, coding, target)
  local connection = client.connect(proxy.port)
  connection:send(("GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n"):format(target or "/", coding))
  local head = connection:read_until "\r\n\r\n"
  assert.matches("[Cc]ontent%-[Ee]ncoding: " .. coding, head)
  return connection
end

describe("a compressed stream", function()
  for _, coding in ipairs(coded.NAMES) do
    for kind, head in pairs {
      ["of events"] = "Content-Type: text/event-stream",
      ["that must not be buffered"] = "Content-Type: text/html\r\nX-Accel-Buffering: no",
      ["that pauses"] = "Content-Type: text/html",
    } do
      it(("%s brings each piece as soon as it was sent (%s)"):format(kind, coding), function()
        local said = 0
        local proxy = scene.proxied(function(connection)
          connection:read_request()
          connection:send("HTTP/1.1 200 OK\r\n" .. head .. "\r\nTransfer-Encoding: chunked\r\n\r\n")
          for i = 1, 3 do
            scheduler.eventually(function() return said == i - 1 end)
            connection:send(("9\r\ndata: %d\n\n\r\n"):format(i))
          end
          scheduler.eventually(function() return said == 3 end)
          connection:send "0\r\n\r\n"
        end, { listen = "compress = true" })
        local connection = begin(proxy, coding)
        local bytes, wanted = "", ""
        for i = 1, 3 do
          wanted = wanted .. ("data: %d\n\n"):format(i)
          bytes = reads(connection, coding, bytes, wanted)
          said = i
        end
        local rest = connection:read_until "0\r\n\r\n"
        assert.is_string(rest)
      end)
    end
  end

  it("sends its head before the first piece has come", function()
    local goes_on
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
      scheduler.eventually(function() return goes_on end)
    end, { listen = "compress = true" })
    begin(proxy, "gzip")
    goes_on = true
  end)

  it("waits for a client that does not read, in bounded memory, and is whole in the end", function()
    local text = "a page\n"
    local noise = {}
    for i = 1, 200000 do noise[i] = ("%d %x"):format(i * 7919 % 1000003, i * 104729 % 16777213) end
    text = text .. table.concat(noise, "\n") .. table.concat(noise, ";")
    local proxy, _, ask = scene.proxied(function(connection)
      connection:read_request()
      connection:respond { headers = { ["Content-Type"] = "text/plain" }, body = text }
      connection:read_request()
    end, { listen = "compress = true" })
    local before = ask({ headers = accept "identity" }) and proxy:rss()
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    local head = connection:read_until "\r\n\r\n"
    assert.matches("gzip", head)
    assert.is_true(proxy:rss() < before + 32 * 1048576)
    local body = {}
    while true do
      local size = tonumber(connection:read_until "\r\n", 16)
      body[#body + 1] = connection:read(size)
      connection:read(2)
      if size == 0 then break end
    end
    assert.is_true(text == coded.decode("gzip", table.concat(body), #text + 1))
  end)

  it("goes as it is where coders would need more memory than they may have, until others have ended", function()
    local ended = 0
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
      connection:read(1)
      ended = ended + 1
    end, { listen = "compress = { br = false, gzip = false, zstd = 12 }" })
    for _ = 1, 2 do
      local compressed, connections = 0, {}
      for i = 1, 25 do -- 64 MiB are 21 coders of 3 MiB
        connections[i] = client.connect(proxy.port)
        connections[i]:send "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: zstd\r\n\r\n"
        local head = connections[i]:read_until "\r\n\r\n"
        assert.matches("[Vv]ary: Accept%-Encoding", head)
        if head:match "[Cc]ontent%-[Ee]ncoding" then compressed = compressed + 1 end
      end
      assert.equal(21, compressed)
      for _, connection in ipairs(connections) do connection:reset() end
      scheduler.eventually(function() return ended == 25 end)
      ended = 0
    end
  end)
end)

describe("long work of compressing", function()
  it("leaves the loop its time: others are answered meanwhile", function()
    local text = coded.json(1000000):rep(6)
    local proxy, _, ask = scene.proxied(function(connection)
      local request = connection:read_request()
      if request.target == "/short" then return connection:respond { body = "short" } end
      connection:respond { headers = { ["Content-Type"] = "text/plain" }, body = text }
    end, { listen = "compress = { br = 7 }", release = true })
    local done = 0
    for _ = 1, 2 do
      scheduler.spawn(function()
        local response = ask { headers = accept "br", timeout = 300 }
        assert(response.headers["content-encoding"] == "br")
        done = done + 1
      end)
    end
    local short, worst = 0, 0
    local connection = client.connect(proxy.port)
    while done < 2 do
      local began = sys.now()
      assert.equal("short", connection:request({ target = "/short" }).body)
      short, worst = short + 1, math.max(worst, sys.now() - began)
      scheduler.sleep(0.01)
      if not connection.fd then connection = client.connect(proxy.port) end
    end
    assert.is_true(short >= 5, "only " .. short .. " short answers")
  end)
end)

describe("compression in the metrics and the access log", function()
  it("is counted: what was compressed, bytes, time, and why not", function()
    local proxy, _, ask = scene.proxied(function(connection)
      while true do
        local request = connection:read_request()
        if not request then return end
        local kind = request.target == "/png" and "image/png" or "application/json"
        connection:respond { headers = { ["Content-Type"] = kind }, body = coded.json(20000) }
      end
    end, { listen = 'compress = true, access_log = "stdout", access_log_format = "json"',
      settings = { "--admin", "127.0.0.1:0" } })
    local response = ask { headers = accept "gzip" }
    ask { headers = accept "gzip", target = "/png" }
    ask {}
    local samples = metrics.read(proxy)
    assert.equal(1, samples['perilune_compressed_total{coding="gzip"}'])
    assert.equal(0, samples['perilune_compressed_total{coding="br"}'])
    assert.equal(20000, samples['perilune_compress_bytes_total{direction="in"}'])
    assert.equal(#response.body, samples['perilune_compress_bytes_total{direction="out"}'])
    assert.is_true(samples.perilune_compress_seconds_total > 0)
    assert.equal(1, samples['perilune_compress_skipped_total{reason="type"}'])
    assert.equal(1, samples['perilune_compress_skipped_total{reason="not_accepted"}'])
    scheduler.eventually(function() return select(2, proxy:stdout():gsub("\n", "")) == 3 end)
    local line = proxy:stdout():match "[^\n]+"
    assert.matches(('"bytes":%d,"coding":"gzip","plain_bytes":20000,'):format(#response.body), line, 1, true)
    assert.is_nil(proxy:stdout():match "\n(.*)":match '"coding"')
  end)
end)
