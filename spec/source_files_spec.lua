-- SPDX-License-Identifier: Apache-2.0
-- Whatever file is read whose name came from outside: a FIFO, a device or a huge file is refused in a sentence. Nothing
-- waits for it, no memory fills.
local cleanup = require "cleanup"
local client = require "client"
local lfs = require "lfs"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(cleanup.run)

local LISTENS = [[
  require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
    return session:respond { status = 200, body = "ok" }
  end })
]]
local REASONS = { fifo = "it is no regular file", device = "it is no regular file", huge = "it is larger than" }

-- Puts at a path what never ends, or only after a long time. Nobody writes to the FIFO.
local PUT = {
  fifo = function(path) assert(os.execute(("mkfifo '%s'"):format(path)) == 0) end,
  device = function(path) assert(lfs.link("/dev/zero", path, true)) end,
  huge = function(path) assert(os.execute(("truncate -s 20G '%s'"):format(path)) == 0) end, -- holes: takes no room
}

-- Calls visit(path, reason) with each of them, in a fresh folder and under this name.
local function each(name, visit)
  for kind, put in pairs(PUT) do
    local path = process.directory() .. "/" .. name
    put(path)
    visit(path, REASONS[kind])
  end
end

local function check(path, env) return perilune.run { args = { "check", path }, env = env, timeout = 60 } end

local function policy_beside(path, text)
  return process.write_file(path:match "^.*/" .. "policy.lua", text .. LISTENS)
end

describe("a policy", function()
  it("is no such file itself", function()
    each("policy.lua", function(path, reason)
      local result = check(path)
      assert.equal(2, result.code, result.stderr)
      assert.matches("cannot open " .. path:gsub("%p", "%%%0") .. ": " .. reason, result.stderr)
    end)
  end)

  for call, name in pairs {
    ["dofile 'sides.lua'"] = "sides.lua", ["assert(loadfile 'sides.lua')"] = "sides.lua",
    ["require 'sides'"] = "sides.lua", ["require 'sides.lib'"] = "sides/lib.lua",
  } do
    it("that says " .. call .. " is told why it gets nothing", function()
      each("sides.lua", function(path, reason)
        if name ~= "sides.lua" then
          lfs.mkdir(path:match "^.*/" .. "sides")
          assert(os.rename(path, path:match "^.*/" .. name))
        end
        local result = check(policy_beside(path, call .. "\n"))
        assert.equal(2, result.code, result.stderr)
        assert.matches(name:gsub("%p", "%%%0") .. ": " .. reason, result.stderr)
      end)
    end)
  end

  it("that requires a module in C where there is none is told why", function()
    local path = process.directory() .. "/sides.so"
    PUT.fifo(path)
    for _, name in ipairs { "sides", "sides.lib" } do
      local result = check(policy_beside(path, ("require %q\n"):format(name)))
      assert.equal(2, result.code, result.stderr)
      assert.matches("policy.lua:1: module '" .. name .. "' cannot be loaded: .*/sides%.so: it is no regular file",
        result.stderr)
    end
  end)

  it("that takes no notice of it is loaded, and checked, all the same", function()
    each("sides.lua", function(path)
      local result = check(policy_beside(path, "pcall(dofile, 'sides.lua') pcall(require, 'sides')\n"))
      assert.equal(0, result.code, result.stderr)
    end)
  end)

  for _, call in ipairs { "loadfile()", "dofile()" } do
    it("that calls " .. call .. " does not wait for the standard input", function()
      local folder = process.directory()
      PUT.fifo(folder .. "/input")
      local path = process.write_file(folder .. "/policy.lua", call .. "\n" .. LISTENS)
      local input = assert(io.open(folder .. "/input", "r+"))
      local result = perilune.run {
        args = { "check", path }, timeout = 60,
        under = { "sh", "-c", ("exec \"$@\" < '%s/input'"):format(folder), "sh" },
      }
      input:close()
      assert.equal(2, result.code, result.stderr)
      assert.matches("policy.lua:1: .*it would wait for the standard input: name a file", result.stderr)
    end)
  end

  it("that raises a message with its name gets that message, at once", function()
    each("sides.lua", function(path)
      local text = ("error(%q, 0)\n"):format(path .. ":1: unexpected symbol near '/'")
      local result = check(policy_beside(path, text))
      assert.equal(2, result.code, result.stderr)
      assert.matches("sides%.lua:1: unexpected symbol near '/'\n", result.stderr)
    end)
  end)

  it("gets from loadfile what Lua's own gives: a function with that environment, no bytecode", function()
    local path = process.directory() .. "/sides.lua"
    process.write_file(path, "#!/usr/bin/env luajit\nreturn os")
    process.write_file(path:match "^.*/" .. "bytes.lua", string.dump(function() end))
    local result = check(policy_beside(path, [[
      assert(loadfile("sides.lua", "t", { os = 7 })() == 7)
      local here = debug.getinfo(1).source:match "@(.*/)"
      assert(package.searchpath("sides", "/none/?;" .. here .. "?.lua") == here .. "sides.lua")
      local none, places = package.searchpath("a-b%c", "/none/?;/none/?.x", "-", "+")
      assert(none == nil and places == "\n\tno file '/none/a+b%c'\n\tno file '/none/a+b%c.x'", places)
      local fine, why = loadfile "bytes.lua"
      assert(fine == nil and why:find "bytecode is refused", why)
      fine, why = loadfile("sides.lua", "b")
      assert(fine == nil, why)
    ]]))
    assert.equal(0, result.code, result.stderr)
  end)
end)

describe("a listener", function()
  it("is not opened with such a file", function()
    local good = tls.certificate "a.example"
    each("file.pem", function(path, reason)
      for what, options in pairs {
        ["certificate"] = ("certificate = %q, key = %q"):format(path, good.key),
        ["key"] = ("certificate = %q, key = %q"):format(good.certificate, path),
        ["OCSP response"] = ("certificate = %q, key = %q, ocsp = %q"):format(good.certificate, good.key, path),
        ["client CA file"] = ("certificate = %q, key = %q, client_verify = 'required', client_ca = %q")
          :format(good.certificate, good.key, path),
      } do
        local text = ("require('perilune').listen('127.0.0.1:0', { upstream_peer = print }, { %s })\n"):format(options)
        local result = check(policy_beside(path, text))
        assert.equal(2, result.code, what .. ": " .. result.stderr)
        assert.matches(what .. " .*/file%.pem: " .. reason, result.stderr)
      end
    end)
  end)
end)

describe("a peer", function()
  it("whose CA file it is fails, and holds up nobody else", function()
    local origin = origins.start("secret", { names = { "one.example" } })
    each("ca.pem", function(path, reason)
      local proxy = running.start { workers = 1, policy = ([[
        require("perilune").listen("127.0.0.1:0", {
          request_filter = function(session)
            if session:path() == "/ok" then return session:respond { status = 200, body = "ok" } end
          end,
          upstream_peer = function() return { address = %q, tls = true, sni = "one.example", ca = %q } end,
        })
      ]]):format(origin.address, path) }
      assert.equal("ok", client.request({ port = proxy.port, path = "/ok" }).body)
      assert.equal(500, client.request(proxy.port).status)
      proxy:wait_log("CA file .*/ca%.pem: " .. reason)
      assert.equal("ok", client.request({ port = proxy.port, path = "/ok" }).body)
    end)
  end)

  it("is not trusted by what SSL_CERT_FILE names, where that is none", function()
    local path = process.directory() .. "/ca.pem"
    PUT.fifo(path)
    local proxy = running.start { workers = 1, env = { SSL_CERT_FILE = path }, policy = [[
      require("perilune").listen("127.0.0.1:0", {
        upstream_peer = function() return { address = "127.0.0.1:1", tls = true, sni = "one.example" } end,
      })
    ]] }
    assert.equal(500, client.request(proxy.port).status)
    proxy:wait_log "CA file .*/ca%.pem: it is no regular file"
  end)
end)

describe("a set of backends", function()
  it("keeps its list where the file that it follows is none, and other timers run on", function()
    each("list", function(path, reason)
      local proxy = running.start { workers = 1, policy = ([[
        local perilune = require "perilune"
        local set = require("perilune.round_robin").new { "127.0.0.1:1" }
        require("perilune.discovery").file(set, %q, { interval = 0.01 })
        perilune.every(0.05, function() perilune.dict("d"):incr("ticks", 1, 0) end)
        perilune.listen("127.0.0.1:0", { request_filter = function(session)
          local body = ("%%s %%d"):format(set:addresses()[1], perilune.dict("d"):get "ticks" or 0)
          return session:respond { status = 200, body = body }
        end })
      ]]):format(path) }
      proxy:wait_log("/list: " .. reason)
      scheduler.eventually(function() return client.request(proxy.port).body:match "^127%.0%.0%.1:1 %d%d" end)
    end)
  end)
end)

describe("a command", function()
  it("does not wait for a pid file that is none", function()
    each("pid", function(path, reason)
      local result = running.command(path, "status")
      assert.equal(1, result.code, result.stderr)
      assert.matches("cannot open the pid file .*/pid: " .. reason, result.stderr)
    end)
  end)
end)
