-- SPDX-License-Identifier: Apache-2.0
-- Answers that are written by others than the hook that has begun them: tasks, the background, other requests.
local client = require "client"
local scheduler = require "scheduler"
local streamed = require "streamed"

after_each(require("cleanup").run)

local start, begin = streamed.start, streamed.begin

local SAID = "function cases.said(session) session:respond { status = 200, body = tostring(go:get \"said\") } end\n"

describe("a streamed answer that is left open", function()
  it("is written by a task that its hook has spawned", function()
    local proxy, ask = start([[
      function cases.events(session)
        session:start_response { status = 200 }
        session:send "hook "
        perilune.spawn(function()
          for i = 1, 3 do
            await("event" .. i)
            assert(session:send { "event ", i, " " })
          end
          session:finish { ["X-Count"] = 3 }
        end)
        session:leave_open()
      end
    ]])
    local connection = begin(proxy, "events")
    assert.equal("5\r\nhook \r\n", connection:read(10))
    for i = 1, 3 do
      ask("go-event" .. i)
      assert.equal(("8\r\nevent %d \r\n"):format(i), connection:read(13))
    end
    assert.equal("0\r\nX-Count: 3\r\n\r\n", connection:read(17))
    connection = client.connect { port = proxy.port, version = "2" }
    local response = connection:request { path = "/events" }
    assert.same({ "hook event 1 event 2 event 3 ", "3" }, { response.body, response.trailers.x_count })
  end)

  it("is written by background work and by other requests, until one of them ends it", function()
    local proxy, ask = start(SAID .. [[
      local readers = {}
      function cases.subscribe(session)
        session:start_response { status = 200 }
        readers[#readers + 1] = session
        session:leave_open()
      end
      function cases.publish(session)
        for i, reader in ipairs(readers) do assert(reader:send { "news for ", i, "\n" }) end
        session:respond { status = 200 }
      end
      function cases.close(session)
        for _, reader in ipairs(readers) do assert(reader:finish()) end
        go:set("said", tostring(readers[1]:send "late") .. select(2, readers[1]:send "late"))
        session:respond { status = 200 }
      end
      perilune.after(0, function()
        await "background"
        for _, reader in ipairs(readers) do assert(reader:send "from the background\n") end
      end, { on = "every worker" })
    ]])
    local connection = client.connect { port = proxy.port, version = "2" }
    local streams = {}
    for i = 1, 3 do
      streams[i] = connection:open { path = "/subscribe" }
      streams[i]:read_head()
    end
    local plain = begin(proxy, "subscribe")
    ask "publish"
    for i = 1, 3 do assert.equal("news for " .. i .. "\n", streams[i]:read()) end
    assert.equal("b\r\nnews for 4\n\r\n", plain:read(16))
    ask "go-background"
    for i = 1, 3 do assert.equal("from the background\n", streams[i]:read()) end
    assert.equal("14\r\nfrom the background\n\r\n", plain:read(26))
    assert.equal(200, ask("close").status)
    for i = 1, 3 do assert.equal("", streams[i]:read_all()) end
    assert.equal("0\r\n\r\n", plain:read(5))
    assert.equal("nilclosed", ask("said").body)
  end)

  it("keeps pieces whole and in order where many write and the client is slow", function()
    local proxy = start([[
      function cases.many(session)
        session:start_response { status = 200 }
        local tasks = {}
        for i = 1, 8 do
          tasks[i] = perilune.spawn(function()
            for _ = 1, 20 do assert(session:send(("%d"):format(i):rep(9999) .. "\n")) end
          end)
        end
        perilune.spawn(function()
          for i = 1, 8 do perilune.wait(tasks[i]) end
          assert(session:flush())
          session:finish()
        end)
        session:leave_open()
      end
    ]])
    for _, version in ipairs { "1.1", "2" } do
      local connection = client.connect { port = proxy.port, version = version, receive_buffer = 4096 }
      local body, lines = connection:request({ path = "/many" }).body, {}
      assert.equal(160 * 10000, #body)
      for line in body:gmatch "[^\n]+" do
        local digit = line:sub(1, 1)
        assert.equal(digit:rep(9999), line)
        lines[digit] = (lines[digit] or 0) + 1
      end
      for i = 1, 8 do assert.equal(20, lines[tostring(i)]) end
    end
  end)

  it("tells all who write that the client has left, and logs once", function()
    for _, version in ipairs { "1.1", "2" } do
      local proxy, ask = start(SAID .. [[
        local open
        function cases.left(session, ctx)
          ctx.on = true
          session:start_response { status = 200 }
          open = session
          session:leave_open()
          go:set("begun", true)
        end
        perilune.after(0, function()
          await "begun"
          local session = open
          local ok, why
          repeat ok, why = session:send(("x"):rep(50000)) until not ok
          go:set("said", (go:get "said" or "") .. "send " .. why .. " ")
          ok, why = session:send "more"
          go:set("said", go:get "said" .. "again " .. tostring(ok) .. " " .. why .. " " .. select(2, session:flush())
            .. " " .. select(2, session:finish()) .. " " .. select(2, session:leave_open()))
        end, { on = "every worker" })
      ]], { hooks = [[
        function policy.logging(session, err, ctx)
          if ctx.on then go:set("logged", (go:get "logged" or "") .. err:kind() .. " ") end
        end
        function cases.logged(session) session:respond { status = 200, body = tostring(go:get "logged") } end
      ]] })
      local connection
      if version == "1.1" then
        connection = begin(proxy, "left")
      else
        connection = client.connect { port = proxy.port, version = "2" }
        connection:open({ path = "/left" }):read_head()
      end
      connection:close()
      scheduler.eventually(function()
        return ask("said").body == "send closed again nil closed closed closed closed"
      end, 20)
      assert.equal("client_gone ", ask("logged").body)
      proxy:stop()
    end
  end)

  it("is not ended by an error of somebody who writes to it, but by one of its own hook", function()
    local proxy = start([[
      function cases.task(session)
        session:start_response { status = 200 }
        perilune.spawn(function() session:send "a" error "no luck" end)
        perilune.spawn(function() perilune.sleep(0.01) session:send "b" session:finish() end)
        session:leave_open()
      end
      function cases.hook(session)
        session:start_response { status = 200 }
        session:send "a"
        session:flush()
        session:leave_open()
        error "bad luck"
      end
    ]])
    assert.equal("ab", client.request({ port = proxy.port, path = "/task" }).body)
    proxy:wait_log "perilune.spawn failed: .*no luck"
    local connection = begin(proxy, "hook")
    assert.equal("1\r\na\r\n", (connection:receive_all()))
    proxy:wait_log "request_filter failed: .*bad luck"
  end)

  it("ends short when nothing was sent for its time", function()
    local proxy = start([[
      function cases.forgotten(session)
        session:start_response { status = 200 }
        session:send "a"
        session:leave_open(0.05)
      end
    ]])
    local connection = begin(proxy, "forgotten")
    assert.equal("1\r\na\r\n", (connection:receive_all()))
    proxy:wait_log "an answer ends short: it was left open, and nothing was sent for the time that it may stay so"
    connection = client.connect { port = proxy.port, version = "2" }
    assert.equal("INTERNAL_ERROR", connection:request({ path = "/forgotten" }).reset)
  end)

  it("ends with the grace period, and over a reload is finished by its own generation", function()
    local CASES = [[
      function cases.open(session)
        session:start_response { status = 200 }
        session:leave_open()
        perilune.spawn(function()
          await "finish"
          session:send "old"
          session:finish()
        end)
      end
    ]]
    local proxy, ask = start(CASES)
    local connection = begin(proxy, "open")
    proxy:signal "HUP"
    proxy:wait_log "generation 2 is in force"
    ask "go-finish"
    assert.equal("3\r\nold\r\n0\r\n\r\n", (connection:read(13)))
    proxy:stop()
    proxy = start(CASES, { settings = { "--grace", "0.3" } })
    connection = begin(proxy, "open")
    proxy:signal "TERM"
    assert.equal("", (connection:receive_all()))
    proxy:stop()
  end)

  it("says nothing to a client that asks by HEAD", function()
    local _, ask = start(SAID .. [[
      function cases.page(session)
        session:start_response { status = 200, headers = { ["X-A"] = "b" } }
        session:leave_open()
      end
    ]])
    local response = ask("page", { method = "HEAD" })
    assert.equal("b", response.headers.x_a)
    assert.equal("nil", ask("said").body)
  end)
end)

describe("a task that writes to a streamed answer", function()
  it("may do so beside the hook, whose end is the end of the answer", function()
    local _, ask = start([[
      function cases.both(session)
        session:start_response { status = 200 }
        local task = perilune.spawn(function()
          session:send "task "
          session:flush()
          return "done"
        end)
        session:send(perilune.wait(task))
      end
    ]])
    assert.equal("task done", ask("both").body)
  end)

  it("and is stopped in mid-piece leaves the piece whole", function()
    local proxy = start([[
      function cases.stopped(session)
        session:start_response { status = 200 }
        local task = perilune.spawn(function() session:send(("x"):rep(3e6)) end)
        local behind = perilune.spawn(function() session:send(("y"):rep(1000)) end)
        await "stop"
        task:stop()
        behind:stop()
        session:send "z"
      end
    ]])
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send "GET /stopped HTTP/1.0\r\nHost: a\r\n\r\n"
    connection:read_until "\r\n\r\n"
    client.request { port = proxy.port, path = "/go-stop" }
    local body = connection:receive_all()
    assert.equal(3000001, #body)
    assert.equal(("x"):rep(3000000) .. "z", body)
  end)

  it("and is stopped in mid-piece of an answer with a length ends that short where its piece has not begun", function()
    local proxy = start([[
      function cases.stopped(session)
        session:start_response { status = 200, length = 4e6 }
        local first = perilune.spawn(function() session:send(("x"):rep(3e6)) end)
        local behind = perilune.spawn(function() session:send(("y"):rep(1e6)) end)
        await "stop"
        behind:stop()
        perilune.wait(first)
      end
    ]])
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send "GET /stopped HTTP/1.0\r\nHost: a\r\n\r\n"
    connection:read_until "\r\n\r\n"
    client.request { port = proxy.port, path = "/go-stop" }
    assert.is_true(#connection:receive_all() < 4000000)
    proxy:wait_log "an answer ends short: a task that waited in session:send was stopped"
  end)

  it("comes too early before the head is on its way, and other hooks may not", function()
    local proxy, ask = start(SAID .. [[
      function cases.early(session, ctx)
        ctx.on = true
        local task = perilune.spawn(function() return select(2, pcall(session.send, session, "x")) end)
        session:start_response { status = 200 }
        session:send(perilune.wait(task) .. "\n" .. ctx.seen)
      end
    ]], { hooks = [[
      function policy.answer_filter(session, response, ctx)
        perilune.sleep(0.01)
        ctx.seen = select(2, pcall(session.send, session, "x"))
      end
    ]] })
    local body = ask("early").body
    assert.matches("session:send comes too early: session:start_response has not returned yet", body)
    assert.matches("session:send is for the hook that has called session:start_response and for tasks, not for "
      .. "answer_filter", body)
    assert.is_truthy(proxy)
  end)

  it("that waits within a function of C gets an error, and the hook writes on", function()
    local _, ask = start([[
      function cases.sorted(session)
        session:start_response { status = 200 }
        local piece, why = ("x"):rep(2e6)
        pcall(table.sort, { 1, 2 }, function()
          local _, said = coroutine.resume(coroutine.create(function() session:send(piece) end))
          why = why or said
          return false
        end)
        session:send("\n" .. why)
      end
    ]])
    local body = ask("sorted").body
    assert.matches("nothing can wait in a function that C calls back", body:match "\n(.*)")
    assert.equal(2000000, #body:match "^x*")
  end)
end)
