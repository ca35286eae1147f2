-- SPDX-License-Identifier: Apache-2.0
-- session:start_response and session:send: a hook writes its answer while the client reads it.
local client = require "client"
local coded = require "coded"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local streamed = require "streamed"

after_each(require("cleanup").run)

local MEGABYTE = 1024 * 1024
local start, begin, EVENTS = streamed.start, streamed.begin, streamed.EVENTS

describe("a streamed answer", function()
  it("brings its head and each piece as soon as they were written, in chunks", function()
    local proxy, ask = start(EVENTS)
    local connection, head = begin(proxy, "events")
    assert.matches("^HTTP/1.1 200 OK\r\n", head)
    assert.matches("\r\nTransfer%-Encoding: chunked\r\n", head)
    assert.matches("\r\nContent%-Type: text/event%-stream\r\n", head)
    for i = 1, 3 do
      assert.equal(("9\r\ndata: %d\n\n\r\n"):format(i), connection:read(14))
      ask("go-event" .. i)
    end
    assert.equal("0\r\n\r\n", connection:read(5))
    connection:send "GET /go-on HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal(200, connection:read_response().status)
  end)

  it("ends with the connection for a client of HTTP/1.0", function()
    local proxy, ask = start(EVENTS)
    for i = 1, 3 do ask("go-event" .. i) end
    local connection, head = begin(proxy, "events", "1.0")
    assert.not_matches("chunked", head)
    assert.equal("data: 1\n\ndata: 2\n\ndata: 3\n\n", (connection:receive_all()))
  end)

  it("comes in DATA frames over HTTP/2, many side by side", function()
    local proxy, ask = start(EVENTS)
    local connection = client.connect { port = proxy.port, version = "2" }
    local streams = {}
    for i = 1, 5 do streams[i] = connection:open { path = "/events" } end
    for i = 1, 3 do
      for _, stream in ipairs(streams) do
        if i == 1 then assert.equal(200, stream:read_head().status) end
        assert.equal(("data: %d\n\n"):format(i), stream:read())
      end
      ask("go-event" .. i)
    end
    for _, stream in ipairs(streams) do assert.equal("", stream:read_all()) end
  end)

  it("is its head alone for HEAD, and ends the hook there", function()
    local proxy, ask = start([[
      function cases.page(session, ctx)
        session:start_response { status = 200, headers = { ["X-A"] = "b" } }
        go:set("said", "wrote on")
        session:send "hello"
      end
    ]])
    local response = ask("page", { method = "HEAD" })
    assert.equal("b", response.headers.x_a)
    assert.is_nil(response.headers.content_length)
    assert.equal("", ask("go-on").body)
    assert.equal("hello", ask("page").body)
    local connection = client.connect(proxy.port)
    for _ = 1, 2 do assert.equal("b", connection:request({ method = "HEAD", path = "/page" }).headers.x_a) end
    connection = client.connect { port = proxy.port, version = "2" }
    assert.equal("", connection:request({ method = "HEAD", path = "/page" }).body)
  end)

  it("of 20 MB is written while a slow client reads, in bounded memory, and arrives whole", function()
    local proxy = start([[
      local piece = ("0123456789abcdef"):rep(40000) -- 640 kB
      function cases.large(session)
        session:start_response { status = 200 }
        for i = 1, 32 do
          assert(session:send(piece))
          go:set("said", tostring(i))
        end
        assert(session:flush())
        go:set("said", "flushed")
      end
    ]], { release = true })
    local before = proxy:rss()
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
    connection:read_until "\r\n\r\n"
    local said
    scheduler.eventually(function() -- it waits: what it has said stays
      local now = client.request { port = proxy.port, path = "/go-on" }.body
      local stays = now == said and tonumber(now)
      said = now
      return stays
    end)
    assert.is_true(tonumber(said) < 31)
    assert.is_true(proxy:rss() < before + 8 * MEGABYTE)
    local length = 0
    while true do
      local size = tonumber(connection:read_until "\r\n", 16)
      length = length + size
      connection:read(size + 2)
      if size == 0 then break end
    end
    assert.equal(32 * 640000, length)
    assert.equal("flushed", client.request { port = proxy.port, path = "/go-on" }.body)
  end)

  it("of many megabytes heeds the window of HTTP/2", function()
    local proxy = start([[
      function cases.large(session)
        session:start_response { status = 200 }
        for _ = 1, 50 do session:send(("x"):rep(65536)) end
      end
    ]])
    local connection = client.connect { port = proxy.port, version = "2" }
    local stream = connection:open { path = "/large" }
    local other = connection:request { path = "/go-on" }
    assert.equal(200, other.status)
    assert.equal(50 * 65536, #stream:read_response().body)
  end)

  it("is not flushed before its client has taken what was sent", function()
    local proxy = start([[
      function cases.behind(session)
        session:start_response { status = 200 }
        for _ = 1, 2 do session:send(("x"):rep(60000)) end -- a window of HTTP/2 is 65535 bytes
        go:set("said", "sent")
        go:set("said", "flushed: " .. tostring(session:flush()))
      end
    ]])
    local function said() return client.request { port = proxy.port, path = "/go-on" }.body end
    local stream = client.connect { port = proxy.port, version = "2" }:open { path = "/behind" }
    stream:read_head()
    scheduler.eventually(function() return said() ~= "" end)
    for _ = 1, 3 do assert.equal("sent", said()) end
    assert.equal(120000, #stream:read_all())
    scheduler.eventually(function() return said() == "flushed: true" end)
  end)

  it("is shown to answer_filter before the hook goes on, and its bytes to logging", function()
    local _, ask = start([[
      function cases.page(session, ctx)
        ctx.order = "start"
        session:start_response { status = 201, reason = "Made", headers = { ["X-A"] = "a" } }
        ctx.order = ctx.order .. ",goes on"
        session:send "12345"
      end
    ]], { hooks = [[
      function policy.answer_filter(session, response, ctx)
        perilune.sleep(0.01)
        if ctx.order then ctx.order = ctx.order .. ",seen" end
        response:set_header("X-B", tostring(response:status()))
      end
      function policy.logging(session, err, ctx)
        if ctx.order then
          go:set("said", ("%s,%d,%s,%s"):format(ctx.order, session:body_bytes(), session:response_status(),
            tostring(err)))
        end
      end
    ]] })
    local response = ask "page"
    assert.equal("Made", response.reason)
    assert.equal("201", response.headers.x_b)
    assert.equal("start,seen,goes on,5,201,nil", ask("go-on").body)
  end)

  it("may begin in each hook that may answer, also after waiting, and with a backend under way", function()
    local origin, nobody = origins.start("from the backend").address, "127.0.0.1:1"
    for hook, peer in pairs { early_request_filter = nobody, proxy_upstream_filter = nobody, upstream_peer = nobody,
      fail_to_connect = nobody, fail_to_proxy = nobody, connected_to_upstream = origin,
      upstream_request_filter = origin, upstream_response_filter = origin, response_filter = origin,
      error_while_proxy = origins.start(function(at) at:read_request() end).address } do
      local proxy = perilune.start { workers = 1, policy = policies.fill([[
        local perilune = require "perilune"
        local policy = { upstream_peer = function() return { address = "$PEER" } end }
        function policy.$HOOK(session)
          perilune.sleep(0.001)
          session:start_response { status = 200 }
          perilune.sleep(0.001)
          session:send "by $HOOK"
        end
        perilune.listen("127.0.0.1:0", policy)
      ]], { HOOK = hook, PEER = peer }) }
      assert.equal("by " .. hook, client.request(proxy.port).body)
      proxy:stop()
    end
  end)

  it("is compressed where the client wants it, each piece at once", function()
    local proxy, ask = start(EVENTS, { listen = "compress = true" })
    local connection = client.connect(proxy.port)
    connection:send "GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    assert.matches("gzip", connection:read_until "\r\n\r\n")
    local bytes, wanted = "", ""
    for i = 1, 3 do
      wanted = wanted .. ("data: %d\n\n"):format(i)
      while bytes == "" or coded.decode_some("gzip", bytes) ~= wanted do
        local size = tonumber(connection:read_until "\r\n", 16)
        bytes = bytes .. connection:read(size)
        connection:read(2)
      end
      ask("go-event" .. i)
    end
    assert.is_string(connection:read_until "0\r\n\r\n")
  end)

  it("goes on behind session:finish for the hook, but not for the client", function()
    local proxy, ask = start([[
      function cases.page(session)
        session:start_response { status = 200 }
        session:send "all"
        session:finish()
        local ok, why = pcall(session.send, session, "more")
        go:set("said", why)
        await "page"
        go:set("said", "done")
      end
    ]])
    local connection = begin(proxy, "page")
    assert.equal("3\r\nall\r\n0\r\n\r\n", connection:read(13))
    assert.matches("session:send: the answer has been ended by session:finish", ask("go-on").body)
    ask "go-page"
    scheduler.eventually(function() return ask("go-on").body == "done" end)
    connection:send "GET /go-on HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.equal(200, connection:read_response().status)
  end)
end)

describe("ten thousand streamed answers", function()
  it("leave no memory behind", function()
    local proxy, ask = start([[
      function cases.page(session)
        session:start_response { status = 200 }
        session:send "a"
      end
      function cases.memory(session)
        collectgarbage() collectgarbage()
        session:respond { status = 200, body = tostring(collectgarbage "count") }
      end
    ]], { release = true })
    local connection = client.connect(proxy.port)
    local function run(count)
      for _ = 1, count do connection:request { path = "/page" } end
      return tonumber(ask("memory").body), proxy:rss()
    end
    local memory, rss = run(500)
    local memory_later, rss_later = run(2000)
    assert.is_true(memory_later < memory + 20, ("%g to %g KiB"):format(memory, memory_later))
    assert.is_true(rss_later < rss + MEGABYTE, ("%d to %d"):format(rss, rss_later))
  end)
end)
