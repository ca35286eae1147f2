-- SPDX-License-Identifier: Apache-2.0
-- A policy cannot end the process, crash it or take its bounds away, neither by mistake nor by trying.
local console = require "console"
local perilune = require "perilune"
local process = require "process"

after_each(require("cleanup").run)

local SETUP = [[
SET = require("perilune.round_robin").new { "127.0.0.1:1" }
local tcp = require "perilune.tcp"
HANDLES = {
  dict = function() local d = perilune.dict "d" d:set("a", 1) return d, function() return d:get "a" end end,
  rate = function() local r = perilune.rate "r" return r, function() return r:observe "a" end end,
  inflight = function() local i = perilune.inflight "i" return i, function() return i:count "a" end end,
  counter = function() local c = perilune.counter "c" return c, function() return c:add(1) end end,
  regex = function() local r = perilune.regex.new "a" return r, function() return r:test "a" end end,
  cidr = function() local c = perilune.cidr.new "10.0.0.0/8" return c, function() return c:contains "10.0.0.1" end end,
  task = function() local t = perilune.spawn(perilune.sleep, 0.01)
    return t, function() return t:status() end end,
  job = function() local j = perilune.after(100, print) return j, function() return j:stop() end end,
  socket = function(port) local s = assert(tcp.connect("127.0.0.1:" .. port)) return s,
    function() return s:send "GET / HTTP/1.1\r\n\r\n" end end,
}
]]

local HANDLES = { "dict", "rate", "inflight", "counter", "regex", "cidr", "task", "job", "socket" }

describe("a handle", function()
  it("keeps its metatable to itself, whatever it is of", function()
    local policy = console.start { setup = SETUP }
    for _, name in ipairs(HANDLES) do
      local text = policy:run(([[
        local handle, use = HANDLES.%s(%d)
        local closed = type(getmetatable(handle)) .. type(debug.getmetatable(handle))
        local set = pcall(setmetatable, handle, {}) or pcall(debug.setmetatable, handle, nil)
        collectgarbage()
        return closed, set, (pcall(use))
      ]]):format(name, policy.proxy.port))
      assert.equal("stringstring false true", text, name)
    end
  end)

  it("that is used by a finalizer when the VM ends raises", function()
    local policy = console.start { setup = SETUP .. [[
      local dict, pattern = perilune.dict "last", perilune.regex.new "a"
      KEPT = newproxy(true)
      getmetatable(KEPT).__gc = function()
        local says = {}
        for _, use in ipairs { function() dict:get "a" end, function() pattern:test "a" end,
          function() perilune.regex.new "never seen before" end, function() perilune.spawn(print) end,
          function() perilune.after(1, print) end, function() perilune.dict "other" end } do
          says[#says + 1] = tostring(pcall(use))
        end
        io.stderr:write("at the end: ", table.concat(says, " "), "\n")
      end
    ]] }
    assert.equal("1", policy:run "return 1")
    policy.proxy:signal "TERM"
    assert.equal(0, policy.proxy:ended())
    policy.proxy:wait_log "at the end: false false false false false false"
  end)
end)

describe("a buffer of LuaJIT", function()
  it("crashes nothing where compiled code asks it for a method that it does not have", function()
    local policy = console.start {}
    for _, deed in ipairs { "return b.nope", "return b:nope()", "return b:put(b.nope)", "return b.a.b" } do
      assert.equal("3 xyz nil 3", policy:run(([[
        local b = require("string.buffer").new()
        local function f() %s end
        for i = 1, 1000 do pcall(f) end
        b:reset():put("x", "y"):putf("%%s", "z")
        local length = #b
        return length .. " " .. b:get() .. " " .. tostring(b.nope) .. " " .. #b:put "abc"
      ]]):format(deed)))
    end
  end)
end)

describe("what would end or crash the process raises at the policy's line, and the worker serves on:", function()
  local REFUSED = {
    ["os.exit"] = "os.exit(0)",
    ["os.exit with a status"] = "os.exit(false, true)",
    ["os.setlocale"] = "os.setlocale 'C'",
    ["debug.getregistry"] = "debug.getregistry()",
    ["debug.sethook"] = "debug.sethook()",
    ["debug.setlocal"] = "debug.setlocal(1, 1, 1)",
    ["debug.setupvalue of a C function"] = "debug.setupvalue(string.find, 1, 1)",
    ["debug.upvaluejoin of a C function"] = "debug.upvaluejoin(string.find, 1, string.match, 1)",
    ["debug.setmetatable of a token"] = "debug.setmetatable(session, {})",
    ["debug.setfenv of a handle"] = "debug.setfenv(perilune.dict 'd', {})",
    ["debug.getfenv of a handle"] = "debug.getfenv(perilune.dict 'd')",
    ["debug.setfenv of a C function"] = "debug.setfenv(print, {})",
    ["the profiler"] = "require 'jit.profile'",
  }
  it("os.exit, and what of `debug` reaches behind Lua", function()
    local policy = console.start { setup = SETUP }
    for name, code in pairs(REFUSED) do
      local text = policy:run("local ok, why = pcall(function() local x = 1 " .. code .. " end) return ok, why")
      assert.matches("^false do:1: .* refused", text, name)
    end
  end)

  it("what is left of them works", function()
    local policy = console.start { setup = SETUP }
    assert.equal("C function true true 2", policy:run [[
      local function f() local up = SETUP return up end
      local mt = {}
      debug.setmetatable(nil, mt)
      local same = debug.getmetatable(nil) == mt
      debug.setmetatable(nil, nil)
      local n = 1
      local function g() return n end
      debug.setupvalue(g, 1, 2)
      return os.setlocale(), type(debug.traceback), same, debug.getinfo(1, "S") ~= nil, g()
    ]])
  end)
end)

describe("bytecode", function()
  local CALLS = {
    load = "load(code)", ["load of pieces"] = "load(function() local c = code code = nil return c end)",
    loadstring = "loadstring(code)", ["load with a mode"] = "load(code, 'x', 'b')",
    ["load with both modes"] = "load(code, 'x', 'bt')", loadfile = "loadfile(file)", dofile = "pcall(dofile, file)",
    ["require"] = "pcall(require, 'compiled')",
  }
  it("is refused by whatever loads code", function()
    local dir = process.directory()
    local policy = console.start { setup = ("package.path = %q .. package.path"):format(dir .. "/?.lua;") }
    for name, code in pairs(CALLS) do
      local text = policy:run(([[
        code = string.dump(function() return 'ran' end)
        file = %q
        local out = io.open(file, 'wb') out:write(code) out:close()
        local ok, why = %s
        return ok, type(why) == 'string' and why:match 'bytecode is refused' or why
      ]]):format(dir .. "/compiled.lua", code))
      assert.matches("^[nf][ia]l.* bytecode is refused", text, name)
    end
  end)

  it("is refused as a policy, with a message that says what to give", function()
    local dir = process.directory()
    local file = dir .. "/policy.lua"
    local out = assert(io.open(file, "wb"))
    out:write(string.dump(function() end))
    out:close()
    local result = perilune.run { script = file }
    assert.equal(2, result.code)
    assert.matches("policy%.lua: bytecode is refused, for LuaJIT does not verify it: give the source", result.stderr)
  end)

  it("is refused, and text is still loaded with its name, mode and environment", function()
    local policy = console.start {}
    assert.equal("7 8 nil true", policy:run [[
      local fine = load("return x", "=name", "t", { x = 7 })()
      local none, why = load("return 1", "=name", "b")
      return fine, loadstring("return ...")(8), none, why ~= nil
    ]])
  end)
end)
