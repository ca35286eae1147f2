-- SPDX-License-Identifier: Apache-2.0
-- Bounds that LuaJIT cannot raise an error at by itself: memory that runs out in machine code, machine code that does
-- not end, finalizers and handlers of errors that do not. Each costs the requests of its own VM at most, for a moment.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function start(settings, bad, options)
  options = options or {}
  local text = policies.to(origins.start "hello", { hooks = ([[
    perilune.configure { %s }
    local function bad(session) %s end
    function policy.request_filter(session)
      if session:path() == "/bad" then return bad(session) end
      if session:path() == "/wait" then perilune.sleep(600) end
    end
  ]]):format(settings, bad) .. (options.more or "") })
  return perilune.start { workers = options.workers or 1, policy = text, settings = options.settings }
end

local function status(proxy, path)
  local response = client.request { port = proxy.port, path = path, timeout = 60 }
  return response.status
end

local function serves_again(proxy)
  scheduler.eventually(function() return status(proxy, "/") == 200 end, 60, "a 200")
end

describe("memory that runs out in machine code", function()
  local BOMBS = {
    strings = "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    ["a hash"] = "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
    tables = "local t = {} for i = 1, 1e9 do t[#t + 1] = { i } end",
    closures = "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
    ["a string that doubles"] = "local s = 'x' while true do s = s .. s end",
    ["a task that is waited for"] = [[perilune.wait(perilune.spawn(function()
      local t = {}
      while true do t[#t + 1] = ('x'):rep(1000) .. #t end
    end))]],
    ["calls that catch errors"] =
      "local t = {} while true do pcall(function() for i = 1, 1e6 do t[#t + 1] = { i } end end) end",
  }
  for _, mib in ipairs { 16 } do
    it(("raises at the policy's line, and the worker serves on, with %d MiB"):format(mib), function()
      local texts, names = {}, {}
      for name, code in pairs(BOMBS) do
        names[#names + 1] = name
        texts[#texts + 1] = ("if which == '%d' then %s end"):format(#names, code)
      end
      local proxy = start(("memory_limit = %d * 1024 * 1024, hook_time = 60"):format(mib),
        "local which = session:get_header 'which' " .. table.concat(texts, "\n"))
      for i, name in ipairs(names) do
        local from = #proxy:log() + 1
        local response = client.request { port = proxy.port, path = "/bad", headers = { Which = tostring(i) },
          timeout = 60 }
        assert.equal(500, response.status, name)
        proxy:wait_log("failed: [^\n]*policy%.lua:%d+: not enough memory", nil, from)
        assert.equal(200, status(proxy, "/"), name)
      end
      assert.equal(0, proxy:count_log "given up")
    end)
  end

  it("lets requests that need little go on where the policy keeps too much, and has it loaded anew", function()
    local proxy = start("memory_limit = 16 * 1024 * 1024, hook_time = 60", [[
      for _ = 1, 2000 do seen[#seen + 1] = ('x'):rep(1000) .. #seen end
    ]], { more = "seen = {}" })
    local statuses = {}
    for _ = 1, 12 do
      statuses[status(proxy, "/bad")] = true
      assert.equal(200, status(proxy, "/"))
    end
    assert.is_true(statuses[500])
    proxy:wait_log "is loaded anew"
    scheduler.eventually(function() return status(proxy, "/bad") == 200 end, 60, "a visit that finds room")
  end)

  it("that a global keeps leaves room for the answers of others", function()
    local proxy = start("memory_limit = 32 * 1024 * 1024, hook_time = 60", [[
      G = G or {}
      for i = 1, 1e9 do G[#G + 1] = { i } end
    ]], { more = [[
      local serve = policy.request_filter
      function policy.request_filter(session)
        if session:path() == "/own" then return session:respond { status = 200, body = "fine" } end
        return serve(session)
      end
    ]] })
    assert.equal(500, status(proxy, "/bad"))
    for _ = 1, 5 do assert.equal(200, status(proxy, "/own")) end
  end)

  it("that never comes back to the collector gives the VM up: its requests fail, others go on", function()
    local proxy = start("memory_limit = 16 * 1024 * 1024, hook_time = 60",
      "local t = {} for i = 1, 1e9 do t[i] = i end", { workers = 1 })
    local waiting = client.connect(proxy.port)
    waiting:send_request { path = "/wait" }
    assert.equal(200, status(proxy, "/"))
    assert.equal(500, status(proxy, "/bad"))
    assert.equal(500, waiting:read_response("GET", 30).status)
    proxy:wait_log "request_filter failed: [^\n]*policy%.lua:%d+: not enough memory: [^\n]*its VM was given up"
    serves_again(proxy)
    proxy:wait_log "generation 1 has no sound VM on every worker: it is loaded anew"
    assert.equal(500, status(proxy, "/bad"))
    serves_again(proxy)
  end)

  -- The coroutine may be in no state to be looked at: no traceback is made of it, and no line looked for.
  it("is told without a traceback where an allocation had to fail", function()
    local proxy = start("memory_limit = 16 * 1024 * 1024, jit = false",
      "local function deep(n) return n > 0 and 1 + deep(n - 1) or #require 'table.new' (2 ^ 26, 0) end deep(9)",
      { workers = 1 })
    assert.equal(500, status(proxy, "/bad"))
    proxy:wait_log "request_filter failed: [^\n]*: not enough memory %(GET /bad of client [%d.:]+%)\n"
    assert.equal(200, status(proxy, "/"))
    assert.is_nil(proxy:log():find "traceback")
  end)

  it("while the policy loads refuses it, with a message that says why", function()
    for _, jit in ipairs { "true", "false" } do
      local result = perilune.run { policy = ([[
        local perilune = require "perilune"
        perilune.configure { memory_limit = 16 * 1024 * 1024, load_time = 60, jit = %s }
        local t = {}
        for i = 1, 1e9 do t[i] = i .. "" end
      ]]):format(jit), timeout = 60 }
      assert.equal(2, result.code)
      assert.matches("policy%.lua:4: not enough memory", result.stderr)
    end
  end)
end)

describe("what cannot be interrupted is left, the VM given up, and its worker serves on:", function()
  local LOOPS = {
    ["a compiled loop"] = "local depth = 1 while depth > 0 do depth = depth % 2 + 1 end",
    ["a compiled loop that calls C"] = "while true do session:path() end",
    ["a compiled loop that allocates"] = "local t while true do t = { session } end",
    ["a loop in a finalizer"] = "local p = newproxy(true) getmetatable(p).__gc = function() while true do end end "
      .. "p = nil collectgarbage()",
    ["a comparison that does not end"] =
      "table.sort({ 3, 2, 1 }, function() local i = 0 while true do i = i + 1 end end)",
  }
  for name, code in pairs(LOOPS) do
    it(name, function()
      local proxy = start("hook_time = 0.1", code)
      local response = client.request { port = proxy.port, path = "/bad", timeout = 30 }
      assert.equal(504, response.status)
      proxy:wait_log "request_filter failed: [^\n]*used up its time: the function that begins there, or one"
      serves_again(proxy)
    end)
  end

  it("a loop in a handler of errors, of xpcall and of a coroutine's, also where nothing is compiled", function()
    for _, jit in ipairs { "true", "false" } do
      local proxy = start("hook_time = 0.1, jit = " .. jit,
        "xpcall(function() while true do end end, function() while true do end end)")
      assert.equal(504, status(proxy, "/bad"))
      serves_again(proxy)
    end
  end)

  it("a loop in the control worker, which then still hears commands", function()
    local proxy = start("hook_time = 0.1", "", { more = [[
      perilune.after(0.01, function() local depth = 1 while depth > 0 do depth = depth % 2 + 1 end end)
    ]] })
    proxy:wait_log "perilune.after failed: [^\n]*used up its time"
    proxy:stop(20)
  end)

  it("a loop in a body filter, in logging and in a task", function()
    local loop = "local depth = 1 while depth > 0 do depth = depth % 2 + 1 end"
    local proxy = start("hook_time = 0.1", "perilune.wait(perilune.spawn(function() " .. loop .. " end))", { more = [[
      function policy.response_body_filter(session, chunk)
        if session:path() == "/body" then ]] .. loop .. [[ end
        return chunk
      end
      function policy.logging(session) if session:path() == "/logging" then ]] .. loop .. [[ end end
    ]] })
    assert.equal(504, status(proxy, "/body"))
    serves_again(proxy)
    assert.equal(200, status(proxy, "/logging"))
    serves_again(proxy)
    assert.is_true(status(proxy, "/bad") >= 500)
    serves_again(proxy)
  end)
end)

describe("recursion without an end", function()
  local RECURSIONS = {
    ["through string.gsub"] = "local function f(s) return (s:gsub('.', f)) end f 'a'",
    ["through coroutine.wrap"] = "local function f() coroutine.wrap(f)() end f()",
    ["through coroutine.resume"] = [[
      local function f()
        local ok, why = coroutine.resume(coroutine.create(f))
        if not ok then error(why, 0) end
      end
      f()
    ]],
    ["through __tostring"] = [[
      local t = setmetatable({}, { __tostring = function(t) perilune.log.info(t) return 'x' end })
      perilune.log.info(t)
    ]],
    ["through string.format"] = [[
      local t = setmetatable({}, { __tostring = function(t) return ('%s'):format(t) end })
      return tostring(t)
    ]],
    ["through table.sort"] = "local function f() table.sort({ 1, 2 }, function(a, b) f() return a < b end) end f()",
    ["of Lua alone"] = "local function f() return 1 + f() end f()",
    ["of a metamethod"] = "return setmetatable({}, { __index = function(t, k) return t[k + 1] end })[1]",
  }
  it("raises an error of its own request, and the process goes on: on any of C's ways", function()
    local texts, names = {}, {}
    for name, code in pairs(RECURSIONS) do
      names[#names + 1] = name
      texts[#texts + 1] = ("if which == '%d' then %s end"):format(#names, code)
    end
    local proxy = start("hook_time = 300", "local which = session:get_header 'which' " .. table.concat(texts, "\n"))
    for i, name in ipairs(names) do
      local from = #proxy:log() + 1
      local response = client.request { port = proxy.port, path = "/bad", headers = { Which = tostring(i) },
        timeout = 300 }
      assert.equal(500, response.status, name)
      proxy:wait_log("failed: [^\n]*stack overflow", nil, from)
      assert.equal(200, status(proxy, "/"), name)
    end
  end)

  it("of tasks that make tasks is refused at a bound, and the worker serves on", function()
    local proxy = start("hook_time = 60, memory_limit = 128 * 1024 * 1024", [[
      local function f() perilune.spawn(f) perilune.spawn(f) perilune.sleep(0.001) end
      f()
      perilune.sleep(20)
    ]])
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/bad" }
    proxy:wait_log "perilune.spawn: 20000 tasks run already in this worker"
    connection:close()
    serves_again(proxy)
  end)

  it("of searches for a long text in a longer one ends in time, and is an answer", function()
    local proxy = start("hook_time = 2", [[
      local s, none = ("a"):rep(4e6), ("a"):rep(2e6) .. "b"
      local last = ("a"):rep(2e6) .. "c"
      local text = tostring(s:find(none, 1, true)) .. tostring(s:find(none)) .. tostring((s .. "c"):find(last, 5))
      return session:respond { status = 200, body = text }
    ]])
    assert.equal("nilnil2000001", client.request { port = proxy.port, path = "/bad", timeout = 60 }.body)
  end)
end)

describe("what is lent to the core for an exchange", function()
  local function with_long_text(code)
    return start("memory_limit = 24 * 1024 * 1024, hook_time = 60", 'local s = ("x"):rep(16e6) ' .. code)
  end

  it("counts against memory_limit before it is copied", function()
    local proxy = with_long_text 'session:request():set_header("X-Long", s)'
    assert.equal(500, status(proxy, "/bad"))
    proxy:wait_log "request_filter failed: [^\n]*not enough memory: the exchanges under way hold"
    assert.equal(200, status(proxy, "/"))
  end)

  it("is not the text of a long answer, which is sent from where it is", function()
    local proxy = with_long_text "return session:respond { status = 200, body = s }"
    assert.equal(16e6, #client.request { port = proxy.port, path = "/bad", timeout = 60 }.body)
  end)
end)

describe("hook_time", function()
  -- /proc shows the call in which the thread waits: futex(address, operation, ...), and 0x100 in the operation is
  -- FUTEX_CLOCK_REALTIME.
  it("is watched by a clock that does not step back with the time of day", function()
    local proxy = start("hook_time = 1", "")
    assert.equal(200, status(proxy, "/")) -- the watchdog runs
    local tasks = ("/proc/%d/task/"):format(proxy.pid)
    local operation = scheduler.eventually(function()
      local pipe = io.popen(("grep -l '^watchdog$' %s*/comm"):format(tasks))
      local file = pipe:read "*l"
      pipe:close()
      local call = file and assert(process.read_file((file:gsub("comm$", "syscall"))))
      return call and call:match "^%d+ 0x%x+ 0x(%x+) "
    end, 10, "the watchdog's wait")
    assert.equal(0, math.floor(tonumber(operation, 16) / 0x100) % 2)
  end)
end)

describe("a finalizer that raises", function()
  it("fails no request, not the one in which it was called for either, and is told in the log", function()
    local proxy = start("memory_limit = 32 * 1024 * 1024", [[
      for i = 1, 2000 do
        getmetatable(newproxy(true)).__gc = function() error "no luck" end
      end
      collectgarbage()
    ]])
    for _ = 1, 20 do assert.equal(200, status(proxy, "/bad")) end
    proxy:wait_log "a finalizer %(__gc%) of the policy failed: [^\n]*policy%.lua:%d+: no luck"
  end)

  it("does not end the process where it interrupts machine code: of newproxy, ffi.gc, ffi.metatype", function()
    local proxy = start("memory_limit = 64 * 1024 * 1024, hook_time = 30", [[
      local ffi = require "ffi"
      local function fails() error "no luck" end
      local kind = ffi.metatype("struct { int i; }", { __gc = fails })
      for _ = 1, 4000 do
        getmetatable(newproxy(true)).__gc = fails
        ffi.gc(ffi.new "int[1]", fails)
        kind()
      end
    ]])
    for _ = 1, 5 do assert.equal(200, status(proxy, "/bad")) end
  end)

  it("does not end the process where it has taken the place of another finalizer either", function()
    local proxy = start("memory_limit = 64 * 1024 * 1024, hook_time = 30", [[
      local function fails() error "no luck" end
      for _ = 1, 4000 do
        local meta = getmetatable(newproxy(true))
        meta.__gc = tostring
        meta.__gc = fails
      end
    ]])
    for _ = 1, 5 do assert.equal(200, status(proxy, "/bad")) end
    proxy:wait_log "a finalizer %(__gc%) of the policy failed: [^\n]*policy%.lua:%d+: no luck"
  end)

  it("does not end the process where it is that of files either", function()
    local proxy = start("memory_limit = 64 * 1024 * 1024, hook_time = 30", [[
      local function fails() error "no luck" end
      local meta = getmetatable(io.stdout)
      meta.__gc = fails
      if meta.__index then meta.__index.__gc = fails end
      assert(io.stdout.__index == nil and io.stdout.write)
      for _ = 1, 50 do assert(io.open("/dev/null")) end
      collectgarbage()
    ]])
    for _ = 1, 5 do assert.equal(200, status(proxy, "/bad")) end
    proxy:wait_log "a finalizer %(__gc%) of the policy failed: [^\n]*policy%.lua:%d+: no luck"
  end)
end)

describe("a policy that ends", function()
  it("is left where a finalizer of it does not end, and the next one serves", function()
    local proxy = start("hook_time = 0.1", "", {
      more = "KEPT = newproxy(true) getmetatable(KEPT).__gc = function() while true do end end",
    })
    assert.equal(200, status(proxy, "/"))
    proxy:signal "HUP"
    proxy:wait_log "generation 2 is in force"
    proxy:wait_log "a finalizer %(__gc%) of a policy that ends used up its time, and was left"
    assert.equal(200, status(proxy, "/"))
  end)
end)
