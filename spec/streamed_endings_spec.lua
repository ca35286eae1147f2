-- SPDX-License-Identifier: Apache-2.0
-- How answers that a hook writes end: the client leaves, the hook fails, the process stops.
local client = require "client"
local origins = require "origins"
local scheduler = require "scheduler"
local streamed = require "streamed"

after_each(require("cleanup").run)

local start, begin, EVENTS = streamed.start, streamed.begin, streamed.EVENTS

describe("a client that leaves a streamed answer", function()
  local CASES = [[
    function cases.quiet(session, ctx)
      ctx.on = true
      session:start_response { status = 200 }
      go:set("begun", true)
      await "never"
      go:set("said", "not ended")
    end
    function cases.loud(session, ctx)
      ctx.on = true
      session:start_response { status = 200 }
      go:set("begun", true)
      local ok, why
      repeat ok, why = session:send(("x"):rep(100000)) until not ok
      go:set("said", "send: " .. why)
      ok, why = session:send "more"
      go:set("said", go:get "said" .. "; " .. tostring(ok) .. " " .. why .. "; " .. select(2, session:flush()))
      perilune.sleep(0)
      go:set("said", "not ended")
    end
    function cases.said(session) session:respond { status = 200, body = tostring(go:get "said") } end
  ]]
  local HOOKS = [[
    function policy.logging(session, err, ctx)
      if ctx.on then go:set("said", (go:get "said" or "") .. "|" .. tostring(err and err:kind())) end
    end
  ]]

  for version, leave in pairs {
    ["1.1"] = function(proxy, path)
      local connection = begin(proxy, path)
      return function() connection:close() end
    end,
    ["2"] = function(proxy, path)
      local connection = client.connect { port = proxy.port, version = "2" }
      local stream = connection:open { path = "/" .. path }
      stream:read_head()
      return function() stream:reset "cancel" end
    end,
  } do
    it("ends the hook where it waits, over HTTP/" .. version, function()
      local proxy, ask = start(CASES, { hooks = HOOKS })
      leave(proxy, "quiet")()
      scheduler.eventually(function() return ask("said").body == "|client_gone" end)
      ask "go-never"
      for _ = 1, 3 do assert.equal("|client_gone", ask("said").body) end
    end)

    it("lets a hook that sends see it, once, over HTTP/" .. version, function()
      local proxy, ask = start(CASES, { hooks = HOOKS })
      local go = leave(proxy, "loud")
      go()
      scheduler.eventually(function() return ask("said").body == "send: closed; nil closed; closed|client_gone" end)
    end)
  end

  it("is not waited for: one that does not read ends by the time to send", function()
    local proxy, ask = start(CASES, { hooks = HOOKS, listen = "send_timeout = 0.3" })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send "GET /loud HTTP/1.1\r\nHost: a\r\n\r\n"
    scheduler.eventually(function()
      return ask("said").body == "send: closed; nil closed; closed|client_stalled"
    end, 20)
    connection:close()
  end)

  it("is let go by abort_on_close = never: the hook writes until a write fails", function()
    local proxy, ask = start(CASES, { hooks = HOOKS, listen = "abort_on_close = \"never\"" })
    local connection = begin(proxy, "quiet")
    connection:close()
    for _ = 1, 3 do assert.equal("nil", ask("said").body) end
    ask "go-never"
    scheduler.eventually(function() return ask("said").body:match "^not ended|" end)
  end)
end)

describe("a hook that streams", function()
  it("and fails ends the answer short, with its line in the log", function()
    local proxy = start([[
      function cases.fails(session)
        session:start_response { status = 200 }
        session:send "a"
        session:flush()
        error "no luck"
      end
    ]])
    local connection = begin(proxy, "fails")
    assert.equal("1\r\na\r\n", connection:read(6))
    assert.equal("", (connection:receive_all()))
    proxy:wait_log "request_filter failed: .*policy%.lua:%d+: no luck"
    connection = client.connect { port = proxy.port, version = "2" }
    assert.equal("INTERNAL_ERROR", connection:request({ path = "/fails" }).reset)
  end)

  it("and loops ends by its time", function()
    local proxy = start([[
      function cases.loops(session)
        session:start_response { status = 200 }
        session:flush()
        while true do end
      end
    ]], { listen = "", hooks = "perilune.configure { hook_time = 0.1, jit = false }" })
    local connection = begin(proxy, "loops")
    assert.equal("", (connection:receive_all()))
    proxy:wait_log "request_filter failed: .*time"
  end)

  it("may end by itself when the process stops", function()
    local proxy = start([[
      function cases.service(session)
        session:start_response { status = 200 }
        repeat perilune.sleep(0.005) until perilune.is_retired()
        session:send "bye"
      end
    ]])
    local connection = begin(proxy, "service")
    proxy:signal "TERM"
    assert.equal("3\r\nbye\r\n0\r\n\r\n", (connection:receive_all()))
    proxy:stop()
  end)

  it("is ended with the process at the end of the grace period", function()
    local proxy = start(EVENTS, { settings = { "--grace", "0.3" } })
    local connection = begin(proxy, "events")
    proxy:signal "TERM"
    assert.equal("9\r\ndata: 1\n\n\r\n", (connection:receive_all()))
    proxy:stop()
  end)

  it("goes on on its own generation over a reload", function()
    local proxy, ask = start(EVENTS)
    local connection = begin(proxy, "events")
    proxy:signal "HUP"
    proxy:wait_log "generation 2 is in force"
    for i = 1, 3 do
      assert.equal(("9\r\ndata: %d\n\n\r\n"):format(i), connection:read(14))
      ask("go-event" .. i)
    end
    assert.equal("0\r\n\r\n", connection:read(5))
  end)

  it("is told at its line what is wrong", function()
    local _, ask = start([[
      local function try(session, name, ...) return select(2, pcall(session[name], session, ...)) end
      function cases.early(session)
        local said = { try(session, "send", "a"), try(session, "flush"), try(session, "finish"),
          try(session, "start_response"), try(session, "start_response", { headers = {} }),
          try(session, "start_response", { status = 204 }), try(session, "start_response", { status = 200, body = "" }),
          try(session, "start_response", { status = 200, heders = {} }),
          try(session, "start_response", { status = 200, headers = { ["Content-Length"] = "5" } }) }
        session:respond { status = 200, body = table.concat(said, "\n") }
      end
      function cases.late(session)
        session:start_response { status = 200 }
        local said = { try(session, "start_response", { status = 200 }), try(session, "respond", { status = 200 }),
          try(session, "send"), try(session, "send", { {} }), try(session, "read_body"),
          try(session, "set_response_header", "A", "b") }
        session:send(table.concat(said, "\n"))
      end
    ]])
    local early, late = ask("early").body, ask("late", { method = "POST", body = "b" }).body
    local wanted = {
      early = { "session:send: there is no answer to write: begin it with session:start_response { status = 200 }",
        "session:flush: there is no answer", "session:finish: there is no answer",
        "session:start_response: expected a table, got a nil value: write session:start_response {",
        "session:start_response: status is missing",
        "session:start_response: a response with status 204 has no body: use session:respond",
        "session:start_response: a streamed answer has no body: write it with session:send",
        "session:start_response: unknown field 'heders' %(did you mean headers%?%); valid are status, reason, "
          .. "headers, length, close", "Content%-Length" },
      late = { "session:start_response comes too late: the response has begun",
        "session:respond comes too late", "session:send: expected a string, a number or an array of them, got a nil",
        "expected a string, a number or an array of them, got a table", "session:read_body comes too late",
        "comes too late" },
    }
    for _, pattern in ipairs(wanted.early) do assert.matches(pattern, early) end
    for _, pattern in ipairs(wanted.late) do assert.matches(pattern, late) end
  end)

  it("is refused in hooks that see bodies, and in answer_filter and logging", function()
    local origin = origins.start "page"
    for _, hook in ipairs { "request_body_filter", "response_body_filter", "answer_filter", "logging" } do
      local proxy = start("function cases.page() end", { hooks = ([[
        function policy.upstream_peer() return "%s" end
        function policy.%s(session) session:start_response { status = 200 } end
      ]]):format(origin.address, hook) })
      pcall(client.request, { port = proxy.port, path = "/page", method = "POST", body = "b" })
      if hook == "answer_filter" then client.request { port = proxy.port, path = "/go-on" } end
      proxy:wait_log("session:start_response is not allowed in " .. hook .. ", only in early_request_filter, ")
    end
  end)
end)
