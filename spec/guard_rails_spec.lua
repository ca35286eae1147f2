-- SPDX-License-Identifier: Apache-2.0
-- Greedy and endless policies: each costs its own request, and one line in the log that says what was wrong.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- `hooks` behind the settings; requests for /bad run `bad`, others are served.
local function start(settings, bad, more, options)
  local text = policies.to(origins.start "hello", { hooks = ([[
    perilune.configure { %s }
    local function bad(session) %s end
    function policy.request_filter(session) if session:path() == "/bad" then return bad(session) end end
  ]]):format(settings, bad) .. (more or "") })
  return perilune.start { workers = 1, policy = text, release = options and options.release }
end

local function status(proxy, path)
  local response = client.request { port = proxy.port, path = path, timeout = 60 }
  return response.status
end

describe("a hook that does not end", function()
  local LOOPS = {
    ["an empty loop"] = "while true do end",
    ["a loop that catches errors"] = "while true do pcall(function() while true do end end) end",
    ["a recursion that catches errors"] = "local function f() pcall(f) f() end while true do pcall(f) end",
    ["a pcall that is returned"] = "return pcall(function() while true do end end)",
    ["an endless comparison"] = "table.sort({ 3, 2, 1 }, function() while true do end end)",
    ["a loop in a coroutine"] = "coroutine.wrap(function() while true do end end)()",
    ["a loop behind a wait"] = "perilune.sleep(0.01) while true do end",
    ["an error value whose text does not end"] =
      "error(setmetatable({}, { __tostring = function() while true do end end }))",
  }
  for name, code in pairs(LOOPS) do
    it("is interrupted and gives 504, and the worker serves on: " .. name, function()
      -- With AddressSanitizer an error that passes ten thousand frames takes seconds, and nothing interrupts it.
      local proxy = start("jit = false, hook_time = 0.1", code, nil, { release = name:find "recursion" ~= nil })
      assert.equal(name:find "error value" and 500 or 504, status(proxy, "/bad"))
      assert.equal(200, status(proxy, "/"))
      if not name:find "error value" then
        proxy:wait_log "request_filter failed: [^\n]*used up its time"
        assert.equal(1, proxy:count_log " failed: ")
      end
    end)
  end

  local PATTERNS = {
    find = "(('a'):rep(100)):find '.-.-.-.-.-.-.-.-b'", match = "(('a'):rep(100)):match 'a*a*a*a*a*a*a*a*b'",
    gsub = "(('a'):rep(3000)):gsub('.-.-.-.-b', '')", gmatch = "(('a'):rep(3000)):gmatch '.*.*.*.*b' ()",
  }
  for name, code in pairs(PATTERNS) do
    it("is interrupted in a pattern that tries all ways, also with the JIT compiler: string." .. name, function()
      local proxy = start("hook_time = 0.1", "local s = " .. code)
      assert.equal(504, status(proxy, "/bad"))
      proxy:wait_log "request_filter failed: [^\n]*policy%.lua:%d+: used up its time"
      assert.equal(200, status(proxy, "/"))
    end)
  end

  it("in a body filter, in logging, in a task and in background work is interrupted too", function()
    local proxy = start("jit = false, hook_time = 0.1", "", [[
      local function endless() while true do end end
      function policy.response_body_filter(session, chunk) return session:path() == "/body" and endless() or chunk end
      function policy.logging(session) if session:path() == "/logging" then endless() end end
      function policy.response_filter(session)
        if session:path() == "/task" then perilune.wait(perilune.spawn(endless)) end
      end
      perilune.after(0.1, endless)
    ]])
    assert.equal(504, status(proxy, "/body"))
    assert.equal(200, status(proxy, "/logging"))
    proxy:wait_log "logging failed: [^\n]*used up its time"
    assert.equal(500, status(proxy, "/task"))
    proxy:wait_log "perilune.after failed: [^\n]*used up its time"
    assert.equal(200, status(proxy, "/"))
  end)

  it("counts time of the processor, not of waiting", function()
    local proxy = start("jit = false, hook_time = 0.1", "for _ = 1, 5 do perilune.sleep(0.1) end")
    assert.equal(200, status(proxy, "/bad"))
  end)

  it("is interrupted, or reported where it is compiled and cannot be, with its line", function()
    local proxy = start("hook_time = 0.1", [[
      local sum = 0
      for i = 1, 3e8 do sum = sum + i % 7 end
      return sum < 0
    ]])
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/bad" }
    proxy:wait_log "policy%.lua:%d+[^\n]+ (r[au]n for)" -- "has run for", or "it ran for"
    connection:read_response("GET", 30)
  end)

  it("is not what a policy is taken for that loads for long", function()
    local busy = "do local till = os.clock() + 0.3 while os.clock() < till do end end"
    local proxy = start("jit = false, hook_time = 0.05", "", busy)
    assert.equal(200, status(proxy, "/bad"))
  end)
end)

describe("a hook that takes all memory", function()
  local BOMBS = {
    ["a table"] = "local t = {} for i = 1, 1e9 do t[i] = { i } end",
    ["a string"] = "return ('x'):rep(1e9)",
    ["a string that doubles"] = "local s = 'x' while true do s = s .. s end",
    ["a field, again and again"] =
      "local s = ('x'):rep(1e6) while true do session:request():set_header('X-A', s) end",
    ["targets"] = "local s = ('/'):rep(1e6) while true do session:request():set_target(s) end",
    ["answers"] = "local s = ('x'):rep(1e6) while true do session:respond { status = 200, body = s } end",
    ["a global that stays"] = "bomb = {} for i = 1, 1e9 do bomb[i] = { i } end",
  }
  for name, code in pairs(BOMBS) do
    it("gives 500 and one line, and the worker serves on: " .. name, function()
      local proxy = start("memory_limit = 32 * 1024 * 1024, hook_time = 60", code)
      assert.equal(500, status(proxy, "/bad"))
      proxy:wait_log "request_filter failed: [^\n]*not enough memory"
      if name == "a global that stays" then return end
      for _ = 1, 3 do assert.equal(500, status(proxy, "/bad")) end
      assert.equal(200, status(proxy, "/"))
    end)
  end
end)

-- What Lua holds once is copied each time that it is named: into memory that Lua's allocator does not see.
describe("an array that names one text, or another array, again and again", function()
  local SETUP = [[
    local many, deep, list = {}, {}, {}
    local text = ("x"):rep(1e6)
    for i = 1, 1e5 do many[i] = text end
    for _ = 1, 10 do
      local outer = {}
      for i = 1, 1000 do outer[i] = deep end
      deep = outer
    end
    for i = 1, 1e4 do list[i] = { "SET", "key", text } end
  ]]
  local USES = {
    ["sent to a socket"] = "perilune.tcp.connect('$ORIGIN'):send(many)",
    ["of arrays without a text, sent to a socket"] = "perilune.tcp.connect('$ORIGIN'):send(deep)",
    ["in a command of Redis"] = "require('perilune.redis').new('$ORIGIN'):call('MSET', unpack(many, 1, 5000))",
    ["in a pipeline of Redis"] = "require('perilune.redis').new('$ORIGIN'):pipeline(list)",
  }
  for name, code in pairs(USES) do
    it("is refused when it is longer than memory_limit, and the worker serves on: " .. name, function()
      local proxy = start("memory_limit = 32 * 1024 * 1024, hook_time = 60",
        SETUP .. code:gsub("%$ORIGIN", origins.start("hello").address))
      assert.equal(500, status(proxy, "/bad"))
      proxy:wait_log "policy.lua:%d+: [^\n]*longer than the policy's memory_limit"
      assert.equal(200, status(proxy, "/"))
    end)
  end

  it("is refused as the result of a body filter, too", function()
    local proxy = start("memory_limit = 32 * 1024 * 1024, hook_time = 60", "", [[
      local many, text = {}, ("x"):rep(1e6)
      for i = 1, 1e5 do many[i] = text end
      function policy.response_body_filter(session, chunk) return session:path() == "/many" and many or nil end
    ]])
    assert.equal(500, status(proxy, "/many"))
    proxy:wait_log "an array of strings that are together longer than the policy's memory_limit"
    assert.equal(200, status(proxy, "/"))
  end)
end)

describe("other requests", function()
  it("are served while one after another is interrupted", function()
    local proxy = perilune.start { workers = 2, policy = policies.to(origins.start "hello", { hooks = [[
      perilune.configure { jit = false, hook_time = 0.05 }
      function policy.request_filter(session) if session:path() == "/bad" then while true do end end end
    ]] }) }
    local results = scheduler.all({
      function()
        for _ = 1, 10 do assert.equal(504, status(proxy, "/bad")) end
        return true
      end,
      function()
        for _ = 1, 50 do assert.equal(200, status(proxy, "/")) end
        return true
      end,
    }, 300)
    assert.same({ true, true }, results)
  end)
end)

describe("settings of the limits", function()
  for setting, message in pairs {
    ["hook_time = 0"] = "hook_time must be a number of seconds",
    ["hook_time = '2h'"] = "hook_time must be a number of seconds from 0.01 to 3600, or a text",
    ["jit = 1"] = "jit must be true or false",
    ["memory_limit = 10"] = "memory_limit must be a number of bytes",
  } do
    it("are checked: " .. setting, function()
      local result = perilune.run { policy = "require('perilune').configure { " .. setting .. " }" }
      assert.equal(2, result.code)
      assert.matches("policy%.lua:1: .*" .. message, result.stderr)
    end)
  end
end)
