-- SPDX-License-Identifier: Apache-2.0
-- Waiting: every hook may, coroutines of the policy may, and a hook may have tasks beside itself.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(hooks, origin)
  return scene.start(origin or origins.start "hello", { hooks = hooks })
end

describe("every hook may wait:", function()
  local CALLED_ALWAYS = {
    "early_request_filter", "request_filter", "proxy_upstream_filter", "upstream_peer", "connected_to_upstream",
    "upstream_request_filter", "request_body_filter", "upstream_response_filter", "response_filter",
    "upstream_response_body_filter", "response_body_filter", "response_trailer_filter", "logging",
  }
  local WAITER = [[
    local before = policy.$HOOK or function(_, chunk) return type(chunk) == "string" and chunk or nil end
    function policy.$HOOK(...)
      perilune.sleep(0.02)
      coroutine.wrap(function() perilune.sleep(0.02) end)()
      io.stderr:write "waited in $HOOK\n"
      return before(...)
    end
  ]]

  for _, hook in ipairs(CALLED_ALWAYS) do
    it(hook, function()
      local proxy = start(policies.fill(WAITER, { HOOK = hook }), origins.start(function(connection)
        while connection:read_request() do connection:respond { body = connection.request.body, chunked = true } end
      end))
      local connection = client.connect(proxy.port)
      for _ = 1, 2 do assert.equal("body", connection:request({ method = "POST", body = "body" }).body) end
      proxy:wait_log("waited in " .. hook .. ".*waited in " .. hook)
    end)
  end

  for _, hook in ipairs { "fail_to_connect", "fail_to_proxy" } do
    it(hook, function()
      local proxy = start(policies.fill(WAITER, { HOOK = hook }), { address = origins.dead_address() })
      assert.equal(502, client.request(proxy.port).status)
      proxy:wait_log("(waited in " .. hook .. ")")
    end)
  end

  it("error_while_proxy", function()
    local proxy = start(policies.fill(WAITER, { HOOK = "error_while_proxy" }), origins.start(function(connection)
      connection:read_request()
    end))
    assert.equal(502, client.request(proxy.port).status)
    proxy:wait_log "(waited in error_while_proxy)"
  end)
end)

describe("perilune.spawn", function()
  it("runs tasks side by side, and perilune.wait gives their results", function()
    local proxy = start [[
      local steps = {}
      local function slow(...)
        steps[#steps + 1] = "begin"
        perilune.sleep(0.02)
        steps[#steps + 1] = "end"
        return ...
      end
      function policy.request_filter(session)
        local a, b, c = perilune.spawn(slow, "a", 1), perilune.spawn(slow, "b"), perilune.spawn(slow)
        local first, second, third = perilune.wait(a, b, c)
        local words = { first, second, tostring(third), select("#", perilune.wait(a)), unpack(steps) }
        local body = table.concat(words, " ")
        return session:respond { status = 200, body = body }
      end
    ]]
    assert.equal("a b nil 2 begin begin begin end end end", client.request(proxy.port).body)
  end)

  it("gives the first that ended to perilune.wait_any, and the others can be stopped", function()
    local proxy = start [[
      function policy.request_filter(session)
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = perilune.spawn(function()
            perilune.sleep(i == 2 and 0.05 or 60)
            return "task " .. i
          end)
        end
        local at, result = perilune.wait_any(unpack(tasks))
        for _, task in ipairs(tasks) do task:stop() end
        local ok, why = pcall(perilune.wait, tasks[1])
        return session:respond { status = 200, body = ("%d %s %s %s %s"):format(at, result, tasks[1]:status(),
          tasks[2]:status(), tostring(ok) .. why) }
      end
    ]]
    assert.matches("^2 task 2 stopped returned false.*the task was stopped$", client.request(proxy.port).body)
  end)

  it("raises in perilune.wait what the task raised", function()
    local proxy = start [[
      function policy.request_filter(session)
        local task = perilune.spawn(function() error { status = 418 } end)
        local ok, raised = pcall(perilune.wait, task)
        assert(not ok and raised.status == 418 and task:status() == "failed")
        perilune.wait(task)
      end
    ]]
    assert.equal(418, client.request(proxy.port).status)
  end)

  it("logs what a task raised that nobody waited for, and the exchange goes on", function()
    local proxy = start [[
      function policy.request_filter()
        perilune.spawn(function() error "deliberate" end)
        perilune.sleep(0.05)
      end
    ]]
    assert.equal(200, client.request(proxy.port).status)
    proxy:wait_log "perilune.spawn failed: [^\n]*deliberate.-stack traceback"
  end)

  it("lets a wait end after a time, and go on later", function()
    local proxy = start [[
      function policy.request_filter(session)
        local task = perilune.spawn(function() perilune.sleep(0.2) return "late" end)
        local result, why = perilune.wait(task, { timeout = 0.05 })
        assert(result == nil and why == "timeout")
        perilune.sleep(0.01)
        return session:respond { status = 200, body = perilune.wait(task, { timeout = 5 }) }
      end
    ]]
    assert.equal("late", client.request(proxy.port).body)
  end)

  it("ends its tasks with the exchange, at the latest", function()
    local proxy = start [[
      function policy.request_filter()
        perilune.spawn(function()
          perilune.spawn(function() perilune.sleep(0.3) io.stderr:write "outlived\n" end)
          perilune.sleep(0.3)
          io.stderr:write "outlived\n"
        end)
        perilune.sleep(0.05)
      end
      function policy.logging() perilune.spawn(error, "never run") end
    ]]
    assert.equal("hello", client.request(proxy.port).body)
    scheduler.sleep(0.6)
    assert.equal(0, proxy:count_log "outlived")
    assert.equal(0, proxy:count_log "never run")
  end)

  it("ends its tasks when the client goes away", function()
    local proxy = start [[
      function policy.request_filter()
        local task = perilune.spawn(function()
          io.stderr:write "begun\n"
          perilune.sleep(0.3)
          io.stderr:write "outlived\n"
        end)
        perilune.wait(task)
      end
    ]]
    local connection = client.connect(proxy.port)
    connection:send_request {}
    proxy:wait_log "(begun)"
    connection:reset()
    scheduler.sleep(0.5)
    assert.equal(0, proxy:count_log "outlived")
  end)

  it("tells who waits for several tasks that one is waited for already, and wakes nobody too early", function()
    local proxy = start [[
      function policy.request_filter(session)
        local soon = perilune.spawn(function() perilune.sleep(0.05) end)
        local late = perilune.spawn(function() perilune.sleep(60) end)
        perilune.spawn(function() perilune.wait(late) end)
        perilune.sleep(0.01)
        local ok, why = pcall(perilune.wait, soon, late)
        local begun = perilune.now()
        perilune.sleep(0.2)
        return session:respond { status = 200, body = ("%s %s %s"):format(ok, why, perilune.now() - begun >= 0.19) }
      end
    ]]
    assert.matches("^false .*policy%.lua:%d+: perilune.wait: another task waits for it already true$",
      client.request(proxy.port).body)
  end)

  it("says that results are gone with the exchange whose task it was", function()
    local proxy = start [[
      local kept
      function policy.request_filter(session)
        if not kept then
          kept = perilune.spawn(function() return "result" end)
          perilune.wait(kept)
          return session:respond { status = 200 }
        end
        local _, why = pcall(function() return perilune.wait(kept), "" end)
        return session:respond { status = 200, body = why }
      end
    ]]
    assert.equal(200, client.request(proxy.port).status)
    assert.matches("policy%.lua:%d+: perilune.wait: what the task gave is gone", client.request(proxy.port).body)
  end)

  local SHARED = [[
    local shared
    function policy.request_filter(session)
      if session:path() == "/owner" then
        shared = perilune.spawn(function() perilune.sleep(0.3) return "late" end)
        io.stderr:write "begun\n"
        perilune.sleep(tonumber(session:query()))
        return session:respond { status = 200, body = "owner" }
      end
      io.stderr:write "joined\n"
      local ok, result = pcall(function() return (perilune.wait(shared)) end)
      return session:respond { status = 200, body = ("%s %s"):format(ok, result) }
    end
  ]]

  -- Two connections: one whose task it is, one that waits for it.
  local function share(seconds)
    local proxy = start(SHARED)
    local owner, guest = client.connect(proxy.port), client.connect(proxy.port)
    owner:send_request { path = "/owner?" .. seconds }
    proxy:wait_log "(begun)"
    guest:send_request { path = "/guest" }
    proxy:wait_log "(joined)"
    return owner, guest
  end

  it("lets another exchange wait for a task", function()
    local _, guest = share(60)
    assert.equal("true late", guest:read_response().body)
  end)

  it("forgets another exchange that waited, when its client goes away", function()
    local owner, guest = share(0.5)
    guest:reset()
    assert.equal("owner", owner:read_response().body)
  end)

  it("wakes another exchange that waits for a task, when the task ends with its own exchange", function()
    local owner, guest = share(60)
    owner:reset()
    assert.matches("^false .*policy%.lua:%d+: perilune.wait: the task was stopped$", guest:read_response().body)
  end)

  it("gives tasks the session to read; changes are the hooks' to make", function()
    local proxy = start [[
      function policy.request_filter(session)
        local path, refused = perilune.wait(perilune.spawn(function() return session:path() end),
          perilune.spawn(function() return select(2, pcall(session.respond, session, { status = 200 })) end))
        return session:respond { status = 200, body = path .. " " .. refused }
      end
    ]]
    assert.matches("^/ .*not allowed outside of the exchange's hooks", client.request(proxy.port).body)
  end)

  it("says what is wrong with its use", function()
    local proxy = start [[
      function policy.request_filter(session)
        local list = {}
        local function note(...) list[#list + 1] = tostring((select(2, pcall(...)))) end
        local task
        task = perilune.spawn(function()
          note(perilune.wait, task)
          note(task.stop, task)
          perilune.sleep(0.02)
        end)
        local other = perilune.spawn(function() perilune.wait(task) end)
        perilune.sleep(0.01)
        note(perilune.wait, task)
        note(perilune.wait)
        note(perilune.wait, task, { timeuot = 1 })
        note(perilune.spawn, "no function")
        perilune.wait(other)
        return session:respond { status = 200, body = table.concat(list, "\n") }
      end
    ]]
    local expected = { "cannot wait for itself", "cannot stop itself", "another task waits for it already",
      "expected one task or more", "its only option is timeout", "function expected" }
    local body = client.request(proxy.port).body
    for i, line in ipairs(require("pl.stringx").splitlines(body)) do assert.matches(expected[i], line) end
    assert.equal(#expected, select(2, body:gsub("\n", "")) + 1)
  end)
end)

describe("a client that goes away", function()
  it("ends the hook that waits, and logging runs", function()
    local proxy = start [[
      function policy.request_filter()
        io.stderr:write "begun\n"
        perilune.sleep(60)
      end
      function policy.logging(_, failure) io.stderr:write("logged ", failure:kind(), "\n") end
    ]]
    for _, how in ipairs { "reset", "close" } do
      local from = #proxy:log() + 1
      local connection = client.connect(proxy.port)
      connection:send_request {}
      proxy:wait_log("(begun)", nil, from)
      connection[how](connection)
      assert.equal("client_gone", proxy:wait_log("logged (%S+)", nil, from))
    end
  end)

  local SLOW = [[
    function policy.request_filter() perilune.sleep(0.2) end
  ]]
  local function half_closed(options, hooks, origin)
    local script = policies.to(origin or origins.start "hello", { hooks = hooks, listen = options })
    local proxy = perilune.start { workers = 1, policy = script }
    local connection = client.connect(proxy.port)
    connection:send_request {}
    connection:half_close()
    return (connection:read_response())
  end

  it("is one that ends its direction while a hook waits, unless abort_on_close is \"never\"", function()
    assert.is_nil(half_closed("", SLOW))
    assert.is_nil(half_closed("abort_on_close = 'hooks'", SLOW))
    assert.equal("hello", half_closed("abort_on_close = 'never'", SLOW).body)
  end)

  it("may end its direction while the peer is waited for, unless abort_on_close is \"always\"", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:sleep(0.2)
        connection:respond { body = "hello" }
      end
    end)
    assert.equal("hello", half_closed("", "", origin).body)
    assert.is_nil(half_closed("abort_on_close = 'always'", "", origin))
  end)
end)

describe("perilune.sleep", function()
  it("lasts its time from when it is called, however long the hook has run before", function()
    local proxy = start [[
      function policy.request_filter(session)
        local till = perilune.now() + 0.3
        while perilune.now() < till do end
        perilune.sleep(0.2)
        return session:respond { status = 200, body = tostring(perilune.now() - till >= 0.199) }
      end
    ]]
    assert.equal("true", client.request(proxy.port).body)
  end)
end)

describe("what waits in a function that C calls back", function()
  local CALLBACKS = {
    ["string.gsub"] = [[(function() ("x"):gsub("x", act) end)()]],
    ["string.gsub of a pattern that takes long"] = [[(function() (("a"):rep(3000)):gsub("a-a-a-$", act) end)()]],
    ["table.sort"] = "table.sort({ 3, 1, 2 }, function() act() end)",
    ["require"] = [[(function() package.preload.late = act package.loaded.late = nil require "late" end)()]],
    ["string.gsub, in a coroutine"] = [[(function() ("x"):gsub("x", coroutine.wrap(act)) end)()]],
    ["string.gsub, behind a coroutine"] = [[coroutine.wrap(function() ("x"):gsub("x", act) end)()]],
  }
  for name, code in pairs(CALLBACKS) do
    it("raises, and nothing of it is left: " .. name, function()
      local origin = origins.start(function(connection)
        connection:read_until "\n"
        connection:send "later\n"
        connection:read_until "\n"
      end)
      local proxy = start(policies.fill([[
        local waiting = {
          function() perilune.sleep(0.05) end,
          function(socket) return socket:receive() end,
          function() return perilune.tcp.connect("$ADDRESS", { fresh = true }) end,
          function() return perilune.wait(perilune.spawn(perilune.sleep, 0.05)) end,
          function() return perilune.dns.addresses "localhost:80" end,
          function(_, session) return session:read_body() end,
        }
        function policy.request_filter(session)
          local socket = assert(perilune.tcp.connect("$ADDRESS"))
          for i = 1, 2 * #waiting do
            local ok, why = pcall(function()
              local function act() return waiting[math.ceil(i / 2)](socket, session) end
              $CODE
            end)
            assert(not ok and why:find "waits, and nothing can wait in a function that C calls back", why)
          end
          io.stderr:write "tried\n"
          socket:send "now\n"
          local begun = perilune.now()
          perilune.sleep(0.2)
          assert(perilune.now() - begun >= 0.19)
          return session:respond { status = 200, body = socket:receive() .. session:read_body() }
        end
      ]], { ADDRESS = origin.address, CODE = code }), origin)
      local connection = client.connect(proxy.port)
      connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
      proxy:wait_log "(tried)"
      connection:send " body"
      local response = assert(connection:read_response())
      assert.same({ 200, "later body" }, { response.status, response.body }, proxy:log())
    end)
  end
end)
